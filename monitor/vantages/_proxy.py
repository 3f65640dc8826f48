"""What the vantages behind a proxy are built from, whichever language the proxy speaks."""

from monitor.config.schema import ProxyOptions
from monitor.network.local import LocalNetwork
from monitor.network.proxy import Dialogue, ProxyNetwork, ProxyServer, seconds_to_reach
from monitor.vantages._endpoint import endpoint
from monitor.vantages._parts import Parts
from monitor.vantages._tunnel import TunnelVantage


def proxied(name: str, options: ProxyOptions, parts: Parts, dialogue: Dialogue) -> TunnelVantage:
    """Return a vantage behind the proxy that `options` name."""
    host, port = endpoint(options.server)
    server = ProxyServer(
        host=host,
        port=port,
        username=options.username,
        password=options.password.get_secret_value() if options.password else None,
        tls=options.tls,
        fingerprint=options.fingerprint,
    )
    network = ProxyNetwork(
        server,
        dialogue,
        local=LocalNetwork(),
        trust=parts.trust,
        clock=parts.clock,
        seconds=seconds_to_reach(parts.limits),
    )
    return TunnelVantage(name, options, parts, network, by_name=options.resolve == "remote")
