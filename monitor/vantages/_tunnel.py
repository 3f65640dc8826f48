"""A vantage whose connections pass a proxy or an SSH server: what they have in common.

Every round rests on a test of the tunnel itself: reaching it, logging in, and the sanity checks through it. If that
fails the vantage is offline and its measurements raise VantageError (`proxy_failed`); there is no way around.
What cannot be seen through it, QUIC and DNS over UDP, is left out. A proxy that is asked by name shows no DNS at all.
"""

from collections.abc import Iterator
from typing import Final, Protocol

from msgspec.structs import replace

from monitor.config.schema import TunnelOptions
from monitor.model.failure import CERTIFICATE_FAILURES
from monitor.model.measurement import FollowUp, Measurement, Recording, Request
from monitor.model.observation import DnsObservation, Purpose, TcpObservation
from monitor.model.seams import Network, VantageError
from monitor.model.target import QuicUse
from monitor.model.vantage import NetworkIdentity, VantageCheck, VantageInfo, VantageState
from monitor.network.nameservers import resolver_of
from monitor.network.proxy import ProxyError
from monitor.vantages._here import HereVantage
from monitor.vantages._parts import Parts


class Tunnel(Network, Protocol):
    """A network behind something that can itself be tested."""

    async def test(self) -> None:
        """See that it lets us in; raises VantageError."""
        ...

    async def close(self) -> None:
        """Let go of what is held between attempts."""
        ...


class TunnelVantage(HereVantage):
    """Satisfies `Vantage`: measures here, through `tunnel`."""

    def __init__(
        self, name: str, options: TunnelOptions, parts: Parts, tunnel: Tunnel, *, by_name: bool = False
    ) -> None:
        super().__init__(name, options, parts, tunnel, is_tunnel=True, by_name=by_name)
        self._tunnel = tunnel
        self._by_name = by_name
        self._trouble: VantageError | None = None

    async def measure(self, request: Request) -> Recording:
        """Measure one target through the tunnel, without the steps that it hides; raises VantageError."""
        if self._trouble is not None:
            raise VantageError(str(self._trouble), self._trouble.reason) from self._trouble
        visible = tuple(self._visible(request))
        if request.follow_ups and not visible:
            return self._nothing(request)
        target = replace(request.target, quic=QuicUse.OFF)
        return await super().measure(replace(request, target=target, follow_ups=visible))

    async def check(self) -> VantageCheck:
        """Test the tunnel, then run the sanity checks through it; raises VantageError if it is out of order."""
        address_before = self._finder.addresses
        try:
            await self._tunnel.test()
            check = await super().check()
            if check.state is VantageState.OFFLINE or _is_silent(check):
                raise ProxyError("nothing answers through the tunnel")
        except VantageError as error:
            self._trouble = error
            raise
        self._trouble = None
        moved = bool(address_before) and address_before != self._finder.addresses
        return replace(check, notes=(*check.notes, *claim_notes(self.info, check.network), *_ROTATING[:moved]))

    async def close(self) -> None:
        """Close the tunnel."""
        await self._tunnel.close()

    async def _look(self, request: Request) -> Recording:
        try:
            return await super()._look(request)
        except VantageError:
            if not self._by_name:
                raise
            # Many proxies let nothing but TLS on 443 through, so a check that is refused is a check without an answer.
            return self._nothing(request)

    def _visible(self, request: Request) -> Iterator[FollowUp]:
        """Yield the follow-ups that can be carried out, as they are asked of this tunnel."""
        for one in request.follow_ups:
            if not self._by_name:
                if _is_visible(one, request.resolvers[0]):
                    yield one
            elif one.until not in {"dns", "quic"} and one.purpose not in _AT_KNOWN_ADDRESSES:
                yield replace(one, address=one.host) if one.purpose is Purpose.TRANSFER_REFERENCE else one

    def _nothing(self, request: Request) -> Recording:
        started_at = self._clock.now()
        return Recording(
            measurement=Measurement(
                id=self._toolbox.ids.new(started_at),
                target=request.target.name,
                url=request.target.url,
                vantage=self.info.name,
                started_at=started_at,
                elapsed_seconds=0.0,
                context=self._context(),
                network=self._identity,
            )
        )


# Looks at addresses that somebody else resolved, of which a proxy that is asked by name knows nothing.
_AT_KNOWN_ADDRESSES: Final = frozenset(
    {Purpose.OTHER_ADDRESS, Purpose.UNRELATED_ADDRESS, Purpose.UNRELATED_HARMLESS, Purpose.CONTROL_CHECK}
)
_ROTATING = ("the exit has another address than at the check before",)


def _is_silent(check: VantageCheck) -> bool:
    """Tell whether nothing at the far end of the tunnel ever answered; that it connects is but the tunnel's word."""
    asked = [one for one in check.observations if not isinstance(one, TcpObservation)]
    return bool(asked) and not any(
        one.failure is None
        or one.failure in CERTIFICATE_FAILURES
        or (isinstance(one, DnsObservation) and one.rcode is not None)
        for one in asked
    )


def claim_notes(info: VantageInfo, network: NetworkIdentity) -> tuple[str, ...]:
    """Say where the exit is otherwise than the configuration claims."""
    words = {
        "country": f"the exit is in {network.country}, the configuration claims {info.country}",
        "asn": f"the exit is in AS{network.asn}, the configuration claims AS{info.claimed_asn}",
    }
    return tuple(words[claim] for claim, holds in info.as_claimed(network).items() if not holds)


def _is_visible(asked: FollowUp, path_resolver: str) -> bool:
    if asked.until == "quic":
        return False
    if asked.until != "dns":
        return True
    resolver = resolver_of(asked.resolver or path_resolver)
    # One that is known by name alone would have to be looked up by this host, which is elsewhere.
    return resolver.transport in {"tcp", "tls", "https"} and resolver.address is not None
