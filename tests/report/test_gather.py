"""What a report reads of a database that was written a moment ago, and of a vantage that changed networks."""

from datetime import timedelta
from pathlib import Path

from monitor.config.schema import Retention
from monitor.events.annotation import Calendar
from monitor.model.target import Target
from monitor.model.vantage import NetworkIdentity, VantageInfo
from monitor.model.verdict import DetectorState
from monitor.report.gather import Subject, gathered
from monitor.store.reader import Reader
from tests.store.samples import BLOCKED, NETWORK, NOW, open_store, outcome

OTHER = NetworkIdentity(asn=45669, name="Jazz", country="PK")
SUBJECT = Subject("x", "X", "PK", NOW - timedelta(hours=6), NOW, "X")


def test_a_vantage_on_two_networks_is_two_bands_and_fresh_hours_count(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    store = open_store(path)
    store.sync_configuration(
        {"x": "X"},
        [Target(name="x-home", platform="x", url="https://x.com/")],
        [VantageInfo(name="lahore", kind="direct", country="PK")],
        "0" * 64,
        NOW - timedelta(hours=6),
        intervals_seconds={"x-home": 600},
    )
    for number in range(12):
        at = NOW - timedelta(hours=5) + number * timedelta(minutes=25)
        seen = {"network": NETWORK} if number < 6 else {"network": OTHER, "verdict": BLOCKED}
        store.record(outcome(number + 1, at, detector=DetectorState(last_kept_at=at), **seen))
        if number == 8:
            store.maintain(at, Retention()).result()
    store.close()
    with Reader(path) as reader:
        report = gathered(reader, Calendar(), SUBJECT, NOW)
    bands = {band.name: band for band in report.table.bands}
    assert bands.keys() == {"PKTELECOM (AS17557)", "Jazz (AS45669)"}
    # An hour in which it changed is told under the first network of the two.
    assert sum(band.kept for band in bands.values()) == 12
    assert {status for one in bands["Jazz (AS45669)"].buckets for status in one.counts} == {"blocked"}
    assert bands["PKTELECOM (AS17557)"].kept >= 6
    assert report.sentences[0] == (
        "No change of X was confirmed on any of the 2 networks measured in Pakistan between 22 November 2026 and 22 "
        "November 2026."
    )
    assert not report.is_simulated
