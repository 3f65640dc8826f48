"""The picture: one band for each network, how it was prevented beneath it, events above. SVG, pure.

Blue, red, amber, purple and grey keep apart in every common colour blindness (docs/reports.md); each column shows
shares, so that a line half blocked looks like one, and where nothing was measured there is grey and no colour.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from math import ceil
from textwrap import wrap
from typing import Final

from monitor.model.verdict import Status
from monitor.report.record import Band, Bucket, Chart, Flag, Place, Report

STATUS_COLOURS: Final = {
    Status.ACCESSIBLE: "#4393C3",
    Status.DOWN: "#88CCEE",
    Status.INCONCLUSIVE: "#808080",
    Status.WITHHELD: "#B5489A",
    Status.THROTTLED: "#FFD24D",
    Status.BLOCKED: "#E0433A",
}
NOT_MEASURED: Final = "#E3E3E3"
LAYER_COLOURS: Final = {
    "dns": "#0072B2",
    "tcp": "#D55E00",
    "tls": "#CC79A7",
    "http": "#E69F00",
    "quic": "#56B4E9",
    "throughput": "#009E73",
}
_OTHER_LAYER: Final = "#444444"
EVENT_COLOURS: Final = {
    "block": "#B3261E",
    "throttle": "#B3261E",
    "shutdown": "#B3261E",
    "unblock": "#1F6FA8",
    "opening": "#1F6FA8",
    "court_order": "#7A3E9D",
    "statute": "#B45309",
    "rules": "#B45309",
    "directive": "#B45309",
    "notification": "#B45309",
    "licence": "#B45309",
    "deadline": "#B45309",
}
CLAIM_COLOUR: Final = "#5F6670"  # claims, statements and whatever else

_INK: Final = "#1b1f24"
_QUIET: Final = "#59636e"
_RULE: Final = "#d5dae0"
_SHORTEST_SPAN: Final = 3
_BAND: Final = 22
_WAY: Final = 6
_LANE: Final = 20
_SHARES: Final = 20  # a column is divided to the twentieth
_LANES: Final = 5
_FONT: Final = "system-ui, 'DejaVu Sans', 'Liberation Sans', Arial, sans-serif"
_TICKS: Final = (
    (timedelta(hours=6), "%H:%M"),
    (timedelta(hours=12), "%H:%M"),
    (timedelta(days=1), "%-d %b"),
    (timedelta(days=2), "%-d %b"),
    (timedelta(days=7), "%-d %b"),
    (timedelta(days=14), "%-d %b"),
)
_LOCAL_BELOW: Final = timedelta(days=14)  # beyond it hours cannot be seen
_LEAST_TICK_PIXELS: Final = 62
_LINE: Final = 125  # characters of a heading
_Line = tuple[str, int, str, str]  # colour, size, weight, text


def picture(
    chart: Chart, flags: Sequence[Flag], place: Place, *, title: str, name: str, is_narrow: bool = False
) -> str:
    """Return the SVG element of a chart. `name` makes its ids unique on a page; narrow is for a phone."""
    return _Picture(chart, flags, place, title, name, is_narrow=is_narrow).svg()


def alone(report: Report) -> str:
    """Return the first picture with what must go with it: the sentences, when it was written, that it is simulated."""
    caption, chart = report.charts[0]
    heading = [(_QUIET, 12, "400", f"Written {report.written_at:%Y-%m-%d %H:%M} UTC, version {report.version}.")]
    if report.is_simulated:
        heading.insert(0, (EVENT_COLOURS["rules"], 13, "700", "Simulated: nobody measured this. Do not quote it."))
    lines = [
        (_INK, 14, "400" if number else "700", line)
        for number, one in enumerate(report.sentences)
        for line in wrap(one, _LINE)
    ]
    heading[:0] = lines
    return _Picture(chart, report.flags, report.place, caption, "c", is_narrow=False, heading=heading).svg()


def described(chart: Chart) -> str:
    """Return in words what a chart shows, for those who cannot see it."""
    said = [f"{band.name}: {', '.join(_shares(band.buckets)) or 'not measured'}" for band in chart.bands]
    return f"From {chart.since:%Y-%m-%d %H:%M} to {chart.until:%Y-%m-%d %H:%M} UTC. " + ". ".join(said) + "."


def _shares(buckets: Sequence[Bucket]) -> Iterator[str]:
    total = sum(sum(one.counts.values()) for one in buckets)
    for status in STATUS_COLOURS:
        count = sum(one.counts.get(status, 0) for one in buckets)
        if count:
            yield f"{status.value} in {count / total:.1%} of {total:,} rounds"


class _Picture:
    def __init__(
        self,
        chart: Chart,
        flags: Sequence[Flag],
        place: Place,
        title: str,
        name: str,
        *,
        is_narrow: bool,
        heading: Sequence[_Line] = (),
    ) -> None:
        self.chart, self.place, self.title, self.name = chart, place, title, name
        self.is_narrow = is_narrow
        self.width = 366 if is_narrow else 1120
        self.left = 4 if is_narrow else 244
        self.right = self.width - 4
        self.size = 12 if is_narrow else 13
        self.flags = [one for one in flags if one.since < chart.until and (one.until or chart.until) >= chart.since]
        self.heading = heading
        self.y = 0.0

    def svg(self) -> str:
        parts = [*self._heading(), *self._flags(), *self._bands(), *self._axis(), *self._legend()]
        height = ceil(self.y)
        label = escape(self.title)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {height}" width="{self.width}" '
            f'height="{height}" role="img" aria-labelledby="{self.name}-t {self.name}-d" '
            f'font-family="{_FONT}" font-size="{self.size}" fill="{_INK}">'
            f'<title id="{self.name}-t">{label}</title><desc id="{self.name}-d">{escape(described(self.chart))}</desc>'
            f'<rect width="{self.width}" height="{height}" fill="#ffffff"/>{"".join(parts)}</svg>'
        )

    def _x(self, at: datetime) -> float:
        share = (at - self.chart.since) / (self.chart.until - self.chart.since)
        return self.left + max(0.0, min(1.0, share)) * (self.right - self.left)

    def _heading(self) -> Iterator[str]:
        for colour, size, weight, text in self.heading:
            self.y += size + 6
            yield (
                f'<text x="4" y="{self.y:.1f}" font-size="{size}" font-weight="{weight}" fill="{colour}">'
                f"{escape(text)}</text>"
            )
        self.y += 10 if self.heading else 0

    def _flags(self) -> Iterator[str]:
        """Yield the events, each in the first lane with room; lines of spans run to their end."""
        lanes: list[float] = []
        placed: list[tuple[Flag, int]] = []
        for flag in self.flags:
            start = self._x(flag.since)
            lane = next((number for number, end in enumerate(lanes) if end <= start), len(lanes))
            lane = min(lane, _LANES - 1)
            if lane == len(lanes):
                lanes.append(0.0)
            lanes[lane] = start + 12 + 7 * len(str(flag.number))
            placed.append((flag, lane))
        top = self.y + 4.0
        bottom = top + _LANE * len(lanes)
        # What is long and thin first, so that no line runs across a number.
        for flag, lane in placed:
            start, end = self._x(flag.since), self._x(flag.until or self.chart.until)
            colour, y = _event_colour(flag), top + lane * _LANE
            if end - start > _SHORTEST_SPAN:
                yield f'<rect x="{start:.1f}" y="{y + 13:.1f}" width="{end - start:.1f}" height="2" fill="{colour}"/>'
            yield f'<line x1="{start:.1f}" y1="{y:.1f}" x2="{start:.1f}" y2="{bottom + 4:.1f}" stroke="{colour}"/>'
        for flag, lane in placed:
            width, y = 8 + 7 * len(str(flag.number)), top + lane * _LANE
            x = min(self._x(flag.since), self.right - width)
            yield (
                f'<a href="#event-{flag.number}"><title>{escape(f"{flag.number}. {flag.title}")}</title>'
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width}" height="15" fill="{_event_colour(flag)}"/>'
                f'<text x="{x + width / 2:.1f}" y="{y + 11.5:.1f}" font-size="11" font-weight="600" fill="#ffffff" '
                f'text-anchor="middle">{flag.number}</text></a>'
            )
        self.y = bottom + 6 if placed else self.y + 8.0

    def _bands(self) -> Iterator[str]:
        if not self.chart.bands:
            self.y += 16
            yield f'<text x="{self.left}" y="{self.y:.1f}" fill="{_QUIET}">Nothing was measured.</text>'
            self.y += 10
        for band in self.chart.bands:
            yield from self._label(band)
            yield from self._columns(band)
            self.y += _BAND + 1
            yield from self._strip(band)
            self.y += _WAY + 9

    def _label(self, band: Band) -> Iterator[str]:
        name, role = _short(band.name, 44 if self.is_narrow else 29), "" if band.role == "test" else f" ({band.role})"
        if self.is_narrow:
            self.y += 13
            yield f'<text x="{self.left}" y="{self.y:.1f}" font-weight="600" unicode-bidi="isolate">{name}{role}</text>'
            self.y += 4
            return
        x, anchor = self.left - 10, 'text-anchor="end" unicode-bidi="isolate"'
        yield f'<text x="{x}" y="{self.y + 13:.1f}" font-weight="600" {anchor}>{name}{role}</text>'
        yield (
            f'<text x="{x}" y="{self.y + 27:.1f}" font-size="11" fill="{_QUIET}" {anchor}>'
            f"from {_short(band.vantage, 24)}</text>"
        )

    def _columns(self, band: Band) -> Iterator[str]:
        yield self._rect(self.chart.since, self.chart.until, self.y, _BAND, NOT_MEASURED)
        run: list[Bucket] = []
        for one in (*band.buckets, None):
            if run and (one is None or one.start != run[-1].start + self.chart.width or _mix(one) != _mix(run[-1])):
                yield from self._column(run[0].start, run[-1].start + self.chart.width, _mix(run[0]))
                run = []
            if one is not None and one.runs:
                run.append(one)

    def _column(self, since: datetime, until: datetime, mix: Sequence[tuple[Status, float]]) -> Iterator[str]:
        y = self.y + _BAND
        for status, share in mix:
            y -= share * _BAND
            yield self._rect(since, until, y, share * _BAND, STATUS_COLOURS[status])

    def _rect(self, since: datetime, until: datetime, y: float, height: float, colour: str) -> str:
        x = self._x(since)
        # A hair wider, so that no seam of the page shines through between columns.
        width = max(1.5, self._x(until) - x + 0.3)
        return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'

    def _strip(self, band: Band) -> Iterator[str]:
        """Yield how access was prevented, only where something was measured."""
        measured = _measured(band, self.chart.width)
        for way in band.ways:
            layers = list(dict.fromkeys(one.partition(".")[0] for one in way.mechanisms))
            for start, end in measured:
                since, until = max(start, way.since), min(end, way.until or end)
                for number, layer in enumerate(layers if since < until else ()):
                    height = _WAY / len(layers)
                    colour = LAYER_COLOURS.get(layer, _OTHER_LAYER)
                    tip = escape(" ".join(way.mechanisms))
                    rect = self._rect(since, until, self.y + number * height, height, colour)
                    yield rect.replace("/>", f"><title>{tip}</title></rect>")

    def _axis(self) -> Iterator[str]:
        self.y += 2
        is_fine = self.chart.until - self.chart.since <= _LOCAL_BELOW and self.place.zone != "UTC"
        yield f'<line x1="{self.left}" y1="{self.y:.1f}" x2="{self.right}" y2="{self.y:.1f}" stroke="{_QUIET}"/>'
        top = self.y
        for at, text in _ticks(self.chart, self.right - self.left):
            x = self._x(at)
            yield f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{top + 5:.1f}" stroke="{_QUIET}"/>'
            if x > self.right - 24:
                continue
            yield f'<text x="{x:.1f}" y="{top + 18:.1f}" font-size="11" text-anchor="{self._anchor(x)}">{text}</text>'
            if is_fine:
                local = at.astimezone(self.place.clock).strftime("%-d %b %H:%M" if at.hour == 0 else "%H:%M")
                yield (
                    f'<text x="{x:.1f}" y="{top + 33:.1f}" font-size="11" fill="{_QUIET}" '
                    f'text-anchor="{self._anchor(x)}">{local}</text>'
                )
        zone = f"above: UTC, below: {self.place.zone}" if is_fine else "dates in UTC"
        self.y = top + (50 if is_fine else 35)
        yield f'<text x="{self.left}" y="{self.y:.1f}" font-size="11" fill="{_QUIET}">{escape(zone)}</text>'

    def _anchor(self, x: float) -> str:
        return "start" if x < self.left + 20 else "middle"

    def _legend(self) -> Iterator[str]:
        """Yield the words for every colour that is in the picture."""
        seen = {status for band in self.chart.bands for one in band.buckets for status in one.counts}
        entries = [(STATUS_COLOURS[one], STATUS_WORDS[one]) for one in STATUS_COLOURS if one in seen]
        entries.append((NOT_MEASURED, "not measured"))
        layers = {
            one.partition(".")[0]
            for band in self.chart.bands
            for way in band.ways
            if way.since < self.chart.until and (way.until or self.chart.until) > self.chart.since
            for one in way.mechanisms
        }
        ways = [(colour, f"prevented at {layer.upper()}") for layer, colour in LAYER_COLOURS.items() if layer in layers]
        self.y += 12
        for row, height in ((entries, 12), (ways, 6)):
            x = float(self.left)
            for colour, text in row:
                width = 24 + 6.6 * len(text)
                if x + width > self.right and x > self.left:
                    x, self.y = float(self.left), self.y + 18
                y = self.y + (12 - height) / 2
                yield f'<rect x="{x:.1f}" y="{y:.1f}" width="12" height="{height}" fill="{colour}"/>'
                yield f'<text x="{x + 16:.1f}" y="{self.y + 10:.1f}" font-size="11">{text}</text>'
                x += width
            self.y += 18 if row else 0
        self.y += 4


STATUS_WORDS: Final = {
    Status.ACCESSIBLE: "accessible",
    Status.DOWN: "down everywhere",
    Status.INCONCLUSIVE: "cannot tell",
    Status.WITHHELD: "withheld by the platform",
    Status.THROTTLED: "throttled",
    Status.BLOCKED: "blocked",
}


def _event_colour(flag: Flag) -> str:
    return EVENT_COLOURS.get(flag.kind, CLAIM_COLOUR)


def _measured(band: Band, width: timedelta) -> list[tuple[datetime, datetime]]:
    """Return the stretches in which something was measured, joined where they touch."""
    found: list[tuple[datetime, datetime]] = []
    for one in band.buckets:
        if one.runs and found and found[-1][1] == one.start:
            found[-1] = (found[-1][0], one.start + width)
        elif one.runs:
            found.append((one.start, one.start + width))
    return found


def _mix(bucket: Bucket) -> list[tuple[Status, float]]:
    """Return the shares of what rounds showed, to the twentieth, from the bottom up."""
    total = sum(bucket.counts.values())
    if not total:
        return []
    mix, below, counted = [], 0, 0
    for status in STATUS_COLOURS:
        counted += bucket.counts.get(status, 0)
        # Edges are rounded and not shares, which would leave a gap at the top that looks like "not measured".
        edge = round(_SHARES * counted / total)
        if edge > below:
            mix.append((status, (edge - below) / _SHARES))
        below = edge
    return mix


def _ticks(chart: Chart, pixels: float) -> Iterator[tuple[datetime, str]]:
    """Yield instants to name on the axis: hours, days or months, as many as there is room for."""
    length = chart.until - chart.since
    for step, form in _TICKS:
        if length / step * _LEAST_TICK_PIXELS > pixels:
            continue
        start = chart.since.replace(hour=0, minute=0, second=0, microsecond=0)
        for number in range(int(length / step) + 2 + int(timedelta(days=1) / step)):
            at = start + number * step
            if chart.since <= at < chart.until:
                yield at, at.strftime("%-d %b" if at.hour == 0 else form)
        return
    months = list(_months(chart.since, chart.until))
    every = next(one for one in (1, 2, 3, 6, 12, 24) if len(months) / one * _LEAST_TICK_PIXELS <= pixels or one == 24)
    for at in months:
        if (at.year * 12 + at.month - 1) % every == 0:
            yield at, at.strftime("%b %Y")


def _months(since: datetime, until: datetime) -> Iterator[datetime]:
    for number in range(since.year * 12 + since.month, until.year * 12 + until.month):
        yield datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)


def _short(text: str, most: int) -> str:
    return escape(text if len(text) <= most else f"{text[: most - 1]}…")
