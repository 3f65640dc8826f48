"""A history of X in Pakistan from January 2024 to June 2025, simulated around the dates on record; not measured."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

HOUR = 3_600_000
EVENT = "pk-x-block-2024"
ONSET = datetime(2024, 2, 17, 16, tzinfo=UTC)
END = datetime(2025, 5, 7, 9, tzinfo=UTC)


def ms(day: str) -> str:
    return f"{seconds(day)}000"


def seconds(day: str) -> int:
    return int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp())


BEGINNING, FROM, TO = ms("2008-01-01"), ms("2024-01-01"), ms("2025-06-30")


def with_a_deadline_ahead(folder: Path) -> Path:
    """Write an event of yesterday under which something falls due within a week."""
    yesterday = datetime.now(UTC) - timedelta(days=1)  # noqa: TID251 - the daemon goes by the clock of the machine
    path = folder / "lab-rules.yaml"
    source = {"id": "gazette", "publisher": "The laboratory", "kind": "press", "title": "Rules"}
    source["url"] = "https://gazette.example/rules"
    record = {
        "id": "lab-rules",
        "kind": "rules",
        "title": "Rules for the laboratory, invented",
        "countries": ["PK"],
        "platforms": ["x"],
        "tz": "UTC",
        "dates": [{"phase": "notified", "on": f"{yesterday:%Y-%m-%d}", "sources": ["gazette"]}],
        "obligations": [
            {"id": "office", "what": "open an office", "after": "P5D", "phases": ["notified"], "sources": ["gazette"]}
        ],
        "sources": [source],
    }
    path.write_text(yaml.safe_dump(record))
    return path


def simulate(db: sqlite3.Connection) -> None:
    """Put the history beside what is in a database."""
    onset, end = (int(at.timestamp()) * 1000 for at in (ONSET, END))
    with db:
        db.execute("BEGIN")
        db.execute("INSERT INTO platform (id, name, title) VALUES (100, 'x', 'X')")
        db.execute("INSERT INTO target (id, name, platform_id) VALUES (100, 'x-home', 100)")
        db.executemany(
            "INSERT INTO vantage (id, name, kind, role, country) VALUES (?, ?, 'direct', 'test', 'PK')",
            [(100, "karachi"), (101, "lahore")],
        )
        db.execute("INSERT INTO network (id, asn, name, country) VALUES (100, 17557, 'PTCL', 'PK')")
        for vantage, since in ((100, int(FROM)), (101, int(ms("2024-04-01")))):
            db.executemany(
                "INSERT INTO rollup_hour VALUES (100, ?, ?, 12, 12, 12, ?, ?, 0, 0, 0, 0, 0, NULL, NULL)",
                [
                    (vantage, hour, 0 if onset <= hour < end else 12, 12 if onset <= hour < end else 0)
                    for hour in range(since, int(TO), HOUR)
                ],
            )
            db.execute("INSERT INTO series VALUES (100, ?)", (vantage,))
            db.execute(
                "INSERT INTO detector VALUES (100, ?, 17557, ?, 'accessible', 0, '{}')",
                (vantage, int(TO)),
            )
        db.execute(
            "INSERT INTO transition (target_id, vantage_id, network_id, measurement_id, at, before, after, status,"
            " score, last_before_at, first_after_at, rules_version)"
            " VALUES (100, 100, 100, 1, ?, 'accessible', 'not_accessible', 'blocked', 9, ?, ?, 1)",
            (onset + 600_000, onset - 300_000, onset),
        )
        db.execute(
            "INSERT INTO incident (id, platform, country, status, opened_at, started_after, started_before, closed_at,"
            " mechanisms, members, all_members) VALUES ('x-pk-20240217', 'x', 'PK', 'blocked', ?, ?, ?, ?,"
            """ '["tls.reset.sni"]', '[]', '[["x-home", "karachi"], ["x-home", "lahore"]]')""",
            (onset + 600_000, onset - 300_000, onset, end),
        )
