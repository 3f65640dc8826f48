"""The run context of measurements: what software, configuration, authorities and clock they are made under."""

import msgspec

import monitor
from monitor.daemon.kernel_clock import clock_offset
from monitor.model.measurement import RunContext
from monitor.model.seams import Clock
from monitor.network.certificates import TrustStore
from monitor.network.handshake import HELLO_PROFILE

CLOCK_AGE_SECONDS = 600.0


class RunContexts:
    """Gives the present run context; vantages that outlive a reload ask it anew for every measurement."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._current = RunContext(
            software=f"access-monitor/{monitor.__version__}",
            config_digest="",
            ca_digest="",
            hello_profile=HELLO_PROFILE,
        )
        self._clock_read_at = float("-inf")

    def use(self, config_digest: str, trust: TrustStore) -> None:
        """Take another configuration into use."""
        self._current = msgspec.structs.replace(self._current, config_digest=config_digest, ca_digest=trust.digest)

    def current(self) -> RunContext:
        """Return the context of a measurement that starts now; the clock is asked about every ten minutes."""
        now = self._clock.monotonic()
        if now - self._clock_read_at >= CLOCK_AGE_SECONDS:
            self._clock_read_at = now
            offset, source = clock_offset()
            self._current = msgspec.structs.replace(self._current, clock_offset_seconds=offset, clock_source=source)
        return self._current
