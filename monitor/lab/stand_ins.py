"""Sites in place of the platforms that the shipped probes.yaml names, so that it can be tried without an internet."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import yaml

from monitor.lab.laboratory import Lab
from monitor.lab.pages import Page, always, html, with_status


def stand_in(lab: Lab, shipped: str, statuses: Sequence[int]) -> dict[str, int]:
    """Put up every host of the file; each answers with the next of `statuses`, in turn.

    Returns host → status. With 200 a page holds the title and text that its targets expect. The file's URLs are
    reached as they are only in a laboratory on ports 80 and 443.
    """
    expected: dict[str, list[str]] = {}
    for target in _targets(yaml.safe_load(shipped)):
        host = urlsplit(target["url"]).hostname or ""
        expect = target.get("expect")
        words = [str(expect[key]) for key in ("title", "text") if key in expect] if isinstance(expect, Mapping) else []
        expected.setdefault(host, []).extend(words)
    chosen = {host: statuses[number % len(statuses)] for number, host in enumerate(expected)}
    for host, status in chosen.items():
        lab.site(host, always(_page(status, expected[host])))
    return chosen


def _targets(written: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    groups = [platform["targets"] for platform in written["platforms"].values()]
    for group in (*groups, written.get("control_sites", {})):
        for target in group.values():
            yield {"url": target} if isinstance(target, str) else target


def _page(status: int, words: Sequence[str]) -> Page:
    return html(" ".join(words), "What was looked for is in the title.") if status == 200 else with_status(status)
