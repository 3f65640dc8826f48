"""What an event file may say, and the line and words of each mistake."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.config.problem import ConfigError
from monitor.config.schema import EventsConfig
from monitor.events.annotation import Calendar
from monitor.events.load import EVENTS_AT_MOST, load_events
from monitor.events.record import ConfidenceLevel, Phase

NOW = datetime(2026, 11, 27, tzinfo=UTC)
SOUND = """\
id: one
kind: block
title: X blocked
countries: [PK]
platforms: [x]
tz: Asia/Karachi
dates:
  - {phase: effective, on: 2024-02-17, sources: [dawn]}
sources:
  - {id: dawn, publisher: Dawn, kind: press, title: X blocked, url: https://www.dawn.com/news/1}
"""


def load(folder: Path, *files: Path, builtin: Sequence[str] = ()) -> Calendar:
    wanted = EventsConfig.model_validate({"builtin": list(builtin), "files": list(files or [folder])})
    return load_events(wanted, [], NOW)


def problems(folder: Path, text: str) -> list[str]:
    (folder / "one.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load(folder)
    return [str(problem).removeprefix(f"{folder}/") for problem in refused.value.problems]


def test_a_short_file_is_enough(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(SOUND)
    [event] = load(tmp_path).events.values()
    assert event.title == {"en": "X blocked"}
    [dated] = event.dates
    assert (dated.earliest, dated.latest) == (
        datetime(2024, 2, 16, 19, tzinfo=UTC),
        datetime(2024, 2, 17, 19, tzinfo=UTC),
    )
    assert event.confidence.level is ConfidenceLevel.LOW


def changed(old: str, new: str) -> str:
    assert old in SOUND
    return SOUND.replace(old, new)


DATE = "{phase: effective, on: 2024-02-17, sources: [dawn]}"
DUTY = "obligations: [{id: register, what: register, sources: [dawn], "


def date(written: str) -> str:
    return changed(DATE, written)


def source(written: str) -> str:
    return changed("url: https://www.dawn.com/news/1", written)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "one.yaml:1: the file is empty"),
        ("a: [1\n", "one.yaml:2: while parsing a flow sequence, did not find expected ',' or ']'"),
        ("- a\n", "one.yaml:1: must be a mapping of keys and values"),
        (SOUND + "id: two\n", "one.yaml:11: id: this key stands in line 1 already"),
        (SOUND + "colour: red\n", "one.yaml:11: colour: unknown key; known: asns, authorities, causes"),
        (SOUND + "tag: a\n", "one.yaml:11: tag: unknown key; did you mean 'tags'?"),
        (SOUND + "observations: []\n", "one.yaml:11: observations: are written by the program alone"),
        (changed("id: one", "id: two"), "one.yaml:1: id: must be the name of the file, 'one'"),
        (changed("id: one", "id: One"), "one.yaml:1: id: must be small letters and digits, joined by single hyphens"),
        (changed("id: one\n", ""), "one.yaml:1: id: missing"),
        (changed("kind: block", "kind: ban"), "one.yaml:2: kind: must be 'block', 'throttle', 'shutdown'"),
        (changed("title: X blocked\n", "title: {ur: X}\n"), "one.yaml:1: title needs an English text under en"),
        (changed("title: X blocked\n", 'title: "a\\nb"\n'), "one.yaml:3: title: must be visible text on one line"),
        (changed("title: X blocked\n", f"title: {'a' * 201}\n"), "one.yaml:3: title: is too long"),
        (SOUND + "summary: {english: a}\n", "one.yaml:11: summary.english: must be a language such as en or ur"),
        (SOUND + "status: over\n", "one.yaml:11: status: must be 'announced', 'in_force'"),
        (changed("[PK]", "[pk]"), "one.yaml:4: countries.0: must be two capital letters (ISO 3166-1 alpha-2)"),
        (SOUND + "regions: [Punjab]\n", "one.yaml:11: regions.0: must be a region such as PK-BA (ISO 3166-2)"),
        (SOUND + "regions: [IN-PB]\n", "one.yaml:11: regions.0: IN-PB lies in none of the countries of this event"),
        (SOUND + "asns: [AS1]\n", "one.yaml:11: asns.0: must be a whole number, not 'AS1'"),
        (SOUND + "network_kinds: satellite\n", "one.yaml:11: network_kinds.0: must be 'mobile' or 'fixed'"),
        (changed("[x]", "[xx]"), "one.yaml:5: platforms.0.id: unknown platform 'xx'; did you mean 'x'?"),
        (changed("[x]", "[{id: x, domains: [a..b]}]"), "one.yaml:5: platforms.0.domains.0: must be a host name"),
        (SOUND + "authorities: [{name: PTA}]\n", "one.yaml:11: authorities.0.role: missing"),
        (SOUND + "instruments: [{name: PECA, relation: over}]\n", "one.yaml:11: instruments.0.relation: must be 'unde"),
        (changed("Asia/Karachi", "Asia/Atlantis"), "one.yaml:6: tz: must be a zone such as Asia/Karachi or UTC"),
        (SOUND + "end: never\n", "one.yaml:11: end: must be 'open' or 'unknown', not 'never'"),
        (date("{phase: done, on: 2024-02-17, sources: [dawn]}"), "one.yaml:8: dates.0.phase: must be 'adopted'"),
        (date("{phase: effective, on: 17.2.2024, sources: [dawn]}"), "one.yaml:8: dates.0.on: must be a date such as"),
        (date("{phase: effective, on: 2024-02-30, sources: [dawn]}"), "one.yaml:8: dates.0.on: must be a date such as"),
        (date("{phase: effective, sources: [dawn]}"), "one.yaml:8: dates.0: give either on, or earliest, latest and"),
        (
            date("{phase: effective, on: 2024, earliest: 2024, sources: [dawn]}"),
            "one.yaml:8: dates.0: give either on, or earliest, latest and precision",
        ),
        (
            date("{phase: effective, earliest: 2024-02-18, latest: 2024-02-17, precision: day, sources: [dawn]}"),
            "one.yaml:8: dates.0: must end after it begins",
        ),
        (
            date('{phase: effective, earliest: "2024-02-17T10:00", latest: "2024-02-17T10:05", precision: hour, '
                 "sources: [dawn]}"),
            "one.yaml:8: dates.0: is shorter than one hour, its precision",
        ),
        (
            date('{phase: effective, earliest: "2024-02-17T10:00", latest: 2024-02-19, precision: day, sources: dawn}'),
            "one.yaml:8: dates.0: must begin where a day begins in Asia/Karachi",
        ),
        (
            date("{phase: effective, earliest: 2024-02-02, latest: 2024-04, precision: month, sources: [dawn]}"),
            "one.yaml:8: dates.0: must begin where a month begins in Asia/Karachi",
        ),
        (
            date("{phase: effective, earliest: 2024, latest: 2024-06, precision: year, sources: [dawn]}"),
            "one.yaml:8: dates.0: is shorter than one year, its precision",
        ),
        (date("{phase: effective, on: 2024-02-17}"), "one.yaml:8: dates.0.sources: missing"),
        (date("{phase: effective, on: 2024-02-17, sources: []}"), "one.yaml:8: dates.0.sources: must hold at least on"),
        (
            date("{phase: effective, on: 2024-02-17, sources: [down]}"),
            "one.yaml:8: dates.0.sources.0: unknown source 'down'; did you mean 'dawn'?",
        ),
        (
            date("{phase: effective, edge: end, on: 2024-02-17, sources: [dawn]}"),
            "one.yaml:8: dates.0: only an observed date has an edge",
        ),
        (date("{phase: effective, on: 2027-01-01, sources: [dawn]}"), "one.yaml:8: dates.0: lies ahead; only planned_"),
        (
            SOUND + "status: lifted\n",
            "one.yaml:11: status: lifted needs a lifted date with a source that is no claim; a claimed_lifted date end",
        ),
        (
            changed(DATE, f"{DATE}\n  - {{phase: lifted, on: 2024-02-10, sources: [dawn]}}"),
            "one.yaml:9: dates.1: lifted lies before everything that it could end",
        ),
        (SOUND + "claims: [{what: over, by: PTA, source: x1}]\n", "one.yaml:11: claims.0.source: unknown source 'x1'"),
        (
            SOUND + "claims: [{what: over, by: PTA, source: dawn, retracted_by: x1}]\n",
            "one.yaml:11: claims.0.retracted_by: unknown source 'x1'",
        ),
        (SOUND + "causes: [{claimed: a, by: b, source: x1}]\n", "one.yaml:11: causes.0.source: unknown source 'x1'"),
        (SOUND + "claims: [{what: over, source: dawn}]\n", "one.yaml:11: claims.0.by: missing"),
        (source("document: ''"), "one.yaml:10: sources.0.document: must be visible text on one line"),
        (source("lang: en"), "one.yaml:10: sources.0: give a url or a document"),
        (source("url: ftp://dawn.com/"), "one.yaml:10: sources.0.url: must be a web address such as"),
        (source("document: a, published: soon"), "one.yaml:10: sources.0.published: must be a date such as"),
        (source("document: a, accessed: soon"), "one.yaml:10: sources.0.accessed: must be a day such as 2026-11-21"),
        (source("document: a, lang: English"), "one.yaml:10: sources.0.lang: must be a language such as en or ur"),
        (
            source(f"document: a, quote: {'word ' * 26}"),
            "one.yaml:10: sources.0.quote: must be a quotation of at most 25 words",
        ),
        (changed("kind: press", "kind: blog"), "one.yaml:10: sources.0.kind: must be 'official', 'court', 'press'"),
        (
            SOUND + "  - {id: dawn, publisher: Dawn, kind: press, title: again, document: a}\n",
            "one.yaml:11: sources.1.id: 'dawn' is there already",
        ),
        (SOUND + f"{DUTY}after: soon, phases: [effective]}}]\n", "one.yaml:11: obligations.0.after: must be a period"),
        (SOUND + f"{DUTY}after: P3M}}]\n", "one.yaml:11: obligations.0: after and phases belong together"),
        (SOUND + DUTY.rstrip(", ") + "}]\n", "one.yaml:11: obligations.0: give either due, or after with the phases"),
        (SOUND + f"{DUTY}due: {{on: never}}}}]\n", "one.yaml:11: obligations.0.due: must be a date such as"),
        (
            SOUND + f"{DUTY}after: P3M, phases: [notified]}}]\n",
            "one.yaml:11: obligations.0.phases: one has no notified date to count from",
        ),
        (
            SOUND + f"{DUTY}after: P3M, phases: [effective], event: two}}]\n",
            "one.yaml:11: obligations.0.event: no event 'two'; known: one",
        ),
        (
            SOUND + f"{DUTY}due: {{on: 2027}}, moot: {{why: a, source: x1}}}}]\n",
            "one.yaml:11: obligations.0.moot.source: unknown source 'x1'",
        ),
        (
            SOUND + f"{DUTY}due: {{on: 2027}}}}, {{id: register, what: a, sources: [dawn], due: {{on: 2027}}}}]\n",
            "one.yaml:11: obligations.1.id: 'register' is there already",
        ),
        (changed("kind: block", "kind: deadline"), "one.yaml:2: kind: a deadline names under obligations what is due"),
        (SOUND + "links: {related: [two]}\n", "one.yaml:11: links.related.0: no event 'two'; known: one"),
        (SOUND + "links: {related: [one]}\n", "one.yaml:11: links.related.0: an event is not linked to itself"),
        (SOUND + "links: {before: [one]}\n", "one.yaml:11: links.before: unknown key; known: caused_by, followed_by"),
        (SOUND + "tags: [A B]\n", "one.yaml:11: tags.0: must be a tag of small letters, digits and hyphens"),
        (SOUND + "confidence: {level: sure}\n", "one.yaml:11: confidence.level: must be 'high', 'medium' or 'low'"),
        (SOUND + "summary: ${HOME}\n", "one.yaml:11: summary: environment variable 'HOME' is not set"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_line_and_key(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text)
    assert any(line.startswith(expected) for line in found), found


def test_dates_are_needed_except_for_a_deadline(tmp_path: Path) -> None:
    without = SOUND.replace(f"dates:\n  - {DATE}\n", "")
    assert problems(tmp_path, without) == ["one.yaml:1: dates: must hold at least one date"]
    due = without.replace("kind: block", "kind: deadline") + f"{DUTY}due: {{on: 2027-01-31}}}}]\n"
    (tmp_path / "one.yaml").write_text(due)
    assert load(tmp_path).events["one"].dates == ()


def test_mistakes_of_all_files_come_at_once(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(changed("kind: block", "kind: ban") + "colour: red\n")
    (tmp_path / "two.yaml").write_text(SOUND.replace("id: one", "id: two").replace("[PK]", "[Pakistan]"))
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, tmp_path, tmp_path / "nowhere.yaml")
    found = [(Path(one.file).name, one.line, one.key) for one in refused.value.problems]
    assert found == [
        ("nowhere.yaml", 1, ""),
        ("one.yaml", 2, "kind"),
        ("one.yaml", 11, "colour"),
        ("two.yaml", 4, "countries.0"),
    ]


def test_one_id_in_two_files_is_a_mistake(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.yaml").write_text(SOUND)
    with pytest.raises(ConfigError, match=r"b/one.yaml:1: id: 'one' is in .*/a/one.yaml already"):
        load(tmp_path, tmp_path / "a", tmp_path / "b")


def test_a_file_of_ones_own_replaces_the_built_in_event(tmp_path: Path) -> None:
    mine = tmp_path / "pk-x-block-2024.yaml"
    mine.write_text(SOUND.replace("id: one", "id: pk-x-block-2024").replace("X blocked\n", "In my words\n", 1))
    event = load(tmp_path, mine, builtin=["pakistan"]).events["pk-x-block-2024"]
    assert (event.name, event.origin) == ("In my words", str(mine))


def test_causes_that_go_round_in_a_circle_are_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(SOUND + "links: {caused_by: [two]}\n")
    (tmp_path / "two.yaml").write_text(SOUND.replace("id: one", "id: two") + "links: {caused_by: [one]}\n")
    with pytest.raises(ConfigError, match=r"one\.yaml:11: links\.caused_by: goes round in a circle"):
        load(tmp_path)


def test_links_are_there_in_both_directions(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(SOUND + "links: {reversal_of: two, followed_by: two, related: two}\n")
    (tmp_path / "two.yaml").write_text(SOUND.replace("id: one", "id: two"))
    links = load(tmp_path).events["two"].links
    assert (links.reversed_by, links.follows, links.related) == (("one",), ("one",), ("one",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            changed(DATE, f"{DATE}\n  - {{phase: effective, on: 2024-02-19, sources: [dawn]}}") + "status: disputed\n",
            "status: disputed is for facts that are denied; that dates disagree is computed",
        ),
        (SOUND + "confidence: {level: high}\n", "confidence.level: the rule says low (one publisher: Dawn); another"),
        (
            changed("kind: press", "kind: official"),
            "sources.0: an official or court source should have a quote or a document",
        ),
        (
            source("document: a, published: 2024-02-18, accessed: 2024-02-17"),
            "sources.0.accessed: lies before the source was published",
        ),
        (date("{phase: effective, on: 2024-02-17, sources: [dawn], note: on Sunday}"), "dates.0.note: names a Sunday"),
    ],
)
def test_what_is_odd_is_a_warning(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "one.yaml").write_text(text)
    [warning] = load(tmp_path).warnings
    assert str(warning).partition(": ")[2].startswith(expected)


def test_a_weekday_that_fits_is_no_warning(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        date("{phase: effective, on: 2024-02-17, sources: [dawn], note: on Saturday evening}")
    )
    assert load(tmp_path).warnings == ()


def test_another_level_with_a_reason_is_taken(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(SOUND + "confidence: {level: high, why: I was there}\n")
    found = load(tmp_path)
    assert found.warnings == ()
    assert (found.events["one"].confidence.level, found.events["one"].confidence.why) == ("high", "I was there")


def test_instruments_have_their_canonical_name_whatever_the_spelling(tmp_path: Path) -> None:
    names = [
        "Citizen\u2019s Protection (Against Online Harm) Rules, 2020",
        "citizens protection rules 2020",
        "Our own Act",
    ]
    text = SOUND + "instruments:\n" + "".join(f'  - {{name: "{name}"}}\n' for name in names)
    (tmp_path / "one.yaml").write_text(text, encoding="utf-8")
    assert [one.name for one in load(tmp_path).events["one"].instruments] == [
        "Citizens Protection (Against Online Harm) Rules, 2020",
        "Citizens Protection (Against Online Harm) Rules, 2020",
        "Our own Act",
    ]


def test_more_events_than_anybody_needs_are_refused(tmp_path: Path) -> None:
    for number in range(EVENTS_AT_MOST + 1):
        (tmp_path / f"e{number}.yaml").write_text(SOUND.replace("id: one", f"id: e{number}"))
    with pytest.raises(ConfigError, match=f"more than {EVENTS_AT_MOST} events"):
        load(tmp_path)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigError, match="is larger than 1048576 bytes"):
        load(tmp_path)


def test_titles_in_other_scripts_are_taken_and_direction_overrides_are_not(tmp_path: Path) -> None:
    urdu = "\u0627\u06cc\u06a9\u0633\u200c \u0628\u0646\u062f"
    (tmp_path / "one.yaml").write_text(
        changed("title: X blocked\n", f"title: {{en: X, ur: {urdu}}}\n"), encoding="utf-8"
    )
    assert load(tmp_path).events["one"].title["ur"] == urdu
    [found] = problems(tmp_path, changed("title: X blocked\n", "title: X \u202edekcolb\n"))
    assert found.startswith("one.yaml:3: title: must be visible text on one line")


def test_all_phases_can_be_written(tmp_path: Path) -> None:
    dates = "\n  - ".join(DATE.replace("effective", phase) for phase in Phase)
    (tmp_path / "one.yaml").write_text(changed(DATE, dates))
    assert len(load(tmp_path).events["one"].dates) == len(Phase)
