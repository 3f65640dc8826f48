"""Draws verdicts from stored facts: pure, total, by rules that are rows."""
