"""Measurements and verdicts as a person reads them on a terminal. Nothing that a server sent is printed."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.model.failure import Failure
from monitor.model.observation import (
    DnsObservation,
    HttpObservation,
    Observation,
    Purpose,
    QuicObservation,
    TcpObservation,
    ThroughputObservation,
    TlsObservation,
)
from monitor.model.outcome import Outcome
from monitor.model.vantage import NetworkIdentity
from monitor.model.verdict import Status

_UNWRAPPED = 100_000
STYLES = {
    Status.ACCESSIBLE: "bold green",
    Status.BLOCKED: "bold red",
    Status.THROTTLED: "bold yellow",
    Status.WITHHELD: "bold magenta",
    Status.DOWN: "bold blue",
    Status.INCONCLUSIVE: "bold bright_black",
}
PURPOSES = {
    Purpose.PATH: "the ordinary way",
    Purpose.ADDRESS_CHECK: "whose address is it",
    Purpose.RETRY: "again",
    Purpose.OTHER_RESOLVER: "another resolver",
    Purpose.RESOLVER_HARMLESS_NAME: "the same resolver, a harmless name",
    Purpose.OTHER_ADDRESS: "another address of the name",
    Purpose.HARMLESS_NAME: "the same address, a harmless name",
    Purpose.UNRELATED_ADDRESS: "an unrelated address, the target's name",
    Purpose.UNRELATED_HARMLESS: "the unrelated address, a harmless name",
    Purpose.OTHER_PORT: "another port",
    Purpose.CONTROL_CHECK: "asked of the control",
    Purpose.NO_NAME: "the same address, no name",
    Purpose.HTTP3: "the same address, over QUIC",
    Purpose.QUIC_PING: "the same address, does UDP pass",
    Purpose.QUIC_REFERENCE: "another operator, over QUIC",
    Purpose.TRANSFER: "how fast it comes",
    Purpose.TRANSFER_REFERENCE: "how fast an innocuous file comes",
    Purpose.TRANSFER_HARMLESS: "how fast it comes under a harmless name",
    Purpose.SMALL_SEGMENTS: "again, in small packets",
    Purpose.RESIDUAL: "a harmless name again, minutes later",
}


def network_words(network: NetworkIdentity, country: str | None) -> str:
    """Return where a measurement was made from: country, network name and AS number as observed."""
    asn = f"AS{network.asn}" if network.asn else "network unknown"
    parts = [country or network.country, f"{network.name} ({asn})" if network.name else asn]
    return ", ".join(part for part in parts if part)


def print_outcome(to: Console, outcome: Outcome, vantage: str, country: str | None) -> None:
    """Print one measurement layer by layer with its verdict."""
    measurement, verdict = outcome.recording.measurement, outcome.verdict
    to.print()
    title = Text.assemble((measurement.target, "bold"), f"  {measurement.url}  from ", (vantage, "bold"))
    to.print(title, f"({network_words(measurement.network, country)})", highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right")
    for _ in range(3):
        table.add_column()
    table.add_column(justify="right")
    purpose = Purpose.PATH
    for one in _by_purpose(measurement.observations):
        if one.purpose is not purpose:
            purpose = one.purpose
            table.add_row("", "", Text(f"{PURPOSES[purpose]}:", style="italic"), "", "")
        sign = _sign(one)
        table.add_row(
            sign,
            str(one.__struct_config__.tag),
            *_what(one),
            Text(f"{one.elapsed_seconds * 1000:.1f} ms", "bright_black"),
        )
    with to.capture() as captured:
        to.print(table)
    to.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
    if verdict is None:
        return
    words = [verdict.status.value, f"({verdict.confidence})" if verdict.confidence else "", *verdict.mechanisms]
    if verdict.reason:
        words.append(f"({verdict.reason})")
    to.print(Text(" ".join(word for word in words if word), STYLES[verdict.status]))
    to.print(verdict.because, highlight=False)
    to.print(
        f"rule {verdict.rule} (rules {verdict.rules_version}), measurement {measurement.id}",
        style="bright_black",
        highlight=False,
    )


def console() -> Console:
    """Return a console for standard output: as wide as the terminal, or without wrapping where there is none."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else _UNWRAPPED)


def _by_purpose(observations: Sequence[Observation]) -> list[Observation]:
    """Bring together what was asked for one purpose; purposes and observations keep their order."""
    purposes = list(dict.fromkeys(one.purpose for one in observations))
    return sorted(observations, key=lambda one: purposes.index(one.purpose))


def _is_answer(one: Observation) -> bool:
    """Tell whether a harmless name got what it was sent for: any answer, be it a certificate for another name."""
    return (
        isinstance(one, TlsObservation)
        and one.purpose
        in {
            Purpose.HARMLESS_NAME,
            Purpose.UNRELATED_ADDRESS,
            Purpose.UNRELATED_HARMLESS,
            Purpose.NO_NAME,
            Purpose.RESIDUAL,
        }
        and bool(one.chain)
    )


def _sign(one: Observation) -> Text:
    if one.failure is None or _is_answer(one):
        return Text("ok", "green")
    # A name without an address of one family is the normal case, not a failure of the way.
    if one.failure == Failure.DNS_NO_ANSWER:
        return Text("none", "bright_black")
    return Text("fails", "red")


def _what(one: Observation) -> tuple[str, Text | str]:
    """Return what was asked and what came of it."""
    match one:
        case DnsObservation():
            asked = f"{one.host} {one.query_type} from {one.resolver}"
            late = f" and {len(one.late_replies)} more, late" if one.late_replies else ""
            found = (", ".join(one.addresses) or "no address") + late
        case TcpObservation():
            asked, found = f"{one.address} port {one.port}", "connected"
        case TlsObservation():
            asked = f"{one.address} port {one.port} as {one.server_name or 'no name'}"
            found = f"{one.version}, {one.alpn or 'no ALPN'}, certificate verified"
            if _is_answer(one):
                return asked, f"answered with a certificate{f' ({one.failure})' if one.failure else ''}"
        case HttpObservation():
            asked = f"{one.method} {one.url}"
            answer = f"{one.status_code}" if one.status_code is not None else "no response"
            found = f"{answer}{' redirect' if one.location else ''}, {one.body_bytes} B"
        case QuicObservation():
            is_ping = one.purpose is Purpose.QUIC_PING
            asked = f"{one.address} port {one.port} {'for its versions' if is_ping else f'as {one.server_name}'}"
            found = "UDP passes both ways" if is_ping else f"version {one.version}, {one.alpn}, certificate verified"
        case ThroughputObservation():
            asked, found = f"GET {one.url} at {one.address}", _rate_words(one)
        case _:
            assert_never(one)
    return asked, _result(one.failure, found)


def _rate_words(one: ThroughputObservation) -> str:
    steady = f", rate varies by {one.variation:.0%}" if one.variation is not None else ""
    rate = f"{one.bytes_per_second / 1000:.1f} kB/s"
    return f"{one.bytes_received} B in {one.transfer_seconds:.1f} s, {rate}{steady}{', then cut' * one.is_cut}"


def _result(failure: str | None, otherwise: str) -> Text | str:
    return Text(failure, "red") if failure else otherwise


def instant(at: datetime | None) -> str:
    """Return an instant as people here write it: UTC, to the second."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC") if at else "never"
