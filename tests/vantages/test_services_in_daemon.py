"""A daemon with a vantage that is lent: what it exports and stores of quota and probes."""

from pathlib import Path

from tests.scenarios.daemon import Daemon
from tests.vantages.globalping_server import Line, globalping
from tests.vantages.test_globalping import configuration, lent, world


def test_quota_and_probes_are_exported_and_stored(tmp_path: Path) -> None:
    here = world(Line("PK", 17557), Line("PK", 45669), Line("PK", 9541, tags=("datacenter-network",)))
    with globalping(here) as url:
        config = configuration(
            tmp_path,
            "",
            {},
            vantages={"lent": lent(url, "x-home", tests_per_hour=9)},
            server={"listen": "127.0.0.1:0"},
        )
        daemon = Daemon(config)
        with daemon.running():
            daemon.wait_for(lambda: daemon.metric("access_vantage_probes", vantage="lent", country="PK") == 2)
            asked = {"target": "x-home", "vantage": "lent"}
            assert "probe_success 1\n" in daemon.get("/probe", params=asked).text
            while 'reason="quota_exhausted"} 1' not in (said := daemon.get("/probe", params=asked).text):
                assert "probe_success 1\n" in said
            spent = len(here.asked)
            assert 3 < spent <= 9
            daemon.wait_for(lambda: daemon.metric("access_vantage_quota_used", vantage="lent", unit="tests") == spent)
            assert daemon.metric("access_vantage_quota_limit", vantage="lent", unit="tests") == 9
            assert daemon.metric("access_vantage_quota_remaining", vantage="lent", unit="tests") == 9 - spent
            daemon.get("/probe", params=asked)
            assert len(here.asked) == spent
        assert daemon.rows("SELECT sum(units) FROM service_spending") == [spent]
        assert daemon.rows("SELECT country, asn, probes FROM probe_count ORDER BY asn") == [
            ("PK", 17557, 1),
            ("PK", 45669, 1),
        ]
        assert daemon.count("silence") == 0
