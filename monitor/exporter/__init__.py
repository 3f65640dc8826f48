"""Every Prometheus metric of the daemon, declared in one table (docs/metrics.md)."""
