"""A running daemon beside regulatory events: stored at the start, exported, served, and followed through a reload."""

from collections.abc import Iterator

import pytest

from monitor.lab import Lab
from tests.events.test_event_files import SOUND
from tests.fakes.mmdb import write_mmdb
from tests.scenarios.daemon import Daemon, configuration


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("events")
    own = folder / "events"
    own.mkdir()
    (own / "one.yaml").write_text(SOUND)
    with Lab() as lab:
        lab.site("site.lab.test")
        targets = {"site": {"url": lab.url("site.lab.test")}}
        events = {"builtin": "pakistan", "files": "events"}
        write_mmdb(
            folder / "geo.mmdb",
            {"127.0.0.0/8": {"autonomous_system_number": 17557, "country": {"iso_code": "PK"}}},
        )
        geo = {"database": "geo.mmdb"}
        daemon = Daemon(configuration(lab, folder, targets, interval_seconds=1, events=events, geo=geo))
        with daemon.running():
            yield daemon


def titles(daemon: Daemon) -> dict[str, str]:
    rows = daemon.rows("SELECT DISTINCT id, title FROM event_annotation WHERE id NOT LIKE '%:%'")
    return {row[0]: row[1] for row in rows}


def test_events_are_stored_and_served_from_the_start(daemon: Daemon) -> None:
    daemon.wait_for(lambda: "one" in titles(daemon))
    assert titles(daemon)["pk-x-block-2024"] == "X blocked in Pakistan"
    found = daemon.get("/api/v1/annotations?from=1717200000000&to=1717286400000&platform=x").json()
    assert [one["id"] for one in found] == ["one", "pk-x-block-2024"]
    labels = {"event": "pk-x-block-2024", "kind": "block", "country": "PK", "platform": "x"}
    assert daemon.metric("access_event_active", **labels) == 0
    assert daemon.metric("access_event_info", **labels, title="X blocked in Pakistan") == 1
    assert daemon.metric("access_event_end_timestamp_seconds", **labels) == 1746644400


def test_a_reload_takes_an_edited_file_and_lets_go_of_one_that_is_gone(daemon: Daemon) -> None:
    own = daemon.config.parent / "events"
    (own / "one.yaml").write_text(SOUND.replace("X blocked\n", "Edited\n", 1))
    assert daemon.reload().status_code == 200
    daemon.wait_for(lambda: titles(daemon).get("one") == "Edited")
    (own / "one.yaml").unlink()
    assert daemon.reload().status_code == 200
    daemon.wait_for(lambda: "one" not in titles(daemon))
    assert daemon.rows("SELECT removed_at IS NOT NULL FROM event WHERE id = 'one'") == [1]
    assert daemon.get("/api/v1/events/one").status_code == 404


def test_a_bad_event_file_changes_nothing_and_is_told_with_its_line(daemon: Daemon) -> None:
    bad = daemon.config.parent / "events" / "two.yaml"
    bad.write_text(SOUND.replace("id: one", "id: two").replace("kind: block", "kind: ban"))
    try:
        answer = daemon.reload()
        assert answer.status_code == 500
        assert f"{bad}:2: kind: must be 'block'" in answer.text
        assert daemon.get("/api/v1/events/pk-x-block-2024").status_code == 200
    finally:
        bad.unlink()
        assert daemon.reload().status_code == 200


def test_where_a_target_is_served_from_is_stored_exported_and_shown(daemon: Daemon) -> None:
    daemon.wait_for(lambda: daemon.count("served_from"))
    found = daemon.get("/api/v1/served-from?target=site").json()["served_from"][0]
    assert (found["target"], found["place"]) == ("site", {"country": "PK", "asn": 17557})
    served = daemon.metrics("access_target_served_from")
    assert [(labels["server_country"], labels["server_asn"]) for labels, _ in served] == [("PK", "17557")]
    assert "served from PK (AS17557)" in daemon.get("/").text
