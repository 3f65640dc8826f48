from datetime import timedelta
from typing import Final

import msgspec

from monitor.daemon.silence_watch import SilenceWatch
from monitor.model.outcome import Silence
from monitor.model.vantage import NetworkIdentity, Role, VantageCheck, VantageInfo, VantageState
from tests.fakes.outcomes import NOW

PTCL: Final = VantageInfo(name="ptcl", kind="agent", country="PK")
CMPAK: Final = VantageInfo(name="cmpak", kind="agent", country="PK")
FRANKFURT: Final = VantageInfo(name="frankfurt", kind="agent", role=Role.CONTROL, country="DE")
ASNS: Final = {"ptcl": 17557, "cmpak": 59257, "frankfurt": 24940}


class Watch:
    """A watch and what it had recorded; a vantage without a line tells no network."""

    def __init__(self, known: tuple[Silence, ...] = ()) -> None:
        self.recorded: list[Silence] = []
        self.watch = SilenceWatch(self.recorded.append, known)

    def hear(self, info: VantageInfo, state: VantageState, minutes: float) -> None:
        network = NetworkIdentity(asn=ASNS[info.name] if state is VantageState.ONLINE else None)
        at = NOW + timedelta(minutes=minutes)
        self.watch.hear(VantageCheck(vantage=info.name, started_at=at, state=state, network=network), info)


def all_fall_silent(*, is_service: bool = False) -> Watch:
    watch = Watch()
    ptcl, cmpak = (msgspec.structs.replace(one, is_service=is_service) for one in (PTCL, CMPAK))
    for info in (ptcl, cmpak, FRANKFURT):
        watch.hear(info, VantageState.ONLINE, 0)
    for minutes in (1, 2, 3):
        watch.hear(ptcl, VantageState.OFFLINE, minutes)
        watch.hear(cmpak, VantageState.OFFLINE, minutes + 0.5)
    return watch


def test_a_silence_is_recorded_once_with_the_networks_last_seen_and_since_when() -> None:
    watch = all_fall_silent()
    (silence,) = watch.recorded
    assert (silence.country, silence.networks) == ("PK", (17557, 59257))
    assert silence.started_at == NOW + timedelta(minutes=1.5)
    assert watch.watch.silences == (silence,)


def test_one_vantage_that_is_heard_again_ends_it() -> None:
    watch = all_fall_silent()
    watch.hear(CMPAK, VantageState.ONLINE, 10)
    assert watch.recorded[-1].ended_at == NOW + timedelta(minutes=10)
    assert watch.watch.silences == ()


def test_a_restart_in_the_middle_neither_ends_nor_repeats_it() -> None:
    (silence,) = all_fall_silent().recorded
    again = Watch((silence,))
    again.hear(FRANKFURT, VantageState.ONLINE, 20)
    again.hear(PTCL, VantageState.OFFLINE, 20)
    assert (again.recorded, again.watch.silences) == ([], (silence,))


def test_proxies_that_failed_are_no_silent_country() -> None:
    watch = Watch()
    for info in (PTCL, CMPAK, FRANKFURT):
        watch.hear(info, VantageState.ONLINE, 0)
    for minutes in (1, 2, 3):
        for info in (PTCL, CMPAK):
            failed = VantageCheck(
                vantage=info.name,
                started_at=NOW + timedelta(minutes=minutes),
                state=VantageState.OFFLINE,
                reason="proxy_failed",
            )
            watch.watch.hear(failed, info)
    assert watch.recorded == []


def test_it_goes_with_the_last_vantage_of_its_country() -> None:
    watch = all_fall_silent()
    watch.watch.forget("ptcl", NOW + timedelta(minutes=20))
    assert watch.watch.silences != ()
    watch.watch.forget("cmpak", NOW + timedelta(minutes=20))
    assert watch.watch.silences == ()
    assert watch.recorded[-1].ended_at == NOW + timedelta(minutes=20)


def test_services_without_a_probe_are_no_silence_of_a_country() -> None:
    assert all_fall_silent().recorded
    assert all_fall_silent(is_service=True).recorded == []
