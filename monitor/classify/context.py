"""What a measurement is judged by, beside its own observations."""

from collections.abc import Mapping

import msgspec

from monitor.model.fingerprint import Fingerprint
from monitor.model.measurement import Measurement
from monitor.model.target import Expectation
from monitor.model.vantage import VantageState
from monitor.model.verdict import Reason


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything but the measurement that a verdict may rest on; JSON keeps it exact.

    `controls` holds one measurement for each usable control vantage, no older than the round allows; it may include
    observations of purpose `control_check` about the test vantage's addresses. `isolation` is a recent deep run of the
    same target and vantage: its follow-ups count as this round's if the symptom is the same. `bodies` maps the SHA-256
    of http_response evidence (head, empty line, body) to its bytes, as far as at hand.
    """

    expectation: Expectation = Expectation()
    is_checked: bool = True  # False: nobody checks the line, as of imported measurements
    state_before: VantageState | None = None
    state_after: VantageState | None = None
    controls: tuple[Measurement, ...] = ()
    has_control_vantage: bool = False
    isolation: Measurement | None = None
    known_addresses: frozenset[str] = frozenset()  # proven earlier with a certificate for the target's host
    allowed_bogons: tuple[str, ...] = ()  # CIDR ranges that count as ordinary addresses
    fingerprints: tuple[Fingerprint, ...] = ()
    bodies: Mapping[str, bytes] = {}
    asn_of: Mapping[str, int] = {}  # by address, as far as known
    country: str | None = None  # of the vantage, ISO 3166-1 alpha-2
    harmless_name: str = ""
    measures_throughput: bool = False  # a slow response is worth a deep run
    has_retries: bool = False  # a failed step is tried again, and counts only if it fails again
    usual_http_seconds: float | None = None  # what a response of this series took in the recent past
    fault: Reason | None = None  # the round itself failed: vantage error, interruption, our own mistake
