"""Every metric, declared once: `/metrics`, `/probe` and docs/metrics.md are written from these rows.

`access_*` is what was observed, `monitor_*` is the daemon itself, `probe_*` are the names of blackbox_exporter, which
`/probe` answers with. No URL, address or free text is a label, except the title of an event and where compatibility of
`/probe` demands it.
"""

from enum import StrEnum
from typing import Final

import msgspec


class Kind(StrEnum):
    """Types of metrics, in the words of both exposition formats."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One row. A counter's `name` ends in `_total`; `unit`, if any, is the end of the name (OpenMetrics 1.0, 4.4)."""

    name: str
    help: str
    kind: Kind = Kind.GAUGE
    labels: tuple[str, ...] = ()
    unit: str = ""


# A series: one target from one vantage on one network; a move to another network starts another series.
TARGET_LABELS: Final = ("platform", "target", "vantage", "country", "asn")
UNKNOWN: Final = "unknown"  # a country or ASN that was not observed
UNJUDGED: Final = "unjudged"  # status of measurements at a control vantage: evidence, not judged

TARGET_ACCESSIBLE: Final = Metric(
    name="access_target_accessible",
    labels=TARGET_LABELS,
    help="1 if the latest verdict is accessible, 0 if it is anything else; absent while inconclusive.",
)
TARGET_STATUS: Final = Metric(
    name="access_target_status",
    labels=(*TARGET_LABELS, "status"),
    help="1 for the status of the latest verdict, 0 for every other.",
)
TARGET_MECHANISM: Final = Metric(
    name="access_target_mechanism",
    labels=(*TARGET_LABELS, "mechanism"),
    help="1 for each way in which access is interfered with, from the latest verdict.",
)
TARGET_CONFIRMED: Final = Metric(
    name="access_target_confirmed",
    labels=TARGET_LABELS,
    help="1 if an artefact settles the latest verdict by itself, 0 if it does not.",
)
TARGET_INCONCLUSIVE: Final = Metric(
    name="access_target_inconclusive",
    labels=(*TARGET_LABELS, "reason"),
    help="1 for the reason why the latest verdict is inconclusive.",
)
PROBE_INTERVAL: Final = Metric(
    name="access_probe_interval_seconds",
    labels=TARGET_LABELS,
    unit="seconds",
    help="Time between two measurements of the target.",
)
LAST_MEASUREMENT: Final = Metric(
    name="access_last_measurement_timestamp_seconds",
    labels=TARGET_LABELS,
    unit="seconds",
    help="When the latest measurement started.",
)
CERTIFICATE_EXPIRY: Final = Metric(
    name="access_certificate_expiry_timestamp_seconds",
    labels=TARGET_LABELS,
    unit="seconds",
    help="When the first of the certificates that servers presented for their names ends, trusted or not.",
)
SERVED_FROM: Final = Metric(
    name="access_target_served_from",
    labels=(*TARGET_LABELS, "server_country", "server_asn"),
    help="1 for each place of a server that proved to be the target's own in the latest measurement where one did.",
)
STEP_DURATION: Final = Metric(
    name="access_step_duration_seconds",
    kind=Kind.HISTOGRAM,
    labels=(*TARGET_LABELS, "step"),
    unit="seconds",
    help="How long the successful steps of measurements took.",
)
VANTAGE_ONLINE: Final = Metric(
    name="access_vantage_online",
    labels=("vantage",),
    help="1 if the latest sanity checks found the vantage online, 0 if they found anything else.",
)
VANTAGE_STATE: Final = Metric(
    name="access_vantage_state",
    labels=("vantage", "state"),
    help="1 for the state that the latest sanity checks found the vantage in, 0 for every other.",
)
VANTAGE_AS_CLAIMED: Final = Metric(
    name="access_vantage_as_claimed",
    labels=("vantage", "claim"),
    help="1 if the country or asn seen is the one that the configuration claims, 0 if not; absent while unknown.",
)
VANTAGE_CONNECT: Final = Metric(
    name="access_vantage_connect_seconds",
    labels=("vantage",),
    unit="seconds",
    help="Median time in which the latest sanity checks opened a connection; absent if fewer than three were opened.",
)
VANTAGE_LAST_CHECK: Final = Metric(
    name="access_vantage_last_check_timestamp_seconds",
    labels=("vantage",),
    unit="seconds",
    help="When the latest sanity checks of the vantage started.",
)
VANTAGE_PROBES: Final = Metric(
    name="access_vantage_probes",
    labels=("vantage", "country"),
    help="Probes that the service behind the vantage lists in the country, counted every hour; absent until counted.",
)
VANTAGE_QUOTA_LIMIT: Final = Metric(
    name="access_vantage_quota_limit",
    labels=("vantage", "unit"),
    help="What the configuration lets the vantage spend: tests in an hour (globalping), credits in a day (ripe_atlas).",
)
VANTAGE_QUOTA_USED: Final = Metric(
    name="access_vantage_quota_used",
    labels=("vantage", "unit"),
    help="What the vantage spent within the last hour or day.",
)
VANTAGE_QUOTA_REMAINING: Final = Metric(
    name="access_vantage_quota_remaining",
    labels=("vantage", "unit"),
    help="What the vantage may still spend now, by the configuration and by what the service last said.",
)
PLATFORM_STATUS: Final = Metric(
    name="access_platform_status",
    labels=("platform", "country", "status"),
    help="1 for how the platform stands as a whole in the country, 0 for every other status.",
)
PLATFORM_PARTIAL: Final = Metric(
    name="access_platform_partial",
    labels=("platform", "country"),
    help="1 if a network, a vantage or a target stands otherwise than the platform does; absent while inconclusive.",
)
PLATFORM_NETWORKS: Final = Metric(
    name="access_platform_networks",
    labels=("platform", "country", "status"),
    help="Networks by how the platform stands on them; inconclusive ones do not count.",
)
PLATFORM_ACCESSIBLE: Final = Metric(
    name="access_platform_accessible",
    labels=("platform", "vantage", "country"),
    help="1 if the platform stands as accessible at the vantage, 0 if otherwise; absent while inconclusive.",
)
INCIDENT_ACTIVE: Final = Metric(
    name="access_incident_active",
    labels=("platform", "country"),
    help="1 while an incident is open.",
)
INCIDENT_START: Final = Metric(
    name="access_incident_start_timestamp_seconds",
    labels=("platform", "country"),
    unit="seconds",
    help="First failing round of the open incident; its last good round lies before.",
)
# An event has one series for each of its countries and platforms; either is empty where it has none.
EVENT_LABELS: Final = ("event", "kind", "country", "platform")
EVENT_INFO: Final = Metric(
    name="access_event_info",
    labels=(*EVENT_LABELS, "title"),
    help="1, with the English title of a regulatory event.",
)
EVENT_ACTIVE: Final = Metric(
    name="access_event_active",
    labels=EVENT_LABELS,
    help="1 while a regulatory event is in force or may be, 0 otherwise; absent for what is a moment.",
)
EVENT_START: Final = Metric(
    name="access_event_start_timestamp_seconds",
    labels=EVENT_LABELS,
    unit="seconds",
    help="The earliest instant at which a regulatory event may have begun.",
)
EVENT_END: Final = Metric(
    name="access_event_end_timestamp_seconds",
    labels=EVENT_LABELS,
    unit="seconds",
    help="The latest instant at which a regulatory event may have ended; absent while no end is known.",
)
EVENT_DEADLINE: Final = Metric(
    name="access_event_deadline_timestamp_seconds",
    labels=("event", "obligation"),
    unit="seconds",
    help="When an obligation is due at the latest; absent once it is moot.",
)
COUNTRY_SILENT: Final = Metric(
    name="access_country_silent",
    labels=("country",),
    help="1 while no vantage of a country has a line, on several networks: perhaps a shutdown, and never a block.",
)
AGENT_LAST_SEEN: Final = Metric(
    name="access_agent_last_seen_timestamp_seconds",
    labels=("vantage",),
    unit="seconds",
    help="When the agent of the vantage last said that it is there; absent for one that never did or is revoked.",
)
AGENT_QUIET: Final = Metric(
    name="access_agent_quiet",
    labels=("vantage", "reason"),
    help="1 while the agent is there and measures nothing, with the reason that it gives.",
)
AGENT_SPOOL: Final = Metric(
    name="access_agent_spool_results",
    labels=("vantage",),
    help="Results that the agent holds and has not delivered yet, as it last said.",
)
AGENT_DROPPED: Final = Metric(
    name="access_agent_dropped_results",
    labels=("vantage",),
    help="Results that the agent had no room for since it was enrolled, as it last said.",
)
AGENT_CLOCK_OFFSET: Final = Metric(
    name="access_agent_clock_offset_seconds",
    labels=("vantage",),
    unit="seconds",
    help="How far the agent's clock was behind ours, less than zero if it was ahead.",
)
AGENT_REVOKED: Final = Metric(
    name="access_agent_revoked", labels=("vantage",), help="Agents of the vantage that are heard no more."
)
AGENT_BATCHES: Final = Metric(
    name="access_agent_batches_total",
    kind=Kind.COUNTER,
    labels=("vantage", "lane"),
    help="Batches of results that were taken, live or backfill.",
)
AGENT_RESULTS: Final = Metric(
    name="access_agent_results_total",
    kind=Kind.COUNTER,
    labels=("vantage", "result"),
    help="Results by what became of them: live, late (history only), duplicate, malformed, unknown_target, expired.",
)
AGENT_LAG: Final = Metric(
    name="access_agent_lag_seconds",
    labels=("vantage",),
    unit="seconds",
    help="How long before it was received the newest live result began.",
)
AGENT_REFUSED: Final = Metric(
    name="access_agent_refused_requests_total",
    kind=Kind.COUNTER,
    labels=("reason",),
    help="Requests to the ingest listener that were not taken, by what was wrong with them.",
)
FURTHER_LOOKS: Final = Metric(
    name="monitor_further_looks_total",
    kind=Kind.COUNTER,
    labels=("vantage", "look"),
    help="Rounds sooner than the schedule says: on a first suspicion, or while a return is not confirmed (clearing).",
)
BUILD_INFO: Final = Metric(
    name="monitor_build_info", labels=("version", "rules_version"), help="1, with the versions of program and rules."
)
RELOAD_SUCCESSFUL: Final = Metric(
    name="monitor_config_last_reload_successful",
    help="1 if the latest reading of the configuration succeeded, 0 if the one before it is still in use.",
)
RELOAD_SUCCESS_TIME: Final = Metric(
    name="monitor_config_last_reload_success_timestamp_seconds",
    unit="seconds",
    help="When a configuration was last taken into use.",
)
SCHEDULE_LAG: Final = Metric(
    name="monitor_schedule_lag_seconds",
    kind=Kind.HISTOGRAM,
    unit="seconds",
    help="How much later than due runs started.",
)
RUNS_SKIPPED: Final = Metric(
    name="monitor_runs_skipped_total",
    kind=Kind.COUNTER,
    labels=("vantage",),
    help="Runs left out because the one before was still active, or the program was too busy.",
)
RUNS_IN_FLIGHT: Final = Metric(name="monitor_runs_in_flight", help="Runs active now.")
DEEP_RUNS: Final = Metric(
    name="monitor_deep_runs_total",
    kind=Kind.COUNTER,
    labels=("vantage",),
    help="Measurements that went on to isolate the cause of something unexpected.",
)
MEASUREMENTS: Final = Metric(
    name="monitor_measurements_total",
    kind=Kind.COUNTER,
    labels=("vantage", "status"),
    help="Measurements by the status of their verdict; unjudged at a control vantage.",
)
ROUNDS_DROPPED: Final = Metric(
    name="monitor_rounds_dropped_total",
    kind=Kind.COUNTER,
    labels=("vantage", "reason"),
    help="Rounds that say nothing about access and that detection leaves out.",
)
LAST_ROUND: Final = Metric(
    name="monitor_last_round_timestamp_seconds",
    labels=("vantage",),
    unit="seconds",
    help="When the latest complete round of the vantage started.",
)
STORE_PENDING: Final = Metric(name="monitor_store_pending", help="Runs waiting to be written.")
STORE_SPOOLED: Final = Metric(
    name="monitor_store_spooled", help="Runs kept in memory because the database cannot be written."
)
STORE_LOST: Final = Metric(
    name="monitor_store_lost_total",
    kind=Kind.COUNTER,
    help="Runs lost because the database could not be written and the memory for them was full.",
)
STORE_REFUSED: Final = Metric(
    name="monitor_store_refused_total",
    kind=Kind.COUNTER,
    help="Runs that no row can hold: a mistake of this program or of an agent.",
)
STORE_COMMITTED: Final = Metric(
    name="monitor_store_committed_total", kind=Kind.COUNTER, help="Runs safely in the database."
)
STORE_COMMIT_DURATION: Final = Metric(
    name="monitor_store_last_commit_duration_seconds", unit="seconds", help="How long the latest commit took."
)
STORE_FAILING: Final = Metric(
    name="monitor_store_failing", labels=("error",), help="1 for the error that keeps the database from being written."
)
STORE_FILE_BYTES: Final = Metric(name="monitor_store_file_bytes", unit="bytes", help="Size of the database file.")
STORE_WAL_BYTES: Final = Metric(name="monitor_store_wal_bytes", unit="bytes", help="Size of its write-ahead log.")
ALERT_DELIVERIES: Final = Metric(
    name="monitor_alert_deliveries_total",
    kind=Kind.COUNTER,
    labels=("channel", "outcome"),
    help="Messages that were delivered or given up (dead), by channel, since the start.",
)
ALERT_ATTEMPTS: Final = Metric(
    name="monitor_alert_attempts_total",
    kind=Kind.COUNTER,
    labels=("channel", "result"),
    help="Attempts to send a message: delivered, failed (tried again) or refused (for good).",
)
ALERT_QUEUE: Final = Metric(
    name="monitor_alert_queue",
    labels=("channel", "state"),
    help="Messages that wait (pending) or were given up (dead).",
)
ALERT_OLDEST: Final = Metric(
    name="monitor_alert_oldest_undelivered_seconds",
    unit="seconds",
    labels=("channel",),
    help="Age of the oldest message that waits.",
)
ALERT_LAST_SUCCESS: Final = Metric(
    name="monitor_alert_last_delivery_timestamp_seconds",
    unit="seconds",
    labels=("channel",),
    help="When a message was last delivered, since the start.",
)
TRANSITIONS: Final = Metric(
    name="monitor_transitions_total",
    kind=Kind.COUNTER,
    labels=("vantage", "after"),
    help="Confirmed changes of targets, by the state that they led to.",
)
MODULE_UNKNOWN: Final = Metric(
    name="monitor_module_unknown_total",
    kind=Kind.COUNTER,
    help="Requests to /probe that named an unknown module.",
)
VANTAGE_METRICS: Final = (
    VANTAGE_ONLINE,
    VANTAGE_STATE,
    VANTAGE_AS_CLAIMED,
    VANTAGE_CONNECT,
    VANTAGE_LAST_CHECK,
    VANTAGE_PROBES,
    VANTAGE_QUOTA_LIMIT,
    VANTAGE_QUOTA_USED,
    VANTAGE_QUOTA_REMAINING,
)

# Replaced as a whole whenever the agents are read.
AGENT_GAUGES: Final = (AGENT_LAST_SEEN, AGENT_QUIET, AGENT_SPOOL, AGENT_DROPPED, AGENT_CLOCK_OFFSET, AGENT_REVOKED)

# In the order of /metrics. The first block has one group of lines for each target at each vantage.
TARGET_METRICS: Final = (
    TARGET_ACCESSIBLE,
    TARGET_STATUS,
    TARGET_MECHANISM,
    TARGET_CONFIRMED,
    TARGET_INCONCLUSIVE,
    PROBE_INTERVAL,
    LAST_MEASUREMENT,
    CERTIFICATE_EXPIRY,
    SERVED_FROM,
    STEP_DURATION,
)
EVENT_METRICS: Final = (EVENT_INFO, EVENT_ACTIVE, EVENT_START, EVENT_END, EVENT_DEADLINE)
OTHER_METRICS: Final = (
    VANTAGE_ONLINE,
    VANTAGE_STATE,
    VANTAGE_AS_CLAIMED,
    VANTAGE_CONNECT,
    VANTAGE_LAST_CHECK,
    VANTAGE_PROBES,
    VANTAGE_QUOTA_LIMIT,
    VANTAGE_QUOTA_USED,
    VANTAGE_QUOTA_REMAINING,
    PLATFORM_STATUS,
    PLATFORM_PARTIAL,
    PLATFORM_NETWORKS,
    PLATFORM_ACCESSIBLE,
    INCIDENT_ACTIVE,
    INCIDENT_START,
    *EVENT_METRICS,
    COUNTRY_SILENT,
    AGENT_LAST_SEEN,
    AGENT_QUIET,
    AGENT_SPOOL,
    AGENT_DROPPED,
    AGENT_CLOCK_OFFSET,
    AGENT_REVOKED,
    AGENT_BATCHES,
    AGENT_RESULTS,
    AGENT_LAG,
    AGENT_REFUSED,
    FURTHER_LOOKS,
    BUILD_INFO,
    RELOAD_SUCCESSFUL,
    RELOAD_SUCCESS_TIME,
    SCHEDULE_LAG,
    RUNS_SKIPPED,
    RUNS_IN_FLIGHT,
    DEEP_RUNS,
    MEASUREMENTS,
    ROUNDS_DROPPED,
    LAST_ROUND,
    STORE_PENDING,
    STORE_SPOOLED,
    STORE_LOST,
    STORE_REFUSED,
    STORE_COMMITTED,
    STORE_COMMIT_DURATION,
    STORE_FAILING,
    STORE_FILE_BYTES,
    STORE_WAL_BYTES,
    TRANSITIONS,
    ALERT_DELIVERIES,
    ALERT_ATTEMPTS,
    ALERT_QUEUE,
    ALERT_OLDEST,
    ALERT_LAST_SUCCESS,
    MODULE_UNKNOWN,
)

PROBE_SUCCESS: Final = Metric(name="probe_success", help="1 if the verdict is accessible.")
PROBE_DURATION: Final = Metric(
    name="probe_duration_seconds", unit="seconds", help="How long the whole measurement took."
)
PROBE_TIMEOUT: Final = Metric(
    name="probe_timeout_seconds", unit="seconds", help="Time budget that applied to the measurement."
)
PROBE_DNS_LOOKUP: Final = Metric(
    name="probe_dns_lookup_time_seconds", unit="seconds", help="How long resolving the target's name took."
)
PROBE_IP_PROTOCOL: Final = Metric(
    name="probe_ip_protocol", help="Family of the address used, 4 or 6; 0 if there was none."
)
PROBE_IP_ADDR_HASH: Final = Metric(
    name="probe_ip_addr_hash", help="FNV-1a hash (32 bits) of the bytes of the address used; 0 if there was none."
)
PROBE_HTTP_DURATION: Final = Metric(
    name="probe_http_duration_seconds",
    labels=("phase",),
    unit="seconds",
    help="Time by phase (resolve, connect, tls, processing, transfer), added over redirects.",
)
PROBE_HTTP_STATUS_CODE: Final = Metric(
    name="probe_http_status_code", help="Status of the last response; 0 if there was none."
)
PROBE_HTTP_VERSION: Final = Metric(name="probe_http_version", help="HTTP version of the last response; 0 without one.")
PROBE_HTTP_CONTENT_LENGTH: Final = Metric(
    name="probe_http_content_length", help="Length that the last response declared; -1 if it did not; 0 without one."
)
PROBE_HTTP_BODY_LENGTH: Final = Metric(
    name="probe_http_uncompressed_body_length", help="Bytes of body read from the last response, after decoding."
)
PROBE_HTTP_REDIRECTS: Final = Metric(
    name="probe_http_redirects", help="Redirects followed; 11 if the limit stopped it."
)
PROBE_HTTP_SSL: Final = Metric(name="probe_http_ssl", help="1 if the last hop used TLS.")
PROBE_HTTP_LAST_MODIFIED: Final = Metric(
    name="probe_http_last_modified_timestamp_seconds",
    unit="seconds",
    help="Last-Modified of the last response.",
)
PROBE_FAILED_DUE_TO_REGEX: Final = Metric(
    name="probe_failed_due_to_regex", help="1 if the expected text is missing from the body."
)
PROBE_SSL_EARLIEST_EXPIRY: Final = Metric(
    name="probe_ssl_earliest_cert_expiry",
    help="When the first of the certificates presented ends, trusted or not, in seconds since 1970.",
)
PROBE_SSL_CHAIN_EXPIRY: Final = Metric(
    name="probe_ssl_last_chain_expiry_timestamp_seconds",
    unit="seconds",
    help="When the certificate of a verified chain ends.",
)
PROBE_SSL_CHAIN_INFO: Final = Metric(
    name="probe_ssl_last_chain_info",
    labels=("fingerprint_sha256", "subject", "issuer", "subjectalternative", "serialnumber"),
    help="1, with the leaf certificate presented, trusted or not.",
)
PROBE_TLS_VERSION: Final = Metric(name="probe_tls_version_info", labels=("version",), help="1, with the TLS version.")
PROBE_TLS_CIPHER: Final = Metric(name="probe_tls_cipher_info", labels=("cipher",), help="1, with the cipher suite.")
PROBE_STATUS: Final = Metric(
    name="access_probe_status",
    labels=("vantage", "status"),
    help="1 for the status of this probe's verdict, 0 for every other.",
)
PROBE_MECHANISM: Final = Metric(
    name="access_probe_mechanism",
    labels=("vantage", "mechanism"),
    help="1 for each way in which access is interfered with, from this probe's verdict.",
)
PROBE_CONFIRMED: Final = Metric(
    name="access_probe_confirmed",
    labels=("vantage",),
    help="1 if an artefact settles this probe's verdict by itself.",
)
PROBE_INCONCLUSIVE: Final = Metric(
    name="access_probe_inconclusive",
    labels=("vantage", "reason"),
    help="1 for the reason why this probe's verdict is inconclusive.",
)

PROBE_METRICS: Final = (
    PROBE_SUCCESS,
    PROBE_DURATION,
    PROBE_TIMEOUT,
    PROBE_DNS_LOOKUP,
    PROBE_IP_PROTOCOL,
    PROBE_IP_ADDR_HASH,
    PROBE_HTTP_DURATION,
    PROBE_HTTP_STATUS_CODE,
    PROBE_HTTP_VERSION,
    PROBE_HTTP_CONTENT_LENGTH,
    PROBE_HTTP_BODY_LENGTH,
    PROBE_HTTP_REDIRECTS,
    PROBE_HTTP_SSL,
    PROBE_HTTP_LAST_MODIFIED,
    PROBE_FAILED_DUE_TO_REGEX,
    PROBE_SSL_EARLIEST_EXPIRY,
    PROBE_SSL_CHAIN_EXPIRY,
    PROBE_SSL_CHAIN_INFO,
    PROBE_TLS_VERSION,
    PROBE_TLS_CIPHER,
    PROBE_STATUS,
    PROBE_MECHANISM,
    PROBE_CONFIRMED,
    PROBE_INCONCLUSIVE,
)
