"""A vantage behind a SOCKS5 proxy, which is asked for addresses: DNS and TCP stay separate facts."""

from monitor.config.schema import Socks5Options, VantageConfig
from monitor.network import socks5
from monitor.vantages._parts import Parts
from monitor.vantages._proxy import proxied
from monitor.vantages._tunnel import TunnelVantage


def build(name: str, config: VantageConfig, parts: Parts) -> TunnelVantage:
    """Build the vantage; the proxy is not reached before the first check."""
    if not isinstance(config, Socks5Options):
        raise TypeError(type(config))
    return proxied(name, config, parts, socks5)
