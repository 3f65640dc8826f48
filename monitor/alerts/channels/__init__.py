"""Channels: one module per kind, named by the word in probes.yaml, each with `build(config)`."""

from typing import cast

from monitor.alerts.channel import Channel
from monitor.config.alerting import ChannelConfig
from monitor.model.plugin import load


def build(config: ChannelConfig) -> Channel:
    """Build the channel of the kind that its configuration names; raises UnknownKindError."""
    return cast("Channel", load(__name__, config.kind).build(config))
