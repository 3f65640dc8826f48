"""Frozen values and enums shared by every package; imports nothing else of this project."""
