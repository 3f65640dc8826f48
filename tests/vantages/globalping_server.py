"""A Globalping on loopback: the documented shapes and limits, and probes on networks that interfere as told."""

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

READS, READ_SECONDS, BLOCKED_SECONDS = 5, 2.0, 5.0
TIMEOUT = "Request timeout."

# What interferes: given the type of test, address, port and the name asked for, the text of the failure, or None.
Censor = Callable[[str, str, int, str], str | None]


@dataclass
class Site:
    """A server: the names that its certificate is good for, and its page."""

    names: tuple[str, ...]
    page: str = "<html><title>Welcome</title>hello</html>"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/html"})


@dataclass
class Line:
    """Where a probe stands, and what happens there."""

    country: str
    asn: int
    network: str = "Example Telecom"
    tags: Sequence[str] = ("eyeball-network",)
    lies: Mapping[str, Sequence[str] | int] = field(default_factory=dict)  # by name: addresses, or a DNS status code
    censor: Censor = lambda *_: None
    forges: str = ""  # the name for which a certificate of nobody's is shown
    is_offline: bool = False


class World:
    """The internet as all probes would see it, and what was asked of the service."""

    def __init__(self, names: Mapping[str, str], sites: Mapping[str, Site], lines: Sequence[Line]) -> None:
        self.names = dict(names)
        self.sites = dict(sites)
        self.lines = list(lines)
        self.asked: list[dict[str, Any]] = []
        self.reads = 0
        self.refused_reads = 0
        self.unchanged_reads = 0
        self.limit = 500
        self.remaining = 500
        self.authorizations: set[str | None] = set()
        self.override: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda _: None
        self.raw_answer: bytes | None = None  # in place of every result
        self.hides_limits = False  # /v1/limits tells nothing
        self.readings_in_progress = 0  # of each measurement, before it is finished
        self._measurements: dict[str, tuple[Line, dict[str, Any], list[float]]] = {}
        self._blocked_until: dict[str, float] = {}
        self._lock = threading.Lock()

    def create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Answer POST /v1/measurements."""
        with self._lock:
            self.asked.append(body)
            locations = body["locations"]
            if isinstance(locations, str):
                assert "limit" not in body
                if locations not in self._measurements:
                    return 422, {"error": {"type": "no_probes_found"}}, self._headers()
                line = self._measurements[locations][0]
            else:
                assert body["limit"] == 1
                fit = [line for line in self.lines if self._fits(line, locations[0])]
                if not fit:
                    return 422, {"error": {"type": "no_probes_found"}}, self._headers()
                line = fit[0]
            if self.remaining <= 0:
                return 429, {"error": {"type": "rate_limit_exceeded"}}, self._headers() | {"Retry-After": "1800"}
            self.remaining -= 1
            key = f"m{len(self._measurements):015d}"
            result = {"status": "offline", "rawOutput": ""} if line.is_offline else self._result(line, body)
            self._measurements[key] = (line, self.override(body) or result, [])
            return 202, {"id": key, "probesCount": 1}, self._headers()

    def read(self, key: str, etag: str | None) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Answer GET /v1/measurements/ID."""
        with self._lock:
            self.reads += 1
            now = time.monotonic()
            if key not in self._measurements:
                return 404, {"error": {"type": "not_found"}}, {}
            line, result, times = self._measurements[key]
            times[:] = [at for at in times if now - at < READ_SECONDS]
            if now < self._blocked_until.get(key, 0.0) or len(times) >= READS:
                self._blocked_until.setdefault(key, now + BLOCKED_SECONDS)
                self.refused_reads += 1
                return 429, {"error": {"type": "too_many_requests"}}, {"Retry-After": "5"}
            times.append(now)
            is_first = len(times) <= self.readings_in_progress
            place = {
                "country": line.country,
                "asn": line.asn,
                "network": line.network,
                "city": "Lahore",
                "latitude": 31.5,
                "longitude": 74.3,
                "tags": list(line.tags),
                "resolvers": ["private"],
            }
            shown = {"status": "in-progress", "rawOutput": ""} if is_first else result
            body = {
                "id": key,
                "status": "in-progress" if is_first else "finished",
                "results": [{"probe": place, "result": shown}],
            }
            tag = f'W/"{hashlib.sha256(json.dumps(body).encode()).hexdigest()[:16]}"'
            if tag == etag:
                self.unchanged_reads += 1
                return 304, {}, {"ETag": tag}
            return 200, body, {"ETag": tag}

    def limits(self) -> dict[str, Any]:
        create = {"type": "ip", "limit": self.limit, "remaining": self.remaining, "reset": 1800}
        return {"rateLimit": {"measurements": {"create": create}}, "credits": {"remaining": 0}}

    def probes(self) -> list[dict[str, Any]]:
        return [
            {
                "version": "0.40.0",
                "location": {"country": line.country, "asn": line.asn, "network": line.network},
                "tags": list(line.tags),
                "resolvers": ["private"],
            }
            for line in self.lines
            if not line.is_offline
        ]

    def targets(self, kind: str = "http") -> list[tuple[str, str | None]]:
        """Return target and host of each test of a type."""
        return [
            (one["target"], one["measurementOptions"].get("request", {}).get("host"))
            for one in self.asked
            if one["type"] == kind
        ]

    def _headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Consumed": str(self.limit - self.remaining),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": "1800",
        }

    @staticmethod
    def _fits(line: Line, place: dict[str, Any]) -> bool:
        return (
            line.country == place["country"]
            and set(place.get("tags", ())) <= set(line.tags)
            and place.get("asn") in {None, line.asn}
        )

    def _result(self, line: Line, body: dict[str, Any]) -> dict[str, Any]:
        match body["type"]:
            case "dns":
                return self._dns(line, body)
            case "ping":
                return self._ping(line, body)
            case _:
                return self._http(line, body)

    def _dns(self, line: Line, body: dict[str, Any]) -> dict[str, Any]:
        name, options = body["target"], body["measurementOptions"]
        is_system = "resolver" not in options
        if (text := line.censor("dns", options.get("resolver", ""), 53, name)) is not None:
            return _failed(text, "resolver")
        found = line.lies.get(name) if is_system else None
        if isinstance(found, int):
            return _answered(found, [])
        addresses = found or ([self.names[name]] if name in self.names else [])
        if not addresses:
            return _answered(3, [])
        of_type = [one for one in addresses if options["query"]["type"] == "A"]
        return _answered(
            0, [{"name": f"{name}.", "type": "A", "ttl": 60, "class": "IN", "value": one} for one in of_type]
        )

    def _ping(self, line: Line, body: dict[str, Any]) -> dict[str, Any]:
        options = body["measurementOptions"]
        text = line.censor("ping", body["target"], options["port"], "")
        is_lost = text is not None or body["target"] not in self.sites
        got = 0 if is_lost else options["packets"]
        stats = {"min": None if is_lost else 20.0, "total": options["packets"], "rcv": got, "drop": 0, "loss": 0}
        return {"status": "finished", "rawOutput": "PING", "timings": [], "stats": stats}

    def _http(self, line: Line, body: dict[str, Any]) -> dict[str, Any]:
        options, target = body["measurementOptions"], body["target"]
        request, is_tls = options["request"], options["protocol"] != "HTTP"
        name = request.get("host", target if target in self.names else "")
        address = self.names.get(target, target)
        if (text := line.censor("https" if is_tls else "http", address, options["port"], name)) is not None:
            return _failed(text)
        site = self.sites.get(address)
        if site is None:
            return _failed(TIMEOUT)
        shown = certificate(site, is_good=name in site.names)
        if name and name == line.forges:
            error = {"authorized": False, "error": "DEPTH_ZERO_SELF_SIGNED_CERT"}
            shown = certificate(Site((name, "forged")), is_good=True) | error
        headers = "\n".join(f"{key}: {value}" for key, value in site.headers.items())
        page = site.page if request["method"] == "GET" else None
        return {
            "status": "finished",
            "rawOutput": f"HTTP/1.1 {site.status}\n{headers}",
            "resolvedAddress": address,
            "headers": dict(site.headers),
            "rawHeaders": headers,
            "rawBody": page and page[:10_000],
            "truncated": bool(page and len(page) > 10_000),
            "statusCode": site.status,
            "statusCodeName": "OK",
            "timings": {
                "total": 100,
                "dns": 5,
                "tcp": 20,
                "tls": 40 if is_tls else None,
                "firstByte": 30,
                "download": 5,
            },
            "tls": shown if is_tls else None,
        }


def certificate(site: Site, *, is_good: bool) -> dict[str, Any]:
    digest = hashlib.sha256("".join(site.names).encode()).hexdigest().upper()
    return {
        "authorized": is_good,
        **({} if is_good else {"error": "ERR_TLS_CERT_ALTNAME_INVALID"}),
        "protocol": "TLSv1.3",
        "cipherName": "TLS_AES_256_GCM_SHA384",
        "createdAt": "2026-10-01T00:00:00.000Z",
        "expiresAt": "2027-10-01T00:00:00.000Z",
        "subject": {"CN": site.names[0], "alt": ", ".join(f"DNS:{name}" for name in site.names)},
        "issuer": {"C": "US", "O": "Example Authority", "CN": "Example CA 1"},
        "keyType": "EC",
        "keyBits": 256,
        "serialNumber": "01:02",
        "fingerprint256": ":".join(digest[at : at + 2] for at in range(0, 64, 2)),
        "publicKey": None,
    }


def _failed(text: str, source: str = "target") -> dict[str, Any]:
    nothing = dict.fromkeys(("total", "dns", "tcp", "tls", "firstByte", "download"))
    return {
        "status": "failed",
        "rawOutput": text,
        "failureSource": source,
        "resolvedAddress": None,
        "headers": {},
        "rawHeaders": None,
        "rawBody": None,
        "truncated": False,
        "statusCode": None,
        "statusCodeName": None,
        "timings": nothing,
        "tls": None,
    }


def _answered(code: int, answers: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "status": "finished",
        "rawOutput": "; <<>> DiG",
        "statusCode": code,
        "statusCodeName": {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}[code],
        "resolver": "private",
        "answers": answers,
        "timings": {"total": 12},
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # somebody hung up

    def __init__(self, world: World) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.world = world


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _world(self) -> World:
        assert isinstance(self.server, _Server)
        return self.server.world

    def do_POST(self) -> None:
        self._world.authorizations.add(self.headers["Authorization"])
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(*self._world.create(body))

    def do_GET(self) -> None:
        if self.path == "/v1/limits":
            self._answer(404 if self._world.hides_limits else 200, self._world.limits(), {})
        elif self.path == "/v1/probes":
            self._answer(200, self._world.probes(), {})
        elif self._world.raw_answer is not None:
            self._write(200, self._world.raw_answer, {})
        else:
            self._answer(*self._world.read(self.path.rpartition("/")[2], self.headers["If-None-Match"]))

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        self._write(status, b"" if status == 304 else json.dumps(body).encode(), headers)

    def _write(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(content)


@contextlib.contextmanager
def globalping(world: World) -> Iterator[str]:
    """Serve a world; yields the address of the API."""
    server = _Server(world)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
