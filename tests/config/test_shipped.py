"""The shipped file keeps its promises, and the documentation knows every key."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from monitor.config.fields import Referenced
from monitor.config.keys import ANY, KEYS
from monitor.config.load import load
from monitor.config.schema import Configuration
from monitor.config.shipped import shipped_text, with_block

ROOT = Path(__file__).parents[2]
DOCUMENTED = (ROOT / "docs/configuration.md").read_text()
LISTED = {
    *("x", "facebook", "instagram", "whatsapp", "youtube", "google", "linkedin", "tiktok", "wikipedia", "telegram"),
    *("bluesky", "amazon", "apple", "airbnb", "booking", "expedia", "grab", "line", "rakuten", "yahoo", "threads"),
    *("signal", "discord"),
}


AGENT_KEYS = {"vantages.ID.insecure": {"url": "http://[::1]:1/", "token": Referenced("a-token")}}


@pytest.fixture(name="config", scope="module")
def shipped_configuration() -> Configuration:
    return load(ROOT / "probes.yaml", {})


def test_shipped_file_covers_the_listed_platforms(config: Configuration) -> None:
    assert set(config.platforms) == LISTED


def test_shipped_file_watches_api_media_and_short_links_of_x(config: Configuration) -> None:
    hosts = {urlsplit(target.url).hostname for target in config.platforms["x"].targets.values()}
    assert hosts >= {"x.com", "twitter.com", "api.x.com", "t.co", "abs.twimg.com", "pbs.twimg.com", "video.twimg.com"}


def test_every_shipped_target_says_what_it_expects() -> None:
    document = yaml.safe_load(shipped_text())
    targets = [target for platform in document["platforms"].values() for target in platform["targets"].values()]
    assert all("expect" in target for target in [*targets, *document["control_sites"].values()])


def test_control_sites_belong_to_three_operators_and_to_no_platform(config: Configuration) -> None:
    def registered(url: str) -> str:
        return ".".join((urlsplit(url).hostname or "").split(".")[-2:])

    sites = {registered(site.url) for site in config.control_sites.values()}
    platforms = {
        registered(target.url) for platform in config.platforms.values() for target in platform.targets.values()
    }
    assert len(sites) == 3
    assert not sites & platforms


def test_cleartext_requests_name_neither_tool_nor_contact(config: Configuration) -> None:
    named = config.defaults.cleartext_user_agent.lower()
    assert not any(word in named for word in ("monitor", "access", "http", "@", "bot"))


def test_commented_control_vantage_is_sound_once_uncommented(tmp_path: Path) -> None:
    block = re.search(r"(  # control:\n(?:  #   .*\n)+)", shipped_text())
    assert block is not None
    uncommented = re.sub("^  # ", "  ", block[1], flags=re.MULTILINE).replace("3f2a…", "3f" * 32)
    (tmp_path / "probes.yaml").write_text(shipped_text().replace(block[1], uncommented), encoding="utf-8")
    (tmp_path / "token").write_text("a-token")
    assert list(load(tmp_path / "probes.yaml", {}).vantages) == ["here", "control"]


@pytest.mark.parametrize("name", ["lent-control", "lent-pk"])
def test_commented_vantage_of_a_service_is_sound_once_uncommented(tmp_path: Path, name: str) -> None:
    (tmp_path / "probes.yaml").write_text(with_block(shipped_text(), name), encoding="utf-8")
    assert list(load(tmp_path / "probes.yaml", {}).vantages) == ["here", name]


def test_both_commented_services_together_are_within_what_is_granted(tmp_path: Path) -> None:
    text = with_block(with_block(shipped_text(), "lent-control"), "lent-pk")
    (tmp_path / "probes.yaml").write_text(text, encoding="utf-8")
    assert set(load(tmp_path / "probes.yaml", {}).vantages) == {"here", "lent-control", "lent-pk"}


@pytest.mark.parametrize("key", [".".join(key) for key in KEYS])
def test_every_key_has_a_row_in_the_documentation(key: str) -> None:
    assert f"\n| `{key}` |" in DOCUMENTED


def test_documentation_has_rows_for_no_other_keys() -> None:
    assert set(re.findall(r"\n\| `([a-zI][a-zD_.]*)` \|", DOCUMENTED)) - {".".join(key) for key in KEYS} == set()


@pytest.mark.parametrize(("key", "default"), re.findall(r"\n\| `([a-zI][a-zD_.]*)` \| `(.*?)` \|", DOCUMENTED))
def test_documented_default_is_the_true_one(key: str, default: str) -> None:
    document: dict[str, Any] = {
        "vantages": {"here": {"kind": "agent" if key in AGENT_KEYS else "direct", **AGENT_KEYS.get(key, {})}},
        "platforms": {"x": {"targets": {"x-home": {"url": "https://x.com/"}}}},
    }
    if key.startswith("ingest."):
        document["ingest"] = {"listen": "127.0.0.1:1", "urls": "https://monitor.test"}
    plain = Configuration.model_validate(document)
    names = ["here"] if key.startswith("vantages") else ["x", "x-home"]
    path = [names.pop(0) if part == ANY else part for part in key.split(".")]
    section = document
    for part in path[:-1]:
        section = section.setdefault(part, {})
    section[path[-1]] = yaml.safe_load(default)
    assert Configuration.model_validate(document) == plain
