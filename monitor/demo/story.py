"""The story that `monitor demo` plays, as rows, and the comparison of what was concluded with what it expects; pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from monitor.lab import Cut, Lab, Line, places
from monitor.lab.pages import by_place, legal_refusal
from monitor.lab.scenarios import ACCESSIBLE, BOGON, DOWN, Expected, confirmed, inconclusive
from monitor.model.outcome import Incident
from monitor.model.verdict import Status
from monitor.store.reader import HistoryRow
from monitor.web.services import TargetState

_BLAME: Final = frozenset({Status.BLOCKED, Status.THROTTLED, Status.WITHHELD, Status.DOWN})


@dataclass(frozen=True)
class StandIn:
    """A target of a platform's name whose host exists in the laboratory only."""

    platform: str
    called: str  # what people call the platform
    target: str

    @property
    def host(self) -> str:
        """The host name, under the laboratory's own domain."""
        return f"{self.target.removesuffix('-home')}.{places.DOMAIN}"


CAST: Final = (
    StandIn("x", "X", "x-home"),
    StandIn("x", "X", "x-media"),
    StandIn("telegram", "Telegram", "telegram-home"),
    StandIn("facebook", "Facebook", "facebook-home"),
    StandIn("youtube", "YouTube", "youtube-home"),
    StandIn("wikipedia", "Wikipedia", "wikipedia-home"),
)
_HOSTS: Final = {one.target: one.host for one in CAST}


@dataclass(frozen=True)
class Step:
    """One turn of the story. Targets that `expects` does not name are expected to be accessible."""

    name: str
    title: str
    happens: str  # what is arranged, for a newcomer
    lesson: str  # what the conclusion shows
    arrange: Callable[[Lab], None]
    expects: Mapping[str, Expected] = field(default_factory=dict)  # by target
    incidents: frozenset[str] = frozenset()  # targets that open incidents hold at the end of the step
    rounds: int = 1  # how many rounds of each target must have been concluded so
    shows: tuple[str, ...] = ()  # targets told one by one
    evidence: str | None = None  # target whose deep run is told layer by layer

    def expected(self, target: str) -> Expected:
        """Return the verdict that is expected of a target."""
        return self.expects.get(target, ACCESSIBLE)


def differences(step: Step, since: datetime, states: Sequence[TargetState], incidents: Sequence[Incident]) -> list[str]:
    """Compare what stands with what `step`, arranged at `since` (UTC), expects; empty if it is so."""
    found = []
    for state in states:
        if state.status is None or state.measured_at is None or state.measured_at < since:
            found.append(f"{state.target} was not measured since")
            continue
        verdict = {
            "status": state.status,
            "confidence": state.confidence,
            "reason": state.reason,
            "mechanisms": state.mechanisms,
        }
        found += [f"{state.target}: {each}" for each in step.expected(state.target).differences(verdict)]
    held = {member.target for one in incidents if one.closed_at is None for member in one.members}
    found += [f"{target} is in no open incident" for target in sorted(step.incidents - held)]
    found += [f"{target} is in an open incident" for target in sorted(held - step.incidents)]
    return found


def wrongly_blamed(step: Step, before: Step | None, rows: Sequence[HistoryRow]) -> list[str]:
    """Return what rounds of this step blamed on anybody although neither it nor the step before expects so."""
    found = []
    for row in rows:
        allowed = {status for each in (step, before) if each for status in each.expected(row.target).statuses}
        if row.status in _BLAME and row.status not in allowed:
            found.append(f"{row.target} was called {row.status} in measurement {row.id}")
    return found


def too_few(step: Step, rows: Sequence[HistoryRow]) -> list[str]:
    """Return which targets have not yet been concluded as expected in `step.rounds` rounds."""
    found = []
    for target in _HOSTS:
        statuses = step.expected(target).statuses
        count = sum(row.target == target and row.status in statuses for row in rows)
        if count < step.rounds:
            found.append(f"{target} was concluded so in {count} rounds, not {step.rounds}")
    return found


def furnish(lab: Lab) -> None:
    """Put up the hosts of the cast, all in order."""
    for host in _HOSTS.values():
        lab.site(host)


def _poison_telegram(lab: Lab) -> None:
    lab.lie(_HOSTS["telegram-home"], BOGON)


def _reset_x(lab: Lab) -> None:
    for target in ("x-home", "x-media"):
        lab.censor(_HOSTS[target], Cut.RESET)


def _pull_the_cable(lab: Lab) -> None:
    lab.line(Line.OFFLINE)


def _withdraw_facebook(lab: Lab) -> None:
    lab.line(Line.ONLINE)
    lab.site(_HOSTS["facebook-home"], by_place(legal_refusal()))


def _break_youtube(lab: Lab) -> None:
    lab.site(_HOSTS["youtube-home"], cut=Cut.RESET)


def _restore(lab: Lab) -> None:
    furnish(lab)
    lab.lift()


_POISONED: Final = {"telegram-home": confirmed("dns.bogon(.name)")}
_RESET: Final = {**_POISONED, **dict.fromkeys(("x-home", "x-media"), confirmed("tls.reset[.sni]"))}
_WITHDRAWN: Final = {**_RESET, "facebook-home": Expected(("withheld",), "confirmed")}

STORY: Final = (
    Step(
        "accessible",
        "Nothing interferes",
        "Every target is looked up, connected to, asked for its page, from here and from a control elsewhere.",
        "This is the baseline: what comes later is a change, with a time.",
        furnish,
        rounds=3,
    ),
    Step(
        "dns-lie",
        "A resolver lies",
        "The provider's resolver is ordered to give an address for Telegram that no public site can have.",
        "The answer itself is the proof, so this is confirmed without asking anybody else.",
        _poison_telegram,
        expects=_POISONED,
        incidents=frozenset(_POISONED),
        shows=("telegram-home",),
    ),
    Step(
        "sni-reset",
        "Connections are reset by name",
        "A box on the line now resets every TLS handshake that names X, at whichever address.",
        "A harmless name passes at the same address, and X's name is reset at an unrelated one: it is the name. Two "
        "targets of one platform are one incident.",
        _reset_x,
        expects=_RESET,
        incidents=frozenset(_RESET),
        shows=("x-home", "x-media"),
        evidence="x-home",
    ),
    Step(
        "offline",
        "Our own line goes down",
        "The cable of this vantage is pulled: nothing answers any more, whatever it is.",
        "Nobody is blamed for our own trouble. The incidents stay as they are; nothing is opened, nothing closed.",
        _pull_the_cable,
        expects=dict.fromkeys(_HOSTS, inconclusive("vantage_offline")),
        incidents=frozenset(_RESET),
        shows=("wikipedia-home", "x-home"),
    ),
    Step(
        "withdrawal",
        "A platform withdraws",
        "The line is back. Facebook's own server now answers visitors from here with 451, and others as before.",
        "The genuine server said it, under its own certificate. The network is not to blame: withheld, not blocked.",
        _withdraw_facebook,
        expects=_WITHDRAWN,
        incidents=frozenset(_WITHDRAWN),
        shows=("facebook-home",),
    ),
    Step(
        "outage",
        "A platform breaks down",
        "YouTube's own servers now reset every handshake, just as the censor does to X.",
        "It fails from the control as well, so it is down for everybody: no block, and no incident.",
        _break_youtube,
        expects={**_WITHDRAWN, "youtube-home": DOWN},
        incidents=frozenset(_WITHDRAWN),
        shows=("youtube-home",),
    ),
    Step(
        "restoration",
        "All of it ends",
        "The orders are lifted, Facebook returns, YouTube is repaired.",
        "One good round ends nothing; eleven in a row do. What was seen stays in the database.",
        _restore,
    ),
)
