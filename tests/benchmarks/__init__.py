"""What a measurement costs, beside blackbox_exporter doing the same: `make bench`.

Numbers for people and for the docs. Nothing here is a test: no bar is enforced by a clock.
"""
