"""Measurements as rows and back: a pure translation, and the digest that both sides share.

An observation is cut in three: what repeats from run to run (its *facts*, JSON text stored once), the endpoint, and
what varies every time (timings, TTLs, sizes), which has columns of its own. A value that does not fit its column, such
as a body digest that is not 32 hexadecimal digits, simply stays among the facts.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from monitor.model.measurement import Measurement, RunContext
from monitor.model.observation import HttpObservation, Observation
from monitor.model.vantage import IMPORTED_KINDS, NetworkIdentity

POSITION_BITS: Final = 10
MAX_OBSERVATIONS: Final = 1 << POSITION_BITS
MAX_ID: Final = (1 << 53) - 1
# Over a table `v` of vantages: those that stand for what somebody else measured.
IMPORTED_KIND: Final = f"coalesce(v.kind IN ({', '.join(repr(kind) for kind in sorted(IMPORTED_KINDS))}), 0)"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_BODY_DIGEST: Final = re.compile(r"[0-9a-f]{32}")
# Header values that change with the page and not with the server.
_VOLATILE_HEADERS: Final = frozenset({"content-length", "last-modified", "retry-after"})

_encode: Final = msgspec.json.Encoder().encode
_encode_canonical: Final = msgspec.json.Encoder(order="sorted").encode


def prepare_to_decode(*kinds: object) -> None:
    """Have msgspec learn these types now, while a module is imported and no other thread does.

    It learns a struct when it is first decoded, and two threads that do so at once end the process (msgspec 0.22).
    """
    for kind in kinds:
        msgspec.json.Decoder(kind)


prepare_to_decode(Observation)


def milliseconds(at: datetime) -> int:
    """Return UTC milliseconds since 1970, the form of every time in the tables; a fraction is cut off."""
    return (at - _EPOCH) // _MILLISECOND


def instant(at: int) -> datetime:
    """Return the UTC instant of a time in the tables."""
    return _EPOCH + timedelta(milliseconds=at)


def optional_milliseconds(at: datetime | None) -> int | None:
    """Return `milliseconds`, or None for None."""
    return None if at is None else milliseconds(at)


def optional_instant(at: int | None) -> datetime | None:
    """Return `instant`, or None for None."""
    return None if at is None else instant(at)


def microseconds(seconds: float) -> int:
    """Return a length of time in whole microseconds; raises OverflowError or ValueError if it is not finite."""
    return round(seconds * 1e6)


def text(value: object) -> str:
    """Return a value as JSON text."""
    return _encode(value).decode()


def as_stored(measurement: Measurement, evidence: Sequence[bool] | None = None) -> Measurement:
    """Return what the tables give back: times in their units, and references to evidence that is kept.

    `evidence` tells for each observation whether its references are; all are by default.
    """
    offset = measurement.context.clock_offset_seconds
    context = measurement.context
    if offset is not None:
        context = msgspec.structs.replace(context, clock_offset_seconds=_whole(offset))
    keep = evidence if evidence is not None else (True,) * len(measurement.observations)
    return msgspec.structs.replace(
        measurement,
        started_at=instant(milliseconds(measurement.started_at)),
        elapsed_seconds=_whole(measurement.elapsed_seconds),
        context=context,
        observations=tuple(
            _observation_as_stored(observation, keep=kept)
            for observation, kept in zip(measurement.observations, keep, strict=True)
        ),
    )


def digest(measurement: Measurement) -> bytes:
    """Return the SHA-256 of the canonical JSON (sorted keys, no spaces) of a measurement that is `as_stored`."""
    return hashlib.sha256(_encode_canonical(measurement)).digest()


class HttpRow(NamedTuple):
    """What varies of an http observation, as the columns of http_exchange."""

    bytes_sent: int
    bytes_received: int
    body_bytes: int
    body_digest: bytes | None
    first_byte_microseconds: int | None
    header_values: str | None


class ObservationRow(NamedTuple):
    """One observation as columns; `step` and `facts` are stored once, in observation_facts."""

    step: str
    facts: str
    address: str | None
    port: int | None
    failure: str | None
    started_microseconds: int
    elapsed_microseconds: int
    ttls_seconds: str | None
    http: HttpRow | None


def observation_row(observation: Observation) -> ObservationRow:
    """Cut an observation into columns; its evidence is linked elsewhere. Raises ValueError, OverflowError."""
    facts: dict[str, Any] = msgspec.to_builtins(observation)
    del facts["evidence"]
    ttls = facts.pop("ttls_seconds", None)
    http = _http_row(facts) if isinstance(observation, HttpObservation) else None
    return ObservationRow(
        step=facts.pop("step"),
        address=facts.pop("address", None),
        port=facts.pop("port", None),
        failure=facts.pop("failure"),
        started_microseconds=microseconds(facts.pop("started_seconds")),
        elapsed_microseconds=microseconds(facts.pop("elapsed_seconds")),
        ttls_seconds=text(ttls) if ttls else None,
        http=http,
        facts=text(facts),
    )


def observation_from(row: ObservationRow, evidence: Sequence[str]) -> Observation:
    """Put an observation together again; raises msgspec.ValidationError if the row is not one of ours."""
    found: dict[str, Any] = msgspec.json.decode(row.facts)
    found |= {
        "step": row.step,
        "failure": row.failure,
        "started_seconds": row.started_microseconds / 1e6,
        "elapsed_seconds": row.elapsed_microseconds / 1e6,
        "evidence": evidence,
    }
    if row.address is not None:
        found |= {"address": row.address, "port": row.port}
    if row.ttls_seconds is not None:
        found["ttls_seconds"] = msgspec.json.decode(row.ttls_seconds)
    if row.http is not None:
        _restore_http(found, row.http)
    return msgspec.convert(found, Observation)  # type: ignore[no-any-return]  # convert is typed for classes, not unions


def _http_row(facts: dict[str, Any]) -> HttpRow:
    """Take out of the facts what varies; header values that do are taken out in order, and null stays for each."""
    headers = facts["headers"]
    values = [value for name, value in headers if name in _VOLATILE_HEADERS]
    if values:
        facts["headers"] = [(name, None if name in _VOLATILE_HEADERS else value) for name, value in headers]
    body_digest = facts["body_digest"]
    has_digest = body_digest is not None and _BODY_DIGEST.fullmatch(body_digest) is not None
    first_byte = facts.pop("first_byte_seconds")
    return HttpRow(
        bytes_sent=facts.pop("bytes_sent"),
        bytes_received=facts.pop("bytes_received"),
        body_bytes=facts.pop("body_bytes"),
        body_digest=bytes.fromhex(facts.pop("body_digest")) if has_digest else None,
        first_byte_microseconds=None if first_byte is None else microseconds(first_byte),
        header_values=text(values) if values else None,
    )


def _restore_http(found: dict[str, Any], http: HttpRow) -> None:
    found |= {
        "bytes_sent": http.bytes_sent,
        "bytes_received": http.bytes_received,
        "body_bytes": http.body_bytes,
        "first_byte_seconds": _seconds(http.first_byte_microseconds),
    }
    if http.body_digest is not None:
        found["body_digest"] = http.body_digest.hex()
    if http.header_values is not None:
        values = iter(msgspec.json.decode(http.header_values))
        found["headers"] = [(name, next(values) if value is None else value) for name, value in found["headers"]]


def measurement_from(row: Any, observations: Sequence[Observation]) -> Measurement:
    """Put a measurement together again from a joined row (see reader.py)."""
    return Measurement(
        id=row["id"],
        target=row["target"],
        url=row["url"],
        vantage=row["vantage"],
        started_at=instant(row["started_at"]),
        elapsed_seconds=row["elapsed_microseconds"] / 1e6,
        context=RunContext(
            software=row["software"],
            config_digest=row["config_digest"],
            ca_digest=row["ca_digest"],
            hello_profile=row["hello_profile"],
            clock_offset_seconds=_seconds(row["clock_offset_microseconds"]),
            clock_source=row["clock_source"],
        ),
        network=network_from(row),
        is_deep=bool(row["is_deep"]),
        interrupted=bool(row["is_interrupted"]),
        observations=tuple(observations),
    )


def network_from(row: Any) -> NetworkIdentity:
    """Put a network together from the columns asn, network, country and resolver_asn."""
    return NetworkIdentity(
        asn=row["asn"], name=row["network"], country=row["country"], resolver_asn=row["resolver_asn"]
    )


def _observation_as_stored(observation: Observation, *, keep: bool) -> Observation:
    changes: dict[str, Any] = {
        "started_seconds": _whole(observation.started_seconds),
        "elapsed_seconds": _whole(observation.elapsed_seconds),
    }
    if isinstance(observation, HttpObservation) and observation.first_byte_seconds is not None:
        changes["first_byte_seconds"] = _whole(observation.first_byte_seconds)
    if not keep:
        changes["evidence"] = ()
    return msgspec.structs.replace(observation, **changes)


def _whole(seconds: float) -> float:
    return microseconds(seconds) / 1e6


def _seconds(whole: int | None) -> float | None:
    return None if whole is None else whole / 1e6
