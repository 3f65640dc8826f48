"""What rounds remember of earlier rounds; everything here can be read back from the store after a restart."""

import statistics
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from monitor.model.address import is_address
from monitor.model.measurement import Measurement
from monitor.model.observation import HttpObservation, Purpose, TlsObservation
from monitor.model.outcome import Incident, Outcome
from monitor.model.vantage import NetworkIdentity, Role, VantageInfo, VantageState
from monitor.model.verdict import DetectorState, Status
from monitor.store.reader import Reader

Series = tuple[str, str]  # target and vantage

ADDRESS_AGE = timedelta(days=30)
# How often a series is isolated anew: a name that rotates through addresses shows each of them as a new one.
DEEP_RUNS_PER_HOUR = 6
USUAL_RESPONSES = 15  # of which the median is what is usual
USUAL_FROM = 5
MEASURED_WITHIN = timedelta(hours=1)  # a network without a kept round for so long is not measured
MAX_LOOKS = 200
MAX_KNOWN_ADDRESSES = 512  # of one target; a CDN that shows more is compared afresh now and then


@dataclass
class Memory:
    """Detector states, isolating runs, addresses proven before, and open incidents."""

    # By target, vantage and AS number (0 if unknown): another network is another series, and coming back resumes it.
    detectors: dict[tuple[str, str, int], DetectorState] = field(default_factory=dict)
    isolations: dict[Series, Measurement] = field(default_factory=dict)
    clean_at: dict[Series, datetime] = field(default_factory=dict)  # the last accessible round that needed no isolation
    addresses: dict[str, set[str]] = field(default_factory=dict)
    incidents: dict[tuple[str, str], Incident] = field(default_factory=dict)  # open ones, by platform and country
    deep_starts: dict[Series, deque[datetime]] = field(default_factory=dict)
    http_seconds: dict[Series, deque[float]] = field(default_factory=dict)  # of the last accessible rounds
    incident_ids: set[str] = field(default_factory=set)  # ever given out
    # By platform and country, for each AS number (0 if unknown): the last kept round.
    networks: dict[tuple[str, str], dict[int, datetime]] = field(default_factory=dict)
    looks: dict[Series, deque[datetime]] = field(default_factory=dict)  # sooner than the schedule said

    def recall(
        self, reader: Reader, series: Iterable[Series], now: datetime, vantages: Mapping[str, VantageInfo]
    ) -> None:
        """Read back what was remembered before a restart."""
        for one in reader.latest():
            info = vantages.get(one.vantage)
            if one.platform and info and info.role is Role.TEST and one.measured_at > now - MEASURED_WITHIN:
                self.saw_network((one.platform, country_of(info, one.network)), one.network, one.measured_at)
        self.incident_ids = {one.id for one in reader.incidents()}
        self.incidents = {(one.platform, one.country): one for one in reader.open_incidents()}
        self.detectors = {(one.target, one.vantage, one.asn or 0): one.detector for one in reader.detector_states()}
        for target, vantage in series:
            self.addresses.setdefault(target, set()).update(reader.known_addresses(target, now - ADDRESS_AGE))
            if deep := reader.last_deep(target, vantage):
                self.isolations[target, vantage] = deep
                if clean_at := reader.last_clean(target, vantage, deep.started_at):
                    self.clean_at[target, vantage] = clean_at

    def detector(self, series: Series, network: NetworkIdentity) -> DetectorState:
        """Return the state of a series on a network; one never seen before is unknown."""
        return self.detectors.get((*series, network.asn or 0), DetectorState())

    def saw_network(self, place: tuple[str, str], network: NetworkIdentity, at: datetime) -> int:
        """Note a kept round of a platform in a country; return how many networks are measured there now."""
        known = self.networks.setdefault(place, {})
        known[network.asn or 0] = at
        for asn in [asn for asn, last in known.items() if last < at - MEASURED_WITHIN]:
            del known[asn]
        return len(known)

    def measured_networks(self, place: tuple[str, str]) -> int:
        """Return how many networks are measured for a platform in a country."""
        return len(self.networks.get(place, ()))

    def looked(self, series: Series, at: datetime) -> None:
        """Note a look that came sooner than the schedule said."""
        _note(self.looks.setdefault(series, deque(maxlen=MAX_LOOKS)), at)

    def deepened(self, series: Series, at: datetime) -> None:
        """Note that a deep run starts."""
        _note(self.deep_starts.setdefault(series, deque(maxlen=DEEP_RUNS_PER_HOUR)), at)

    def isolation(self, series: Series, now: Measurement, max_age_seconds: float) -> Measurement | None:
        """Return the last isolating run if it may stand for `now`: same URL, same network, not too old.

        Nor if the target was reached in between: that a failure lasted says nothing of the next one.
        """
        found = self.isolations.get(series)
        if found is None or (found.url, found.network.asn) != (now.url, now.network.asn):
            return None
        clean_at = self.clean_at.get(series)
        if clean_at is not None and clean_at > found.started_at and _has_failed(found):
            return None
        age = now.started_at - found.started_at
        return found if timedelta(0) <= age <= timedelta(seconds=max_age_seconds) else None

    def may_deepen(self, series: Series, now: datetime) -> bool:
        """Tell whether a deep run may start on its own account; at most so many an hour."""
        starts = self.deep_starts.get(series, ())
        # What lies in the future was before the clock was set back.
        return sum(timedelta(0) <= now - at < timedelta(hours=1) for at in starts) < DEEP_RUNS_PER_HOUR

    def usual_http_seconds(self, series: Series) -> float | None:
        """Return the median of what recent responses of a series took, None as long as there are too few."""
        known = self.http_seconds.get(series, ())
        return statistics.median(known) if len(known) >= USUAL_FROM else None

    def learn(self, outcome: Outcome) -> None:
        """Take in what a round found out."""
        measurement = outcome.recording.measurement
        series = (measurement.target, measurement.vantage)
        if outcome.detector is not None:
            self.detectors[*series, measurement.network.asn or 0] = outcome.detector
        is_accessible = outcome.verdict is not None and outcome.verdict.status is Status.ACCESSIBLE
        if is_accessible and outcome.isolation_id is None:
            self.clean_at[series] = measurement.started_at
        if is_accessible:
            took = [
                one.elapsed_seconds
                for one in measurement.observations
                if isinstance(one, HttpObservation) and one.purpose is Purpose.PATH and one.failure is None
            ]
            self.http_seconds.setdefault(series, deque(maxlen=USUAL_RESPONSES)).extend(took[-1:])
        if _isolates(outcome):
            self.isolations[series] = measurement
        if outcome.incident:
            self.take_incident(outcome.incident)
        # An address proved with a certificate that it leads to the target's hosts: its own, and those that it led to.
        known = self.addresses.setdefault(measurement.target, set())
        for one in measurement.observations:
            if not isinstance(one, TlsObservation) or one.purpose not in {Purpose.PATH, Purpose.ADDRESS_CHECK}:
                continue
            is_proof = one.verified and (one.hop == 0 or is_accessible) and is_address(one.address)
            if is_proof and len(known) < MAX_KNOWN_ADDRESSES:
                known.add(one.address)

    def learn_late(self, outcome: Outcome) -> None:
        """Take in an isolating run that was told of late: younger rounds may rest on it; nothing else is news."""
        measurement = outcome.recording.measurement
        series = (measurement.target, measurement.vantage)
        known = self.isolations.get(series)
        if _isolates(outcome) and (known is None or known.started_at < measurement.started_at):
            self.isolations[series] = measurement

    def take_incident(self, incident: Incident) -> None:
        """Remember an incident as it is now; one that has ended is open no more."""
        self.incident_ids.add(incident.id)
        key = (incident.platform, incident.country)
        if incident.closed_at is None:
            self.incidents[key] = incident
        else:
            self.incidents.pop(key, None)


def _isolates(outcome: Outcome) -> bool:
    """Tell whether later rounds may rest on a run: deep, whole, and over a line in order."""
    measurement = outcome.recording.measurement
    was_online = outcome.state_before is outcome.state_after is VantageState.ONLINE
    return measurement.is_deep and was_online and not measurement.interrupted


def _note(times: deque[datetime], at: datetime) -> None:
    """Add a time by the daemon's own clock; what lies after it was before the clock was set back, and is forgotten."""
    while times and times[-1] > at:
        times.pop()
    times.append(at)


def _has_failed(measurement: Measurement) -> bool:
    """Tell whether any step of the way itself failed."""
    return any(one.failure is not None for one in measurement.observations if one.purpose is Purpose.PATH)


def country_of(info: VantageInfo, network: NetworkIdentity) -> str:
    """Return the country that a round speaks for, or `unknown`."""
    return info.country_on(network) or "unknown"
