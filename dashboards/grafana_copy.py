"""Copy what the dashboards read into a small database of its own, for Grafana's SQLite data source.

`python3 -m dashboards.grafana_copy DATABASE COPY`, every few minutes, while the daemon runs or not. Needs nothing but
Python's standard library.

The daemon's own file is no good for it: it is in write-ahead mode, which a reader can open only with write access to
its folder, and whoever may write queries in Grafana would read all the evidence. The copy has neither, everybody may
read it, and it is replaced as a whole, so that no reader ever meets half of it.
"""

import argparse
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

DAY_SECONDS: Final = 86_400
DAYS_OF_COUNTS: Final = 1100
TABLES: Final = (
    "platform",
    "target",
    "vantage",
    "network",
    "series",
    "detector",
    "transition",
    "incident",
    "event",
    "event_date",
    "event_source",
    "event_mark",
    "rollup_hour",
)
VIEWS: Final = ("event_annotation",)


def copy(source: Path, to: Path, since: int) -> None:
    """Copy the tables as they are at one moment, hourly counts from `since` (milliseconds) on.

    Raises OSError or sqlite3.Error; `to` is then as it was.
    """
    handle, name = tempfile.mkstemp(dir=to.parent, prefix=f".{to.name}.")
    os.close(handle)
    try:
        with closing(sqlite3.connect(Path(name).as_uri(), uri=True, isolation_level=None)) as db:
            db.execute("ATTACH ? AS live", (f"{source.absolute().as_uri()}?mode=ro",))
            db.execute("BEGIN")
            for table in TABLES:
                db.execute(_statement(db, table))
                kept = f"WHERE hour >= {since}" if table == "rollup_hour" else ""
                db.execute(f"INSERT INTO main.{table} SELECT * FROM live.{table} {kept}")
            for view in VIEWS:
                db.execute(_statement(db, view))
            db.execute("COMMIT")
        Path(name).chmod(0o644)
        Path(name).replace(to)
    except BaseException:
        Path(name).unlink()
        raise


def _statement(db: sqlite3.Connection, name: str) -> str:
    """Return the statement that made a table or view."""
    row = db.execute("SELECT sql FROM live.sqlite_schema WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise sqlite3.OperationalError(f"it has no {name}; is it the monitor's, and of this version?")
    return str(row[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0, or 2 with one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python3 -m dashboards.grafana_copy", description=__doc__.partition("\n")[0])
    parser.add_argument("database", type=Path, help="the monitor's database, storage.path in probes.yaml")
    parser.add_argument("copy", type=Path, help="the file for Grafana; replaced as a whole")
    parser.add_argument(
        "--days", type=int, default=DAYS_OF_COUNTS, help="how far back hourly counts go (default: %(default)s)"
    )
    chosen = parser.parse_args(arguments)
    since = int(time.time() - chosen.days * DAY_SECONDS) * 1000  # noqa: TID251 - a tool of its own, without a Clock
    try:
        copy(chosen.database, chosen.copy, since)
    except (OSError, sqlite3.Error) as error:
        print(f"cannot copy {chosen.database} to {chosen.copy}: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
