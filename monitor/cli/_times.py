"""Instants as people type them."""

from datetime import UTC, datetime

import click


class Instant(click.ParamType[datetime]):
    """An ISO 8601 date or date and time; without a zone it is UTC."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the instant in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no date or time such as 2024-02-17 or 2024-02-17T17:00Z", param, ctx)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


INSTANT = Instant()
