"""What ``orfallback top`` looks at: an application that counts and records its calls, and a server for what it says."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from orfallback import Attempt, Call, Ending, Target
from orfallback._record import Record, Try, record_of, to_line


class Metrics:
    """A plugin that counts calls under the names that are promised.

    :ivar registry: what it counts in.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.calls = Counter("orfallback_calls", "Calls", ["mode", "ending"], registry=registry)
        self.attempts = Counter("orfallback_attempts", "Attempts", ["model", "mode", "outcome"], registry=registry)
        names = ["from_model", "to_model", "reason"]
        self.fallbacks = Counter("orfallback_fallbacks", "Fallbacks", names, registry=registry)
        self.seconds = Histogram("orfallback_attempt_seconds", "Attempts", ["model", "mode"], registry=registry)
        self.first_token = Histogram("orfallback_first_token_seconds", "First tokens", ["model"], registry=registry)
        self.call_seconds = Histogram("orfallback_call_seconds", "Calls", ["mode"], registry=registry)
        self.waited = Counter("orfallback_wait_seconds", "Waits", registry=registry)
        self.tokens = Counter("orfallback_tokens", "Tokens", ["model", "kind"], registry=registry)
        self.cost = Counter("orfallback_cost_usd", "Cost", ["model"], registry=registry)
        self.in_progress = Gauge("orfallback_calls_in_progress", "Calls", ["mode"], registry=registry)
        rests = "orfallback_rests_until_timestamp_seconds"
        self.rests_until = Gauge(rests, "Rests", ["model"], registry=registry)

    def text(self) -> str:
        """Return what an endpoint would serve."""
        return generate_latest(self.registry).decode()

    def orfallback_call_started(self, call: Call) -> None:
        """Count it."""
        self.in_progress.labels(_mode(call)).inc()

    def orfallback_attempt_finished(self, call: Call, attempt: Attempt) -> None:
        """Count it, and what it took."""
        self.attempts.labels(attempt.model, _mode(call), "answered" if attempt.ok else str(attempt.reason)).inc()
        self.seconds.labels(attempt.model, _mode(call)).observe(attempt.elapsed)
        if attempt.first_token is not None:
            self.first_token.labels(attempt.model).observe(attempt.first_token)
        usage = attempt.usage or {}
        for kind in ("prompt", "completion"):
            self.tokens.labels(attempt.model, kind).inc(usage.get(f"{kind}_tokens", 0))
        self.cost.labels(attempt.model).inc(usage.get("cost", 0.0))
        # As the default cooldown does, about.
        transient = attempt.verdict is not None and attempt.verdict.transient
        self.rests_until.labels(attempt.model).set(time.time() + 30 if transient else 0)

    def orfallback_falling_back(self, attempt: Attempt, target: Target, wait: float) -> None:
        """Count it."""
        self.fallbacks.labels(attempt.model, target.model, str(attempt.reason)).inc()
        self.waited.inc(wait)

    def orfallback_call_finished(self, call: Call, error: BaseException | None) -> None:
        """Count it."""
        self.in_progress.labels(_mode(call)).dec()
        self.calls.labels(_mode(call), str(Ending.of(call, error))).inc()
        self.call_seconds.labels(_mode(call)).observe(sum(each.waited + each.elapsed for each in call.attempts))


def _mode(call: Call) -> str:
    return "stream" if call.stream else "complete"


class Log:
    """A plugin that writes a record of each call.

    :param path: where to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def orfallback_call_finished(self, call: Call, error: BaseException | None) -> None:
        """Write it."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{to_line(record_of(call, error, time.time()))}\n")


def record(at: float, *attempts: Try, ending: str = "answered", seconds: float | None = None) -> Record:
    """Return the record of a call.

    :param at: when it ended, in seconds since the epoch.
    :param attempts: one that answered, if there are none.
    :param seconds: how long it took; None is what its attempts took.
    """
    tries = attempts or (Try("a/good", elapsed=1.0),)
    took = sum(each.waited + each.elapsed for each in tries) if seconds is None else seconds
    return Record(at - took, "0123456789abcdef", "complete", ending, seconds=took, attempts=tries)


#: What is answered: status, headers and body.
Reply = tuple[int, Mapping[str, str], bytes]


@contextmanager
def served(reply: Callable[[http.server.BaseHTTPRequestHandler], Reply | None], port: int = 0) -> Iterator[str]:
    """Serve on loopback, and yield the address.

    :param reply: returns what to answer; None if it has written that itself.
    :param port: where; 0 is any free port.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            connections.append(self.request)
            super().setup()

        def do_GET(self) -> None:
            answer = reply(self)
            if answer is None:
                self.close_connection = True
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tell nobody."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            """A client that left is none."""

    connections: list[socket.socket] = []
    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        for connection in connections:
            # Those that are kept end with the server, as they do with its process.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def told(text: str | Callable[[], str]) -> Callable[[http.server.BaseHTTPRequestHandler], Reply]:
    """Return a reply that tells a text."""
    return lambda _: (200, {"Content-Type": "text/plain"}, (text if isinstance(text, str) else text()).encode())
