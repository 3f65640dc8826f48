"""Tells a change from noise: pure functions over a series of verdicts."""
