"""Batches of agents: bytes → results, each one sound or rejected by its number; and when they really began.

Everything here is pure, and everything that comes in may be made up: sizes are bounded before anything is unpacked, and
a result that no honest agent sends is rejected without a word about the others.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import zstandard

from monitor.model.agent import ClockMark
from monitor.model.fleet import BatchHead, Rejected, Result
from monitor.model.measurement import Measurement, Recording
from monitor.model.verdict import Reason
from monitor.store.rows import MAX_OBSERVATIONS
from monitor.vantages.agent import genuine


class _Numbered(msgspec.Struct):
    sequence: int


MAX_BYTES: Final = 8 * 1024 * 1024
MAX_UNPACKED_BYTES: Final = 64 * 1024 * 1024
MAX_RESULTS: Final = 2000
# Twice what a spool may keep is room for a clock that was wrong; names of results are kept three times as long.
MAX_AGE: Final = timedelta(days=10)
SKEWED: Final = timedelta(seconds=60)
CLAMPED: Final = timedelta(minutes=5)
_WINDOW_BYTES: Final = 8 * 1024 * 1024
_CHUNK_BYTES: Final = 1024 * 1024
_MAX_EVIDENCE: Final = 1000
_MAX_TEXT: Final = 2048
_MAX_NAME: Final = 200
_MAX_SECONDS: Final = 86_400.0
_MAX_CONTROLS: Final = 32
_MAX_SEQUENCE: Final = 1 << 53
_LEAST_OFFSET_SECONDS: Final = 1.0  # below it the way of the batch is as good an explanation
_MOST_ON_THE_WAY_SECONDS: Final = 120.0
# Made here, once: what msgspec knows of a type is put together at first use, and two threads that are first at the same
# time end the process.
_read_head: Final = msgspec.json.Decoder(BatchHead).decode
_read_result: Final = msgspec.json.Decoder(Result).decode
_read_number: Final = msgspec.json.Decoder(_Numbered).decode
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_BOOT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_REASONS: Final = frozenset(Reason)


class BatchError(ValueError):
    """The batch as a whole is not what was agreed; the text says why."""


@dataclass(frozen=True)
class Batch:
    """A batch that is whole. `rejected` are those whose content is not in the agreed form."""

    head: BatchHead
    results: tuple[Result, ...]
    rejected: tuple[Rejected, ...]
    duplicate: int  # the same number once more


@dataclass(frozen=True)
class Dated:
    """When a result began by our clock, and by the agent's."""

    began: datetime
    told: datetime
    mark: ClockMark | None


def read_batch(body: bytes) -> Batch:
    """Unpack and read a batch; raises BatchError. Takes a while for a large one."""
    lines = _unpacked(body).split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    try:
        head = _read_head(lines[0]) if lines else None
    except _UNREADABLE:
        head = None
    if head is None or not _BOOT.fullmatch(head.boot_id) or not _is_sound_head(head):
        raise BatchError("the first line is no head of a batch")
    if head.results != len(lines) - 1:
        raise BatchError(f"{head.results} results were told and {len(lines) - 1} came")
    if head.results > MAX_RESULTS:
        raise BatchError(f"more than {MAX_RESULTS} results")
    results: dict[int, Result] = {}
    rejected: dict[int, Rejected] = {}
    duplicate = 0
    for line in lines[1:]:
        sequence, result = _result(line)
        if sequence in results or sequence in rejected:
            duplicate += 1
        elif result is None:
            rejected[sequence] = Rejected(sequence=sequence, reason="malformed")
        else:
            results[sequence] = result
    return Batch(head, tuple(results.values()), tuple(rejected.values()), duplicate)


def clock_offset(head: BatchHead, received_at: datetime) -> float:
    """Return what our clock is ahead of the agent's, in seconds.

    What the agent found in an exchange with us holds no time on the way, and is believed where it can be true.
    """
    apparent = (received_at - utc(head.sent_at)).total_seconds()
    told = head.clock.offset_seconds
    if told is not None and apparent - _MOST_ON_THE_WAY_SECONDS <= told <= apparent + _LEAST_OFFSET_SECONDS:
        return told
    return apparent


def dated(result: Result, head: BatchHead, received_at: datetime) -> Dated | None:
    """Return when a result began; None if no calendar has such a day, or if it is too old to be taken.

    Where the batch is of the same boot the time since then is known, whatever was done to the agent's calendar.
    """
    offset = clock_offset(head, received_at)
    correction = timedelta(seconds=offset if abs(offset) > _LEAST_OFFSET_SECONDS else 0.0)
    try:
        told = utc(result.recording.measurement.started_at)
        if head.monotonic_seconds is None:
            began = told + correction
        else:
            age = timedelta(seconds=head.monotonic_seconds - result.monotonic_seconds)
            began = utc(head.sent_at) + correction - age
            # Two clocks of one machine drift; a second is no reason to move what the calendar says.
            if abs(began - told - correction).total_seconds() <= _LEAST_OFFSET_SECONDS:
                began = told + correction
    except OverflowError:
        return None
    mark = ClockMark.SKEWED if abs(began - told) > SKEWED else None
    if began > received_at:
        mark = ClockMark.CLAMPED if began - received_at > CLAMPED else mark
        began = received_at
    return Dated(began, told, mark) if received_at - began <= MAX_AGE else None


def utc(at: datetime) -> datetime:
    """Return an instant in UTC; one without a zone is taken for UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _unpacked(body: bytes) -> bytes:
    unpacked = bytearray()
    try:
        with zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).stream_reader(body) as reader:
            while chunk := reader.read(_CHUNK_BYTES):
                unpacked += chunk
                if len(unpacked) > MAX_UNPACKED_BYTES:
                    raise BatchError(f"more than {MAX_UNPACKED_BYTES} bytes unpacked")
    except zstandard.ZstdError as error:
        raise BatchError("the body is not packed with zstd") from error
    return bytes(unpacked)


def _result(line: bytes) -> tuple[int, Result | None]:
    """Return a result's number, and the result if it is sound; raises BatchError if not even its number can be told."""
    try:
        result = _read_result(line)
    except _UNREADABLE:
        try:
            sequence = _read_number(line).sequence
        except _UNREADABLE:
            raise BatchError("a line is no result, and has no number") from None
    else:
        sequence = result.sequence
        if _is_sound(result):
            recording = Recording(measurement=result.recording.measurement, evidence=genuine(result.recording.evidence))
            return sequence, msgspec.structs.replace(result, recording=recording)
    if not 0 < sequence < _MAX_SEQUENCE:
        raise BatchError("a number of a result is out of bounds")
    return sequence, None


def _is_sound_head(head: BatchHead) -> bool:
    seconds = (head.monotonic_seconds or 0.0, head.clock.offset_seconds or 0.0)
    counts = (head.batch_sequence, head.spool_rows, head.dropped_count, head.results)
    return (
        all(map(math.isfinite, seconds))
        and all(0 <= count < _MAX_SEQUENCE for count in counts)
        and _are_plain((head.agent_id, head.nonce, head.software), _MAX_NAME)
        and _is_a_day(head.sent_at)
    )


def _is_sound(result: Result) -> bool:
    measurement, evidence = result.recording.measurement, result.recording.evidence
    return (
        0 < result.sequence < _MAX_SEQUENCE
        and math.isfinite(result.monotonic_seconds)
        and (result.fault is None or result.fault in _REASONS)
        and len(result.control_ids) <= _MAX_CONTROLS
        and len(evidence) <= _MAX_EVIDENCE
        and _is_sound_measurement(measurement)
    )


def _is_sound_measurement(measurement: Measurement) -> bool:
    network, context = measurement.network, measurement.context
    numbers = (network.asn or 0, network.resolver_asn or 0)
    names = (context.software, context.config_digest, context.ca_digest, context.hello_profile, network.name or "")
    return (
        len(measurement.observations) < MAX_OBSERVATIONS
        and 0 <= measurement.elapsed_seconds <= _MAX_SECONDS
        and all(0 <= one.started_seconds <= _MAX_SECONDS for one in measurement.observations)
        and all(0 <= one.elapsed_seconds <= _MAX_SECONDS for one in measurement.observations)
        and all(0 <= number < 1 << 32 for number in numbers)
        and (network.country is None or _COUNTRY.fullmatch(network.country) is not None)
        and _are_plain(names, _MAX_NAME)
        and _are_plain((measurement.url, measurement.target), _MAX_TEXT)
        and _is_a_day(measurement.started_at)
    )


def _are_plain(texts: Sequence[str], longest: int) -> bool:
    return all(len(text) <= longest and text.isprintable() for text in texts)


def _is_a_day(at: datetime) -> bool:
    """Tell whether there is room on either side for a zone and a correction; a clock that lost its battery is 1970."""
    return 1970 <= at.year <= 2200
