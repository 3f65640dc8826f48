"""SQL over what is stored: incidents, transitions, events, hourly counts (docs/tables.md).

Times in the tables are milliseconds; every query here returns seconds, as the data source wants them.
"""

from typing import Final

from dashboards.source.queries import NOW, Query, chosen, sql

DAY_MS: Final = 86_400_000
MOST_ROWS: Final = 500
END_OF_TIME: Final = 9_999_999_999_999  # milliseconds
HERE: Final = chosen("i.country", "country") + " AND " + chosen("i.platform", "platform")

# By series, so that each is one stretch of the key; by hour alone every count of every year would be read. CROSS JOIN
# is SQLite's way to say that this order stands.
COUNTED: Final = """series s JOIN target t ON t.id = s.target_id JOIN platform p ON p.id = t.platform_id
    JOIN vantage v ON v.id = s.vantage_id
    CROSS JOIN rollup_hour r ON r.target_id = s.target_id AND r.vantage_id = s.vantage_id"""
JUDGED: Final = f"""{chosen("p.name", "platform")} AND {chosen("v.country", "country", or_null=True)}
    AND coalesce(v.role, 'test') = 'test'"""
# Networks of an incident's country on which the platform was measured in the day before it ended, or before now.
MEASURED_NETWORKS: Final = f"""(SELECT count(DISTINCT d.asn) FROM detector d JOIN target t ON t.id = d.target_id
    JOIN platform pp ON pp.id = t.platform_id JOIN vantage v ON v.id = d.vantage_id
    WHERE pp.name = i.platform AND coalesce(v.country, i.country) = i.country
    AND d.updated_at >= coalesce(i.closed_at, {NOW} * 1000) - {DAY_MS})"""
# A member is a target and a vantage, and the network where that is known.
AFFECTED_NETWORKS: Final = """(SELECT count(DISTINCT d.asn) FROM json_each(i.all_members) m
    JOIN target t ON t.name = m.value ->> 0 JOIN vantage v ON v.name = m.value ->> 1
    JOIN detector d ON d.target_id = t.id AND d.vantage_id = v.id AND d.asn = coalesce(m.value ->> 2, d.asn)
    WHERE d.state = 'not_accessible' OR i.closed_at IS NOT NULL)"""
MECHANISMS: Final = "(SELECT group_concat(value, ', ') FROM json_each(i.mechanisms))"
LAST_MEASURED: Final = """(SELECT max(d.updated_at) FROM detector d JOIN target t ON t.id = d.target_id
    JOIN platform pp ON pp.id = t.platform_id WHERE pp.name = i.platform)"""
STATUS_WORDS: Final = """CASE i.status WHEN 'withheld' THEN 'withheld by the platform itself'
    WHEN 'down' THEN 'down everywhere' ELSE i.status END"""


def ago(milliseconds: str) -> str:
    """Return an SQL text: how long ago an instant is."""
    minutes = f"({NOW} - {milliseconds} / 1000) / 60"
    return f"""CASE WHEN {minutes} < 1 THEN 'less than a minute' WHEN {minutes} < 120 THEN {minutes} || ' minutes'
    WHEN {minutes} < 2880 THEN {minutes} / 60 || ' hours' ELSE {minutes} / 1440 || ' days' END || ' ago'"""


def sentences() -> Query:
    """Say one sentence for each open incident; without any, one that says how much that is worth."""
    start = "i.started_before / 1000, 'unixepoch'"
    return sql(
        f"""WITH open AS (
            SELECT i.*, coalesce(p.title, i.platform) AS name, {LAST_MEASURED} AS last
            FROM incident i LEFT JOIN platform p ON p.name = i.platform WHERE i.closed_at IS NULL AND {HERE}),
        seen AS (
            SELECT count(DISTINCT t.platform_id) AS platforms, count(DISTINCT d.asn) AS networks,
                max(d.updated_at) AS last FROM detector d
            JOIN target t ON t.id = d.target_id JOIN platform p ON p.id = t.platform_id
            JOIN vantage v ON v.id = d.vantage_id
            WHERE d.updated_at >= {NOW} * 1000 - {DAY_MS} AND {chosen("p.name", "platform")}
            AND {chosen("v.country", "country", or_null=True)})
        SELECT i.name || ' is ' || {STATUS_WORDS} || ' in ' || i.country || ' since '
            || CASE WHEN i.started_after IS NULL THEN 'before the first measurement of ' ELSE '' END
            || date({start}) || ' (day '
            || CAST(julianday(date('now')) - julianday(date({start})) + 1 AS INTEGER) || '): '
            || coalesce({MECHANISMS} || ' ', '') || 'on ' || {AFFECTED_NETWORKS} || ' of ' || {MEASURED_NETWORKS}
            || ' networks measured; last measurement ' || coalesce({ago("i.last")}, 'unknown') || '.' AS sentence
        FROM open i
        UNION ALL
        SELECT CASE WHEN platforms = 0 THEN 'Not measured in the last 24 hours.'
            ELSE 'No incident is open: ' || platforms || ' platforms measured on ' || networks
            || ' networks in the last 24 hours; last measurement ' || {ago("last")} || '.' END
        FROM seen WHERE NOT EXISTS (SELECT 1 FROM open)"""
    )


def web(column: str) -> str:
    """Return an SQL text: an address that a browser may be led to, nothing for any other scheme."""
    return f"CASE WHEN {column} LIKE 'https://%' OR {column} LIKE 'http://%' THEN {column} END"


def incidents() -> Query:
    """Return the incidents that overlap the time range, open ones first."""
    return sql(
        f"""SELECT coalesce(p.title, i.platform) AS platform, i.country AS country, i.status AS status,
        i.started_after / 1000 AS "began after", i.started_before / 1000 AS "began before",
        i.closed_at / 1000 AS "ended", {MECHANISMS} AS mechanisms,
        {AFFECTED_NETWORKS} || ' of ' || {MEASURED_NETWORKS} AS "networks affected",
        i.id AS incident, i.platform AS name
        FROM incident i LEFT JOIN platform p ON p.name = i.platform
        WHERE i.started_before <= $__to AND coalesce(i.closed_at, {END_OF_TIME}) >= $__from AND {HERE}
        ORDER BY i.closed_at IS NOT NULL, i.started_before DESC LIMIT {MOST_ROWS}""",
        "began after",
        "began before",
        "ended",
    )


def transitions() -> Query:
    """Return the confirmed changes of the platform's targets in the time range."""
    return sql(
        f"""SELECT x.at / 1000 AS "confirmed", t.name AS target, v.name AS vantage,
        coalesce(n.name || ' (AS' || n.asn || ')', 'AS' || n.asn, 'unknown') AS network,
        replace(x.before, '_', ' ') || ' → ' || replace(x.after, '_', ' ') AS change, x.status AS status,
        x.last_before_at / 1000 AS "after", x.first_after_at / 1000 AS "before", x.measurement_id || '' AS measurement
        FROM transition x JOIN target t ON t.id = x.target_id JOIN platform p ON p.id = t.platform_id
        JOIN vantage v ON v.id = x.vantage_id JOIN network n ON n.id = x.network_id
        WHERE x.at BETWEEN $__from AND $__to AND {chosen("p.name", "platform")}
        AND {chosen("v.country", "country", or_null=True)} ORDER BY x.at DESC LIMIT {MOST_ROWS}""",
        "confirmed",
        "after",
        "before",
    )


def events() -> Query:
    """Return the events that overlap the time range, newest first, with a source."""
    return sql(
        f"""SELECT a.time AS "date", a.time_end AS "until", e.kind AS kind, e.title AS title,
        group_concat(DISTINCT a.country) AS country, group_concat(DISTINCT a.platform) AS platform,
        s.publisher AS source, {web("s.url")} AS url, e.id AS id,
        a.time * 1000 - 14 * {DAY_MS} AS from_ms, a.time * 1000 + 14 * {DAY_MS} AS to_ms
        FROM event e JOIN event_annotation a ON a.id = e.id
        LEFT JOIN event_source s ON s.event_id = e.id AND s.source_id = (
            SELECT source_id FROM event_source WHERE event_id = e.id ORDER BY url IS NULL, source_id LIMIT 1)
        WHERE a.time <= $__to / 1000 AND coalesce(a.time_end * 1000, {END_OF_TIME}) >= $__from
        AND {chosen("a.country", "country", or_null=True)} AND {chosen("a.platform", "platform", or_null=True)}
        GROUP BY e.id ORDER BY a.time DESC LIMIT {MOST_ROWS}""",
        "date",
        "until",
    )


def daily_rounds() -> Query:
    """Count the rounds of each day by status, from the hourly counts."""
    statuses = ("accessible", "blocked", "throttled", "withheld", "down", "inconclusive")
    counts = ", ".join(f"sum(r.{status}) AS {status}" for status in statuses)
    return sql(
        f"""SELECT r.hour / {DAY_MS} * {DAY_MS} / 1000 AS time, {counts},
        max(CAST(sum(r.expected) AS INTEGER) - sum(r.runs), 0) AS "not measured"
        FROM {COUNTED} WHERE r.hour BETWEEN $__from AND $__to AND {JUDGED} GROUP BY 1 ORDER BY 1""",
        "time",
    )
