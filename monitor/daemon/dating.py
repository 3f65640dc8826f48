"""Says when confirmed changes happened: at the alarm, and again as later rounds narrow the interval.

Works from what is stored, so a restart forgets nothing and an interval can be computed again from the same rounds.
"""

import asyncio
import logging
import sqlite3
from datetime import timedelta
from typing import Final

from monitor.detect.onset import date, is_due, window
from monitor.model.seams import Clock
from monitor.store.reader import Reader
from monitor.store.store import Store

log = logging.getLogger("monitor.dating")

PAUSE_SECONDS: Final = 60.0
# A change of a daemon that was down since then is dated late, once, and finally.
CAUGHT_UP: Final = timedelta(days=30)


class Dater:
    """Dates every confirmed change of the record when it is due."""

    def __init__(self, reader: Reader, store: Store, clock: Clock) -> None:
        self._reader = reader
        self._store = store
        self._clock = clock
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look now: a change was stored."""
        self._wake.set()

    async def run(self) -> None:
        """Date what is due, for ever; reading happens in a thread."""
        while True:
            try:
                await asyncio.to_thread(self.date_due)
            except sqlite3.Error as error:
                log.warning("changes could not be dated", extra={"why": str(error)})
            try:
                await asyncio.wait_for(self._wake.wait(), PAUSE_SECONDS)
            except TimeoutError:
                continue
            self._wake.clear()

    def date_due(self) -> None:
        """Date every change for which an interval is due, and hand the intervals to the store."""
        now = self._clock.now()
        for change in self._reader.changes_to_date(now - CAUGHT_UP):
            if not is_due(change.at, change.dated_at, now):
                continue
            start, end = window(change.at, change.previous_at, now)
            rounds = self._reader.kept_rounds(*change.member, start, end)
            onset = date(rounds, change.edge, change.at, change.previous_at, now)
            self._store.record_onset(change.transition_id, onset)
            log.info(
                "a change was dated",
                extra={"target": change.member.target, "vantage": change.member.vantage, "edge": onset.edge.value},
            )
