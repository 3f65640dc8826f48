"""Four network namespaces in a star, and how to work inside one of them.

                              client 130.192.91.211
                                 │ cl
    control 68.183.70.80 ── ct router wd ── world: every server and resolver

Interference sits in the router and matches `cl`, so the control never passes it. All of it lives inside one user,
network, mount and process namespace (laboratory.py makes it): no privileges, no trace outside, several side by side.
"""

import contextlib
import ctypes
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.lab.internet import addresses

ROUTER, CLIENT, CONTROL, WORLD = "router", "client", "control", "world"
NAMESPACES: Final = (ROUTER, CLIENT, CONTROL, WORLD)
_NETNS: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_CLIENT_GATEWAY, _CLIENT_GATEWAY_V6 = "130.192.91.1", "2001:760:220::1"
_CONTROL_GATEWAY, _CONTROL_GATEWAY_V6 = "68.183.70.1", "2604:a880:400::1"
_TRANSIT: Final = ("198.18.0.1", "198.18.0.2")  # router, world
_TRANSIT_V6: Final = ("fd00::1", "fd00::2")
# Marked by TPROXY: delivered to a socket of the router itself (docs of the kernel, networking/tproxy).
_TO_US: Final = ("rule add fwmark 1 lookup 100", "route add local default dev lo table 100")
_OFFLOADS: Final = ("gro", "off", "gso", "off", "tso", "off")

_LINKS: Final = (
    f"link add cl netns {ROUTER} type veth peer name eth0 netns {CLIENT}",
    f"link add ct netns {ROUTER} type veth peer name eth0 netns {CONTROL}",
    f"link add wd netns {ROUTER} type veth peer name eth0 netns {WORLD}",
)


def _addressed(interface: str, address: str, v6: str) -> list[str]:
    return [
        f"addr add {address}/24 dev {interface}",
        f"addr add {v6}/64 dev {interface} nodad",
        f"link set {interface} up",
    ]


def _onward(gateway: str, gateway_v6: str) -> list[str]:
    return [f"route add default via {gateway}", f"route add ::/0 via {gateway_v6}"]


_COMMANDS: Final = {
    ROUTER: [
        *_addressed("cl", _CLIENT_GATEWAY, _CLIENT_GATEWAY_V6),
        *_addressed("ct", _CONTROL_GATEWAY, _CONTROL_GATEWAY_V6),
        *_addressed("wd", _TRANSIT[0], _TRANSIT_V6[0]),
        *_onward(_TRANSIT[1], _TRANSIT_V6[1]),
        # A "no route" answer would turn the silence of a bogon into host_unreachable.
        "route add blackhole 10.0.0.0/8",
        *_TO_US,
    ],
    CLIENT: [
        *_addressed("eth0", addresses.CLIENT, addresses.CLIENT_V6),
        *_onward(_CLIENT_GATEWAY, _CLIENT_GATEWAY_V6),
    ],
    CONTROL: [
        *_addressed("eth0", addresses.CONTROL, addresses.CONTROL_V6),
        *_onward(_CONTROL_GATEWAY, _CONTROL_GATEWAY_V6),
    ],
    WORLD: [*_addressed("eth0", _TRANSIT[1], _TRANSIT_V6[1]), *_onward(_TRANSIT[0], _TRANSIT_V6[0])],
}
# The client's line: 100 Mbit/s with a queue of 64 KiB.
_LINE: Final = ("tc", "qdisc", "add", "dev", "cl", "root", "tbf", "rate", "100mbit", "burst", "32kb", "limit", "64kb")
_SYSCTLS: Final = {
    ROUTER: ("ipv4/ip_forward", "ipv6/conf/all/forwarding"),
}


def build(world_addresses: Iterable[str], folder: Path) -> None:
    """Make the namespaces, their links, addresses and routes, and a resolv.conf of their own.

    The caller lives in a user, network and mount namespace of its own. Raises CalledProcessError.
    """
    resolv_conf = folder / "resolv.conf"
    resolv_conf.write_text(f"nameserver {addresses.SYSTEM_RESOLVER}\noptions timeout:1 attempts:2\n")
    system_file = Path("/etc/resolv.conf").resolve()
    run("mount", "-t", "tmpfs", "tmpfs", "/run")  # hides the netns folder of the host
    if not system_file.exists():  # it lay below /run
        system_file.parent.mkdir(parents=True, exist_ok=True)
        system_file.touch()
    run("mount", "--bind", str(resolv_conf), str(system_file))
    ip([*(f"netns add {name}" for name in NAMESPACES), *_LINKS])
    for name in NAMESPACES:
        with inside(name):
            extra = [f"addr add {one} dev lo nodad" if ":" in one else f"addr add {one} dev lo"
                     for one in world_addresses] if name == WORLD else []  # fmt: skip
            ip(["link set lo up", *extra, *_COMMANDS[name]])
            for setting in _SYSCTLS.get(name, ()):
                Path("/proc/sys/net", setting).write_text("1")
            for interface in ("cl", "ct", "wd") if name == ROUTER else ("eth0",):
                # Else string rules would see merged frames.
                run("ethtool", "-K", interface, *_OFFLOADS)
            if name == ROUTER:
                run(*_LINE)


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """Have this thread, what it starts and the sockets it makes belong to a namespace for a while.

    Nothing may be awaited in between: the event loop would carry other work along.
    """
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(name)
        yield
    finally:
        _set(before)
        os.close(before)


def enter(name: str) -> None:
    """Move this thread into a namespace for good."""
    there = os.open(_NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set(there)
    finally:
        os.close(there)


def _set(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def run(*command: str, given: str | None = None) -> str:
    """Run a program; raises CalledProcessError, its standard error included in the notes."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        error.add_note(done.stderr.strip())
        raise error
    return done.stdout


def ip(lines: Iterable[str]) -> None:
    """Give `ip` many commands at once."""
    run("ip", "-batch", "-", given="\n".join(lines) + "\n")


def listening(address: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """Return a non-blocking socket of the namespace this thread is in."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, kind)
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind((address, port))
    if kind is socket.SOCK_STREAM:
        opened.listen(256)
    return opened
