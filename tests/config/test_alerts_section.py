"""Mistakes in `alerts:` are told with line and key, and secrets never."""

from pathlib import Path

import pytest

from monitor.config.digest import digest
from monitor.config.fingerprints import fingerprints_of
from monitor.config.load import load
from monitor.config.problem import ConfigError

REST = """\
vantages:
  here: {kind: direct}
platforms:
  x: {targets: {x-home: "https://x.com/"}}
"""


def problems(tmp_path: Path, section: str) -> list[str]:
    path = tmp_path / "probes.yaml"
    path.write_text(f"alerts:\n{section}{REST}")
    with pytest.raises(ConfigError) as caught:
        load(path, {"CHAT": "json://secret@example.org"})
    return [str(one).removeprefix(f"{path}:") for one in caught.value.problems]


ROUTE = "  routes:\n    all: {channels: desk}\n"
HOOK = "  channels:\n    desk: {kind: webhook, url: 'https://example.org/'}\n"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            "  channels:\n    desk: {kind: pigeon}\n" + ROUTE,
            "3: alerts.channels.desk.kind: unknown kind 'pigeon'; known: alertmanager, apprise, smtp, webhook",
        ),
        ("  channels:\n    desk: {kind: apprise, address: 'json://in-the-file'}\n" + ROUTE,
         "3: alerts.channels.desk.address: must not be written into the file: use ${VARIABLE} or a …_file key"),
        (HOOK, "3: alerts.channels.desk: no route leads to this channel, so it would never be told anything"),
        (HOOK + "  routes:\n    all: {channels: dsk}\n",
         "5: alerts.routes.all.channels.0: unknown channel 'dsk'; did you mean 'desk'?"),
        (HOOK + "  routes:\n    all: {channels: desk, platforms: [y]}\n",
         "5: alerts.routes.all.platforms.0: unknown platform 'y'; known: x"),
        (HOOK + "  routes:\n    all: {channels: desk, quorum: most}\n", "alerts.routes.all.quorum"),
        (HOOK + "  routes:\n    all: {channels: desk, confidence: likely}\n", "leave the key out for both"),
        (HOOK + "  routes:\n    all: {channels: desk, quiet: {start: '25:00', end: '07:00', zone: UTC}}\n",
         "must be a time of day such as 22:00"),
        (HOOK + "  routes:\n    all: {channels: desk, quiet: {start: '22:00', end: '07:00', zone: Lahore}}\n",
         "must be an IANA time zone such as Asia/Karachi"),
        (HOOK + ROUTE + "  maintenance:\n    - {start: 2026-12-01T10:00Z, end: 2026-12-01T09:00Z, author: a, why: b}\n",
         "it ends before it starts"),
        (HOOK + ROUTE + "  maintenance:\n    - {start: 2026-12-01 10:00, end: 2026-12-01T09:00Z, author: a, why: b}\n",
         "must be a time with a zone"),
        ("  channels:\n    desk: {kind: webhook, url: 'http://example.org/', token: '${CHAT}'}\n" + ROUTE,
         "3: alerts.channels.desk.url: plain http shows the token to the network; use https"),
        ("  channels:\n    desk: {kind: smtp, server: 'm:25', sender: a@b, to: c@d, user: u}\n" + ROUTE,
         "user and password (or password_file) go together"),
        ("  channels:\n    desk: {kind: smtp, server: 'm:25', sender: a@b, to: c@d, user: u, password: '${CHAT}', "
         "security: none}\n" + ROUTE, "would show the password to the network"),
        ("  heartbeat: {interval: 1m}\n", "2: alerts.heartbeat.address: missing; give address_file"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_line_and_key_and_no_secret(tmp_path: Path, section: str, message: str) -> None:
    found = problems(tmp_path, section)
    assert any(message in one for one in found), found
    assert not any("secret@" in one or "in-the-file" in one for one in found)


def test_who_is_told_does_not_change_the_method(tmp_path: Path) -> None:
    path = tmp_path / "probes.yaml"

    def digest_with(section: str) -> str:
        path.write_text(section + REST)
        config = load(path, {})
        return digest(config, fingerprints_of(config.fingerprints))

    assert digest_with("") == digest_with(f"alerts:\n{HOOK}{ROUTE}")
