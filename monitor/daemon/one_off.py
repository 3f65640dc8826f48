"""Measuring once, without a schedule: what `monitor probe` does."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from monitor.config.fingerprints import fingerprints_of
from monitor.config.plan import plan
from monitor.config.schema import Configuration
from monitor.daemon.ledger import StoredLedger
from monitor.daemon.memory import Memory
from monitor.daemon.run_contexts import RunContexts
from monitor.daemon.station import Listeners, build_station
from monitor.daemon.store_events import tell
from monitor.model.identifier import MeasurementIds
from monitor.model.outcome import Outcome
from monitor.model.seams import Clock
from monitor.model.target import AD_HOC, Target
from monitor.model.vantage import VantageCheck
from monitor.network.certificates import TrustStore
from monitor.store.reader import Reader
from monitor.store.store import Store


def target_named(config: Configuration, name_or_url: str) -> Target | None:
    """Return the configured target with this name or URL, or a new one for an http(s) URL; None for anything else."""
    targets = [one.target for one in plan(config).assignments]
    known = next((one for one in targets if name_or_url in {one.name, one.url}), None)
    if known is not None:
        return known
    try:
        url = urlsplit(name_or_url)
        fits = url.scheme in {"http", "https"} and bool(url.hostname) and url.username is None and url.port != 0
    except ValueError:
        return None
    return Target(name=AD_HOC, platform=AD_HOC, url=name_or_url) if fits else None


async def measure_once(
    config: Configuration,
    target: Target,
    vantages: tuple[str, ...],
    environ: Mapping[str, str],
    clock: Clock,
    *,
    deep: bool,
) -> tuple[list[Outcome], list[Outcome]]:
    """Return one outcome for each vantage and the control measurements made for them, all stored and durable.

    Raises StoreError or OSError if the database or the trust store cannot be used.
    """
    fingerprints = fingerprints_of(config.fingerprints)
    store = Store.open(config.storage.path, clock, spool_rows=config.storage.spool_rows, on_event=tell)
    try:
        memory = Memory()
        controls: list[Outcome] = []
        written = []

        def on_outcome(outcome: Outcome) -> None:
            written.append(asyncio.wrap_future(store.record(outcome)))
            if outcome.verdict is None:
                controls.append(outcome)

        def on_check(check: VantageCheck) -> None:
            written.append(asyncio.wrap_future(store.record_check(check)))

        written.append(asyncio.wrap_future(store.sync_fingerprints(fingerprints, clock.now())))
        with Reader(config.storage.path) as reader:
            memory.recall(reader, [(target.name, name) for name in config.vantages], clock.now(), {})
            station = build_station(
                config,
                clock=clock,
                ids=MeasurementIds(),
                trust=TrustStore.load(config.tls.ca_file, environ),
                fingerprints=fingerprints,
                contexts=RunContexts(clock),
                memory=memory,
                listeners=Listeners(on_outcome=on_outcome, on_check=on_check),
                ledger=StoredLedger(store, reader, clock),
            )
        try:
            places = [station.vantages[name] for name in vantages or station.test_vantages]
            outcomes = await asyncio.gather(
                *(
                    station.pipeline.round(target, place, config.defaults.interval, deep=deep, in_series=False)
                    for place in places
                )
            )
            await asyncio.gather(*written)
        finally:
            for vantage in station.vantages.values():
                await vantage.close()
    finally:
        await asyncio.to_thread(store.close)
    return outcomes, controls
