"""What is told beside blocks, and by how many networks: one daemon with five vantages, from the beginnings to the ends.

Most of it happens at once, so that the waiting is shared; each test then looks at one subject.
"""

import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from monitor.lab import Certificate, Cut, Lab, Line, places
from monitor.network.clock import SystemClock
from tests.alerts.alertmanager import alertmanager, open_alerts, wait_until
from tests.alerts.receivers import Receiver, receiver
from tests.ports import free_port
from tests.scenarios.daemon import Daemon, configuration
from tests.scenarios.running import Far, far_agent

DAY_SECONDS = 86_400
ENDS_SOONER = datetime(2070, 1, 1, tzinfo=UTC)  # all other certificates end twenty years later
EVENT = """\
id: own
kind: deadline
title: Platforms have to register
countries: [PK]
platforms: [x]
tz: Asia/Karachi
obligations:
  - {{id: register, what: register with the authority, sources: [dawn], due: {{on: {day}}}}}
sources:
  - {{id: dawn, publisher: Dawn, kind: press, title: Platforms have to register, url: https://www.dawn.com/news/1}}
"""


@dataclass
class Story:
    """What everybody was told, and what was seen on the way."""

    everything: Receiver
    two_networks: Receiver
    paged: Receiver  # by Alertmanager
    daemon: Daemon
    held: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by Alertmanager, at some moments

    def about(self, subject: str) -> list[dict[str, Any]]:
        """Return the alerts about a subject, or about all whose name begins so, in order."""
        bodies = [one.json for one in self.everything.taken]
        return [
            {**alert, "headline": body["headline"]}
            for body in bodies
            for alert in body["alerts"]
            if alert["subject"].startswith(subject)
        ]

    def has_ended(self, subject: str) -> bool:
        return self.kinds(subject)[-1].endswith("end")

    def kinds(self, subject: str) -> list[str]:
        return [one["kind"] for one in self.about(subject)]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("conditions")
    with ExitStack() as stack:
        lab = stack.enter_context(Lab())
        hooks = [stack.enter_context(receiver()) for _ in range(3)]
        hooks[2].answer = lambda _: (200, {})
        for name in ("switched", "fragile", "elsewhere"):
            lab.site(f"{name}.lab.test")
        lab.site("ending.lab.test", certificate=Certificate.ENDING_SOONER)
        far = stack.enter_context(far_agent(lab, folder))
        pager = stack.enter_context(ExitStack())
        port = free_port()
        pager.enter_context(alertmanager(folder / "first", hooks[2], port))
        daemon = Daemon(written(lab, folder, far, hooks, port))
        told = Story(hooks[0], hooks[1], hooks[2], daemon)
        with daemon.running():
            everything_begins(lab, far, told)
            # It forgets all that it knew, as one does that is replaced.
            pager.close()
            url = pager.enter_context(alertmanager(folder / "second", hooks[2], port))
            wait_until(lambda: any(one["labels"].get("incident") for one in open_alerts(url)))
            told.held["again"] = open_alerts(url)
            wait_until(lambda: ends_at(open_alerts(url)) > ends_at(told.held["again"]))
            lab.censor("switched.lab.test", Cut.RESET, lines=[places.SECOND_LINE, places.THIRD_LINE])
            daemon.wait_for(lambda: "spread" in told.two_networks.kinds)
            everything_ends(lab, far, told)
            daemon.wait_for(lambda: not open_alerts(url))
        with daemon.running():
            daemon.wait_for_rounds("switched", 5)
            lab.line(Line.OFFLINE)
            daemon.wait_for(lambda: told.kinds("silence:"))
            lab.line(Line.ONLINE)
            daemon.wait_for(lambda: told.kinds("silence:") == ["silence", "silence_end"])
        yield told


def written(lab: Lab, folder: Path, far: Far, hooks: Sequence[Receiver], port: int) -> Path:
    (folder / "events").mkdir()
    now = SystemClock().now()
    (folder / "events" / "own.yaml").write_text(EVENT.format(day=(now + timedelta(days=3)).date()))

    def line(source: str) -> dict[str, object]:
        return {"kind": "direct", "country": "PK", "source_address": source, "resolvers": [lab.system_resolver]}

    control = line(places.CONTROL_SOURCE) | {"role": "control", "country": "DE", "resolvers": [lab.control_resolver]}
    agent = {"kind": "agent", "country": "AE", "url": far.url, "token_file": str(far.token_file)}
    test = ["here", "second", "third"]
    everything = {"channels": ["everything", "pager"], "kinds": [*CONDITIONS, *CHANGES]}
    return configuration(
        lab,
        folder,
        {"switched": {"url": lab.url("switched.lab.test"), "vantages": test}},
        interval_seconds=1,
        platforms={
            "fragile": {"targets": {"fragile": {"url": lab.url("fragile.lab.test"), "vantages": test[:2]}}},
            "ending": {"targets": {"ending": {"url": lab.url("ending.lab.test"), "vantages": test[:1]}}},
            "elsewhere": {"targets": {"elsewhere": {"url": lab.url("elsewhere.lab.test"), "vantages": ["far"]}}},
        },
        vantages={
            "second": line(places.SECOND_LINE),
            "third": line(places.THIRD_LINE),
            "far": agent | {"fingerprint": far.fingerprint, "resolvers": [lab.control_resolver]},
            "control": control,
        },
        events={"builtin": [], "files": "events"},
        alerts={
            "channels": {
                "everything": {"kind": "webhook", "url": hooks[0].url, "rate": {"messages": 1000}},
                "two": {"kind": "webhook", "url": hooks[1].url},
                "pager": {"kind": "alertmanager", "url": f"http://127.0.0.1:{port}", "refresh": "1s"},
            },
            "routes": {"everything": everything, "two": {"channels": "two", "kinds": CHANGES, "quorum": 2}},
            "group": 0,
            "digest": 0,
            "flapping": {"changes": 0},
            "conditions": {
                "vantage": "1m",
                "down": "1s",
                "stopped": "10s",
                "certificate": f"{(ENDS_SOONER - now).days + 3650}d",
                "deadlines": ["7d", "1d"],
            },
        },
    )


CHANGES = ["start", "spread", "quorum", "end"]
CONDITIONS = [
    f"{kind}{end}" for kind in ("down", "stopped", "certificate", "vantage", "silence") for end in ("", "_end")
] + ["deadline"]


def everything_begins(lab: Lab, far: Far, told: Story) -> None:
    daemon = told.daemon
    daemon.wait_for(lambda: daemon.rows("SELECT count(*) FROM detector WHERE state = 'accessible'") == [7])
    lab.site("fragile.lab.test", cut=Cut.REFUSE)
    far.signal(signal.SIGSTOP)
    lab.censor("switched.lab.test", Cut.RESET, lines=[places.SECOND_LINE])
    for subject in ("lab-pk", "down:fragile", "stopped:far", "certificate:ending", "deadline:own"):
        daemon.wait_for(partial(told.kinds, subject))


def everything_ends(lab: Lab, far: Far, told: Story) -> None:
    daemon = told.daemon
    lab.site("fragile.lab.test")
    lab.site("ending.lab.test")
    lab.lift()
    far.signal(signal.SIGCONT)
    for subject in ("lab-pk", "down:fragile", "stopped:far", "certificate:ending"):
        daemon.wait_for(partial(told.has_ended, subject))
    daemon.wait_for(lambda: told.two_networks.kinds[-1] == "end")


def ends_at(held: Sequence[dict[str, Any]]) -> str:
    return max((one["endsAt"] for one in held if one["labels"].get("incident")), default="")


def test_a_platform_that_fails_from_the_control_too_is_told_once_for_all_vantages(story: Story) -> None:
    down, up = story.about("down:fragile")
    assert (down["kind"], up["kind"]) == ("down", "down_end")
    assert down["headline"] == "[down] fragile is down: it fails from the control too"
    assert up["headline"] == "[up again] fragile is up again"
    assert story.daemon.rows("SELECT DISTINCT platform FROM incident") == ["lab"]


def test_a_vantage_from_which_no_round_comes_back_is_told_and_that_it_measures_again(story: Story) -> None:
    stopped, measured = story.about("stopped:far")
    assert (stopped["kind"], measured["kind"]) == ("stopped", "stopped_end")
    assert stopped["vantages"] == ["far"]
    assert stopped["headline"] == "[not measured] Nothing is measured from far"


def test_a_certificate_that_ends_within_the_limit_is_told_and_its_renewal(story: Story) -> None:
    soon, renewed = story.about("certificate:")
    assert (soon["subject"], soon["kind"], renewed["kind"]) == ("certificate:ending", "certificate", "certificate_end")
    assert soon["until"].startswith("2070-01-01")
    assert soon["headline"] == "[certificate] The certificate of ending ends at 2070-01-01 00:00 UTC"


def test_a_deadline_that_comes_near_is_told_once_through_a_restart(story: Story) -> None:
    (near,) = story.about("deadline:")
    assert (near["subject"], near["sequence"], near["platforms"]) == ("deadline:own/register", 7 * DAY_SECONDS, ["x"])
    assert "register with the authority" in near["headline"]


def test_a_country_of_which_every_network_is_silent_is_one_alert_and_no_block(story: Story) -> None:
    silent, heard = story.about("silence:")
    assert (silent["country"], silent["vantages"]) == ("PK", ["here", "second", "third"])
    assert silent["headline"] == "[possible shutdown] No vantage in Pakistan has a line: possibly a shutdown"
    assert heard["subject"] == silent["subject"]
    assert story.about("vantage:") == []
    assert story.daemon.count("incident") == 1


def test_a_route_that_wants_two_networks_hears_of_the_second_and_of_the_end(story: Story) -> None:
    assert story.kinds("lab-pk")[:2] == ["start", "spread"]
    first, last = story.two_networks.taken[0].json, story.two_networks.taken[-1].json
    assert (first["alerts"][0]["kind"], last["alerts"][0]["kind"]) == ("spread", "end")
    assert story.about("lab-pk")[0]["headline"].startswith("[start] lab blocked on 1 of 3 networks measured")
    assert first["headline"].startswith("[spread] lab blocked on 2 of 3 networks measured in Pakistan")
    networks = first["alerts"][0]["incident"]["networks"]
    assert [(one["asn"], one["name"]) for one in networks] == [(64502, "LAB-SECOND"), (64503, "LAB-THIRD")]


def test_what_is_open_is_told_to_an_alertmanager_again_and_again_and_resolved_at_the_end(story: Story) -> None:
    incident = story.about("lab-pk")[0]["subject"]
    names = {one["labels"]["alertname"] for one in story.held["again"]}
    assert {"AccessIncident", "AccessPlatformDown", "AccessNotMeasured", "AccessCertificate"} <= names
    paged = [one.json["status"] for one in story.paged.taken if one.json["commonLabels"].get("incident") == incident]
    # The second Alertmanager, which was never told of the beginning, pages once more, and both know one end.
    assert paged == ["firing", "firing", "resolved"]
