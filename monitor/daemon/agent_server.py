"""The asked side of an agent: serves measurements over TLS to whoever holds the token, and to nobody else."""

import asyncio
import hmac
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from monitor.config.schema import Defaults, DirectOptions, SanityConfig
from monitor.daemon.listen import REQUEST_SECONDS, Server, listening_socket, server_config
from monitor.daemon.logs import printable
from monitor.daemon.run_contexts import RunContexts
from monitor.model.identifier import MeasurementIds
from monitor.model.measurement import Limits, Request
from monitor.model.seams import Clock, Vantage
from monitor.network.certificates import TrustStore
from monitor.vantages import build
from monitor.vantages._parts import Parts

MAX_REQUEST_BYTES = 256 * 1024
MAX_FOLLOW_UPS = 64
MAX_TEXT = 2048
MAX_WAIT_SECONDS = 20.0
STOP_SECONDS = 10
CEILING = Limits(
    dns_seconds=10,
    dns_listen_seconds=5,
    tcp_seconds=20,
    tls_seconds=20,
    http_seconds=20,
    total_seconds=55,
    body_bytes=512 * 1024,
    redirects=10,
    addresses_per_family=4,
)


class Bucket:
    """A token bucket: `rate` a second, up to `burst` at once."""

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._level = float(burst)
        self._at = clock.monotonic()

    def take(self) -> bool:
        """Take one token if there is one."""
        now = self._clock.monotonic()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """What `monitor agent serve` was told."""

    listen: str
    token: str = field(repr=False)
    folder: Path | None  # where the certificate is kept; None: plain HTTP
    allowed_bogons: tuple[str, ...]
    vantage: DirectOptions
    sanity: SanityConfig
    ca_file: Path | None
    rate: float
    concurrency: int


async def serve(settings: AgentSettings, environ: Mapping[str, str], clock: Clock, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError if the place cannot be listened on or files cannot be used."""
    trust = TrustStore.load(settings.ca_file, environ)
    contexts = RunContexts(clock)
    contexts.use("", trust)
    defaults = Defaults()
    parts = Parts(
        clock=clock,
        trust=trust,
        ids=MeasurementIds(),
        context=contexts.current,
        sanity=settings.sanity,
        limits=CEILING,
        allowed_bogons=settings.allowed_bogons,
        cleartext_user_agent=defaults.cleartext_user_agent,
        geo_database=None,
        is_guarded=True,
    )
    vantage = build("agent", settings.vantage, parts)
    app = create_agent_app(
        vantage,
        token=settings.token,
        allowed_bogons=settings.allowed_bogons,
        clock=clock,
        rate=settings.rate,
        concurrency=settings.concurrency,
    )
    listener = listening_socket(settings.listen)
    config = server_config(app, graceful_seconds=STOP_SECONDS)
    server = Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.handle_exit, number, None)
    place = "{}:{}".format(*listener.getsockname()[:2])
    if settings.folder is not None:
        certificate, key, fingerprint = certificate_at(settings.folder, clock.now())
        config.ssl_certfile, config.ssl_keyfile = str(certificate), str(key)
        say(f"Listening on https://{place}")
        say(f"Fingerprint {fingerprint}")
    else:
        say(f"Listening on http://{place} without TLS")
    await server.serve(sockets=[listener])


def create_agent_app(
    vantage: Vantage, *, token: str, allowed_bogons: tuple[str, ...], clock: Clock, rate: float, concurrency: int
) -> Starlette:
    """Return the app with `POST /v1/measure` (Request → Recording) and `POST /v1/check` (→ VantageCheck).

    401 without the token, 400 for bodies too large or malformed, 429 over the rate. The caller's bogon
    exceptions count for nothing: only `allowed_bogons`, the owner's, do.
    """
    expected = sha256(token.encode()).digest()
    bucket = Bucket(rate, max(1, int(rate * 10)), clock)
    slots = asyncio.Semaphore(concurrency)

    def refusal(request: HttpRequest) -> Response | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        # Digests of equal length: neither content nor length shows in the time taken.
        if not hmac.compare_digest(sha256(given.encode()).digest(), expected):
            return Response("a valid token is needed\n", 401, {"WWW-Authenticate": "Bearer"})
        if not bucket.take():
            return Response("slow down\n", 429, {"Retry-After": "10"})
        return None

    async def measure(http_request: HttpRequest) -> Response:
        if refused := refusal(http_request):
            return refused
        try:
            request = bounded(msgspec.json.decode(await _body(http_request), type=Request), allowed_bogons)
            async with slots:
                return _answer(await vantage.measure(request))
        except (msgspec.MsgspecError, ValueError) as error:  # a URL, resolver or kind of probe may be none
            return PlainTextResponse(f"{printable(str(error))}\n", 400)

    async def check(http_request: HttpRequest) -> Response:
        if refused := refusal(http_request):
            return refused
        async with slots:
            return _answer(await vantage.check())

    return Starlette(
        routes=[Route("/v1/measure", measure, methods=["POST"]), Route("/v1/check", check, methods=["POST"])]
    )


async def _body(request: HttpRequest) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_REQUEST_BYTES:
                    raise ValueError(f"the request is larger than {MAX_REQUEST_BYTES} bytes")
    except TimeoutError:
        raise ValueError(f"the request took longer than {REQUEST_SECONDS:g} s to arrive") from None
    return bytes(body)


def _answer(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def bounded(request: Request, allowed_bogons: tuple[str, ...]) -> Request:
    """Return the request with every bound at most the ceiling; raises ValueError for what is out of all bounds."""
    if len(request.follow_ups) > MAX_FOLLOW_UPS or len(request.resolvers) > MAX_FOLLOW_UPS:
        raise ValueError("too many follow-ups or resolvers")
    texts = (request.target.url, request.user_agent, request.cleartext_user_agent, *request.resolvers)
    if any(len(text) > MAX_TEXT or not text.isprintable() for text in texts):
        raise ValueError("a text is too long or not printable")
    limits = {
        name: max(0, min(getattr(request.limits, name), getattr(CEILING, name))) for name in CEILING.__struct_fields__
    }
    follow_ups = tuple(
        msgspec.structs.replace(one, wait_seconds=max(0, min(one.wait_seconds, MAX_WAIT_SECONDS)))
        for one in request.follow_ups
    )
    return msgspec.structs.replace(
        request, limits=Limits(**limits), follow_ups=follow_ups, allowed_bogons=allowed_bogons
    )


def certificate_at(folder: Path, now: datetime) -> tuple[Path, Path, str]:
    """Return (certificate file, key file, fingerprint), made on first use: ECDSA P-256, self-signed, ten years.

    The fingerprint is the SHA-256 of the DER form in hex. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    certificate_file, key_file = folder / "agent.crt", folder / "agent.key"
    if not certificate_file.exists() or not key_file.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agent")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(pem)
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    loaded = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    return certificate_file, key_file, loaded.fingerprint(hashes.SHA256()).hex()


def is_loopback(host: str) -> bool:
    """Tell whether an address or name means this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
