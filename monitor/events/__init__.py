"""Regulatory events: the record, what follows from it, and the files it is read from (docs/events.md)."""
