"""Hears every sanity check and notices when a whole country has fallen silent."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

import msgspec

from monitor.detect.silence import Heard, changed
from monitor.model.outcome import Silence
from monitor.model.vantage import Role, VantageCheck, VantageInfo
from monitor.model.verdict import Reason


class SilenceWatch:
    """Keeps what was last heard of each vantage; `record` takes each silence when it begins and when it ends."""

    def __init__(self, record: Callable[[Silence], None], known: Iterable[Silence] = ()) -> None:
        self._record = record
        self._heard: dict[str, Heard] = {}
        self._silent = {one.country: one for one in known if one.ended_at is None}

    @property
    def silences(self) -> tuple[Silence, ...]:
        """The countries that are silent now."""
        return tuple(self._silent.values())

    def hear(self, check: VantageCheck, info: VantageInfo) -> None:
        """Take in a sanity check.

        A proxy that failed says nothing about the lines of the country it stands in, nor does a service, whose probes
        are other people's and come and go: how many there are is counted by itself.
        """
        if info.is_service:
            return
        if check.reason == Reason.PROXY_FAILED:
            self.forget(info.name, check.started_at)
            return
        before = self._heard.get(info.name)
        heard = Heard(
            vantage=info.name,
            country=info.country_on(check.network) or (before.country if before else None),
            asn=check.network.asn or info.claimed_asn or (before.asn if before else None),
            state=check.state,
            since=check.started_at,
            is_test=info.role is Role.TEST,
        )
        if before is not None and before.state is heard.state:
            heard = replace(heard, since=before.since)
        self._heard[info.name] = heard
        for silence in changed(self._silent, self._heard.values(), check.started_at):
            self._take(silence)

    def forget(self, vantage: str, at: datetime) -> None:
        """Leave out a vantage that is used no more; the last one of a country takes its silence along."""
        gone = self._heard.pop(vantage, None)
        country = gone.country if gone else None
        if country in self._silent and all(one.country != country for one in self._heard.values()):
            self._take(msgspec.structs.replace(self._silent[country], ended_at=at))

    def _take(self, silence: Silence) -> None:
        if silence.ended_at is None:
            self._silent[silence.country] = silence
        else:
            del self._silent[silence.country]
        self._record(silence)
