"""Is the line sane? Checks of several operators around a round (docs/verdicts.md, "Vantage sanity").

The checks are ordinary measurements and follow-ups of uncontroversial hosts through the vantage's own `measure`, so
whatever the vantage can see, they see. The state is drawn by `state_of`, a pure function over what they found.
"""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from monitor.model.bogon import is_bogon
from monitor.model.failure import CERTIFICATE_FAILURES, Failure
from monitor.model.measurement import FollowUp, Limits, Recording, Request
from monitor.model.observation import (
    DnsObservation,
    HttpObservation,
    Observation,
    Purpose,
    TcpObservation,
    TlsObservation,
)
from monitor.model.target import Expectation, Target
from monitor.model.vantage import NetworkIdentity, VantageCheck, VantageState

Measure = Callable[[Request], Awaitable[Recording]]


@dataclass(frozen=True)
class SanityPlan:
    """What is checked: k of n in each group must be good."""

    dns_names: tuple[str, ...]
    nxdomain_zone: str | None
    anchors: tuple[tuple[str, int], ...]
    portals: Mapping[str, int | str]
    tls_hosts: tuple[str, ...]
    resolvers: tuple[str, ...]
    allowed_bogons: tuple[str, ...]
    limits: Limits
    cleartext_user_agent: str
    names_required: int = 2
    anchors_required: int = 2


@dataclass(frozen=True)
class Findings:
    """What the checks saw, one entry a check."""

    names_resolved: tuple[bool, ...] = ()
    nxdomain_rewritten: bool = False
    anchors_connected: tuple[bool, ...] = ()
    # None: no answer at all; True: as it should be; otherwise what came instead (status, host of a redirect, title).
    portals: tuple[bool | tuple[object, ...] | None, ...] = ()
    # None: no certificate came; True: valid; otherwise the issuer of the invalid one.
    certificates: tuple[bool | str | None, ...] = ()


def most(of: int) -> int:
    """Return how many of `of` checks must be good: more than half."""
    return of // 2 + 1


def state_of(
    findings: Findings, names_required: int = 2, anchors_required: int = 2
) -> tuple[VantageState, tuple[str, ...]]:
    """Draw the vantage's state and its notes; pure. A single check that fails may itself be blocked: a note.

    Of a group smaller than what is required all must be good.
    """
    notes: list[str] = []
    wrong = [answer for answer in findings.portals if answer is not True and answer is not None]
    if len(wrong) >= most(len(findings.portals)) and len(set(wrong)) == 1 and len(wrong) > 1:
        return VantageState.CAPTIVE, ()
    if wrong:
        notes.append("a portal check answered otherwise than it should")
    issuers = [issuer for issuer in findings.certificates if isinstance(issuer, str)]
    valid = findings.certificates.count(True)
    if not valid and len(issuers) > 1 and len(set(issuers)) == 1:
        return VantageState.TLS_INTERCEPTED, tuple(notes)
    names_ok = sum(findings.names_resolved) >= min(names_required, len(findings.names_resolved))
    connected = findings.anchors_connected
    anchors_ok = bool(connected) and sum(connected) >= min(anchors_required, len(connected))
    portal_ok = findings.portals.count(True) > 0
    if findings.nxdomain_rewritten:
        notes.append("the resolver answers for names that do not exist")
    if not names_ok:
        state = VantageState.DNS_BROKEN if anchors_ok or valid or portal_ok else VantageState.OFFLINE
        return state, tuple(notes)
    if valid or not findings.certificates:
        if not anchors_ok and connected:
            notes.append("too few anchor addresses connect")
        is_bare = not (connected or findings.portals or findings.certificates)  # names are all that is asked for
        online = bool(valid) or anchors_ok or portal_ok or is_bare
        return (VantageState.ONLINE if online else VantageState.OFFLINE), tuple(notes)
    if not anchors_ok and not portal_ok:
        return VantageState.OFFLINE, tuple(notes)
    notes.append("no TLS check completed with a valid certificate")
    return VantageState.DEGRADED, tuple(notes)


async def check(
    plan: SanityPlan, measure: Measure, vantage: str, identity: NetworkIdentity, started_at: datetime
) -> VantageCheck:
    """Run every check at once and draw the state."""
    resolver = plan.resolvers[0]
    label = f"{secrets.token_hex(8)}.{plan.nxdomain_zone}" if plan.nxdomain_zone else None
    lookups = [*plan.dns_names, *([label] if label else [])]
    single_steps = tuple(
        FollowUp(purpose=Purpose.PATH, until="dns", host=name, resolver=resolver) for name in lookups
    ) + tuple(FollowUp(purpose=Purpose.PATH, until="tcp", address=address, port=port) for address, port in plan.anchors)
    together = [_request(plan, "https://sanity.invalid/", Expectation(), single_steps)] if single_steps else []
    recordings = await asyncio.gather(
        *(measure(_request(plan, url, _portal_expectation(good))) for url, good in plan.portals.items()),
        *(measure(_request(plan, f"https://{host}/", Expectation(tls_only=True))) for host in plan.tls_hosts),
        *map(measure, together),
    )
    portals, others = recordings[: len(plan.portals)], recordings[len(plan.portals) :]
    tls, single = others[: len(plan.tls_hosts)], others[len(plan.tls_hosts) :]
    steps = [one for recording in single for one in recording.measurement.observations]
    dns = [one for one in steps if isinstance(one, DnsObservation)]
    findings = Findings(
        names_resolved=tuple(_is_sane(one, plan.allowed_bogons) for one in dns if one.host != label),
        nxdomain_rewritten=any(one.addresses for one in dns if one.host == label),
        anchors_connected=tuple(one.failure is None for one in steps if isinstance(one, TcpObservation)),
        portals=tuple(
            _portal(recording.measurement.observations, good)
            for recording, good in zip(portals, plan.portals.values(), strict=True)
        ),
        certificates=tuple(_certificate(recording.measurement.observations) for recording in tls),
    )
    state, notes = state_of(findings, plan.names_required, plan.anchors_required)
    observations = tuple(one for recording in recordings for one in recording.measurement.observations)
    return VantageCheck(
        vantage=vantage, started_at=started_at, state=state, network=identity, observations=observations, notes=notes
    )


def _is_sane(one: DnsObservation, allowed_bogons: tuple[str, ...]) -> bool:
    """Tell whether a known name resolved; a router that answers every name with its own address does not count."""
    return one.failure is None and any(not is_bogon(address, allowed_bogons) for address in one.addresses)


def _request(plan: SanityPlan, url: str, expectation: Expectation, follow_ups: tuple[FollowUp, ...] = ()) -> Request:
    return Request(
        target=Target(name="sanity", platform="sanity", url=url, expectation=expectation),
        resolvers=plan.resolvers,
        limits=plan.limits,
        allowed_bogons=plan.allowed_bogons,
        cleartext_user_agent=plan.cleartext_user_agent,
        follow_ups=follow_ups,
    )


def _portal_expectation(good: int | str) -> Expectation:
    return Expectation(statuses=(good,)) if isinstance(good, int) else Expectation(text=re.escape(good))


def _portal(observations: Iterable[Observation], good: int | str) -> bool | tuple[object, ...] | None:
    answers = [one for one in observations if isinstance(one, HttpObservation) and one.status_code is not None]
    if not answers:
        return None
    first = answers[0]
    # Android takes an empty 200 for a 204 as well: some portals' caches rewrite it.
    empty = good == 204 and first.status_code == 200 and first.body_bytes == 0
    fits = first.status_code == good if isinstance(good, int) else (first.status_code == 200 and bool(first.text_found))
    if fits or empty:
        return True
    # A captive portal often carries the URL asked in its own address, so only the host of a redirect is compared.
    return (first.status_code, urlsplit(first.location).hostname if first.location else None, first.title)


def _certificate(observations: Iterable[Observation]) -> bool | str | None:
    handshakes = [one for one in observations if isinstance(one, TlsObservation)]
    if any(one.verified for one in handshakes):
        return True
    bad = [one for one in handshakes if one.chain and set(one.certificate_failures) & CERTIFICATE_FAILURES]
    # An expired or misnamed certificate alone is that host's own trouble, or our clock's; an unknown issuer is not.
    unknown = [one for one in bad if Failure.SSL_UNKNOWN_AUTHORITY in one.certificate_failures]
    return (unknown[0].leaf_issuer or "unnamed") if unknown else None
