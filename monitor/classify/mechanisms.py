"""Mechanisms: from failure strings to labels `layer.outcome[.trigger]`, and to words."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from monitor.model.failure import TIMEOUTS, Failure
from monitor.model.observation import (
    DnsObservation,
    HttpObservation,
    Observation,
    QuicObservation,
    Step,
    TcpObservation,
    ThroughputObservation,
    TlsObservation,
    step_of,
)

LAYERS: Final = (Step.DNS, Step.TCP, Step.TLS, Step.HTTP, Step.QUIC, Step.THROUGHPUT)  # the order of labels

_TIMEOUT: Final[dict[str, str]] = dict.fromkeys(TIMEOUTS, "timeout")
_CUT: Final[dict[str, str]] = {Failure.CONNECTION_RESET: "reset", Failure.EOF_ERROR: "eof", **_TIMEOUT}

# Failures without a row get no label and hence no verdict `blocked` (docs/verdicts.md, "Mechanisms").
OUTCOMES: Final[dict[Step, dict[str, str]]] = {
    Step.DNS: {
        Failure.DNS_NXDOMAIN_ERROR: "nxdomain",
        Failure.DNS_NO_ANSWER: "no_answer",
        Failure.DNS_REFUSED_ERROR: "refused",
        Failure.DNS_SERVFAIL_ERROR: "servfail",
        **_TIMEOUT,
    },
    Step.TCP: {
        Failure.CONNECTION_REFUSED: "refused",
        Failure.CONNECTION_RESET: "reset",
        Failure.HOST_UNREACHABLE: "unreachable",
        Failure.NETWORK_UNREACHABLE: "unreachable",
        **_TIMEOUT,
    },
    Step.TLS: _CUT,
    Step.HTTP: _CUT,
    Step.QUIC: {Failure.CONNECTION_REFUSED: "refused", **_TIMEOUT},
    Step.THROUGHPUT: {},  # a rate is judged by comparison, never by a failure
}

# What a reader is told, after "For HOST,"; no word of it comes from the network.
WORDS: Final = {
    "dns.nxdomain": "the network's resolver says that the name does not exist",
    "dns.no_answer": "the network's resolver gives no address",
    "dns.refused": "the network's resolver refuses to answer",
    "dns.servfail": "the network's resolver reports an error",
    "dns.timeout": "the network's resolver does not answer",
    "dns.bogon": "the network's resolver gives an address that no public site can have",
    "dns.blockpage_address": "the network's resolver gives the address of a block page",
    "dns.wrong_address": "the network's resolver gives a wrong address",
    "tcp.refused": "the connection is refused",
    "tcp.reset": "the connection is reset while it is being opened",
    "tcp.timeout": "the connection is never answered",
    "tcp.unreachable": "the network reports the address as unreachable",
    "tls.reset": "the connection is reset during the TLS handshake",
    "tls.eof": "the connection is closed during the TLS handshake",
    "tls.timeout": "the TLS handshake is never answered",
    "tls.alert": "the TLS handshake is rejected with an alert",
    "tls.certificate_substituted": "another certificate is put in place of the platform's",
    "http.reset": "the connection is reset after the request",
    "http.eof": "the connection is closed before the response is complete",
    "http.timeout": "the request is never answered",
    "http.blockpage": "a block page is served instead of the page",
    "http.redirect": "the request is redirected to a block page",
    "http.modified": "another page is served than elsewhere",
    "quic.timeout": "HTTP/3 is never answered",
    "quic.refused": "HTTP/3 is refused",
    "throughput.throttled": "the data comes ten times slower than it should, and nothing else does",
}
TRIGGERS: Final = {
    "sni": " when the platform's name is asked for",
    "host": " when it names the platform",
    "address": " at the address as a whole",
    "name": ", though it answers for other names",
}


@dataclass(frozen=True)
class Mechanism:
    """One way in which access is prevented at one hop; `on_path`: an ordinary client meets it."""

    layer: Step
    outcome: str
    hop: int
    trigger: str = ""
    on_path: bool = True

    @property
    def label(self) -> str:
        """The label without its trigger."""
        return f"{self.layer}.{self.outcome}"

    @property
    def words(self) -> str:
        """What happens, in words."""
        said = WORDS.get(self.label, "access is prevented")
        return f"{said}{TRIGGERS[self.trigger]}" if self.trigger else said


def outcome_of(observation: Observation) -> str | None:
    """Return the outcome part of the label that a failed observation earns, or None."""
    if observation.failure is None:
        return None
    if observation.detail is not None and observation.detail.reason == "still_receiving":
        return None  # slow, not silent
    if isinstance(observation, TcpObservation) and observation.is_by_name:
        return None  # the name, the address or the proxy: nothing tells which
    if isinstance(observation, TlsObservation) and _is_alert(observation):
        return "alert"
    return OUTCOMES[step_of(observation)].get(observation.failure)


def _is_alert(observation: TlsObservation) -> bool:
    return (
        observation.failure in {Failure.SSL_FAILED_HANDSHAKE, Failure.SSL_INVALID_HOSTNAME}
        and observation.detail is not None
        and observation.detail.alert is not None
    )


def passed(observation: Observation) -> bool:
    """Tell whether a step did what an ordinary client needs of it."""
    match observation:
        case DnsObservation():
            return observation.failure is None and bool(observation.addresses)
        case TlsObservation() | QuicObservation():
            return observation.verified
        case TcpObservation() | ThroughputObservation():
            return observation.failure is None
        case HttpObservation():
            return observation.failure is None and observation.status_code is not None


def labels(mechanisms: Iterable[Mechanism]) -> tuple[str, ...]:
    """Return the distinct labels in the order of layers, a label with its trigger in place of the one without."""
    found: dict[str, str] = {}
    for one in mechanisms:
        found[one.label] = max(found.get(one.label, ""), one.trigger)
    order = sorted(found, key=lambda label: (LAYERS.index(Step(label.split(".")[0])), label))
    return tuple(f"{label}.{found[label]}" if found[label] else label for label in order)
