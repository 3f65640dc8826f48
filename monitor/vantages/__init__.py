"""Vantages: one module per kind, named by the word in probes.yaml, each with `build(name, config, parts)`."""

from typing import cast

from monitor.config.schema import VantageConfig
from monitor.model.plugin import load
from monitor.model.seams import Vantage
from monitor.vantages._parts import Parts


def build(name: str, config: VantageConfig, parts: Parts) -> Vantage:
    """Build the vantage `name` of the kind that its configuration names; raises UnknownKindError."""
    return cast("Vantage", load(__name__, config.kind).build(name, config, parts))
