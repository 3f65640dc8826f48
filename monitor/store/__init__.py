"""The record: SQLite tables, the one writer, the readers, retention and rollups (docs/tables.md)."""
