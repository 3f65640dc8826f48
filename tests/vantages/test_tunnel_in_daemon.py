"""A daemon whose proxy dies and comes back."""

from pathlib import Path

from monitor.lab import places
from monitor.lab.laboratory import Lab
from tests.ports import free_port
from tests.scenarios.daemon import Daemon, configuration
from tests.vantages.servers import program

X = f"x.{places.DOMAIN}"


def test_a_proxy_that_dies_makes_rounds_inconclusive_until_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    arguments = ("microsocks", "-i", "127.0.0.1", "-p", str(port))
    log = tmp_path / "microsocks.log"
    with Lab() as lab:
        lab.site(X)
        tunnel = {
            "kind": "socks5",
            "server": f"127.0.0.1:{port}",
            "country": "DE",
            "resolvers": f"tcp://{places.SYSTEM_RESOLVER}:{lab.ports.dns}",
        }
        target = {"url": lab.url(X), "vantages": ["tunnel"]}
        config = configuration(
            lab, tmp_path, {"x-home": target}, interval_seconds=2, vantages={"tunnel": tunnel}, sanity={"max_age": 1}
        )
        daemon = Daemon(config)
        with daemon.running():
            with program(*arguments, port=port, log=log):
                daemon.wait_for(lambda: daemon.status("x-home") == "accessible")
                assert daemon.metric("access_vantage_as_claimed", vantage="tunnel", claim="country") == 0
            daemon.wait_for(lambda: daemon.verdicts("x-home")[-1:] == [("inconclusive", "proxy_failed")])
            daemon.wait_for(lambda: daemon.metric("access_vantage_state", vantage="tunnel", state="offline") == 1)
            assert daemon.metric("access_vantage_online", vantage="tunnel") == 0
            with program(*arguments, port=port, log=log):
                daemon.wait_for(lambda: daemon.verdicts("x-home")[-1:] == [("accessible", None)])
                daemon.wait_for(lambda: daemon.metric("access_vantage_online", vantage="tunnel") == 1)
        assert {status for status, _ in daemon.verdicts("x-home")} == {"accessible", "inconclusive"}
        assert daemon.rows("SELECT DISTINCT reason FROM measurement_detail WHERE reason NOT NULL") == ["proxy_failed"]
        assert daemon.count("incident") == 0
        assert "127.0.0.1:" + str(port) not in daemon.log.read_text()
