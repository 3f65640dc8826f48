"""SQL over what lies around one event: counts, incidents, dates, sources. Times as in `records`."""

from typing import Final

from dashboards.source.queries import Query, chosen, sql
from dashboards.source.records import COUNTED, DAY_MS, JUDGED, MECHANISMS, web

WINDOW_MS: Final = 7 * DAY_MS
EVENT: Final = "(SELECT * FROM event WHERE id = '${event}')"
IN_WINDOW: Final = f"r.hour BETWEEN e.starts_at - {WINDOW_MS} AND e.starts_at + {WINDOW_MS}"
COUNTS: Final = f"{COUNTED} JOIN {EVENT} e ON {IN_WINDOW}"
NEAR: Final = f"""incident i JOIN {EVENT} e
    ON coalesce(i.started_after, i.started_before) <= e.starts_at + {WINDOW_MS}
    AND i.started_before >= e.starts_at - {WINDOW_MS}
    AND {chosen("i.country", "country")} AND {chosen("i.platform", "platform")}"""
RUNS_MISSED: Final = "max(CAST(sum(r.expected) AS INTEGER) - sum(r.runs), 0)"


def sentence() -> Query:
    """Say which incident began nearest to the event, or that none did, or that nobody measured."""
    hours = "(i.started_before - e.starts_at) / 3600000"
    kept = f"(SELECT coalesce(sum(r.kept), 0) FROM {COUNTS} WHERE {JUDGED})"
    vantages = f"(SELECT count(DISTINCT v.id) FROM {COUNTS} WHERE r.kept > 0 AND {JUDGED})"
    return sql(
        f"""SELECT CASE
        WHEN (SELECT count(*) FROM {NEAR}) > 0 THEN (
            SELECT i.platform || ' was ' || i.status || ' in ' || i.country || ' from ' || abs({hours}) || ' hours '
            || CASE WHEN {hours} < 0 THEN 'before' ELSE 'after' END || ' the first date of this event on, on record as '
            || i.id || '. Coincidence is not cause.' FROM {NEAR} ORDER BY abs(i.started_before - e.starts_at) LIMIT 1)
        WHEN {kept} > 0 THEN 'No incident began within a week of this event on the ' || {vantages}
            || ' vantages that measured.'
        ELSE 'Not measured around this event.' END AS sentence FROM {EVENT}"""
    )


def share_over_time() -> Query:
    """Return the share of rounds accessible by hour or wider step, one series for each platform and vantage."""
    step = "max(3600000, $__interval_ms)"
    return sql(
        f"""SELECT r.hour / {step} * {step} / 1000 AS time, p.name || ' from ' || v.name AS series,
        1.0 * sum(r.accessible) / sum(r.kept) AS value FROM {COUNTED}
        WHERE r.hour BETWEEN $__from AND $__to AND {JUDGED}
        GROUP BY 1, 2 HAVING sum(r.kept) > 0 ORDER BY 1, 2""",
        "time",
        kind="time series",
    )


def before_and_after() -> Query:
    """Return shares and counts of rounds in the week before the event's first date and the week after."""

    def of(column: str, side: str) -> str:
        return f"sum(CASE WHEN r.hour {side} e.starts_at THEN r.{column} ELSE 0 END)"

    def share(side: str) -> str:
        return f"CASE WHEN {of('kept', side)} > 0 THEN 1.0 * {of('accessible', side)} / {of('kept', side)} END"

    return sql(
        f"""SELECT p.name AS platform, v.name AS vantage,
        {share("<")} AS "share before", {share(">=")} AS "share after",
        {of("kept", "<")} AS "rounds before", {of("kept", ">=")} AS "rounds after",
        sum(r.runs) - sum(r.kept) AS "rounds dropped", {RUNS_MISSED} AS "never run"
        FROM {COUNTS} WHERE {JUDGED} GROUP BY p.name, v.name ORDER BY p.name, v.name"""
    )


def lags() -> Query:
    """Return the incidents that began near the event, with their lag as an interval in seconds."""
    return sql(
        f"""SELECT i.platform AS platform, i.country AS country, i.status AS status,
        coalesce(i.started_after, i.started_before) / 1000 - e.starts_at / 1000 AS "lag from",
        i.started_before / 1000 - e.starts_at / 1000 AS "lag to",
        CASE WHEN i.started_after IS NULL THEN 'began before the first measurement'
            WHEN i.started_before < e.starts_at THEN 'precedes the event'
            WHEN i.started_after > e.starts_at THEN 'follows the event'
            ELSE 'coincides with the event' END AS "the change", {MECHANISMS} AS mechanisms,
        i.started_before / 1000 AS "began before", i.closed_at / 1000 AS "ended", i.id AS incident
        FROM {NEAR} ORDER BY abs(i.started_before - e.starts_at) LIMIT 100""",
        "began before",
        "ended",
    )


def not_measured() -> Query:
    """Return the platforms and vantages known today that kept no round within a week of the event."""
    own = "r.target_id = s.target_id AND r.vantage_id = s.vantage_id"
    kept = f"(SELECT coalesce(sum(r.kept), 0) FROM rollup_hour r WHERE {own} AND {IN_WINDOW})"
    first = f"(SELECT min(r.hour) FROM rollup_hour r WHERE {own})"
    return sql(
        f"""SELECT p.name AS platform, v.name AS vantage, v.country AS country, min({first}) / 1000 AS "measured since"
        FROM series s JOIN target t ON t.id = s.target_id JOIN platform p ON p.id = t.platform_id
        JOIN vantage v ON v.id = s.vantage_id JOIN {EVENT} e
        WHERE {JUDGED} GROUP BY p.name, v.name HAVING sum({kept}) = 0 ORDER BY p.name, v.name""",
        "measured since",
    )


def dates() -> Query:
    """Return the dates on record, one row for each phase and group of sources."""
    return sql(
        """SELECT replace(phase, '_', ' ') AS phase, earliest / 1000 AS "from", latest / 1000 AS "to",
        precision AS precision, time_zone AS "time zone" FROM event_date
        WHERE event_id = '${event}' ORDER BY earliest""",
        "from",
        "to",
    )


def sources() -> Query:
    """Return what the record rests on."""
    return sql(
        f"""SELECT publisher AS publisher, title AS title, {web("url")} AS url, kind AS kind, published AS published,
        quote AS quote FROM event_source WHERE event_id = '${{event}}' ORDER BY published, source_id"""
    )
