"""A vantage behind an HTTP proxy that knows CONNECT, which is asked for addresses: DNS and TCP stay separate facts."""

from monitor.config.schema import HttpConnectOptions, VantageConfig
from monitor.network import http_connect
from monitor.vantages._parts import Parts
from monitor.vantages._proxy import proxied
from monitor.vantages._tunnel import TunnelVantage


def build(name: str, config: VantageConfig, parts: Parts) -> TunnelVantage:
    """Build the vantage; the proxy is not reached before the first check."""
    if not isinstance(config, HttpConnectOptions):
        raise TypeError(type(config))
    return proxied(name, config, parts, http_connect)
