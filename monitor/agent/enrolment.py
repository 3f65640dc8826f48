"""Becoming an agent: once, with an invitation, after consent."""

import hmac
from datetime import datetime

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

import monitor
from monitor.agent.identity import Identity
from monitor.agent.transport import Transport, UnreachableError, certificate_at, usable_url
from monitor.model.fleet import Enrolled, Enrolment
from monitor.model.invitation import Invitation
from monitor.model.seams import Clock
from monitor.network.message_signatures import SignatureError, fingerprint, verify_answer

SOFTWARE = f"access-monitor/{monitor.__version__}"
FEATURES = ("dns", "tcp", "tls", "http", "quic")
_SECONDS = 60.0


class EnrolmentError(Exception):
    """The machine is no agent; the message is one sentence for its owner."""


async def enrol(
    invitation: Invitation,
    clock: Clock,
    *,
    consent_version: int,
    consent_at: datetime | None,
    proxy: str | None = None,
    insecure: bool = False,
) -> Identity:
    """Make a key, show the centre its public half and the token, and return who we are now; raises EnrolmentError."""
    if usable_url(invitation.url, insecure=insecure) is None:
        raise EnrolmentError("the invitation leads to no address that may be used: it must begin with https://")
    key = Ed25519PrivateKey.generate()
    body = msgspec.json.encode(
        Enrolment(
            token=invitation.token,
            public_key=key.public_key().public_bytes_raw(),
            software=SOFTWARE,
            features=FEATURES,
            consent_version=consent_version,
            consent_at=consent_at,
        )
    )
    try:
        pinned = invitation.certificate_fingerprint
        certificate = await certificate_at(invitation.url, pinned, proxy) if pinned else None
        transport = Transport(certificate, proxy)
        try:
            answer = await transport.post(f"{invitation.url}/v1/enrol", body, {}, _SECONDS)
        finally:
            await transport.close()
    except UnreachableError as error:
        raise EnrolmentError(f"the centre at {invitation.url} cannot be reached: {error}") from error
    if 400 <= answer.status < 500:
        raise EnrolmentError("the centre does not take this invitation: it was used, is too old, or was withdrawn")
    if answer.status != 200:
        raise EnrolmentError(f"the centre at {invitation.url} answered {answer.status}; try again later")
    try:
        enrolled = msgspec.json.decode(answer.body, type=Enrolled)
        centre_key = Ed25519PublicKey.from_public_bytes(enrolled.centre_public_key)
        if not hmac.compare_digest(fingerprint(centre_key), invitation.key_fingerprint):
            raise EnrolmentError("the answer comes from another centre than the invitation's: somebody is in between")
        verify_answer(centre_key, answer.headers, answer.status, answer.body)
    except (SignatureError, msgspec.MsgspecError, ValueError) as error:
        raise EnrolmentError("the answer is not the centre's") from error
    urls = [usable for url in enrolled.ingest_urls[:16] if (usable := usable_url(url, insecure=insecure))]
    return Identity(
        agent_id=enrolled.agent_id,
        vantage=enrolled.vantage,
        key=key.private_bytes_raw(),
        centre_key=enrolled.centre_public_key,
        urls=tuple(dict.fromkeys(urls or [invitation.url])),
        enrolled_at=clock.now(),
        certificate=certificate,
        insecure=insecure,
    )
