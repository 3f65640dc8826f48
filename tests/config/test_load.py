import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.digest import digest
from monitor.config.fingerprints import shipped
from monitor.config.load import load
from monitor.config.problem import ConfigError
from monitor.config.schema import AgentOptions, Configuration, DirectOptions
from monitor.model.fingerprint import FingerprintSet

NONE = FingerprintSet()

SOUND = """\
vantages:
  here: {kind: direct}
platforms:
  x:
    targets:
      x-home: https://x.com/
"""


def loaded(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Configuration:
    path = folder / "probes.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ or {})


def problems(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        loaded(folder, text, environ)
    return [str(problem).removeprefix(f"{folder}/") for problem in refused.value.problems]


def test_a_short_file_is_enough(tmp_path: Path) -> None:
    config = loaded(tmp_path, SOUND)
    assert config.platforms["x"].targets["x-home"].url == "https://x.com/"
    assert isinstance(config.vantages["here"], DirectOptions)
    assert config.storage.path == tmp_path / "data/monitor.db"


def test_ten_mistakes_give_ten_lines_in_their_order(tmp_path: Path) -> None:
    text = """\
version: 1
defaults:
  interval: 1m
  jitter: 120%
  timeout: 5s
storage:
  path: ${NOWHERE}
vantages:
  here: {kind: dirct}
  there: {kind: direct, resolvers: [system, dns://9.9.9.9]}
platforms:
  x:
    targets:
      x-home: https://user:hunter2@x.com/
      x-api: {url: https://api.x.com/}
      x-api: {url: https://api.twitter.com/}
  facebook:
    targets:
      facebook-home:
        url: https://www.facebook.com/
        vantages: [here, their]
control_sites:
  facebook-home: https://www.debian.org/
"""
    found = problems(tmp_path, text)
    expected = """\
probes.yaml:3: defaults.interval: 1m is below the polite floor of 5m; \
defaults.allow_fast_interval: true is for lines of your own
probes.yaml:4: defaults.jitter: must be a share such as 10% or 0.1, not '120%'
probes.yaml:5: defaults.timeout: unknown key; did you mean 'timeouts'?
probes.yaml:7: storage.path: environment variable 'NOWHERE' is not set
probes.yaml:9: vantages.here.kind: unknown kind 'dirct'; known: agent, direct, globalping, \
http_connect, ripe_atlas, socks5, ssh
probes.yaml:10: vantages.there.resolvers.1: must be system, udp://ADDRESS, tcp://ADDRESS, \
tls://HOST[@ADDRESS] or https://HOST/PATH[@ADDRESS], not 'dns://9.9.9.9'
probes.yaml:14: platforms.x.targets.x-home: must not hold a user name or password, not 'https://<secret>@x.com/'
probes.yaml:16: platforms.x.targets.x-api: this key stands in line 15 already
probes.yaml:21: platforms.facebook.targets.facebook-home.vantages.1: unknown vantage 'their'; did you mean 'there'?
probes.yaml:23: control_sites.facebook-home: this name already belongs to a target of facebook
"""
    assert found == expected.splitlines()


VANTAGES = "vantages: {here: {kind: direct}}\n"
PLATFORMS = "platforms: {x: {targets: {x-home: https://x.com/}}}\n"


def target(keys: str) -> str:
    return f"{VANTAGES}platforms:\n  x:\n    targets:\n      x-home:\n        url: https://x.com/\n        {keys}\n"


INGEST = "ingest: {listen: '127.0.0.1:0', urls: 'http://127.0.0.1:9818'}\n"


def pushing(keys: str = "{}", ingest: str = "") -> str:
    """Return a configuration with an agent that pushes."""
    there = "{kind: agent, " + keys.strip("{}") + "}"
    return f"{PLATFORMS}vantages:\n  here: {{kind: direct}}\n  there: {there}\n{ingest}"


def agent(keys: str) -> str:
    return f"{PLATFORMS}vantages:\n  here: {{kind: direct}}\n  there:\n    kind: agent\n    role: control\n    {keys}\n"


def socks(keys: str) -> str:
    return f"{PLATFORMS}vantages:\n  here: {{kind: direct}}\n  there: {{kind: socks5, server: 'a:1', {keys}}}\n"


FINGERPRINT = "ab" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ":1: the file is empty"),
        ("- a\n- b\n", ":1: must be a mapping of keys and values"),
        ("a: [1, 2\nb: 3\n", ":2: while parsing a flow sequence, did not find"),
        ("a: *nothing\n", ":1: found undefined alias"),
        (SOUND + "a: !!python/name:os.system x\n", ":7: a: has a tag or a form that is not understood here"),
        (SOUND + "? [a, b]\n: c\n", ":7: a key must be plain text"),
        (VANTAGES, ":1: platforms: missing"),
        (PLATFORMS, ":1: vantages: missing"),
        (VANTAGES + "platforms: {}\n", ":2: platforms: must hold at least one entry"),
        (VANTAGES + "platforms: {x: {}}\n", ":2: platforms.x.targets: missing"),
        (VANTAGES + "platforms: {X_1: {targets: {x-home: https://x.com/}}}\n", "platforms.X_1: must be 1 to 64"),
        (VANTAGES + "platforms: {control-sites: {targets: {x-home: https://x.com/}}}\n", "control-sites: this name"),
        (VANTAGES + "platforms: {x: {targets: {x-home: ftp://x.com/}}}\n", "x-home: must be a web address"),
        (VANTAGES + 'platforms: {x: {targets: {x-home: "https://x.com/ a"}}}\n', "must be a web address"),
        (VANTAGES + "platforms: {x: {targets: {x-home: https://0x7f.1/}}}\n", "must be a web address"),
        (VANTAGES + "platforms: {x: {targets: {x-home: https://x.com:99999/}}}\n", "must be a web address"),
        (VANTAGES + "platforms: {x: {targets: {a: https://x.com/, b: https://X.com.:443}}}\n", "b.url: a already"),
        (socks("resolvers: system"), ":4: vantages.there.resolvers.0: must be tcp://ADDRESS, tls://HOST@ADDRESS or"),
        (socks("resolvers: 'udp://9.9.9.9'"), "must be tcp://ADDRESS, tls://HOST@ADDRESS or https://HOST/PATH@ADDRESS"),
        (socks("resolvers: 'tls://dns.quad9.net'"), "must be tcp://ADDRESS, tls://HOST@ADDRESS or https://HOST"),
        (socks("resolve: proxy"), ":4: vantages.there.resolve: must be 'own' or 'remote', not 'proxy'"),
        (socks("resolve: remote").replace("kind: socks5", "kind: ssh"), "vantages.there.resolve: unknown key"),
        (
            target("expect: tcp").replace("kind: direct", "kind: socks5, server: 'a:1', resolve: remote"),
            ":7: platforms.x.targets.x-home.expect: here has its proxy look names up (resolve: remote), so",
        ),
        (socks("server: nowhere"), ":4: vantages.there.server: this key stands in line 4 already"),
        (socks("username: me"), ":4: vantages.there: username and password (or password_file) go together"),
        (socks("username: me, password: hunter2"), "vantages.there.password: must not be written into the file"),
        (socks(f"fingerprint: {'ab' * 32}"), ":4: vantages.there: a fingerprint needs tls: true"),
        (SOUND.replace("kind: direct", "kind: direct, netns: a/b"), ":2: vantages.here.netns: holds characters"),
        (target("interval: soon"), ":7: platforms.x.targets.x-home.interval: must be a length of time such as"),
        (target("interval: 1m"), ":7: platforms.x.targets.x-home.interval: 1m is below the polite floor of 5m"),
        (target("expect: {status: 42}"), "x-home.expect.status: must be greater than"),
        (target("expect: {until: dns}"), "expect.until: must be 'tcp', 'tls' or 'http', not 'dns'"),
        (target("expect: {until: tls, status: 200}"), ":7: platforms.x.targets.x-home.expect: until: tls stops before"),
        (target('expect: {text: "("}'), "expect.text: must be a regular expression as RE2 knows them"),
        (target("expect: {text: " + "a" * 201 + "}"), "must be a regular expression of 1 to 200 characters, not 'aaa"),
        (target("expect: true"), "expect: must be a mapping of keys and values, not 'true'"),
        (target("expect: {final_host: a..b}"), "expect.final_host: must be a host name such"),
        (target("probe: htps"), ":7: platforms.x.targets.x-home.probe: unknown kind 'htps'; known: "),
        (target("vantages: []"), ":7: platforms.x.targets.x-home.vantages: must hold at least one entry"),
        (target("vantages: [elsewhere-now]"), "vantages.0: unknown vantage 'elsewhere-now'; known: here"),
        (VANTAGES + "platforms: {x: {targets: {a: {url: http://x.com/, expect: tls}}}}\n", "a: expects a TLS"),
        (SOUND + "defaults: {jitter: 1}\n", ":7: defaults.jitter: must be less than 0.5, not '1'"),
        (SOUND + "defaults: {redirects: true}\n", ":7: defaults.redirects: must be a whole number, not 'true'"),
        (SOUND + "defaults: {redirects: some}\n", ":7: defaults.redirects: must be a whole number, not 'some'"),
        (SOUND + "defaults: {body_limit: 1B}\n", "body_limit: must be greater than or equal to 1024, not '1B'"),
        (SOUND + 'defaults: {user_agent: "a\\x01b"}\n', "user_agent: holds characters that cannot"),
        (SOUND + "defaults: {timeouts: {tcp: 50s}}\n", "defaults.timeouts: a step may not take longer (50 s)"),
        (SOUND + "defaults: {timeouts: {tcp: 45s}}\n", "defaults.timeouts: the whole measurement (45 s) must"),
        (SOUND + "defaults: {timeouts: {quic: 30s}}\n", "timeouts.quic: must be less than or equal to 20, not '30s'"),
        (target("quic: sometimes"), ":7: platforms.x.targets.x-home.quic: must be 'off', 'deep' or 'always'"),
        (SOUND + "throughput: {reference: ftp://a/}\n", ":7: throughput.reference: must be a web address"),
        (SOUND + "throughput: {daily_mb: 0}\n", ":7: throughput.daily_mb: must be greater than 0, not '0'"),
        (SOUND + "follow_ups: {quic_reference: here}\n", ":7: follow_ups.quic_reference: must be HOST:PORT"),
        (
            SOUND + "defaults: {interval: 30s, allow_fast_interval: true}\n",
            ":7: defaults.interval: 30s is shorter than one measurement may take (timeouts.total: 45s)",
        ),
        (SOUND + "tls: {ca_file: nowhere.pem}\n", ":7: tls.ca_file: must be a file that exists, not 'nowhere.pem'"),
        (SOUND + "network: {allowed_bogons: 127.0.0.1/8}\n", "must be a network such as 192.0.2.0/24"),
        (SOUND + "server: {listen: localhost}\n", ":7: server.listen: must be HOST:PORT such as 127.0.0.1:9817"),
        (SOUND + "server: {tokn: a}\n", ":7: server.tokn: unknown key; did you mean 'token'?"),
        (SOUND + "sanity: {whoami: who am i}\n", ":7: sanity.whoami: must be NAME TYPE @ ADDRESS such as"),
        (SOUND + "sanity: {anchors: ['1.1.1.1']}\n", ":7: sanity.anchors.0: must be HOST:PORT"),
        (SOUND + "sanity: {portals: {http://a.example/: [1]}}\n", ":7: sanity.portals.http://a.example/: must be"),
        (SOUND + "follow_ups: {resolvers: ['https://9.9.9.9@x']}\n", ":7: follow_ups.resolvers.0: must be system, udp"),
        (SOUND + "detection: {reprobe_wait: 1s}\n", ":7: detection.reprobe_wait: 1s is below the polite floor of 5s"),
        (SOUND + "detection: {clearing_interval: 5s}\n", ":7: detection.clearing_interval: 5s is below the polite"),
        (SOUND + "detection: {reprobes: 9}\n", ":7: detection.reprobes: must be less than or equal to 5, not '9'"),
        (SOUND + "data: {monthly_mb: 0}\n", ":7: data.monthly_mb: must be greater than 0, not '0'"),
        (PLATFORMS + "vantages: {here: {}}\n", ":2: vantages.here.kind: missing; known: agent, direct, "),
        (PLATFORMS + "vantages: {here: {kind: direct, country: pk}}\n", "country: must be two capital"),
        (PLATFORMS + "vantages: {here: {kind: direct, url: 'http://a/'}}\n", ":2: vantages.here.url: unknown key;"),
        (PLATFORMS + "vantages: {here: {kind: direct, source_address: a}}\n", "must be an IPv4 or IPv6 address"),
        (PLATFORMS + "vantages: {here: {kind: direct, interface: a/b}}\n", "interface: holds characters"),
        (PLATFORMS + "vantages: {here: {kind: direct, role: control}}\n", ":2: vantages: at least one"),
        (agent("url: https://a.example/"), ":4: vantages.there.token: missing; give token_file"),
        (agent("url: https://a.example/\n    token: a"), ":8: vantages.there.token: must not be"),
        (agent("token: ${T}\n    url: https://a.example/"), ":4: vantages.there: an https agent needs"),
        (agent("token: ${T}\n    url: http://a.example/"), ":8: vantages.there.url: plain http shows"),
        (agent("token: ${T}\n    url: https://a.example/\n    fingerprint: abcd"), "must be the SHA-256"),
        (agent("url: http://127.0.0.1:1/\n    token_file: nowhere"), "the file cannot be used: no such file"),
        (agent("url: http://127.0.0.1:1/\n    token_file: a\n    token: ${T}"), "give either token_file or token"),
        (pushing(), ":4: vantages.there: an agent without url pushes its results, and there is no ingest section"),
        (pushing("{role: control}", INGEST), ":4: vantages.there.role: an agent without url cannot be asked"),
        (pushing("{token: '${T}'}", INGEST), ":4: vantages.there.token: belongs to an agent that is asked"),
        (pushing() + "ingest: {listen: '0.0.0.0:9818'}\n", ":5: ingest.urls: missing"),
        (pushing() + "ingest: {listen: '1.2.3.4:1', urls: 'https://a.test', tls: false}\n", ":5: ingest.listen: tls"),
        (pushing() + "ingest: {listen: '127.0.0.1:1', urls: 'http://a.example'}\n", ":5: ingest.urls.0: plain http"),
        (pushing() + "ingest: {listen: '[::1]:1', urls: 'https://a.example/x'}\n", "ingest.urls.0: must be an origin"),
        (pushing() + "ingest: {listen: '[::1]:1', urls: [], lease: 1s}\n", "ingest.lease: must be greater than"),
        (pushing(ingest="ingest: {listen: '[::1]:1', urls: 'https://a.example', key_file: probes.yaml}\n"),
         ":5: ingest: certificate_file and key_file go together"),
        (target("vantages: [there]") + "  y: {targets: {}}\n", ":8: platforms.y.targets: must hold at least"),
        (SOUND + "server: {token: '${}'}\n", ":7: server.token: environment variable '' is not set"),
    ],
)  # fmt: skip
def test_bad_file_is_refused_with_line_and_key(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text, {"T": "a-token"})
    assert any(expected in line for line in found), found


def test_agent_that_pushes_needs_nothing_but_somebody_who_hears_it(tmp_path: Path) -> None:
    config = loaded(tmp_path, pushing("{country: PK}", INGEST))
    there = config.vantages["there"]
    assert isinstance(there, AgentOptions)
    assert there.is_pushing
    assert config.ingest is not None
    assert config.ingest.urls == ("http://127.0.0.1:9818",)


def test_control_vantage_cannot_be_named_by_a_target(tmp_path: Path) -> None:
    text = target("vantages: [there]").replace(VANTAGES, "") + agent("url: http://[::1]:1/\n    token: ${T}").replace(
        PLATFORMS, ""
    )
    (found,) = problems(tmp_path, text, {"T": "a-token"})
    assert "vantages.0: there is a control, which measures every target anyway" in found


def test_refused_vantage_is_one_mistake_and_not_a_second_one_where_it_is_named(tmp_path: Path) -> None:
    found = problems(tmp_path, target("vantages: [here]").replace("kind: direct", "kind: direct, asn: none"))
    assert found == ["probes.yaml:1: vantages.here.asn: must be a whole number, not 'none'"]


def test_interval_may_be_as_long_as_one_measurement(tmp_path: Path) -> None:
    config = loaded(tmp_path, SOUND + "defaults: {interval: 45s, allow_fast_interval: true}\n")
    assert config.defaults.interval == config.defaults.timeouts.total


def test_missing_file_and_folder_are_problems(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load(path, {})


def test_text_that_is_not_utf8_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "probes.yaml").write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(ConfigError, match="not YAML text"):
        load(tmp_path / "probes.yaml", {})


def test_large_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "probes.yaml").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="is larger than"):
        load(tmp_path / "probes.yaml", {})


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(9)),
        "a: &a [*a]\n",
        "[" * 200 + "]" * 200,
    ],
    ids=["exponential aliases", "alias of itself", "deep nesting"],
)
def test_values_without_bound_are_refused(tmp_path: Path, text: str) -> None:
    assert "holds more than 50000 values or 30 levels" in problems(tmp_path, text)[0]


def test_nesting_beyond_the_parser_is_a_problem(tmp_path: Path) -> None:
    assert len(problems(tmp_path, "[" * 500_000)) == 1


def test_variables_are_replaced_and_escapes_kept(tmp_path: Path) -> None:
    text = SOUND.replace("https://x.com/", "https://${HOST}/$${HOST}/$HOST")
    config = loaded(tmp_path, text + "defaults: {redirects: '${N}'}\n", {"HOST": "x.example", "N": "3"})
    assert config.platforms["x"].targets["x-home"].url == "https://x.example/${HOST}/$HOST"
    assert config.defaults.redirects == 3


def test_norway_is_a_country_and_no_truth_value(tmp_path: Path) -> None:
    assert loaded(tmp_path, SOUND.replace("kind: direct", "kind: direct, country: NO")).vantages["here"].country == "NO"


def test_headings_without_keys_mean_their_defaults(tmp_path: Path) -> None:
    assert loaded(tmp_path, SOUND + "defaults:\nserver:\n  probe:\nstorage:\n") == loaded(tmp_path, SOUND)


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("tls", "{until: tls}"),
        ("tcp", "{until: tcp}"),
        ("200", "{status: [200]}"),
        ("[200, 404]", "{status: [200, 404]}"),
    ],
)
def test_short_expectations_mean_the_full_ones(tmp_path: Path, short: str, full: str) -> None:
    assert loaded(tmp_path, target(f"expect: {short}")) == loaded(tmp_path, target(f"expect: {full}"))


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/",
        "https://[2001:db8::1]:8443/a?b",
        "HTTPS://WWW.Example.COM./",
        "https://пример.example/",
        "https://x.com",
    ],
)
def test_addresses_are_kept_as_written(tmp_path: Path, url: str) -> None:
    config = loaded(tmp_path, SOUND.replace("https://x.com/", f'"{url}"'))
    assert config.platforms["x"].targets["x-home"].url == url


@pytest.mark.parametrize(
    "resolver",
    ["system", "udp://9.9.9.9", "udp://[2620:fe::fe]:53", "tcp://127.0.0.1:5353", "tls://9.9.9.9",
     "tls://dns.quad9.net:853@9.9.9.9",
     "https://dns.quad9.net/dns-query", "https://dns.quad9.net:8443/dns-query@9.9.9.9"],
)  # fmt: skip
def test_resolvers_of_every_form_are_read(tmp_path: Path, resolver: str) -> None:
    config = loaded(tmp_path, SOUND.replace("kind: direct", f"kind: direct, resolvers: '{resolver}'"))
    assert config.vantages["here"].resolvers == (resolver,)


def test_agent_has_its_token_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2-hunter2\n")
    colons = ":".join(re.findall("..", FINGERPRINT)).upper()
    config = loaded(tmp_path, agent(f"url: https://a.example:9443\n    token_file: token\n    fingerprint: '{colons}'"))
    there = config.vantages["there"]
    assert isinstance(there, AgentOptions)
    assert there.token is not None
    assert there.token.get_secret_value() == "hunter2-hunter2"
    assert there.fingerprint == FINGERPRINT


@pytest.mark.parametrize("content", [b"", b" \n", b"two\nlines\n", b"\xff", b"a" * 5000])
def test_token_file_without_a_usable_token_is_a_problem(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    (found,) = problems(tmp_path, SOUND + "server:\n  token_file: token\n")
    assert found.startswith("probes.yaml:8: server.token_file: the file cannot be used: it is")


SECRET = "correct-horse-battery"  # noqa: S105 - what must not be shown


@pytest.mark.parametrize(
    "mistake",
    [
        "server: {token: correct-horse-battery}",
        "server: {token: [correct-horse-battery]}",
        "server: {tokn: correct-horse-battery}",
        "server: {listen: '${SECRET}'}",
        "server: {token_file: correct-horse-battery}",
        "tls: {ca_file: '${SECRET}'}",
        "control_sites: {a: 'https://me:correct-horse-battery@example.com/'}",
        "control_sites: {a: 'https://me:${SECRET}@example.com/'}",
        "control_sites: {'${SECRET}': 'https://example.com/'}",
        "defaults: {interval: '${SECRET}'}",
        "defaults: {interval: 1m}\nserver: {token: '${SECRET}'}",
    ],
)
def test_problems_never_show_a_secret(tmp_path: Path, mistake: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, f"{SOUND}{mistake}\n", {"SECRET": SECRET})
    assert SECRET not in str(refused.value)
    assert SECRET not in repr(refused.value.problems)


def test_configuration_never_shows_a_secret(tmp_path: Path) -> None:
    config = loaded(tmp_path, SOUND + "server: {token: '${SECRET}'}\n", {"SECRET": SECRET})
    assert config.server.token is not None
    assert config.server.token.get_secret_value() == SECRET
    assert str(config.server.token) == "<secret>"
    for shown in (repr(config), str(config), str(config.model_dump())):
        assert SECRET not in shown
        assert "<secret>" in shown
    assert SECRET not in config.model_dump_json()


def test_control_characters_of_the_file_reach_no_terminal(tmp_path: Path) -> None:
    text = SOUND + 'defaults: {"\\e[2Jkey": 1, jitter: "\\e[31m"}\n"\\u202etxt": 1\n'
    assert all(line.isprintable() for line in problems(tmp_path, text))


def test_digest_names_what_is_measured_and_neither_secrets_nor_folders(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    texts = (SOUND + "server: {token: '${T}'}\n", {"T": "one"}), (SOUND + "server: {token: '${T}'}\n", {"T": "two"})
    one, two = (digest(loaded(tmp_path, text, environ), NONE) for text, environ in texts)
    moved = digest(loaded(tmp_path / "elsewhere", *texts[0]), NONE)
    assert one == two == moved
    assert re.fullmatch("[0-9a-f]{64}", one)
    assert one != digest(loaded(tmp_path, texts[0][0].replace("x.com", "y.com"), {"T": "one"}), NONE)
    assert one != digest(loaded(tmp_path, *texts[0]), FingerprintSet(rows=shipped()[1]))
    assert one != hashlib.sha256(b"").hexdigest()


@given(text=st.text(alphabet="abx:-[]{}&*!'\"#\n ${}|>?1.", max_size=60))
def test_no_text_raises_anything_but_problems(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    with pytest.raises(ConfigError):
        loaded(tmp_path_factory.getbasetemp(), text)


def test_what_is_stored_can_be_read_without_the_secrets_and_files_of_the_daemon(tmp_path: Path) -> None:
    text = """\
storage: {path: "${WHERE}/monitor.db"}
tls: {ca_file: gone.pem}
server: {token: "${TOKEN}"}
vantages:
  here: {kind: direct}
  there: {kind: agent, role: control, url: "https://there.test/", token_file: gone, fingerprint: "%s"}
platforms: {x: {targets: {x-home: https://x.com/}}}
""" % ("0" * 64)
    path = tmp_path / "probes.yaml"
    path.write_text(text)
    environ = {"WHERE": str(tmp_path)}
    assert len(problems(tmp_path, text, environ)) == 3
    config = load(path, environ, only_to_read=True)
    assert config.storage.path == tmp_path / "monitor.db"
    assert list(config.vantages) == ["here", "there"]
    with pytest.raises(ConfigError, match="'WHERE' is not set"):
        load(path, {}, only_to_read=True)


@pytest.mark.parametrize(("written", "use"), [("off", "off"), ("'off'", "off"), ("deep", "deep"), ("always", "always")])
def test_the_word_off_means_off_although_yaml_reads_it_as_false(tmp_path: Path, written: str, use: str) -> None:
    config = loaded(tmp_path, target(f"quic: {written}"))
    assert config.platforms["x"].targets["x-home"].quic == use
