import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.alerts.office import Office, background
from monitor.config.load import load
from monitor.events.record import Edge as EventEdge
from monitor.events.record import Phase
from monitor.model.onset import Dating, Edge, Onset
from monitor.model.outcome import IncidentUpdate, UpdateKind
from monitor.model.verdict import SeriesState, Transition
from monitor.network.clock import SystemClock
from monitor.store.reader import Reader
from monitor.store.store import Store
from tests.alerts.samples import INCIDENT, NOW, alert
from tests.fakes.events import calendar, dated, event
from tests.store.samples import BLOCKED, outcome

CHANNEL = """\
alerts:
  channels: {{desk: {{kind: webhook, url: "https://example.org/"{more}}}}}
  routes: {{all: {{channels: desk, form: {form}}}}}
vantages: {{here: {{kind: direct}}}}
platforms: {{x: {{targets: {{x-home: "https://x.com/"}}}}}}
"""


def test_a_channel_that_cannot_be_built_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    path = tmp_path / "probes.yaml"
    store = Store.open(tmp_path / "monitor.db", SystemClock(), spool_rows=10)

    async def change() -> list[str]:
        with Reader(tmp_path / "monitor.db") as reader:
            office = Office(store, reader, SystemClock(), lambda *_: None)
            path.write_text(CHANNEL.format(more="", form="short"))
            await office.use(load(path, {}))
            path.write_text(CHANNEL.format(more=", ca_file: ca.pem", form="long"))
            with pytest.raises(ssl.SSLError, match="certificate"):
                await office.use(load(path, {}))
            forms = [one.form for one in office.policy.routes]
            await office.close()
            return forms

    try:
        assert asyncio.run(change()) == ["short"]
    finally:
        store.close()


UPDATE = IncidentUpdate(incident=INCIDENT.id, sequence=1, kind=UpdateKind.START, at=NOW, member=INCIDENT.members[0])
ONSET = Onset(
    edge=Edge.START, dating=Dating.DATED, earliest=NOW - timedelta(minutes=4), latest=NOW - timedelta(minutes=2),
    log_support=20, rounds=412, window_start=NOW, window_end=NOW, computed_at=NOW, is_final=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("days_on_record", "chance"),
    [
        (200, "a change would fall this close by chance with probability below 0.01"),
        (95, "a change would fall this close by chance with probability 0.01"),
        (80, "how often a change falls this close by chance is not known: the record is too short"),
    ],
)
def test_events_near_a_dated_change_are_named_with_sources_lag_and_chance_level(
    tmp_path: Path, days_on_record: int, chance: str
) -> None:
    path = tmp_path / "monitor.db"
    store = Store.open(path, SystemClock(), spool_rows=10)
    same_day = event(
        "x-block-2026",
        dated(Phase.ORDERED, "2026-11-22"),
        dated(Phase.ORDERED, "2026-11-22", sources=("letter",)),
        # Seen to begin and to end: two dates, and no dispute.
        dated(Phase.OBSERVED, "2026-11-21T09:00"),
        dated(Phase.OBSERVED, "2026-11-24T09:00", edge=EventEdge.END),
        dated(Phase.LIFTED, "2026-12-20"),
    )
    elsewhere = event("other", dated(Phase.ORDERED, "2026-11-22"), countries=("IN",))
    began = Transition(
        target="x-home", vantage="lahore", at=NOW, before=SeriesState.ACCESSIBLE, after=SeriesState.NOT_ACCESSIBLE,
        status=INCIDENT.status, score=9.5, asn=17557,
    )  # fmt: skip
    done = [
        store.sync_events(calendar(same_day, elsewhere), NOW),
        store.record(outcome(1, NOW - timedelta(days=days_on_record))),
        store.record(outcome(2, NOW, verdict=BLOCKED, transition=began, incident=INCIDENT, updates=(UPDATE,))),
        store.record_onset(1, ONSET),
    ]
    assert all(one.result(30) for one in done)
    store.close()
    with Reader(path) as reader:
        told = background(reader, [alert(update=UPDATE)], NOW, None).event_sentences[INCIDENT.id]
    assert told[0] == (
        'coincides with "X blocked again" (ordered, Dawn / Ministry, 2026-11-22, to the day); lag -1 h 4 min to '
        f"+22 h 58 min; {chance}. Coincidence is not cause."
    )
    assert [one.partition(" 2026")[0] for one in told[1:]] == [
        'precedes "X blocked again" (observed end, Dawn,',
        'follows "X blocked again" (observed start, Dawn,',
    ]
