"""Configuration → what an agent that pushes is to measure."""

import hashlib
from typing import Final

import msgspec

from monitor.config.plan import limits_of
from monitor.config.risks import RISKS_VERSION
from monitor.config.schema import IngestConfig
from monitor.daemon.station import Station, deep_limits
from monitor.model.fleet import AgentTarget, Instructions

_NONE: Final = msgspec.Raw(b"null")


def instructions(station: Station, ingest: IngestConfig, vantage: str, version: int = 0) -> Instructions:
    """Return the instructions for a vantage as the configuration in use has them."""
    config = station.config
    follow_ups, sanity = config.follow_ups, config.sanity
    routine = limits_of(config)
    return Instructions(
        version=version,
        config_digest=station.config_digest,
        targets=tuple(
            AgentTarget(target=one.target, interval_seconds=one.interval_seconds)
            for one in station.assignments.values()
            if one.vantage_name == vantage
        ),
        resolvers=config.vantages[vantage].resolvers,
        limits=routine,
        deep_limits=deep_limits(routine),
        jitter=config.defaults.jitter,
        user_agent=config.defaults.user_agent,
        cleartext_user_agent=config.defaults.cleartext_user_agent,
        allowed_bogons=config.network.allowed_bogons,
        follow_ups=msgspec.Raw(follow_ups.model_dump_json().encode()) if follow_ups.enabled else _NONE,
        sanity=msgspec.Raw(sanity.model_dump_json().encode()),
        check_in_seconds=ingest.check_in,
        country=config.vantages[vantage].country,
        consent_version=RISKS_VERSION,
    )


def digest(wanted: Instructions) -> str:
    """Return the SHA-256 (hex) of what is to be measured and how, whatever number it has.

    The digest of the whole configuration is left out: what other vantages do is no news to an agent.
    """
    plain = msgspec.structs.replace(wanted, version=0, config_digest="")
    return hashlib.sha256(msgspec.json.encode(plain)).hexdigest()
