"""A vantage behind an SSH server: every connection is a channel that the server opens."""

from monitor.config.schema import SshOptions, VantageConfig
from monitor.network.proxy import seconds_to_reach
from monitor.network.ssh import SshNetwork, SshServer
from monitor.vantages._endpoint import endpoint
from monitor.vantages._parts import Parts
from monitor.vantages._tunnel import TunnelVantage


def build(name: str, config: VantageConfig, parts: Parts) -> TunnelVantage:
    """Build the vantage; the server is not reached before the first check."""
    if not isinstance(config, SshOptions):
        raise TypeError(type(config))
    host, port = endpoint(config.server)
    server = SshServer(
        host=host,
        port=port,
        user=config.user,
        key_file=config.key_file,
        known_hosts_file=config.known_hosts_file,
        passphrase=config.passphrase.get_secret_value() if config.passphrase else None,
    )
    return TunnelVantage(
        name, config, parts, SshNetwork(server, clock=parts.clock, seconds=seconds_to_reach(parts.limits))
    )
