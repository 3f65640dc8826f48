"""Keeping what a verdict rests on, so that it can be drawn again: the rest of a context as text, and back.

The store holds measurement, controls, isolating run, states of the vantage and bodies by themselves; everything else
that a context holds is kept as JSON with sorted keys, which repeats from run to run and is stored once. A field added
to `Context` is kept without further ado. Fingerprints are left out: they have a table of their own, and whoever draws a
verdict again chooses between today's and those of then.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from monitor.classify.context import Context
from monitor.model.fingerprint import Fingerprint
from monitor.model.measurement import Measurement
from monitor.model.observation import DnsObservation
from monitor.model.vantage import VantageState

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


def circumstances(measurement: Measurement, context: Context) -> str:
    """Return what must be stored beside the measurements for the verdict to be drawn again.

    Of the addresses proven earlier only those matter that were met again, or that there are any.
    """
    known = context.known_addresses
    if known:
        isolation = (context.isolation,) if context.isolation else ()
        met = known.intersection(_addresses((measurement, *context.controls, *isolation)))
        known = met or frozenset({min(known)})
    kept = msgspec.structs.replace(
        context,
        controls=(),
        isolation=None,
        bodies={},
        fingerprints=(),
        state_before=None,
        state_after=None,
        known_addresses=known,
    )
    return _encode(kept).decode()


def context_from(
    text: str,
    *,
    controls: tuple[Measurement, ...],
    isolation: Measurement | None,
    bodies: Mapping[str, bytes],
    fingerprints: tuple[Fingerprint, ...],
    state_before: VantageState | None,
    state_after: VantageState | None,
) -> Context:
    """Put a context together again; raises msgspec.MsgspecError if `text` is not ours."""
    return msgspec.structs.replace(
        msgspec.json.decode(text, type=Context),
        controls=controls,
        isolation=isolation,
        bodies=bodies,
        fingerprints=fingerprints,
        state_before=state_before,
        state_after=state_after,
    )


def _addresses(measurements: Iterable[Measurement]) -> Iterable[str]:
    return (
        address
        for measurement in measurements
        for one in measurement.observations
        if isinstance(one, DnsObservation)
        for address in one.addresses
    )
