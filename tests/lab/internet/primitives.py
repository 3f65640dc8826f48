"""The primitives that scenarios are made of: what a censor, a line, a server or a control's network can do.

Each is a frozen value that lays itself into `Changes`. Rules of the router match the client's link `cl` unless a
primitive says otherwise, so the control and the servers never pass them.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from monitor.lab.authority import Certificate
from monitor.lab.interference import Cut
from monitor.lab.pages import Answerer, Page, plain
from monitor.lab.resolvers import Answer, Resolver
from tests.lab.internet import addresses
from tests.lab.internet.box import PORT, Habit
from tests.lab.internet.changes import Changes
from tests.lab.internet.hosts import block_page
from tests.lab.internet.injector import ACK, FIN, RST, forged_dns, on_text, reply, reset_while_connecting

_STRING: Final = '-m string --algo bm --string "{}"'
_RESET: Final = "-j REJECT --reject-with tcp-reset"
_DIVERT: Final = f"-j TPROXY --on-port {PORT} --tproxy-mark 1"
_BLOCKED_MARK, _SLOW_MARK = 1, 2
SYSTEM: Final = Resolver.SYSTEM


class Primitive(Protocol):
    """Satisfied by every dataclass of this module."""

    def lay(self, changes: Changes) -> None: ...


def _to(address: str | None, port: int | None, protocol: str = "tcp") -> str:
    at = f" -d {address}" if address else ""
    return f"-i cl -p {protocol}{at}" + (f" --dport {port}" if port else "")


# --- DNS


@dataclass(frozen=True)
class InjectedDns:
    """A box beside the line answers UDP queries for a name, whoever is asked; the genuine reply comes second."""

    name: str
    answer: Answer

    def lay(self, changes: Changes) -> None:
        changes.injections.append(forged_dns(self.name, self.answer))


@dataclass(frozen=True)
class Zone:
    """What a resolver itself answers about a name, to everybody; `resolver` None is all of them."""

    name: str
    answer: Answer
    resolver: Resolver | None = SYSTEM

    def lay(self, changes: Changes) -> None:
        changes.world.zones[self.resolver, self.name] = self.answer


@dataclass(frozen=True)
class ControlZone:
    """What every resolver tells the control alone: a delivery network, or a lie on the control's own line."""

    name: str
    answer: Answer

    def lay(self, changes: Changes) -> None:
        changes.world.control_zone[self.name] = self.answer


# --- TCP


@dataclass(frozen=True)
class Drop:
    """Silence towards an address, or one port of it."""

    address: str
    port: int | None = None

    def lay(self, changes: Changes) -> None:
        changes.forward.append(f"{_to(self.address, self.port)} -j DROP")


@dataclass(frozen=True)
class Refuse:
    """RST to the SYN."""

    address: str
    port: int

    def lay(self, changes: Changes) -> None:
        changes.forward.append(f"{_to(self.address, self.port)} --syn {_RESET}")


@dataclass(frozen=True)
class Unreachable:
    """ICMP host unreachable in answer to what goes to an address."""

    address: str

    def lay(self, changes: Changes) -> None:
        changes.forward.append(f"-i cl -p tcp -d {self.address} -j REJECT --reject-with icmp-host-unreachable")


@dataclass(frozen=True)
class ResetConnecting:
    """ECONNRESET while connecting, by a forged simultaneous open."""

    address: str
    port: int

    def lay(self, changes: Changes) -> None:
        changes.forward.append(f"{_to(self.address, self.port)} -j DROP")
        changes.injections.append(reset_while_connecting(self.address, self.port))


# --- By text in what the client sends: a ClientHello carries the server name in clear, a request its Host.


@dataclass(frozen=True)
class ResetText:
    """RST once a segment holds the text. With `residual_seconds`, the server stays silent to the client after it."""

    text: str
    port: int = 443
    address: str | None = None
    residual_seconds: int = 0

    def lay(self, changes: Changes) -> None:
        seen = f"{_to(self.address, self.port)} {_STRING.format(self.text)}"
        if self.residual_seconds:
            pair = "-m recent --name punished --rdest"
            changes.forward.append(f"-i cl -p tcp --syn {pair} --rcheck --seconds {self.residual_seconds} -j DROP")
            seen += f" {pair} --set"
        changes.forward.append(f"{seen} {_RESET}")


@dataclass(frozen=True)
class DropText:
    """The segment that holds the text and the rest of its flow vanish, both ways."""

    text: str
    port: int = 443
    address: str | None = None

    def lay(self, changes: Changes) -> None:
        marked = f"-m connmark --mark {_BLOCKED_MARK} -j DROP"
        seen = f"{_to(self.address, self.port)} {_STRING.format(self.text)}"
        changes.forward += [marked, f"{seen} -j CONNMARK --set-mark {_BLOCKED_MARK}", marked]


@dataclass(frozen=True)
class InjectReset:
    """A forged RST that races the server's answer, while the original goes on."""

    text: str
    port: int = 443

    def lay(self, changes: Changes) -> None:
        changes.injections.append(on_text(self.text, self.port, lambda seen: [reply(seen, RST | ACK)]))


@dataclass(frozen=True)
class InjectFin:
    """A forged clean end of the stream."""

    text: str
    port: int = 443

    def lay(self, changes: Changes) -> None:
        changes.injections.append(on_text(self.text, self.port, lambda seen: [reply(seen, FIN | ACK)]))


@dataclass(frozen=True)
class InjectPage:
    """One forged segment with a whole block page, which ends the stream."""

    text: str
    address: str
    page: Page = block_page()  # noqa: RUF009 - a frozen value

    def lay(self, changes: Changes) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in self.page.headers)
        whole = f"HTTP/1.0 {self.page.status} OK\r\n{head}\r\n".encode() + self.page.body
        changes.injections.append(on_text(self.text, 80, lambda seen: [reply(seen, FIN | ACK, whole)], self.address))


@dataclass(frozen=True)
class InLine:
    """A box that ends connections and does something to those that ask for a name (None: all); others pass."""

    name: str | None
    cut: Cut
    port: int = 443
    page: Page | None = None

    def lay(self, changes: Changes) -> None:
        changes.habits.append(Habit(self.name, self.cut, self.page))
        changes.divert.append(f"{_to(None, self.port)} {_DIVERT}")


# --- Speed


@dataclass(frozen=True)
class Slow:
    """Polices flows to an endpoint, or those whose first segments hold a text, both ways, at a steady rate."""

    address: str | None = None
    port: int = 443
    text: str | None = None
    kilobytes_per_second: int = 10

    def lay(self, changes: Changes) -> None:
        seen = _to(self.address, self.port) + (f" {_STRING.format(self.text)}" if self.text else "")
        rate = f"{self.kilobytes_per_second}kb/s"
        changes.forward += [
            f"{seen} -j CONNMARK --set-mark {_SLOW_MARK}",
            (
                f"-o cl -m connmark --mark {_SLOW_MARK} -m hashlimit --hashlimit-name slow --hashlimit-mode dstip"
                f" --hashlimit-above {rate} --hashlimit-burst {rate.removesuffix('/s')} -j DROP"
            ),
        ]


@dataclass(frozen=True)
class Congestion:
    """The whole line of the client is slow, whoever is asked."""

    kilobytes_per_second: int = 64

    def lay(self, changes: Changes) -> None:
        rate = f"{self.kilobytes_per_second}kb/s"
        changes.forward.append(
            "-o cl -m hashlimit --hashlimit-name line --hashlimit-mode dstip"
            f" --hashlimit-above {rate} --hashlimit-burst {rate.removesuffix('/s')} -j DROP"
        )


@dataclass(frozen=True)
class Loss:
    """Each packet on a link is lost with this probability: `cl` the client's, `ct` the control's, `wd` everybody's."""

    share: float
    link: str = "cl"

    def lay(self, changes: Changes) -> None:
        lost = f"-m statistic --mode random --probability {self.share} -j DROP"
        changes.forward += [f"-i {self.link} {lost}", f"-o {self.link} {lost}"]


# --- QUIC


@dataclass(frozen=True)
class DropQuic:
    """UDP to port 443 of an address, or of any, vanishes."""

    address: str | None

    def lay(self, changes: Changes) -> None:
        changes.forward.append(f"{_to(self.address, 443, 'udp')} -j DROP")


@dataclass(frozen=True)
class RefuseQuic:
    """ICMP port unreachable in answer to UDP on port 443."""

    address: str

    def lay(self, changes: Changes) -> None:
        changes.forward.append(f"{_to(self.address, 443, 'udp')} -j REJECT --reject-with icmp-port-unreachable")


# --- The client's own line


@dataclass(frozen=True)
class Offline:
    """Nothing passes; with `from_first_packet_to`, from the moment on which something is sent to that address."""

    from_first_packet_to: str | None = None

    def lay(self, changes: Changes) -> None:
        if self.from_first_packet_to is None:
            changes.forward += ["-i cl -j DROP", "-o cl -j DROP"]
            return
        changes.forward += [
            "-i cl -m recent --name uplink --rsource --rcheck -j DROP",
            "-o cl -m recent --name uplink --rdest --rcheck -j DROP",
            f"{_to(self.from_first_packet_to, None)} -m recent --name uplink --rsource --set -j DROP",
        ]


@dataclass(frozen=True)
class Captive:
    """Every cleartext request meets a login page; TLS is reset."""

    def lay(self, changes: Changes) -> None:
        InLine(None, Cut.PAGE, 80, plain("Sign in to the network to go on")).lay(changes)
        changes.forward.append(f"{_to(None, 443)} {_RESET}")


@dataclass(frozen=True)
class Intercepted:
    """Every certificate on the line is made up by one box."""

    def lay(self, changes: Changes) -> None:
        InLine(None, Cut.SUBSTITUTE).lay(changes)


@dataclass(frozen=True)
class MtuHole:
    """Packets longer than this, from one address or from all, never arrive at the client, and nobody says so."""

    longest: int = 1000
    source: str | None = None

    def lay(self, changes: Changes) -> None:
        came = f" -s {self.source}" if self.source else ""
        changes.forward.append(f"-o cl{came} -m length --length {self.longest + 1}:65535 -j DROP")


@dataclass(frozen=True)
class BrokenV6:
    """The client has IPv6 addresses and a route, and nothing comes back."""

    def lay(self, changes: Changes) -> None:
        changes.forward_v6.append("-i cl -j DROP")


@dataclass(frozen=True)
class WrongClock:
    """The clock of the machine that measures is off."""

    offset: str  # as faketime(1) writes it

    def lay(self, changes: Changes) -> None:
        changes.clock_offset = self.offset


# --- Servers, for everybody


@dataclass(frozen=True)
class Server:
    """A server that is ill, or answers otherwise; what is None stays."""

    address: str = addresses.ORIGIN
    page: Answerer | None = None
    cut: Cut | None = None
    cut_ports: tuple[int, ...] = (80, 443)
    certificate: Certificate | None = None
    fresh: bool = False

    def lay(self, changes: Changes) -> None:
        fields: dict[str, object] = {"cut": self.cut, "cut_ports": self.cut_ports, "fresh": self.fresh}
        if self.page is not None:
            fields["answerer"] = self.page
        if (shown := self.certificate) is not None:

            def always_shown(_: str) -> Certificate:
                return shown

            fields["certificate"] = always_shown
        changes.world.change(self.address, **fields)


@dataclass(frozen=True)
class Silent:
    """A server, or one port of it, answers nobody."""

    address: str = addresses.ORIGIN
    port: int | None = None
    protocol: str = "tcp"

    def lay(self, changes: Changes) -> None:
        at = f" --dport {self.port}" if self.port else ""
        changes.servers.append(f"-p {self.protocol} -d {self.address}{at} -j DROP")


@dataclass(frozen=True)
class Refusing:
    """A server refuses every connection to a port."""

    address: str = addresses.ORIGIN
    port: int = 443

    def lay(self, changes: Changes) -> None:
        changes.servers.append(f"-p tcp --syn -d {self.address} --dport {self.port} {_RESET}")


@dataclass(frozen=True)
class SlowServer:
    """A server sends slowly to everybody."""

    address: str
    kilobytes_per_second: int = 10

    def lay(self, changes: Changes) -> None:
        rate = f"{self.kilobytes_per_second}kb/s"
        changes.forward.append(
            f"-i wd -s {self.address} -m hashlimit --hashlimit-name server --hashlimit-mode dstip"
            f" --hashlimit-above {rate} --hashlimit-burst {rate.removesuffix('/s')} -j DROP"
        )


@dataclass(frozen=True)
class Overloaded:
    """A server resets this share of the connections it accepts."""

    share: float
    address: str = addresses.ORIGIN

    def lay(self, changes: Changes) -> None:
        changes.servers.append(
            f"-p tcp -d {self.address} --dport 443 -m length --length 200:65535"
            f" -m statistic --mode random --probability {self.share} {_RESET}"
        )


# --- The control's own network


@dataclass(frozen=True)
class ControlCannot:
    """The control's network drops what the control sends to an address."""

    address: str

    def lay(self, changes: Changes) -> None:
        changes.forward.append(f"-i ct -p tcp -d {self.address} -j DROP")


@dataclass(frozen=True)
class ControlLost:
    """The way to the control is cut by its name, and so is every other to it."""

    def lay(self, changes: Changes) -> None:
        ResetText(addresses.CONTROL_NAME, addresses.CONTROL_PORT).lay(changes)
