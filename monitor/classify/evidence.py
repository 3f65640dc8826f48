"""Which observations speak about what: purposes by their role, and what a certificate or an answer amounts to."""

from typing import Final

from monitor.model.failure import TIMEOUTS, Failure
from monitor.model.observation import HttpObservation, Observation, Purpose, TlsObservation

# Overloaded servers end connections so at random, whatever they are asked for. One that does it to a share p of them
# fails five times around four passes with probability p^5 (1-p)^4, at most one in 480, and no control may meet it.
AT_ONCE: Final = frozenset({"reset", "eof", "alert"})
STEADY_PASSES: Final = 4
OWN_NAME: Final = frozenset({Purpose.PATH, Purpose.ADDRESS_CHECK, Purpose.RETRY, Purpose.OTHER_ADDRESS})
ROUTINE: Final = frozenset({Purpose.PATH, Purpose.ADDRESS_CHECK})
AT_CONTROL: Final = ROUTINE | {Purpose.CONTROL_CHECK}
ENCRYPTED: Final = frozenset({"https", "tls"})
NO_SUCH_NAME: Final = frozenset({Failure.DNS_NXDOMAIN_ERROR, Failure.DNS_NO_ANSWER})
UNREACHABLE: Final = frozenset({Failure.HOST_UNREACHABLE, Failure.NETWORK_UNREACHABLE, *TIMEOUTS})


def defects(one: TlsObservation) -> set[str]:
    """Return everything that is wrong with a presented certificate."""
    return {*one.certificate_failures, *((one.failure,) if one.failure else ())}


def is_answered(one: Observation) -> bool:
    """Tell whether any TLS or HTTP answer came, whatever it said."""
    match one:
        case TlsObservation():
            return bool(one.chain) or (one.detail is not None and one.detail.alert is not None)
        case HttpObservation():
            return one.status_code is not None
        case _:
            return False
