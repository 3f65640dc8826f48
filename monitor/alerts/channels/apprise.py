"""`apprise`: every service that Apprise knows, by its URL.

Apprise tells only whether all went well, so every failure is tried again.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import apprise

from monitor.alerts.channel import Answer, Message
from monitor.alerts.one_thread import Busy, OneThread
from monitor.config.alerting import AppriseChannel
from monitor.model.alert import Alert, Result, Severity

# It logs what it sends, and where: parts of the URL are secrets, and we say what matters ourselves.
logging.getLogger("apprise").disabled = True

_TYPES: Final = {
    Severity.INFO: apprise.NotifyType.INFO,
    Severity.WARNING: apprise.NotifyType.WARNING,
    Severity.CRITICAL: apprise.NotifyType.FAILURE,
}


class Apprise:
    """Sends through one or more of Apprise's URLs."""

    def __init__(self, config: AppriseChannel) -> None:
        # Nothing that it fetches by itself: no configuration from elsewhere, no attachments.
        self._services = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False, app_id="access-monitor"))
        self._is_known = self._services.add(config.address.get_secret_value().split())
        self._thread = OneThread("alerts-apprise")

    async def send(self, message: Message) -> Answer:
        """Send one message to every URL of the channel; if one of them fails, all are tried again."""
        if not self._is_known:
            return Answer(result=Result.REFUSED, detail="Apprise does not know this kind of URL")
        kind = _TYPES[max((one.severity for one in message.alerts), key=list(Severity).index)]
        try:
            is_sent = await self._thread.run(
                lambda: self._services.notify(
                    body=message.text,
                    title=message.headline,
                    notify_type=kind,
                    body_format=apprise.NotifyFormat.TEXT,
                    interpret_escapes=False,
                )
            )
        except Busy:
            return Answer(result=Result.FAILED, detail="the attempt before this one still hangs")
        # What its plug-ins may raise is nowhere said, and quotes the URL with its secrets.
        except Exception as error:  # noqa: BLE001 - the edge of a foreign library
            return Answer(result=Result.FAILED, detail=f"Apprise failed ({type(error).__name__})")
        if is_sent:
            return Answer(result=Result.DELIVERED, detail="taken by the service")
        return Answer(result=Result.FAILED, detail="the service did not take it; Apprise does not say why")

    async def stand(self, alerts: Sequence[tuple[Alert, str]], now: datetime) -> None:
        """Do nothing: whoever was told remembers."""

    async def close(self) -> None:
        """Do nothing: Apprise opens a connection for each message."""


def build(config: AppriseChannel) -> Apprise:
    """Build the channel."""
    return Apprise(config)
