"""Run as a process with networks of its own: lines that lead out of namespaces, over veth and over WireGuard.

    line namespaces ── veth ─────────────────┐
                                             ├─ far: the laboratory, and a WireGuard server
    here: the monitor; sockets of WireGuard ─┘
                    └─ veth ─ gate: forbids everything behind it; a WireGuard server

The laboratory stays on loopback addresses, which the lines route (`route_localnet`). Every line is a namespace with one
interface. Prints what `monitor probe --json` says of the targets `open` and `cut` from each of them.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from monitor.lab import places
from monitor.lab.configuration import probes_yaml
from monitor.lab.interference import Cut
from monitor.lab.laboratory import Lab
from tests.scenarios.running import MONITOR
from tests.vantages.servers import PATIENCE_SECONDS

WORKING = ("veth", "wireguard")
BROKEN = (
    "veth-unplugged",
    "veth-refused",
    "wireguard-dead",
    "wireguard-refused",
    "wireguard-wrong-key",
    "wireguard-stalled",
)
# The last part of the address that each line over WireGuard has in 10.8.0.0/24, and the number of its interface.
TUNNELS = {
    "wireguard": 2,
    "wireguard-dead": 3,
    "wireguard-wrong-key": 4,
    "wireguard-stalled": 5,
    "wireguard-refused": 6,
}
_UP = "the far end is up"
_PORT = 51820
_NOBODYS_PORT = 51821


def command(*arguments: object, namespace: str = "", said: str = "") -> str:
    """Run a command, in a namespace if one is named; raises CalledProcessError."""
    inside = ("ip", "netns", "exec", namespace) if namespace else ()
    done = subprocess.run(
        [*inside, *map(str, arguments)], check=True, input=said, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    return done.stdout.strip()


def routing_loopback(namespace: str) -> None:
    command("tee", "/proc/sys/net/ipv4/conf/all/route_localnet", namespace=namespace, said="1")


def namespace(name: str) -> str:
    command("ip", "netns", "add", name)
    routing_loopback(name)
    return name


def veth(near: str, far: str, number: int) -> None:
    """Join two namespaces (`""`: this one) as 10.9.NUMBER.1 and 10.9.NUMBER.2."""
    ends = {f"near{number}": near, f"far{number}": far}
    command("ip", "link", "add", f"near{number}", "type", "veth", "peer", "name", f"far{number}")
    for last, (link, place) in enumerate(ends.items(), 1):
        if place:
            command("ip", "link", "set", link, "netns", place)
        command("ip", "address", "add", f"10.9.{number}.{last}/24", "dev", link, namespace=place)
        command("ip", "link", "set", link, "up", namespace=place)


def leading_out(line: str, *way: object) -> None:
    """Give a line its only route, to where the laboratory is; its own loopback stays down."""
    command("ip", "route", "add", "127.0.0.0/8", *way, namespace=line)


@dataclass(frozen=True)
class Key:
    private: str
    public: str


def key() -> Key:
    private = command("wg", "genkey")
    return Key(private, command("wg", "pubkey", said=private))


@contextlib.contextmanager
def wireguard(link: str, settings: str, *, born: str = "", address: str, line: str = "") -> Iterator[None]:
    """Run wireguard-go; its sockets stay where it is `born`, its interface goes to `line` if one is named."""
    inside = ("ip", "netns", "exec", born) if born else ()
    where = line or born
    with subprocess.Popen(
        [*inside, "wireguard-go", "--foreground", link], env={**os.environ, "LOG_LEVEL": "error"}, stdout=sys.stderr
    ) as process:
        try:
            end = time.monotonic() + PATIENCE_SECONDS
            while subprocess.run(("wg", "show", link), capture_output=True, check=False).returncode:
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.02)
            command("wg", "setconf", link, "/dev/stdin", said=settings)
            if line:
                command("ip", "link", "set", link, "netns", line)
            command("ip", "address", "add", f"{address}/24", "dev", link, namespace=where)
            command("ip", "link", "set", link, "up", namespace=where)
            yield
        finally:
            process.terminate()


def handshakes() -> list[str]:
    """Return the lines that came as far as a handshake with their server."""
    shown = {line: command("wg", "show", f"wg{number}", "latest-handshakes") for line, number in TUNNELS.items()}
    return [line for line, said in shown.items() if said.split()[-1] != "0"]


def interface(own: Key, port: int = 0) -> str:
    return f"[Interface]\nPrivateKey = {own.private}\n" + (f"ListenPort = {port}\n" if port else "")


def peer(public: str, *keys: str) -> str:
    return "\n".join(("[Peer]", f"PublicKey = {public}", *keys, ""))


def veth_lines() -> None:
    """One that works, one whose far end is down, and one whose router refuses."""
    for number, (line, far) in enumerate({"veth": "far", "veth-unplugged": "far", "veth-refused": "gate"}.items(), 10):
        veth(namespace(line), far, number)
        leading_out(line, "via", f"10.9.{number}.2")
    command("ip", "link", "set", "far11", "down", namespace="far")


@contextlib.contextmanager
def wireguard_lines() -> Iterator[None]:
    """One that works, and each of the ways in which one does not."""
    veth("", "far", 1)
    veth("", "gate", 2)
    far, gate = key(), key()
    # line → server's address and key, port, whether the server knows the line's key, whose packets it lets through
    lines = {
        "wireguard": ("10.9.1.2", far, _PORT, True, "10.8.0.2"),
        "wireguard-dead": ("10.9.1.2", far, _NOBODYS_PORT, True, "10.8.0.3"),
        "wireguard-wrong-key": ("10.9.1.2", far, _PORT, False, "10.8.0.4"),
        "wireguard-stalled": ("10.9.1.2", far, _PORT, True, "10.8.0.99"),
        "wireguard-refused": ("10.9.2.2", gate, _PORT, True, "10.8.0.6"),
    }
    keys = {line: key() for line in lines}
    servers = {"far": (far, "wg-far"), "gate": (gate, "wg-gate")}
    with contextlib.ExitStack() as running:
        for place, (own, link) in servers.items():
            known = [
                peer(keys[line].public, f"AllowedIPs = {let_through}/32")
                for line, (_, server, _, is_known, let_through) in lines.items()
                if is_known and server is own
            ]
            settings = interface(own, _PORT) + "".join(known)
            running.enter_context(wireguard(link, settings, born=place, address="10.8.0.1"))
        for line, (host, server, port, _, _) in lines.items():
            number = TUNNELS[line]
            settings = interface(keys[line]) + peer(
                server.public, f"Endpoint = {host}:{port}", "AllowedIPs = 0.0.0.0/0"
            )
            way = wireguard(f"wg{number}", settings, address=f"10.8.0.{number}", line=namespace(line))
            running.enter_context(way)
            leading_out(line, "dev", f"wg{number}", "src", f"10.8.0.{number}")
        yield


def main(folder: Path) -> None:
    command("mount", "-t", "tmpfs", "none", "/run")
    command("ip", "link", "set", "lo", "up")
    for place in ("far", "gate"):
        namespace(place)
    command("ip", "link", "set", "lo", "up", namespace="far")
    # The gate has no loopback of its own up, so that what is sent there is to be passed on, which it forbids.
    command("ip", "route", "add", "prohibit", "127.0.0.0/8", namespace="gate")
    command("tee", "/proc/sys/net/ipv4/ip_forward", namespace="gate", said="1")
    veth_lines()
    laboratory = ["ip", "netns", "exec", "far", sys.executable, "-m", __spec__.name, "laboratory", str(folder)]
    with subprocess.Popen(laboratory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as lab:
        try:
            assert (lab.stdout or sys.stdin).readline().strip() == _UP
            with wireguard_lines():
                for target, lines in {"open": (*WORKING, *BROKEN), "cut": WORKING}.items():
                    chosen = [f"--vantage={line}" for line in lines]
                    config = str(folder / f"{target}.yaml")
                    subprocess.run([*MONITOR, "probe", target, "-c", config, "--json", *chosen], check=False)
                sys.stdout.write(json.dumps({"handshakes": handshakes()}) + "\n")
        finally:
            lab.communicate()  # the end of its input is the end of the laboratory


def laboratory(folder: Path) -> None:
    """Serve the far end until the end of input."""
    names = {target: f"{target}.{places.DOMAIN}" for target in ("open", "cut")}
    with Lab() as lab:
        for name in names.values():
            lab.site(name)
        lab.censor(names["cut"], Cut.RESET)
        for target, name in names.items():
            written = yaml.safe_load(probes_yaml(lab, {target: lab.url(name)}, database=folder / "monitor.db"))
            here = written["vantages"]["here"]
            written["vantages"] |= {line: {**here, "netns": line} for line in (*WORKING, *BROKEN)}
            written["follow_ups"]["enabled"] = target == "cut"
            written["sanity"]["whoami"] = None  # where a line is dead, this question alone takes its time twice
            (folder / f"{target}.yaml").write_text(yaml.safe_dump(written))
        sys.stdout.write(f"{_UP}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1] == "laboratory":
        laboratory(Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
