"""The tables, as migrations that each run once, in order; docs/tables.md describes every column.

How a routine measurement stays below 400 bytes: whatever repeats from run to run (URLs, networks, run contexts, the
stable part of an observation, endpoints, sentences) is stored once and referred to by a small number, rows are keyed by
time so that new ones fill pages from end to end, and values are numbers rather than text.
"""

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlite_utils import Database, Migrations

from monitor.store.connection import StoreError, connect_writer, create_file, trouble

# PRAGMA application_id: tells our files from other programs' ("accm").
APPLICATION_ID: Final = 0x6163636D
MIGRATIONS: Final = Migrations("monitor")
_BACKUP_PAGES: Final = 1024


def prepare(path: Path, migrations: Migrations = MIGRATIONS) -> None:
    """Bring the file to the newest schema, made if it does not exist; a file with data is copied first.

    Each migration commits together with the record that it ran. Raises StoreError if the file cannot be written, is no
    database of ours, or was written by a newer version.
    """
    try:
        create_file(path)
        db = connect_writer(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StoreError(f"cannot open {path}: {error}") from error
    try:
        _migrate(db, path, migrations)
    except sqlite3.Error as error:
        raise StoreError(f"cannot prepare {path}: {trouble(error) or error}") from error
    finally:
        db.close()


def _migrate(db: sqlite3.Connection, path: Path, migrations: Migrations) -> None:
    database: Any = Database(db)
    known = [migration.name for migration in migrations.pending(database)]
    applied = [migration.name for migration in migrations.applied(database)]
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application_id != APPLICATION_ID:
        raise StoreError(f"{path} is a database of another program; name another file in storage.path")
    newer = set(applied) - _names(migrations)
    if newer:
        raise StoreError(
            f"{path} was written by a newer version of this program (it has {', '.join(sorted(newer))}): "
            "use that version, or name another file in storage.path"
        )
    # Fails here, and not at the first measurement, if the file can only be read or another program holds it.
    # (BEGIN IMMEDIATE alone is content with a file that can only be read.)
    db.execute("BEGIN IMMEDIATE")
    db.execute(f"PRAGMA user_version = {len(applied)}")
    db.execute("ROLLBACK")
    if not known:
        return
    if applied:
        _copy(db, path.with_name(f"{path.name}.before-{known[0]}"))
    else:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    migrations.apply(database)
    db.execute(f"PRAGMA user_version = {len(applied) + len(known)}")


def _names(migrations: Migrations) -> set[str]:
    """Return every migration that this program knows."""
    blank: Any = Database(memory=True)
    try:
        return {migration.name for migration in migrations.pending(blank)}
    finally:
        blank.close()


def _copy(db: sqlite3.Connection, to: Path) -> None:
    to.unlink(missing_ok=True)
    create_file(to)
    copy = sqlite3.connect(to)
    try:
        db.backup(copy, pages=_BACKUP_PAGES)
    finally:
        copy.close()


def _run(database: Any, script: str) -> None:
    """Run each statement by itself: `executescript` would commit the migration's transaction first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            database.execute(statement)
            statement = ""


@MIGRATIONS()
def m0001_record(database: Any) -> None:
    """Create what is measured, concluded and counted."""
    _run(database, _RECORD)
    _run(database, _CONCLUSIONS)
    _run(database, _COUNTS)
    _run(database, _VIEWS)


@MIGRATIONS()
def m0002_events(database: Any) -> None:
    """Create regulatory events, alerts and their deliveries."""
    _run(database, _EVENTS)


@MIGRATIONS()
def m0010_verdict_observations(database: Any) -> None:
    """Name the observations that a verdict rests on."""
    _run(database, _VERDICT_OBSERVATIONS)


@MIGRATIONS()
def m0020_fingerprints(database: Any) -> None:
    """Create the fingerprints that verdicts rested on, and from when each set was in use."""
    _run(database, _FINGERPRINTS)


@MIGRATIONS()
def m0021_platform_status(database: Any) -> None:
    """Create the view of how many targets of a platform stand how at each vantage."""
    _run(database, _PLATFORM_STATUS)


@MIGRATIONS()
def m0030_interchange(database: Any) -> None:
    """Create what verdicts are drawn again from, and where imported history comes from."""
    _run(database, _INTERCHANGE)


@MIGRATIONS()
def m0040_event_marks(database: Any) -> None:
    """Give events what is drawn of them, when their obligations are due, and a mark for what is no longer told."""
    _run(database, _EVENT_MARKS)


@MIGRATIONS()
def m0041_served_from(database: Any) -> None:
    """Create where targets are served from."""
    _run(database, _SERVED_FROM)


@MIGRATIONS()
def m0050_detection(database: Any) -> None:
    """Give incidents networks, numbered updates and dated edges; a member is now a series on one network."""
    _run(database, _DETECTION)
    for column in ("members", "all_members"):
        _run(database, _MEMBERS_ON_NETWORKS.format(column=column))


@MIGRATIONS()
def m0060_outbox(database: Any) -> None:
    """Give alerts a subject, messages what their route wants, each attempt a row, and people a way to mute."""
    _run(database, _OUTBOX)


@MIGRATIONS()
def m0080_services(database: Any) -> None:
    """Create what was spent of services' quotas, and how many probes they have."""
    _run(database, _SERVICES)


@MIGRATIONS()
def m0090_confirmed_incidents(database: Any) -> None:
    """Say when an incident was confirmed, if it was."""
    _run(database, _CONFIRMED_INCIDENTS)


@MIGRATIONS()
def m0100_fleet(database: Any) -> None:
    """Create agents that push, how they are enrolled, what each is to measure, and which results were taken."""
    _run(database, _FLEET)


_RECORD: Final = """
CREATE TABLE platform (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    title TEXT,
    added_at INTEGER,
    removed_at INTEGER
) STRICT;
CREATE TABLE target (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    platform_id INTEGER REFERENCES platform(id),
    url TEXT,
    added_at INTEGER,
    removed_at INTEGER
) STRICT;
-- what a target was, from `since` until the next row; the interval is null from its removal on
CREATE TABLE target_definition (
    target_id INTEGER NOT NULL REFERENCES target(id),
    since INTEGER NOT NULL,
    platform TEXT NOT NULL,
    url TEXT NOT NULL,
    probe TEXT NOT NULL,
    expectation TEXT NOT NULL,
    interval_seconds REAL,
    config_digest TEXT NOT NULL,
    PRIMARY KEY (target_id, since)
) STRICT, WITHOUT ROWID;
CREATE TABLE vantage (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT,
    role TEXT,
    country TEXT,
    claimed_asn INTEGER,
    added_at INTEGER,
    removed_at INTEGER
) STRICT;
CREATE TABLE network (
    id INTEGER PRIMARY KEY,
    asn INTEGER,
    name TEXT,
    country TEXT,
    resolver_asn INTEGER,
    UNIQUE (asn, name, country, resolver_asn)
) STRICT;
CREATE TABLE run_context (
    id INTEGER PRIMARY KEY,
    software TEXT NOT NULL,
    config_digest TEXT NOT NULL,
    ca_digest TEXT NOT NULL,
    hello_profile TEXT NOT NULL,
    clock_source TEXT,
    UNIQUE (software, config_digest, ca_digest, hello_profile, clock_source)
) STRICT;
CREATE TABLE url (id INTEGER PRIMARY KEY, url TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE endpoint (
    id INTEGER PRIMARY KEY,
    address TEXT NOT NULL,
    port INTEGER NOT NULL,
    UNIQUE (address, port)
) STRICT;
CREATE TABLE measurement (
    id INTEGER PRIMARY KEY,
    target_id INTEGER NOT NULL REFERENCES target(id),
    vantage_id INTEGER NOT NULL REFERENCES vantage(id),
    url_id INTEGER NOT NULL REFERENCES url(id),
    started_at INTEGER NOT NULL,
    elapsed_microseconds INTEGER NOT NULL,
    run_context_id INTEGER NOT NULL REFERENCES run_context(id),
    network_id INTEGER NOT NULL REFERENCES network(id),
    clock_offset_microseconds INTEGER,
    is_deep INTEGER NOT NULL,
    is_interrupted INTEGER NOT NULL,
    digest BLOB NOT NULL
) STRICT;
CREATE INDEX measurement_series ON measurement (target_id, vantage_id, started_at);
CREATE INDEX measurement_deep ON measurement (target_id, vantage_id) WHERE is_deep;
-- targets and vantages that have been measured together
CREATE TABLE series (
    target_id INTEGER NOT NULL REFERENCES target(id),
    vantage_id INTEGER NOT NULL REFERENCES vantage(id),
    PRIMARY KEY (target_id, vantage_id)
) STRICT, WITHOUT ROWID;
-- the part of an observation that repeats from run to run, addressed by the SHA-256 of step and text
CREATE TABLE observation_facts (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    step TEXT NOT NULL,
    facts TEXT NOT NULL,
    -- measurements may have used it until then: renewed daily, so that a sweep can tell what is out of use
    used_until INTEGER NOT NULL
) STRICT;
-- id is measurement_id * 1024 + position. No foreign keys to the measurement and the facts: they would cost an index
-- each, more than the row itself; a trigger removes observations with their measurement.
CREATE TABLE observation (
    id INTEGER PRIMARY KEY,
    facts_id INTEGER NOT NULL,
    endpoint_id INTEGER REFERENCES endpoint(id),
    failure TEXT,
    started_microseconds INTEGER NOT NULL,
    elapsed_microseconds INTEGER NOT NULL,
    ttls_seconds TEXT,
    measurement_id INTEGER GENERATED ALWAYS AS (id >> 10) VIRTUAL,
    position INTEGER GENERATED ALWAYS AS (id & 1023) VIRTUAL
) STRICT;
-- what varies of an http observation, under its id; columns here would cost every other observation a byte each
CREATE TABLE http_exchange (
    observation_id INTEGER PRIMARY KEY,
    bytes_sent INTEGER NOT NULL,
    bytes_received INTEGER NOT NULL,
    body_bytes INTEGER NOT NULL,
    body_digest BLOB,
    first_byte_microseconds INTEGER,
    header_values TEXT
) STRICT;
CREATE TABLE evidence (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    bytes INTEGER,
    content BLOB,
    used_at INTEGER NOT NULL,
    is_pinned INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX evidence_ageing ON evidence (used_at) WHERE NOT is_pinned AND content IS NOT NULL;
CREATE INDEX evidence_emptied ON evidence (used_at) WHERE NOT is_pinned AND content IS NULL;
CREATE TABLE observation_evidence (
    observation_id INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    evidence_id INTEGER NOT NULL REFERENCES evidence(id),
    PRIMARY KEY (observation_id, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX observation_evidence_evidence ON observation_evidence (evidence_id);
-- measurements that a verdict other than accessible rests on: they never expire
CREATE TABLE pinned (measurement_id INTEGER PRIMARY KEY REFERENCES measurement(id) ON DELETE CASCADE) STRICT;
CREATE TRIGGER measurement_is_final BEFORE UPDATE ON measurement
BEGIN SELECT RAISE(ABORT, 'a measurement is never changed'); END;
CREATE TRIGGER observation_is_final BEFORE UPDATE ON observation
BEGIN SELECT RAISE(ABORT, 'an observation is never changed'); END;
CREATE TRIGGER http_exchange_is_final BEFORE UPDATE ON http_exchange
BEGIN SELECT RAISE(ABORT, 'an observation is never changed'); END;
CREATE TRIGGER observation_facts_are_final BEFORE UPDATE OF digest, step, facts ON observation_facts
BEGIN SELECT RAISE(ABORT, 'facts are never changed'); END;
CREATE TRIGGER measurement_goes_whole AFTER DELETE ON measurement
BEGIN
    DELETE FROM observation_evidence WHERE observation_id BETWEEN old.id << 10 AND (old.id << 10) + 1023;
    DELETE FROM http_exchange WHERE observation_id BETWEEN old.id << 10 AND (old.id << 10) + 1023;
    DELETE FROM observation WHERE id BETWEEN old.id << 10 AND (old.id << 10) + 1023;
END;
-- rounds of sanity checks; the observations of one that changed nothing are not kept
CREATE TABLE vantage_check (
    id INTEGER PRIMARY KEY,
    vantage_id INTEGER NOT NULL REFERENCES vantage(id),
    started_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    network_id INTEGER NOT NULL REFERENCES network(id),
    notes TEXT,
    observations TEXT
) STRICT;
CREATE INDEX vantage_check_vantage ON vantage_check (vantage_id, started_at);
"""

_CONCLUSIONS: Final = """
-- what was concluded, stored once for all the verdicts that say the same
CREATE TABLE conclusion (
    id INTEGER PRIMARY KEY,
    status TEXT NOT NULL,
    confidence TEXT,
    layer TEXT,
    mechanisms TEXT NOT NULL,
    reason TEXT,
    rule TEXT NOT NULL,
    because TEXT NOT NULL,
    vantage_state_before TEXT,
    vantage_state_after TEXT,
    UNIQUE (rule, because, status, confidence, layer, mechanisms, reason, vantage_state_before, vantage_state_after)
) STRICT;
CREATE TABLE verdict (
    measurement_id INTEGER NOT NULL REFERENCES measurement(id) ON DELETE CASCADE,
    rules_version INTEGER NOT NULL,
    drawn_at INTEGER NOT NULL,
    conclusion_id INTEGER NOT NULL REFERENCES conclusion(id),
    control_ids TEXT,
    isolation_id INTEGER,
    PRIMARY KEY (measurement_id, rules_version, drawn_at)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER verdict_is_final BEFORE UPDATE ON verdict
BEGIN SELECT RAISE(ABORT, 'a verdict is never changed: draw another'); END;
CREATE TRIGGER verdict_stays BEFORE DELETE ON verdict
WHEN EXISTS (SELECT 1 FROM measurement WHERE id = old.measurement_id)
BEGIN SELECT RAISE(ABORT, 'a verdict goes only with its measurement'); END;
CREATE TRIGGER conclusion_is_final BEFORE UPDATE ON conclusion
BEGIN SELECT RAISE(ABORT, 'a conclusion is never changed'); END;
-- each change of status of a series, so that "since when" needs no walk through its measurements
CREATE TABLE status_run (
    target_id INTEGER NOT NULL REFERENCES target(id),
    vantage_id INTEGER NOT NULL REFERENCES vantage(id),
    started_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (target_id, vantage_id, started_at)
) STRICT, WITHOUT ROWID;
-- the detector's state as of the last round, for each network (asn, 0 if unknown) that a vantage was on
CREATE TABLE detector (
    target_id INTEGER NOT NULL REFERENCES target(id),
    vantage_id INTEGER NOT NULL REFERENCES vantage(id),
    asn INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    score REAL NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (target_id, vantage_id, asn)
) STRICT, WITHOUT ROWID;
CREATE TABLE transition (
    id INTEGER PRIMARY KEY,
    target_id INTEGER NOT NULL REFERENCES target(id),
    vantage_id INTEGER NOT NULL REFERENCES vantage(id),
    network_id INTEGER NOT NULL REFERENCES network(id),
    measurement_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    status TEXT NOT NULL,
    score REAL NOT NULL,
    last_before_at INTEGER,
    first_after_at INTEGER,
    -- of the verdict that confirmed it
    rules_version INTEGER
) STRICT;
CREATE INDEX transition_target ON transition (target_id, at);
CREATE TABLE incident (
    id TEXT PRIMARY KEY,
    platform TEXT NOT NULL,
    country TEXT NOT NULL,
    status TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    started_after INTEGER,
    started_before INTEGER NOT NULL,
    closed_at INTEGER,
    mechanisms TEXT NOT NULL,
    members TEXT NOT NULL,
    all_members TEXT NOT NULL
) STRICT;
CREATE INDEX incident_opened ON incident (opened_at);
-- addresses that proved over TLS to serve a name of the target
CREATE TABLE known_address (
    target_id INTEGER NOT NULL REFERENCES target(id),
    host TEXT NOT NULL,
    address TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (target_id, host, address)
) STRICT, WITHOUT ROWID;
"""

_COUNTS: Final = """
CREATE TABLE rollup_hour (
    target_id INTEGER NOT NULL REFERENCES target(id),
    vantage_id INTEGER NOT NULL REFERENCES vantage(id),
    hour INTEGER NOT NULL,
    expected REAL NOT NULL,
    runs INTEGER NOT NULL,
    kept INTEGER NOT NULL,
    accessible INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    throttled INTEGER NOT NULL,
    withheld INTEGER NOT NULL,
    down INTEGER NOT NULL,
    inconclusive INTEGER NOT NULL,
    elapsed_microseconds_sum INTEGER NOT NULL,
    elapsed_microseconds_min INTEGER,
    elapsed_microseconds_max INTEGER,
    PRIMARY KEY (target_id, vantage_id, hour)
) STRICT, WITHOUT ROWID;
-- hours to be counted again
CREATE TABLE rollup_dirty (
    hour INTEGER NOT NULL,
    target_id INTEGER NOT NULL,
    vantage_id INTEGER NOT NULL,
    PRIMARY KEY (hour, target_id, vantage_id)
) STRICT, WITHOUT ROWID;
-- runs that could not be written: the database was unusable for longer than the spool lasts
CREATE TABLE gap (
    id INTEGER PRIMARY KEY,
    from_at INTEGER NOT NULL,
    to_at INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    why TEXT NOT NULL
) STRICT;
"""

_VIEWS: Final = """
CREATE VIEW verdict_detail AS
SELECT v.measurement_id, v.rules_version, v.drawn_at, c.status, c.confidence, c.layer, c.mechanisms, c.reason, c.rule,
    c.because, c.vantage_state_before, c.vantage_state_after, v.control_ids, v.isolation_id
FROM verdict v JOIN conclusion c ON c.id = v.conclusion_id;
CREATE VIEW measurement_detail AS
SELECT m.id, t.name AS target, p.name AS platform, g.name AS vantage, u.url, m.started_at,
    m.elapsed_microseconds / 1e6 AS elapsed_seconds, n.asn, n.name AS network, n.country, m.is_deep, m.is_interrupted,
    c.status, c.confidence, c.layer, c.mechanisms, c.reason, c.rule, c.because,
    x.software, x.config_digest, x.ca_digest, x.hello_profile, lower(hex(m.digest)) AS digest
FROM measurement m
JOIN target t ON t.id = m.target_id
JOIN vantage g ON g.id = m.vantage_id
JOIN url u ON u.id = m.url_id
JOIN network n ON n.id = m.network_id
JOIN run_context x ON x.id = m.run_context_id
LEFT JOIN platform p ON p.id = t.platform_id
LEFT JOIN conclusion c ON c.id = (
    SELECT conclusion_id FROM verdict WHERE measurement_id = m.id ORDER BY drawn_at DESC, rules_version DESC LIMIT 1);
CREATE VIEW observation_detail AS
SELECT m.id AS measurement_id, o.position, t.name AS target, g.name AS vantage, m.started_at, f.step,
    json_extract(f.facts, '$.purpose') AS purpose, json_extract(f.facts, '$.hop') AS hop, e.address, e.port, o.failure,
    o.started_microseconds / 1e6 AS started_seconds, o.elapsed_microseconds / 1e6 AS elapsed_seconds, o.ttls_seconds,
    h.bytes_sent, h.bytes_received, h.body_bytes, lower(hex(h.body_digest)) AS body_digest,
    h.first_byte_microseconds / 1e6 AS first_byte_seconds, f.facts
FROM measurement m
JOIN target t ON t.id = m.target_id
JOIN vantage g ON g.id = m.vantage_id
JOIN observation o ON o.id BETWEEN m.id << 10 AND (m.id << 10) + 1023
JOIN observation_facts f ON f.id = o.facts_id
LEFT JOIN endpoint e ON e.id = o.endpoint_id
LEFT JOIN http_exchange h ON h.observation_id = o.id;
"""

_EVENTS: Final = """
CREATE TABLE event (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    status TEXT,
    title TEXT NOT NULL,
    text TEXT NOT NULL DEFAULT '',
    country TEXT,
    platform TEXT,
    starts_at INTEGER NOT NULL,
    ends_at INTEGER,
    record TEXT NOT NULL,
    loaded_at INTEGER NOT NULL
) STRICT;
CREATE TABLE event_date (
    event_id TEXT NOT NULL REFERENCES event(id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    phase TEXT NOT NULL,
    earliest INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    precision TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    PRIMARY KEY (event_id, ordinal)
) STRICT, WITHOUT ROWID;
CREATE TABLE event_source (
    event_id TEXT NOT NULL REFERENCES event(id) ON DELETE CASCADE,
    source_id TEXT NOT NULL,
    publisher TEXT,
    title TEXT,
    url TEXT,
    kind TEXT,
    language TEXT,
    published TEXT,
    accessed TEXT,
    quote TEXT,
    PRIMARY KEY (event_id, source_id)
) STRICT, WITHOUT ROWID;
-- epoch seconds, and null for an open end, as Grafana's SQLite data source wants them
CREATE VIEW event_annotation AS
SELECT id, kind, country, platform, starts_at / 1000 AS time, ends_at / 1000 AS time_end, title, text,
    rtrim(kind || ',' || coalesce(country || ',', '') || coalesce(platform, ''), ',') AS tags
FROM event;
CREATE TABLE alert (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    incident_id TEXT REFERENCES incident(id),
    transition_id INTEGER REFERENCES transition(id),
    created_at INTEGER NOT NULL,
    payload TEXT NOT NULL
) STRICT;
CREATE TABLE delivery (
    id INTEGER PRIMARY KEY,
    alert_id INTEGER NOT NULL REFERENCES alert(id),
    channel TEXT NOT NULL,
    idempotency_key TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL DEFAULT 'pending',
    due_at INTEGER NOT NULL,
    claimed_until INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    sent_at INTEGER,
    last_outcome TEXT
) STRICT;
CREATE INDEX delivery_due ON delivery (due_at) WHERE state = 'pending';
"""

_DETECTION: Final = """
ALTER TABLE transition ADD COLUMN incident_id TEXT REFERENCES incident(id);
-- of the detector, as JSON
ALTER TABLE transition ADD COLUMN parameters TEXT;
CREATE INDEX transition_at ON transition (at);
ALTER TABLE incident ADD COLUMN networks TEXT NOT NULL DEFAULT '[]';
ALTER TABLE incident ADD COLUMN measured_networks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE incident ADD COLUMN quorum_at INTEGER;
ALTER TABLE incident ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
CREATE TABLE incident_update (
    incident_id TEXT NOT NULL REFERENCES incident(id),
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    target TEXT,
    vantage TEXT,
    asn INTEGER,
    network TEXT,
    status TEXT,
    mechanisms TEXT NOT NULL,
    measurement_id INTEGER,
    PRIMARY KEY (incident_id, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_update_at ON incident_update (at);
-- when a confirmed change happened; computed several times, and only the last is final
CREATE TABLE onset (
    transition_id INTEGER NOT NULL REFERENCES transition(id),
    computed_at INTEGER NOT NULL,
    edge TEXT NOT NULL,
    dating TEXT NOT NULL,
    earliest INTEGER,
    median INTEGER,
    latest INTEGER,
    log_support REAL NOT NULL,
    rounds INTEGER NOT NULL,
    window_start INTEGER NOT NULL,
    window_end INTEGER NOT NULL,
    is_final INTEGER NOT NULL,
    PRIMARY KEY (transition_id, computed_at)
) STRICT, WITHOUT ROWID;
-- measurements that somebody asked for once: no rounds of the series, and the detector heard nothing of them
CREATE TABLE aside (measurement_id INTEGER PRIMARY KEY REFERENCES measurement(id) ON DELETE CASCADE) STRICT;
-- no vantage of a country had a line, on several networks, while others were heard
CREATE TABLE silence (
    country TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    vantages TEXT NOT NULL,
    networks TEXT NOT NULL,
    PRIMARY KEY (country, started_at)
) STRICT, WITHOUT ROWID;
"""

_OUTBOX: Final = """
ALTER TABLE alert ADD COLUMN subject TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX alert_name ON alert (subject, kind, sequence);
CREATE INDEX alert_created ON alert (created_at);
ALTER TABLE delivery ADD COLUMN route TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN language TEXT NOT NULL DEFAULT 'en';
ALTER TABLE delivery ADD COLUMN form TEXT NOT NULL DEFAULT 'long';
ALTER TABLE delivery ADD COLUMN delay_seconds REAL NOT NULL DEFAULT 0;
-- the message that it is sent with: what was sent together once is sent together again, under the same key
ALTER TABLE delivery ADD COLUMN parcel INTEGER;
CREATE INDEX delivery_alert ON delivery (alert_id);
CREATE INDEX delivery_waiting ON delivery (channel, alert_id) WHERE state = 'pending';
CREATE INDEX delivery_dead ON delivery (channel) WHERE state = 'dead';
CREATE INDEX delivery_sent ON delivery (channel, sent_at) WHERE sent_at IS NOT NULL;
CREATE TABLE delivery_attempt (
    parcel INTEGER NOT NULL REFERENCES delivery(id),
    number INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    elapsed_microseconds INTEGER NOT NULL,
    result TEXT NOT NULL,
    code INTEGER,
    detail TEXT NOT NULL,
    PRIMARY KEY (parcel, number)
) STRICT, WITHOUT ROWID;
-- what a person asked to be silent about; lists are JSON, and an empty one means any
CREATE TABLE mute (
    id INTEGER PRIMARY KEY,
    author TEXT NOT NULL,
    why TEXT NOT NULL,
    from_at INTEGER NOT NULL,
    until INTEGER NOT NULL,
    platforms TEXT NOT NULL,
    countries TEXT NOT NULL,
    vantages TEXT NOT NULL,
    channels TEXT NOT NULL,
    subjects TEXT NOT NULL
) STRICT;
"""

# Members become series on one network: that of their latest transition inside the incident; 0 if it is not known.
_MEMBERS_ON_NETWORKS: Final = """
UPDATE incident SET {column} = (
    SELECT json_group_array(json_array(json_extract(value, '$[0]'), json_extract(value, '$[1]'), coalesce((
        SELECT n.asn FROM transition x JOIN target t ON t.id = x.target_id JOIN vantage g ON g.id = x.vantage_id
        JOIN network n ON n.id = x.network_id
        WHERE t.name = json_extract(value, '$[0]') AND g.name = json_extract(value, '$[1]')
        AND x.after = 'not_accessible' AND x.at BETWEEN incident.opened_at AND coalesce(incident.closed_at, x.at)
        ORDER BY x.at DESC LIMIT 1), 0)))
    FROM json_each(incident.{column}));
"""

_FINGERPRINTS: Final = """
-- content is the rows as JSON, compressed with zlib; the digest is of the JSON
CREATE TABLE fingerprint_set (
    digest TEXT PRIMARY KEY,
    sources TEXT NOT NULL,
    rows INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;
-- which set verdicts drawn from `since` on rest on, until the next row
CREATE TABLE fingerprint_use (
    since INTEGER PRIMARY KEY,
    digest TEXT NOT NULL REFERENCES fingerprint_set(digest)
) STRICT;
CREATE TRIGGER fingerprint_set_is_final BEFORE UPDATE ON fingerprint_set
BEGIN SELECT RAISE(ABORT, 'a set of fingerprints is never changed'); END;
"""

_PLATFORM_STATUS: Final = """
-- by the last measurement of each series that was judged, of targets and vantages still configured
CREATE VIEW platform_status AS
SELECT p.name AS platform, g.name AS vantage, coalesce(g.country, n.country) AS country, n.asn, n.name AS network,
    count(*) AS targets, sum(c.status = 'accessible') AS accessible, sum(c.status = 'blocked') AS blocked,
    sum(c.status = 'throttled') AS throttled, sum(c.status = 'withheld') AS withheld, sum(c.status = 'down') AS down,
    sum(c.status = 'inconclusive') AS inconclusive, min(m.started_at) AS oldest_at, max(m.started_at) AS newest_at
FROM series s
JOIN target t ON t.id = s.target_id AND t.removed_at IS NULL
JOIN platform p ON p.id = t.platform_id
JOIN vantage g ON g.id = s.vantage_id AND g.removed_at IS NULL AND g.role = 'test'
JOIN measurement m ON m.id = (
    SELECT id FROM measurement WHERE target_id = s.target_id AND vantage_id = s.vantage_id
    ORDER BY started_at DESC, id DESC LIMIT 1)
JOIN network n ON n.id = m.network_id
JOIN conclusion c ON c.id = (
    SELECT conclusion_id FROM verdict WHERE measurement_id = m.id ORDER BY drawn_at DESC, rules_version DESC LIMIT 1)
WHERE p.removed_at IS NULL AND p.name <> 'control-sites'
GROUP BY p.id, g.id, n.asn;
"""

_INTERCHANGE: Final = """
-- what verdicts rest on beside measurements, states and bodies, addressed by the SHA-256 of the text; used_until as in
-- observation_facts
CREATE TABLE circumstances (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    content TEXT NOT NULL,
    used_until INTEGER NOT NULL
) STRICT;
-- no foreign key: it would cost an index
ALTER TABLE verdict ADD COLUMN circumstances_id INTEGER;
CREATE TRIGGER circumstances_are_final BEFORE UPDATE OF digest, content ON circumstances
BEGIN SELECT RAISE(ABORT, 'circumstances are never changed'); END;
DROP VIEW verdict_detail;
CREATE VIEW verdict_detail AS
SELECT v.measurement_id, v.rules_version, v.drawn_at, c.status, c.confidence, c.layer, c.mechanisms, c.reason, c.rule,
    c.because, c.vantage_state_before, c.vantage_state_after, v.control_ids, v.isolation_id, v.observations,
    v.isolation_observations, k.content AS circumstances
FROM verdict v JOIN conclusion c ON c.id = v.conclusion_id LEFT JOIN circumstances k ON k.id = v.circumstances_id;
-- measurements that somebody else made; label is what that source said of them
CREATE TABLE imported (
    measurement_id INTEGER PRIMARY KEY REFERENCES measurement(id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    uid TEXT,
    report TEXT,
    label TEXT,
    imported_at INTEGER NOT NULL
) STRICT;
-- each name that the source knows one by, as SHA-256, so that none is taken in twice
CREATE TABLE imported_key (
    digest BLOB PRIMARY KEY,
    measurement_id INTEGER NOT NULL REFERENCES measurement(id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX imported_key_measurement ON imported_key (measurement_id);
-- OONI's own counts a day; never a verdict of ours. asn 0: all networks or unknown
CREATE TABLE ooni_aggregation (
    day INTEGER NOT NULL,
    country TEXT NOT NULL,
    asn INTEGER NOT NULL,
    domain TEXT NOT NULL,
    test TEXT NOT NULL,
    measurements INTEGER NOT NULL,
    ok INTEGER NOT NULL,
    anomaly INTEGER NOT NULL,
    confirmed INTEGER NOT NULL,
    failure INTEGER NOT NULL,
    fetched_at INTEGER NOT NULL,
    PRIMARY KEY (domain, country, test, asn, day)
) STRICT, WITHOUT ROWID;
-- days that were asked for whole, those without any measurement included
CREATE TABLE ooni_aggregation_day (
    domain TEXT NOT NULL,
    country TEXT NOT NULL,
    test TEXT NOT NULL,
    day INTEGER NOT NULL,
    fetched_at INTEGER NOT NULL,
    PRIMARY KEY (domain, country, test, day)
) STRICT, WITHOUT ROWID;
"""

_VERDICT_OBSERVATIONS: Final = """
-- JSON arrays of positions: in the measurement itself, and in the one that isolation_id names
ALTER TABLE verdict ADD COLUMN observations TEXT;
ALTER TABLE verdict ADD COLUMN isolation_observations TEXT;
DROP VIEW verdict_detail;
CREATE VIEW verdict_detail AS
SELECT v.measurement_id, v.rules_version, v.drawn_at, c.status, c.confidence, c.layer, c.mechanisms, c.reason, c.rule,
    c.because, c.vantage_state_before, c.vantage_state_after, v.control_ids, v.isolation_id, v.observations,
    v.isolation_observations
FROM verdict v JOIN conclusion c ON c.id = v.conclusion_id;
"""

_EVENT_MARKS: Final = """
ALTER TABLE event ADD COLUMN confidence TEXT;
ALTER TABLE event ADD COLUMN origin TEXT;
-- no file or built-in set that is in use tells of it any more
ALTER TABLE event ADD COLUMN removed_at INTEGER;
ALTER TABLE event_date ADD COLUMN edge TEXT;
ALTER TABLE event_date ADD COLUMN sources TEXT;
CREATE TABLE event_mark (
    event_id TEXT NOT NULL REFERENCES event(id) ON DELETE CASCADE,
    mark TEXT NOT NULL,
    country TEXT NOT NULL,
    platform TEXT NOT NULL,
    kind TEXT NOT NULL,
    starts_at INTEGER NOT NULL,
    ends_at INTEGER,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    tags TEXT NOT NULL,
    PRIMARY KEY (event_id, mark, country, platform)
) STRICT, WITHOUT ROWID;
CREATE TABLE event_deadline (
    event_id TEXT NOT NULL REFERENCES event(id) ON DELETE CASCADE,
    obligation TEXT NOT NULL,
    what TEXT NOT NULL,
    earliest INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    base TEXT NOT NULL,
    is_disputed INTEGER NOT NULL,
    why_moot TEXT,
    PRIMARY KEY (event_id, obligation)
) STRICT, WITHOUT ROWID;
DROP VIEW event_annotation;
-- epoch seconds, and null for an open end, as Grafana's SQLite data source wants them; one row for each country and
-- platform of a mark, under the same id, which Grafana draws once
CREATE VIEW event_annotation AS
SELECT m.mark AS id, m.kind, nullif(m.country, '') AS country, nullif(m.platform, '') AS platform,
    m.starts_at / 1000 AS time, m.ends_at / 1000 AS time_end, m.title, m.text, m.tags
FROM event_mark m JOIN event e ON e.id = m.event_id
WHERE e.removed_at IS NULL;
"""

_CONFIRMED_INCIDENTS: Final = """
-- when an artefact first settled it; null: all of it is only likely
ALTER TABLE incident ADD COLUMN confirmed_at INTEGER;
UPDATE incident SET confirmed_at = (
    SELECT min(u.at) FROM incident_update u JOIN verdict_detail v ON v.measurement_id = u.measurement_id
    WHERE u.incident_id = incident.id AND v.confidence = 'confirmed'
);
"""

_SERVED_FROM: Final = """
-- where the servers stood that proved to be the target's own, for each day (milliseconds at 00:00 UTC)
CREATE TABLE served_from (
    target_id INTEGER NOT NULL REFERENCES target(id),
    vantage_id INTEGER NOT NULL REFERENCES vantage(id),
    day INTEGER NOT NULL,
    country TEXT NOT NULL,
    asn INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (target_id, vantage_id, day, country, asn)
) STRICT, WITHOUT ROWID;
"""

_SERVICES: Final = """
-- what a vantage spent of a service's quota in each minute (milliseconds at its start)
CREATE TABLE service_spending (
    vantage_id INTEGER NOT NULL REFERENCES vantage(id),
    minute INTEGER NOT NULL,
    units INTEGER NOT NULL,
    PRIMARY KEY (vantage_id, minute)
) STRICT, WITHOUT ROWID;
-- how many probes a service listed in each network; asn 0: unknown, or none at all
CREATE TABLE probe_count (
    vantage_id INTEGER NOT NULL REFERENCES vantage(id),
    at INTEGER NOT NULL,
    country TEXT NOT NULL,
    asn INTEGER NOT NULL,
    probes INTEGER NOT NULL,
    PRIMARY KEY (vantage_id, at, country, asn)
) STRICT, WITHOUT ROWID;
"""

_FLEET: Final = """
-- secrets are stored as SHA-256; a token is good for one agent
CREATE TABLE agent_token (
    id TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    vantage TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE TABLE agent (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    vantage TEXT NOT NULL,
    token_id TEXT NOT NULL REFERENCES agent_token(id),
    public_key BLOB NOT NULL,
    enrolled_at INTEGER NOT NULL,
    consent_version INTEGER NOT NULL,
    consent_at INTEGER,
    revoked_at INTEGER,
    revoked_why TEXT,
    last_seen_at INTEGER,
    software TEXT NOT NULL,
    features TEXT NOT NULL DEFAULT '[]',
    config_version INTEGER NOT NULL DEFAULT 0,
    quiet TEXT,
    spool_rows INTEGER NOT NULL DEFAULT 0,
    spool_bytes INTEGER NOT NULL DEFAULT 0,
    dropped_count INTEGER NOT NULL DEFAULT 0,
    vetoed TEXT NOT NULL DEFAULT '[]',
    clock_offset_milliseconds INTEGER
) STRICT;
CREATE INDEX agent_vantage ON agent (vantage) WHERE revoked_at IS NULL;
-- the version of what a vantage is to measure; it only rises
CREATE TABLE agent_instructions (
    vantage TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE agent_boot (
    id INTEGER PRIMARY KEY,
    agent_id INTEGER NOT NULL REFERENCES agent(id),
    boot TEXT NOT NULL,
    UNIQUE (agent_id, boot)
) STRICT;
-- which results were taken: (agent, boot, sequence) names one for ever, and none is taken twice
CREATE TABLE agent_result (
    boot_id INTEGER NOT NULL REFERENCES agent_boot(id),
    sequence INTEGER NOT NULL,
    measurement_id INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    told_at INTEGER NOT NULL,
    clock TEXT,
    is_late INTEGER NOT NULL,
    PRIMARY KEY (boot_id, sequence)
) STRICT, WITHOUT ROWID;
"""
