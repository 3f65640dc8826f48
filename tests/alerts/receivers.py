"""Receivers on loopback: an HTTP server that answers as it is told, and remembers what it took."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANG = 0  # instead of a status: say nothing until the receiver closes


@dataclass(frozen=True)
class Received:
    """A request that was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """What came, and what is answered next: `answer` gets the number of the request and returns status and headers."""

    url: str = ""
    answer: Callable[[int], tuple[int, dict[str, str]]] = lambda _: (204, {})
    requests: list[Received] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def taken(self) -> list[Received]:
        """The requests that were answered well, in order."""
        with self.changed:
            return [one for one in self.requests if 200 <= one.status < 300]

    @property
    def alerts(self) -> list[tuple[str, str, int]]:
        """Subject, kind and number of every alert that came well, in order, repeats included."""
        return [
            (alert["subject"], alert["kind"], alert["sequence"]) for one in self.taken for alert in one.json["alerts"]
        ]

    @property
    def kinds(self) -> list[str]:
        return [kind for _, kind, _ in self.alerts]

    def wait_for(self, number: int, seconds: float = 60.0) -> list[Received]:
        """Return the requests once there are so many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.requests) >= number, seconds), len(self.requests)
            return list(self.requests)

    def says(self, *statuses: int, **headers: str) -> None:
        """Answer with these statuses in turn, then well; the headers go with those that are no success."""
        with self.changed:
            first = len(self.requests)

        def answer(number: int) -> tuple[int, dict[str, str]]:
            index = number - first
            return (
                (statuses[index], {name.replace("_", "-"): value for name, value in headers.items()})
                if (index < len(statuses))
                else (204, {})
            )

        self.answer = answer


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    """Run a receiver on a free port."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            with state.changed:
                status, headers = state.answer(len(state.requests))
                state.requests.append(Received(self.path, dict(self.headers.items()), body, status))
                state.changed.notify_all()
            if status == HANG:
                state.closing.wait()
                return
            with contextlib.suppress(OSError):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

        do_GET = do_POST  # noqa: N815 - the names that http.server asks for

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
