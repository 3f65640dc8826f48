"""Run as a process with a network of its own: an agent, and whoever would tell it its address.

Prints the names that the agent asked for when it was told to check its line; options go to the agent.
"""

import contextlib
import socket
import subprocess
import sys
import threading
from pathlib import Path

import dns.message
import httpx

from monitor.config.schema import SanityConfig
from monitor.network.identity import WhoAmI
from tests.scenarios.running import line_with, running

TOKEN = "a token of more than sixteen characters"  # noqa: S105 - of a test


def main(folder: Path, *options: str) -> None:
    teller = WhoAmI.parse(SanityConfig().whoami or "")
    for command in (("link", "set", "lo", "up"), ("address", "add", f"{teller.server}/32", "dev", "lo")):
        subprocess.run(("ip", *command), check=True, stdin=subprocess.DEVNULL)
    token_file = folder / "token"
    token_file.write_text(TOKEN)
    place = ("--listen", "127.0.0.1:0", "--token-file", str(token_file), "--plain-http")
    heard: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind((teller.server, teller.port))
        threading.Thread(target=_answer, args=(listening, heard), daemon=True).start()
        with running("agent", "serve", *place, *options, log=folder / "log") as process:
            url = line_with(process, "Listening on ").split()[0]
            headers = {"Authorization": f"Bearer {TOKEN}"}
            httpx.post(f"{url}/v1/check", content=b"{}", headers=headers, timeout=60, trust_env=False)
    sys.stdout.writelines(f"{name}\n" for name in heard)


def _answer(listening: socket.socket, heard: list[str]) -> None:
    with contextlib.suppress(OSError):  # the end of the block closes the socket
        while True:
            wire, asker = listening.recvfrom(4096)
            query = dns.message.from_wire(wire)
            heard.append(query.question[0].name.to_text(omit_final_dot=True))
            listening.sendto(dns.message.make_response(query).to_wire(), asker)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
