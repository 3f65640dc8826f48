"""The shipped probes.yaml in a laboratory in place of the platforms: `python -m tests.scenarios.shipped FOLDER`.

Runs the daemon until every target has been measured often enough, and prints what each host answered. The addresses
of its targets have no ports, so this needs 80 and 443: of this machine, or, for a user who may not have them, of a
network namespace of its own (unshare --map-root-user --net).
"""

import fcntl
import json
import socket
import struct
import sys
from pathlib import Path
from typing import Final

import yaml

from monitor.lab.configuration import moved_into
from monitor.lab.laboratory import Lab
from monitor.lab.stand_ins import stand_in
from tests.scenarios.daemon import Daemon, merged
from tests.scenarios.running import ROOT

STATUSES: Final = (200, 403, 404, 429)
ROUNDS: Final = 3
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1  # netdevice(7)


def main(folder: Path) -> None:
    raise_loopback()
    shipped = (ROOT / "probes.yaml").read_text()
    with Lab(http_port=80, https_port=443) as lab:
        sys.stdout.write(json.dumps(stand_in(lab, shipped, STATUSES)))
        written = yaml.safe_load(moved_into(lab, shipped, database=folder / "monitor.db", listen="127.0.0.1:0"))
        # All else as it is shipped; only time runs faster.
        timeouts = {"dns": 3, "tcp": 3, "tls": 3, "http": 3, "total": 6}
        faster = {"interval": 6, "allow_fast_interval": True, "timeouts": timeouts}
        config = folder / "probes.yaml"
        config.write_text(yaml.safe_dump(merged(written, {"defaults": faster})))
        daemon = Daemon(config)
        with daemon.running():
            names = {one["target"] for one in daemon.get("/api/v1/targets").json()["targets"]}
            daemon.wait_for(lambda: all(len(daemon.verdicts(name)) >= ROUNDS for name in names))


def raise_loopback() -> None:
    """Bring up the loopback device, which is down in a new network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))
        if not flags & _IFF_UP:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
