"""Alerts → messages: the shipped texts or the owner's own, in the language and form that the route asks for."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import jinja2
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment

from monitor.alerts.channel import Message
from monitor.alerts.story import LATE, Background, Story, clean, story
from monitor.model.alert import Delivery

log = logging.getLogger("monitor.alerts")

SHIPPED: Final = Path(str(files("monitor.alerts") / "texts"))
TEMPLATES: Final = ("headline", "short", "long", "digest_headline", "digest")
RIGHT_TO_LEFT: Final = frozenset({"ur"})
_DIGEST_LINES: Final = 20
_TEXT_CHARACTERS: Final = 20_000
_HEADLINE_CHARACTERS: Final = 300
# Latin fragments inside right-to-left text: isolated, they do not disturb the order around them (UAX 9).
_ISOLATE: Final = "\u2068"
_END: Final = "\u2069"


class Writer:
    """Renders with templates in a sandbox; a template of the owner that fails is replaced by the shipped one."""

    def __init__(self, own: Path | None = None) -> None:
        shipped = jinja2.FileSystemLoader(SHIPPED)
        self._shipped = _environment(shipped)
        self._own = _environment(jinja2.ChoiceLoader([jinja2.FileSystemLoader(own), shipped])) if own else None

    def message(self, parcel: Sequence[Delivery], background: Background, *, key: str | None = None) -> Message:
        """Return what is sent for messages that go together; the first names them."""
        first = parcel[0]
        alerts = tuple(one.alert for one in parcel)
        stories = [story(one, background) for one in alerts]
        subjects = {one.subject for one in alerts}
        if len(subjects) == 1:
            # Several entries of one incident: the last says how it stands, the first what began.
            told = stories[-1] if len(stories) == 1 else _leading(stories)
            headline = self.headline(told, first.language)
            text = self._text(first.form, first.language, {"one": told, "headline": headline})
        else:
            headline, text = self._digest(stories, first.language, background.link or "")
        return Message(
            key=key or (first.key if len(parcel) == 1 else f"{first.key}+{len(parcel) - 1}"),
            headline=headline,
            text=text[:_TEXT_CHARACTERS],
            alerts=alerts,
            language=first.language,
            is_right_to_left=first.language in RIGHT_TO_LEFT,
            is_late=any(background.now - one.at > LATE for one in alerts),
            sent_at=background.now,
            link=background.link,
            keys=tuple(one.key for one in parcel),
        )

    def headline(self, told: Story, language: str) -> str:
        """Return one line that says it all."""
        return clean_line(self._text("headline", language, {"one": told}))

    def _digest(self, stories: Sequence[Story], language: str, link: str) -> tuple[str, str]:
        latest = {one.alert.subject: one for one in stories}
        lines = [self.headline(one, language) for one in latest.values()]
        names = list(dict.fromkeys(one.platform or ", ".join(one.vantages) for one in latest.values()))
        places = [*names[:5], "…"] if len(names) > 5 else names
        headline = clean_line(self._text("digest_headline", language, {"stories": stories, "places": places}))
        values = {
            "headline": headline,
            "lines": lines[:_DIGEST_LINES],
            "more": max(0, len(lines) - _DIGEST_LINES),
            "link": link,
        }
        return headline, self._text("digest", language, values)

    def _text(self, name: str, language: str, values: Mapping[str, Any]) -> str:
        path = f"{language}/{name}.j2"
        helpers = _helpers(language)
        if self._own is not None:
            try:
                return _spaced(self._own.get_template(path).render(**values, **helpers))
            except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                log.error("a template of your own failed; the shipped one is used", extra={"why": f"{path}: {error}"})  # noqa: TRY400 - its traceback is Jinja's
        return _spaced(self._shipped.get_template(path).render(**values, **helpers))


def _spaced(text: str) -> str:
    """Return a rendered text without the gaps that absent parts leave."""
    return re.sub(r"\n{3,}", "\n\n", text.strip())


def clean_line(text: str) -> str:
    """Return a rendered headline on one line, bounded; direction isolates stay."""
    line = " ".join(text.split())
    return line if len(line) <= _HEADLINE_CHARACTERS else line[: _HEADLINE_CHARACTERS - 1] + "…"


def _leading(stories: Sequence[Story]) -> Story:
    """Return the story that stands for several of one subject: the last, but what began is told as a beginning."""
    last, first = stories[-1], stories[0]
    is_new = first.kind in {"start", "found"} and last.kind in {"join", "spread", "quorum", "confirmed", "mechanism"}
    if not is_new:
        return last
    return replace(last, kind=first.kind)


@cache
def _words(language: str) -> dict[str, dict[str, str]]:
    words: dict[str, dict[str, str]] = yaml.safe_load((SHIPPED / language / "words.yaml").read_text("utf-8"))
    return words


@cache
def _helpers(language: str) -> dict[str, Any]:
    words = _words(language)
    is_rtl = language in RIGHT_TO_LEFT

    def isolated(text: object) -> str:
        return f"{_ISOLATE}{text}{_END}" if is_rtl and text else str(text or "")

    def word(group: str, label: str) -> str:
        return words.get(group, {}).get(label, label)

    def mechanisms(labels: Sequence[str]) -> str:
        return "; ".join(f"{_mechanism(words, one)} [{isolated(one)}]" for one in labels[:5])

    return {"word": word, "mechanisms": mechanisms, "ltr": isolated}


def _mechanism(words: Mapping[str, Mapping[str, str]], label: str) -> str:
    layer, _, rest = label.partition(".")
    outcome, _, trigger = rest.partition(".")
    said = words["mechanism"].get(f"{layer}.{outcome}", clean(label))
    return f"{said}, {words['trigger'].get(trigger, trigger)}" if trigger else said


def _environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    # Texts are plain; whoever sends HTML escapes the whole text.
    return ImmutableSandboxedEnvironment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=False)


@cache
def country_names() -> dict[str, str]:
    """Return the English names of countries (IANA, iso3166.tab)."""
    return dict(line.split("\t")[:2] for line in _table("iso3166.tab"))


@cache
def country_zones() -> dict[str, tuple[ZoneInfo, str]]:
    """Return the time zone of each country that has one alone (IANA, zone.tab), with a name for readers."""
    zones: dict[str, list[str]] = {}
    for line in _table("zone.tab"):
        country, _, zone = line.split("\t")[:3]
        zones.setdefault(country, []).append(zone)
    names = country_names()
    return {
        country: (ZoneInfo(found[0]), f"{names.get(country, country)} time")
        for country, found in zones.items()
        if len(found) == 1
    }


def _table(name: str) -> list[str]:
    text = (files("tzdata.zoneinfo") / name).read_text("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
