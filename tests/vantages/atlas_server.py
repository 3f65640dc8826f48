"""A RIPE Atlas on loopback: the documented shapes, credits, and probes on networks that interfere as told."""

import base64
import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import trustme

OWN_ADDRESS = "198.51.100.77"  # of the volunteer: in every result, and to be kept nowhere

# What interferes: given address and server name, the fields of a failed sslcert result, or None.
Censor = Callable[[str, str], Mapping[str, Any] | None]


@dataclass
class Line:
    """Where a probe stands, and what happens there."""

    id: int
    country: str
    asn: int
    lies: Mapping[str, Sequence[str] | int | None] = field(default_factory=dict)  # addresses, a DNS code, None: silence
    censor: Censor = lambda *_: None
    is_gone: bool = False


class World:
    """The internet as all probes would see it, and what was asked of the service."""

    def __init__(self, names: Mapping[str, str], lines: Sequence[Line], authority: trustme.CA) -> None:
        self.names = dict(names)
        self.lines = list(lines)
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.balance = 1_000_000
        self.results: list[list[dict[str, Any]]] = []
        self.raw_answer: bytes | None = None
        self._chains = {host: authority.issue_cert(host).cert_chain_pems[0].bytes().decode() for host in names}
        self._hosts = {address: host for host, address in names.items()}

    def create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer POST /api/v2/measurements/."""
        self.asked.append(body)
        assert body["is_oneoff"]
        (definition,), (place,) = body["definitions"], body["probes"]
        assert place["requested"] == 1
        assert "access-monitor" in definition["tags"]
        fit = [
            line
            for line in self.lines
            if {"probes": str(line.id), "asn": line.asn, "country": line.country}[place["type"]] == place["value"]
        ]
        cost = {"dns": 20 if definition.get("protocol") == "UDP" else 40, "sslcert": 20}[definition["type"]]
        if cost > self.balance:
            return 402, {"error": {"status": 402, "title": "Payment Required"}}
        self.balance -= cost
        usable = [line for line in fit if not line.is_gone]
        self.results.append([self._result(usable[0], definition)] if usable else [])
        return 201, {"measurements": [len(self.results)]}

    def probes(self, country: str) -> dict[str, Any]:
        standing = [one for one in self.lines if one.country == country and not one.is_gone]
        return {
            "count": len(standing),
            "next": None,
            "results": [self.probe(one) for one in standing],
        }

    @staticmethod
    def probe(line: Line) -> dict[str, Any]:
        return {"id": line.id, "asn_v4": line.asn, "country_code": line.country, "address_v4": OWN_ADDRESS}

    def _result(self, line: Line, definition: dict[str, Any]) -> dict[str, Any]:
        about = {
            "fw": 5080,
            "lts": 12,
            "prb_id": line.id,
            "timestamp": 1,
            "from": OWN_ADDRESS,
            "src_addr": "192.168.1.7",
        }
        return about | (self._dns if definition["type"] == "dns" else self._sslcert)(line, definition)

    def _dns(self, line: Line, definition: dict[str, Any]) -> dict[str, Any]:
        name = definition["query_argument"]
        is_system = definition.get("use_probe_resolver", False)
        found: Sequence[str] | int | None = [self.names[name]] if name in self.names else 3
        if is_system and name in line.lies:
            found = line.lies[name]
        if found is None:
            failed = {"error": {"timeout": 5000}}
            return {"type": "dns", "resultset": [failed, failed]} if is_system else {"type": "dns", **failed}
        query = dns.message.make_query(name, definition["query_type"])
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if isinstance(found, int):
            reply.set_rcode(dns.rcode.Rcode(found))
        elif definition["query_type"] == "A":
            reply.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "A", *found))
        answered = {"result": {"abuf": base64.b64encode(reply.to_wire()).decode(), "rt": 12.5, "ANCOUNT": 1}}
        if not is_system:
            return {"type": "dns", **answered}
        return {"type": "dns", "resultset": [{"error": {"timeout": 5000}, "subid": 1}, answered | {"subid": 2}]}

    def _sslcert(self, line: Line, definition: dict[str, Any]) -> dict[str, Any]:
        target = definition["target"]
        address = self.names.get(target, target)
        name = definition.get("hostname", target if target in self.names else "")
        about = {"type": "cert", "method": "TLS", "dst_addr": address, "dst_name": target, "ver": "1.2"}
        failed = line.censor(address, name)
        if failed is None and address not in self._hosts:
            failed = {"err": "connect: timeout"}
        if failed is not None:
            return about | dict(failed)
        return about | {
            "ttc": 20.5,
            "rt": 61.0,
            "cert": [self._chains[self._hosts[address]]],
            "server_cipher": "0xC030",
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
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._world.keys.add(self.headers["Authorization"])
        self._answer(*self._world.create(body))

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        parts = path.strip("/").split("/")
        match parts[2:]:
            case ["credits"]:
                self._answer(200, {"current_balance": self._world.balance})
            case ["probes"]:
                country = dict(one.split("=") for one in query.split("&"))["country_code"]
                self._answer(200, self._world.probes(country))
            case ["probes", key]:
                self._answer(200, next(self._world.probe(one) for one in self._world.lines if str(one.id) == key))
            case _ if self._world.raw_answer is not None:
                self._write(200, self._world.raw_answer)
            case ["measurements", key, "results"]:
                self._answer(200, self._world.results[int(key) - 1])
            case _:
                self._answer(404, {})

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: Any) -> None:
        self._write(status, json.dumps(body).encode())

    def _write(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(content)


@contextlib.contextmanager
def atlas(world: World) -> Iterator[str]:
    """Serve a world; yields the address of the API."""
    server = _Server(world)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
