"""Records runs as fast as it can and prints the id of each once it is acknowledged; made to be killed."""

import sys
from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.store.store import Store
from tests.store.samples import BLOCKED, NOW, FixedClock, outcome

if TYPE_CHECKING:
    from concurrent.futures import Future


def main(path: Path, first_id: int) -> None:
    store = Store.open(path, FixedClock(), spool_rows=1000)
    waiting: deque[tuple[int, Future[bool]]] = deque()
    for measurement_id in range(first_id, first_id + 1_000_000):
        at = NOW + timedelta(seconds=measurement_id)
        run = outcome(measurement_id, at, target=f"t{measurement_id % 7}", verdict=BLOCKED, body=b"%d" % measurement_id)
        waiting.append((measurement_id, store.record(run)))
        # Never more than the spool holds; the oldest is acknowledged first.
        while len(waiting) > 500 or (waiting and waiting[0][1].done()):
            done_id, done = waiting.popleft()
            if done.result():
                sys.stdout.write(f"{done_id}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
