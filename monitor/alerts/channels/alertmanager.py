"""`alertmanager`: Prometheus Alertmanager, API version 2, so that routing that exists is used again.

Labels are the identity of an alert there, so they never change within a subject: a resolve closes what was opened.
Source: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from monitor.alerts.channel import Answer, Message
from monitor.alerts.http_post import client, post
from monitor.config.alerting import AlertmanagerChannel
from monitor.model.alert import CLOSING, Alert, AlertKind, Result, Severity

# A daemon that is restarted must not look like an end; one that stays away is what the heartbeat is for.
STANDS_FOR: Final = timedelta(hours=1)
_NAMES: Final = {
    AlertKind.SILENCE: "AccessCountrySilent",
    AlertKind.DOWN: "AccessPlatformDown",
    AlertKind.VANTAGE: "AccessVantage",
    AlertKind.STOPPED: "AccessNotMeasured",
    AlertKind.CERTIFICATE: "AccessCertificate",
    AlertKind.STORAGE: "AccessStorage",
    AlertKind.DEADLINE: "AccessDeadline",
    AlertKind.TEST: "AccessTest",
}
_ENDING: Final = CLOSING | {AlertKind.RETRACTION}
_MOMENTS: Final = frozenset({AlertKind.DEADLINE, AlertKind.TEST})  # nothing ends them; they resolve by themselves


class Alertmanager:
    """Posts to one Alertmanager."""

    def __init__(self, config: AlertmanagerChannel) -> None:
        self._url = config.url.rstrip("/") + "/api/v2/alerts"
        self._token = config.token
        self._client = client(config.ca_file)

    async def send(self, message: Message) -> Answer:
        """Send the alerts of one message; of a subject that it tells of twice, the last."""
        latest = {alert.subject: alert for alert in message.alerts}
        # A return that is not confirmed changes nothing there.
        told = [one for one in latest.values() if one.kind is not AlertKind.RETURNING]
        if not told:
            return Answer(result=Result.DELIVERED, detail="nothing that Alertmanager has a word for")
        return await self._post([posted(one, message.sent_at, message.headline, message.link) for one in told])

    async def stand(self, alerts: Sequence[tuple[Alert, str]], now: datetime) -> Answer | None:
        """Tell again what has not ended."""
        standing = [(one, headline) for one, headline in alerts if one.kind not in _ENDING | _MOMENTS]
        return await self._post([posted(one, now, headline, None) for one, headline in standing]) if standing else None

    async def _post(self, body: list[dict[str, Any]]) -> Answer:
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return await post(self._client, self._url, msgspec.json.encode(body), headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def posted(alert: Alert, now: datetime, headline: str, link: str | None) -> dict[str, Any]:
    """Return one alert as the API wants it."""
    started = alert.incident.opened_at if alert.incident else alert.since or alert.at
    ends = alert.at if alert.kind in _ENDING else now + STANDS_FOR
    labels = {
        "alertname": "AccessIncident" if alert.incident else _NAMES[AlertKind(alert.kind.removesuffix("_end"))],
        "severity": Severity.CRITICAL if alert.incident else alert.severity,
        "platform": alert.platform,
        "country": alert.country,
        "incident": alert.subject if alert.incident else None,
        "subject": None if alert.incident else alert.subject,
    }
    annotations = {"status": alert.status, "because": alert.because, "summary": headline}
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": started.isoformat(),
        # It refuses an alert that ends before it starts.
        "endsAt": max(ends, started).isoformat(),
    } | ({"generatorURL": link} if link else {})


def build(config: AlertmanagerChannel) -> Alertmanager:
    """Build the channel."""
    return Alertmanager(config)
