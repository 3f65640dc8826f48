import json
import subprocess
import sys
from pathlib import Path

from monitor.network.nameservers import nameservers
from monitor.network.namespace import NetworkNamespace
from tests.scenarios.running import ROOT
from tests.vantages.far_lines import BROKEN, WORKING

# A user, mount and network namespace of its own, so that nothing of this host is touched and root is not needed.
APART = ("unshare", "--user", "--map-root-user", "--mount", "--net", "--fork", "--kill-child")


def test_one_daemon_sees_through_a_namespace_and_nothing_beside_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [*APART, sys.executable, "-m", "tests.vantages.two_lines", str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
    )  # fmt: skip
    verdicts = {}
    for line in done.stdout.splitlines():
        result = json.loads(line)
        verdicts[result["vantage"]] = result["verdict"]["status"], result["verdict"]["reason"]
    assert verdicts == {
        "inside": ("accessible", None),
        "outside": ("inconclusive", "vantage_offline"),
        "nowhere": ("inconclusive", "vantage_offline"),
    }, done.stderr


def test_lines_over_veth_and_wireguard_are_measured_or_offline_and_never_a_block(tmp_path: Path) -> None:
    done = subprocess.run(
        [*APART, sys.executable, "-m", "tests.vantages.far_lines", str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
    )  # fmt: skip
    found = {}
    *results, last = map(json.loads, done.stdout.splitlines())
    for result in results:
        verdict = result["verdict"]
        found[result["target"], result["vantage"]] = verdict["status"], verdict["reason"], verdict["mechanisms"]
    assert found == {
        **{("open", line): ("accessible", None, []) for line in WORKING},
        **{("open", line): ("inconclusive", "vantage_offline", []) for line in BROKEN},
        **{("cut", line): ("blocked", None, ["tls.reset.sni"]) for line in WORKING},
    }, done.stderr
    # The other tunnels are dead for the reasons meant.
    assert last == {"handshakes": ["wireguard", "wireguard-stalled", "wireguard-refused"]}


def test_a_namespace_has_name_servers_of_its_own_and_else_those_of_the_host(tmp_path: Path) -> None:
    own = tmp_path / "modem" / "resolv.conf"
    own.parent.mkdir()
    own.write_text("nameserver 192.0.2.53\n")
    assert NetworkNamespace("modem", tmp_path).nameservers() == (("192.0.2.53", 53),)
    assert NetworkNamespace("another", tmp_path).nameservers() == nameservers()
