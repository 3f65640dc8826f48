"""The HTTP side of the daemon: page, metrics, health, API and /probe."""
