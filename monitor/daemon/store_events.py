"""What happens to the store, as lines of the log."""

import logging

from monitor.store.store import StoreEvent

log = logging.getLogger("monitor.store")


def tell(event: StoreEvent) -> None:
    """Log an event; called from whichever thread notices it."""
    level = logging.INFO if event.kind == "recovered" else logging.WARNING
    log.log(level, "store %s", event.kind, extra={"why": event.why, "runs": event.runs})
