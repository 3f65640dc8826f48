import base64
import csv
import ipaddress
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet
import pytest

from monitor.model.measurement import Recording
from monitor.model.observation import (
    DnsAnswer,
    DnsObservation,
    HttpObservation,
    Observation,
    Purpose,
    TcpObservation,
    TlsObservation,
)
from monitor.model.outcome import Outcome
from monitor.model.verdict import Confidence, Reason, Status, Verdict
from monitor.network.clock import SystemClock
from monitor.store.store import Store
from tests.interchange import ooni_lines as lines
from tests.interchange.ooni_reader import WebConnectivity, read
from tests.interchange.world import World
from tests.store.samples import evidence, outcome

ADDRESS = "162.159.140.229"
OWN = ("203.0.113.7", "2001:db8::7")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def stored(world: World, *outcomes: Outcome) -> None:
    store = Store.open(world.database, SystemClock(), spool_rows=100)
    written = [store.record(one) for one in outcomes]
    assert all(one.result(timeout=10) for one in written)
    store.close()


def run_of(*observations: Observation, body: bytes = b"", id_: int = 2, **fields: Any) -> Outcome:
    raw = (evidence(body),) if body else ()
    made = outcome(id_, vantage="here", **fields)
    measurement = msgspec.structs.replace(made.recording.measurement, observations=observations)
    return msgspec.structs.replace(made, recording=Recording(measurement=measurement, evidence=raw))


def way(body: bytes = b"", **http: Any) -> tuple[Observation, ...]:
    """The steps of an ordinary client; the body is evidence of the last."""
    return (
        DnsObservation(
            host="x.com", query_type="A", resolver="udp://192.168.178.1", transport="udp", rcode=0,
            answers=(DnsAnswer("CNAME", "x.example"), DnsAnswer("A", ADDRESS)), ttls_seconds=(300, 60),
        ),
        TcpObservation(address=ADDRESS, port=443, elapsed_seconds=0.05),
        TlsObservation(address=ADDRESS, port=443, server_name="x.com", version="TLSv1.3", chain=("ab" * 32,)),
        HttpObservation(
            url="https://x.com/", address=ADDRESS, port=443, is_tls=True, http_version="1.1", status_code=200,
            evidence=(evidence(body).sha256,) if body else (), body_bytes=len(body.partition(b"\r\n\r\n")[2]), **http,
        ),
    )  # fmt: skip


def ooni(world: World, *options: str) -> list[WebConnectivity]:
    done = world.run("export", "--format", "ooni", *options)
    assert done.exit_code == 0, done.output
    return [read(line) for line in done.stdout.splitlines()]


def test_a_measurement_leaves_as_ooni_reads_it(world: World) -> None:
    page = b"HTTP/1.1 200\r\ncontent-type: text/html\r\nset-cookie: \r\n\r\n<title>X</title>"
    control = run_of(*way(), id_=1, verdict=None)
    stored(world, control, run_of(*way(page), body=page, control_ids=(1,), is_deep=True))
    (found,) = ooni(world)
    keys = found.test_keys
    assert (found.input, found.probe_cc, found.probe_asn, found.probe_ip) == (
        "https://x.com/", "PK", "AS17557", "127.0.0.1",
    )  # fmt: skip
    assert [(one.answer_type, one.hostname or one.ipv4, one.ttl) for one in keys.queries[0].answers or ()] == [
        ("CNAME", "x.example", 300),
        ("A", ADDRESS, 60),
    ]
    assert keys.queries[0].resolver_address == "private"
    assert keys.requests[0].response.body == "<title>X</title>"
    assert keys.control is not None
    assert keys.control.dns == msgspec.convert({"failure": None, "addrs": [ADDRESS]}, type(keys.control.dns))
    assert (keys.blocking, keys.accessible, keys.dns_consistency) == (False, True, "consistent")
    assert "here" not in {*found.annotations.values()}


@pytest.mark.parametrize(
    ("verdict", "label"),
    [
        ((Status.ACCESSIBLE, ()), (False, True)),
        ((Status.DOWN, ()), (False, False)),
        ((Status.WITHHELD, ()), (None, None)),
        ((Status.THROTTLED, ("throughput.throttled",)), (None, None)),
        ((Status.INCONCLUSIVE, ()), (None, None)),
        ((Status.BLOCKED, ("dns.bogon", "tls.reset")), ("dns", False)),
        ((Status.BLOCKED, ("tcp.timeout.address",)), ("tcp_ip", False)),
        ((Status.BLOCKED, ("tls.reset.sni",)), ("http-failure", False)),
        ((Status.BLOCKED, ("http.blockpage",)), ("http-diff", False)),
    ],
)
def test_verdicts_become_the_words_that_ooni_has(
    world: World, verdict: tuple[Status, tuple[str, ...]], label: tuple[object, object]
) -> None:
    status, mechanisms = verdict
    drawn = Verdict(
        status=status, rule="r", because="b", rules_version=1, mechanisms=mechanisms, confidence=Confidence.LIKELY,
        reason=Reason.TRANSIENT if status is Status.INCONCLUSIVE else None,
    )  # fmt: skip
    stored(world, run_of(*way(), verdict=drawn))
    (found,) = ooni(world)
    assert (found.test_keys.blocking, found.test_keys.accessible) == label
    assert found.test_keys.x_verdict["status"] == status


def spellings(address: str) -> list[str]:
    ip = ipaddress.ip_address(address)
    found = [str(ip), ip.exploded, ip.reverse_pointer, str(ip).replace(":", "%3A").replace(".", "%2E")]
    found += [base64.b64encode(b"a" * lead + str(ip).encode() + b"zz").decode() for lead in range(3)]
    return found + ([f"::ffff:{ip}"] if ip.version == 4 else [])


@pytest.mark.parametrize("address", OWN)
def test_no_spelling_of_an_address_to_be_scrubbed_leaves(world: World, address: str) -> None:
    page = b"HTTP/1.1 200\r\nx-client: %s\r\n\r\n" % address.encode() + "\n".join(spellings(address)).encode()
    stored(world, run_of(*way(page, title=f"You are {address}"), body=page, is_deep=True))
    done = world.run("export", "--format", "ooni", "--scrub", address)
    read(done.stdout)
    assert [one for one in spellings(address)[:4] if one.casefold() in done.stdout.casefold()] == []
    decoded = json.loads(done.stdout)["test_keys"]["requests"][0]["response"]["body"]
    assert [one for one in spellings(address) if one.casefold() in decoded.casefold()] == []


def test_looks_with_other_names_are_no_measurements_of_the_target(world: World) -> None:
    harmless = TlsObservation(
        purpose=Purpose.HARMLESS_NAME, address=ADDRESS, port=443, server_name="harmless.example", chain=("ab" * 32,)
    )
    stored(world, run_of(*way(), harmless))
    assert [one.server_name for one in ooni(world)[0].test_keys.tls_handshakes] == ["x.com"]


def test_what_came_from_ooni_or_was_not_judged_or_says_nothing_of_the_target_stays(world: World) -> None:
    world.json("import", "ooni", world.file("a", lines.version_4()))
    offline = Verdict(status=Status.INCONCLUSIVE, rule="vantage_not_ready", because="b", rules_version=1)
    stored(world, run_of(*way(), verdict=None), run_of(*way(), id_=3, verdict=offline))
    done = world.run("export", "--format", "ooni")
    assert done.stdout == ""
    assert done.stderr.startswith("4 measurements were left out: ")


def test_what_was_exported_can_be_imported(world: World, tmp_path: Path) -> None:
    stored(world, run_of(*way(), id_=1, verdict=None), run_of(*way(), control_ids=(1,)))
    there = tmp_path / "there"
    there.mkdir()
    file = there / "out.jsonl"
    assert world.run("export", "--format", "ooni", "-o", str(file)).exit_code == 0
    assert World(there).json("import", "ooni", str(file))["statuses"] == {"accessible": 1}


def test_a_table_has_one_row_each_and_no_formula(world: World) -> None:
    network = msgspec.structs.replace(outcome(1).recording.measurement.network, name="=cmd|calc")
    stored(world, run_of(*way()), run_of(*way(), id_=3, network=network))
    rows = list(csv.DictReader(world.run("export", "--format", "csv").stdout.splitlines()))
    assert [(one["id"], one["target"], one["status"], one["network"]) for one in rows] == [
        ("2", "x-home", "accessible", "PKTELECOM"),
        ("3", "x-home", "accessible", "'=cmd|calc"),
    ]


def test_parquet_has_the_same_rows_with_types(world: World, tmp_path: Path) -> None:
    stored(world, run_of(*way()))
    file = tmp_path / "out.parquet"
    assert world.run("export", "--format", "parquet", "-o", str(file)).exit_code == 0
    (row,) = pyarrow.parquet.read_table(file).to_pylist()
    assert (row["id"], row["asn"], row["started_at"].year, row["imported_from"]) == (2, 17557, 2026, None)


def test_without_the_extra_parquet_ends_with_2_and_names_it(world: World) -> None:
    stored(world, run_of(*way()))
    hidden = "import sys; sys.modules['pyarrow'] = None; from monitor.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", hidden, "export", "--format", "parquet", "-c", str(world.config)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "access-monitor[parquet]" in done.stderr


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("export", "--target", "x-hom"), "no target 'x-hom' is configured or stored; did you mean 'x-home'?"),
        (("export", "--vantage", "her"), "no vantage 'her' is configured or stored; did you mean 'here'?"),
        (("history", "x-hom"), "no target 'x-hom' is configured or stored; did you mean 'x-home'?"),
        (("history", "x-home", "--vantage", "her"), "no vantage 'her' is configured or stored"),
        (("incidents", "--platform", "y"), "no platform 'y' is configured or stored"),
        (("incidents", "--country", "pakistan"), "'pakistan' is no two letters such as PK"),
    ],
)
def test_a_slip_of_the_pen_does_not_read_as_nothing_happened(world: World, command: tuple[str, ...], told: str) -> None:
    stored(world, run_of(*way()))
    done = world.run(*command)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr


def test_a_mistake_leaves_the_file_that_is_there_as_it_is(world: World, tmp_path: Path) -> None:
    stored(world, run_of(*way()))
    (tmp_path / "kept.jsonl").write_text("kept")
    assert world.run("export", "--target", "x-hom", "-o", str(tmp_path / "kept.jsonl")).exit_code == 2
    assert (tmp_path / "kept.jsonl").read_text() == "kept"
    assert world.run("export", "-o", str(tmp_path / "nowhere" / "file")).exit_code == 2
