"""Events as a feed (RFC 4287), newest first."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Final

from monitor.events.annotation import text_of
from monitor.events.record import RegulatoryEvent
from monitor.events.timeline import span

_URN: Final = "urn:access-monitor:event"
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def atom(events: Iterable[RegulatoryEvent], _: Mapping[str, RegulatoryEvent]) -> Iterator[str]:
    """Yield the lines. An entry is as new as the latest thing that is dated in it, since no clock is asked."""
    ordered = sorted(events, key=lambda one: (_updated(one), one.id), reverse=True)
    newest = _updated(ordered[0]) if ordered else _LONG_AGO
    yield '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">\n'
    yield f"<id>{_URN}s</id>\n<title>Regulatory events</title>\n<updated>{_utc(newest)}</updated>\n"
    yield "<author><name>Access monitor</name></author>\n"
    for event in ordered:
        yield f"<entry>\n<id>{_URN}:{event.id}</id>\n<title>{escape(event.name)}</title>\n"
        yield f"<updated>{_utc(_updated(event))}</updated>\n"
        yield f"<published>{_utc(min((one.earliest for one in event.dates), default=_updated(event)))}</published>\n"
        yield f"<summary>{escape(text_of(event, span(event)))}</summary>\n"
        urls = [source.url for source in event.sources if source.url]
        for place, url in enumerate(urls):
            yield f'<link rel="{"via" if place else "alternate"}" href="{escape(url)}"/>\n'
        if not urls:
            # Section 4.1.2: an entry without content needs an alternate link.
            yield f'<content type="text">{escape(text_of(event, span(event)))}</content>\n'
        for term in dict.fromkeys(
            (event.kind.value, *event.countries, *(one.id for one in event.platforms), *event.tags)
        ):
            yield f'<category term="{escape(term)}"/>\n'
        yield "</entry>\n"
    yield "</feed>\n"


def _updated(event: RegulatoryEvent) -> datetime:
    return max((one.earliest for one in event.dates), default=_LONG_AGO)


def _utc(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
