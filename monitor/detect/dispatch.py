"""What is sent next through a channel: what waits, what is left out, what goes together.

Alerts are written down when they happen; whether and when they are told is decided here, again and again, from what
waits and what was sent. Nothing depends on memory, so a crash forgets nothing. The order of one subject is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from monitor.detect.policy import FOLLOWING, URGENT, Quiet
from monitor.model.alert import (
    BEGINNING,
    CLOSING,
    OPENING,
    SEVERITIES,
    Alert,
    AlertKind,
    Delivery,
    DeliveryState,
    Mute,
    Shift,
)

MOST_TOGETHER: Final = 1000
LONGEST_RETRY_SECONDS: Final = 900.0
FIRST_RETRY_SECONDS: Final = 5.0
# Changes that a flapping incident makes; telling each would bury the others.
CHANGES: Final = (OPENING | CLOSING | FOLLOWING | BEGINNING | {AlertKind.JOIN}) - {AlertKind.REMINDER}
# What tells how things stand must be told once it may; anything in between is told by those.
_STANDING: Final = OPENING | CLOSING | BEGINNING
MUTED: Final = "muted"
QUIET: Final = "quiet hours"
UNSTABLE: Final = "unstable"


@dataclass(frozen=True)
class Rules:
    """How a channel is to be used."""

    group_seconds: float = 10.0  # 0: every alert is a message of its own
    digest: int = 5  # so many messages due at once become one; 0: never
    rate_messages: int = 20
    rate_seconds: float = 600.0
    flap_changes: int = 8  # told of one place within `flap_seconds`; then it is unstable. 0: never
    flap_seconds: float = 6 * 3600.0
    steady_seconds: float = 1800.0  # without a change, until an unstable place is told again
    give_up_seconds: float = 3 * 86_400.0
    quiet: dict[str, Quiet] = field(default_factory=dict)  # by route


@dataclass(frozen=True)
class Step:
    """What to do now: write down `shifts`, send `parcel` if it is not empty, and look again at `wait_until`."""

    shifts: tuple[Shift, ...] = ()
    parcel: tuple[Delivery, ...] = ()
    wait_until: datetime | None = None
    unstable: frozenset[str] = frozenset()  # subjects of the parcel that are told with a remark


@dataclass(frozen=True)
class Outbox:
    """What is known of a channel's messages."""

    waiting: Sequence[Delivery]  # pending, in the order of their alerts
    sent: Sequence[Delivery] = ()  # delivered within the times that the rules look back, oldest first
    told: frozenset[str] = frozenset()  # subjects of which something was delivered, ever
    mutes: Sequence[Mute] = ()


def next_step(outbox: Outbox, rules: Rules, now: datetime) -> Step:
    """Return what to do now."""
    return _Sorting(outbox, rules, now).step()


def retry_seconds(attempts: int, share: float) -> float:
    """Return how long to wait after so many failed attempts: exponential, with full jitter by `share` (0 to 1)."""
    longest = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(attempts - 1, 20))
    return max(1.0, longest * share)


def is_muted(alert: Alert, channel: str, mute: Mute, now: datetime) -> bool:
    """Tell whether somebody asked to be silent about an alert; a list that is empty asks for any."""
    if not mute.from_at <= now < mute.until or alert.kind in URGENT:
        return False
    asked = (
        (mute.platforms, {alert.platform, *alert.platforms}),
        (mute.countries, {alert.country}),
        (mute.vantages, set(alert.vantages)),
        (mute.channels, {channel}),
        (mute.subjects, {alert.subject}),
    )
    return all(not wanted or has & set(wanted) for wanted, has in asked)


class _Sorting:
    """One pass over what waits on a channel, in the order of the alerts."""

    def __init__(self, outbox: Outbox, rules: Rules, now: datetime) -> None:
        self._outbox = outbox
        self._rules = rules
        self._now = now
        self._blocked: set[str] = set()  # subjects of which something earlier is not sent yet
        self._ahead: set[str] = set()  # subjects of which something earlier will be sent
        self._retries: dict[int, list[Delivery]] = {}
        self._ready: list[Delivery] = []
        self._shifts: list[Shift] = []
        self._times: list[datetime] = []
        self._closed_at = {one.alert.subject: one.alert.at for one in outbox.waiting if one.alert.kind in CLOSING}
        self._newest = {_place(one.alert): one.id for one in outbox.waiting if one.parcel is None}
        self._changes: dict[tuple[str | None, ...], int] = {}
        since = now - timedelta(seconds=rules.flap_seconds)
        for one in outbox.sent:
            if one.alert.kind in CHANGES and one.sent_at and one.sent_at >= since:
                self._changes[_place(one.alert)] = self._changes.get(_place(one.alert), 0) + 1

    def step(self) -> Step:
        for one in self._outbox.waiting:
            if one.parcel is not None:
                self._again(one)
            elif not self._left_out(one):
                self._fresh(one)
                self._ahead.add(one.alert.subject)
        free_at = self._free_at()
        if free_at is not None and free_at > self._now:
            return self._step((), [*self._times, free_at])
        retry = min(self._retries.values(), key=lambda parcel: parcel[0].due_at, default=None)
        if retry and (not self._ready or retry[0].due_at <= self._ready[0].due_at):
            return self._step(retry)
        return self._step(self._together())

    def _step(self, parcel: Sequence[Delivery], times: Sequence[datetime] | None = None) -> Step:
        times = self._times if times is None else times
        most = self._rules.flap_changes
        unstable = {
            one.alert.subject
            for one in parcel
            if one.last_outcome == UNSTABLE or (most and self._changes.get(_place(one.alert), 0) + 1 >= most)
        }
        return Step(
            shifts=tuple(self._shifts),
            parcel=tuple(parcel),
            wait_until=min((time for time in times if time > self._now), default=None),
            unstable=frozenset(unstable),
        )

    def _again(self, one: Delivery) -> None:
        """Take in a message that was sent before, or is being sent: what it went with then, it goes with now."""
        self._block(one)
        due_at = max(one.due_at, one.claimed_until)
        if due_at <= self._now and one.parcel is not None:
            self._retries.setdefault(one.parcel, []).append(one)
        else:
            self._times.append(due_at)

    def _left_out(self, one: Delivery) -> bool:
        """Tell whether a message is not to be sent, now or at all."""
        alert = one.alert
        if alert.kind in URGENT:
            return False
        is_first = alert.subject not in self._ahead
        # Of trouble with the database people are told past the outbox, which lies in it.
        if alert.kind is AlertKind.STORAGE_END:
            is_first = False
        began_unmeasured = alert.incident is not None and alert.incident.started_after is None
        if alert.kind in FOLLOWING and is_first and alert.subject not in self._outbox.told and not began_unmeasured:
            return self._settle(one, DeliveryState.SUPERSEDED, "its beginning was not told")
        mute = next((each for each in self._outbox.mutes if is_muted(alert, one.channel, each, self._now)), None)
        quiet = self._rules.quiet.get(one.route)
        quiet_until = None if quiet is None or _passes(alert, quiet) else quiet.ends_at(self._now)
        held_until = mute.until if mute else quiet_until
        if self._is_over(one, is_held=held_until is not None):
            return self._settle(one, DeliveryState.SUPERSEDED, "it was over before it had to be told")
        if mute and alert.kind not in _STANDING:
            return self._settle(one, DeliveryState.MUTED, MUTED)
        if held_until is not None:
            return self._hold(one, held_until, MUTED if mute else QUIET)
        return self._is_damped(one)

    def _is_over(self, one: Delivery, *, is_held: bool) -> bool:
        """Tell whether a beginning need not be told: it ended within the delay, or while it was held back."""
        ended_at = self._closed_at.get(one.alert.subject)
        if ended_at is None or one.alert.kind in FOLLOWING or one.alert.subject in self._outbox.told:
            return False
        within = one.alert.at + timedelta(seconds=one.delay_seconds)
        return is_held or one.last_outcome in {MUTED, QUIET} or (one.delay_seconds > 0 and ended_at <= within)

    def _is_damped(self, one: Delivery) -> bool:
        alert, most = one.alert, self._rules.flap_changes
        if not most or alert.kind not in CHANGES or self._changes.get(_place(alert), 0) < most:
            return False
        is_newest = self._newest.get(_place(alert)) == one.id
        if not is_newest and alert.kind not in CLOSING:
            return self._settle(one, DeliveryState.DAMPED, UNSTABLE)
        steady_at = alert.at + timedelta(seconds=self._rules.steady_seconds)
        if one.last_outcome == UNSTABLE and steady_at <= self._now:
            return False
        return self._hold(one, steady_at, UNSTABLE)

    def _settle(self, one: Delivery, state: DeliveryState, why: str) -> bool:
        self._shifts.append(Shift(one.id, state, one.due_at, why))
        return True

    def _hold(self, one: Delivery, until: datetime, why: str) -> bool:
        """Let a message wait; what follows it waits too."""
        if until <= self._now:
            return False
        # As the tables keep it, so that what waits already is not written again.
        until = until.replace(microsecond=until.microsecond // 1000 * 1000)
        if (one.due_at, one.last_outcome) != (until, why):
            self._shifts.append(Shift(one.id, DeliveryState.PENDING, until, why))
        self._times.append(until)
        self._block(one)
        return True

    def _block(self, one: Delivery) -> None:
        self._blocked.add(one.alert.subject)
        self._ahead.add(one.alert.subject)

    def _fresh(self, one: Delivery) -> None:
        if one.due_at > self._now:
            self._times.append(one.due_at)
            self._blocked.add(one.alert.subject)
        elif one.alert.subject not in self._blocked:
            self._ready.append(one)
            if not self._rules.group_seconds:
                self._blocked.add(one.alert.subject)

    def _together(self) -> list[Delivery]:
        """Return what goes as one message."""
        if not self._ready:
            return []
        first = self._ready[0]
        alike = [one for one in self._ready if (one.language, one.form) == (first.language, first.form)]
        if self._rules.digest and len({one.alert.subject for one in alike}) >= self._rules.digest:
            return alike[:MOST_TOGETHER]
        if not self._rules.group_seconds:
            return [first]
        return [one for one in alike if one.alert.subject == first.alert.subject][:MOST_TOGETHER]

    def _free_at(self) -> datetime | None:
        """Return when the next message may be sent, None if that is now."""
        since = self._now - timedelta(seconds=self._rules.rate_seconds)
        times = {one.parcel or one.id: one.sent_at for one in self._outbox.sent if one.sent_at and one.sent_at > since}
        latest = sorted(times.values())[-self._rules.rate_messages :]
        if len(latest) < self._rules.rate_messages:
            return None
        return latest[0] + timedelta(seconds=self._rules.rate_seconds)


def _place(alert: Alert) -> tuple[str | None, ...]:
    """Return what flaps: a platform in a country, else the subject alone."""
    return (alert.platform, alert.country) if alert.incident else (alert.subject,)


def _passes(alert: Alert, quiet: Quiet) -> bool:
    return SEVERITIES.index(alert.severity) >= SEVERITIES.index(quiet.passes)
