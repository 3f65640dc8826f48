"""`smtp`: mail through a server, encrypted unless the configuration says otherwise."""

import smtplib
import ssl
from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape
from typing import Final

from monitor.alerts.channel import Answer, Message
from monitor.alerts.one_thread import Busy, OneThread
from monitor.config.alerting import SmtpChannel
from monitor.model.alert import Alert, Result

# 5xx refuses for good (RFC 5321, 4.2.1), except where it is about who we are: a password can be mended.
_AUTHENTICATION: Final = frozenset({530, 534, 535, 538})
_CAUSES: Final = (
    (Busy, "the attempt before this one still hangs"),
    (ssl.SSLError, "the server's certificate or its TLS cannot be used"),
    (smtplib.SMTPNotSupportedError, "the server does not offer what the configuration asks for"),
    (TimeoutError, "no answer within the time"),
)


class Smtp:
    """Sends from one address to some."""

    def __init__(self, config: SmtpChannel) -> None:
        self._config = config
        self._thread = OneThread("alerts-smtp")

    async def send(self, message: Message) -> Answer:
        """Send one mail; the server may take it for some of the readers, then it was delivered."""
        mail = mail_of(message, self._config.sender, self._config.to)
        try:
            refused = await self._thread.run(lambda: self._deliver(mail))
        except (Busy, smtplib.SMTPException, OSError) as error:
            return judged(error)
        some = f", not for {len(refused)} of {len(self._config.to)} readers" if refused else ""
        return Answer(result=Result.DELIVERED, detail=f"taken by the server{some}", code=250)

    def _deliver(self, mail: EmailMessage) -> dict[str, tuple[int, bytes]]:
        config = self._config
        host, _, port = config.server.rpartition(":")
        host, context = host.strip("[]"), ssl.create_default_context(cafile=config.ca_file)
        seconds = config.timeout
        with (
            smtplib.SMTP_SSL(host, int(port), timeout=seconds, context=context)
            if config.security == "tls"
            else smtplib.SMTP(host, int(port), timeout=seconds)
        ) as server:
            if config.security == "starttls":
                server.starttls(context=context)
            if config.user is not None and config.password is not None:
                server.login(config.user, config.password.get_secret_value())
            return server.send_message(mail, config.sender, list(config.to))

    async def stand(self, alerts: Sequence[tuple[Alert, str]], now: datetime) -> None:
        """Do nothing: whoever was told remembers."""

    async def close(self) -> None:
        """Do nothing: each mail has its own connection."""


def mail_of(message: Message, sender: str, to: Sequence[str]) -> EmailMessage:
    """Return the mail: text, and the same as HTML with its direction of writing."""
    mail = EmailMessage()
    mail["Subject"] = message.headline
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Date"] = format_datetime(message.sent_at)
    # Repeats of a message carry the same id, by which mail programs know them.
    mail["Message-ID"] = f"<{message.key.replace('/', '.').replace(':', '.')}@{sender.rpartition('@')[2]}>"
    mail["Content-Language"] = message.language
    mail["Auto-Submitted"] = "auto-generated"
    subjects = {one.subject for one in message.alerts}
    if len(subjects) == 1:
        thread = f"<{subjects.pop().replace(':', '.')}@{sender.rpartition('@')[2]}>"
        mail["References"] = thread
    mail.set_content(message.text)
    direction = "rtl" if message.is_right_to_left else "ltr"
    style = "white-space: pre-wrap; font-family: inherit"
    body = f'<pre dir="{direction}" style="{style}">{escape(message.text)}</pre>'
    page = f'<!doctype html><html lang="{message.language}" dir="{direction}"><body>{body}</body></html>'
    mail.add_alternative(page, subtype="html")
    return mail


def judged(error: Exception) -> Answer:
    """Return what an error of the mail library means; its text may quote the server, and is not shown."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            code = min(code for code, _ in error.recipients.values())  # one that may be taken later is worth a retry
        case smtplib.SMTPResponseException():
            code = error.smtp_code
        case _:
            words = next((words for kind, words in _CAUSES if isinstance(error, kind)), "no connection, or it broke")
            return Answer(result=Result.FAILED, detail=f"{words} ({type(error).__name__})")
    is_permanent = 500 <= code <= 599 and code not in _AUTHENTICATION
    return Answer(result=Result.REFUSED if is_permanent else Result.FAILED, detail=f"SMTP {code}", code=code)


def build(config: SmtpChannel) -> Smtp:
    """Build the channel."""
    return Smtp(config)
