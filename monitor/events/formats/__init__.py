"""Events in the formats of other programs; the same events always give the same bytes."""
