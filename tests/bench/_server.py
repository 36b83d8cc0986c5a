"""A server that is never the bottleneck: canned bytes over raw sockets, in a process of its own."""

from __future__ import annotations

import functools
import heapq
import itertools
import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ANSWER = "The sky is blue because the air scatters short waves of light more than long ones."
#: How a body may be framed: by its pieces' size in bytes; 0 is one HTTP chunk for each event, None is no chunking.
FRAMINGS = {"a chunk for each event": 0, "chunks of 16 KiB": 16_384, "chunks of 1000 bytes": 1_000, "no chunks": None}
_SIZES = list(FRAMINGS.values())


def reply() -> bytes:
    """Return a whole reply as OpenRouter sends it."""
    return json.dumps({
        "id": "gen-1700000000-AbCdEfGhIjKlMnOpQrSt", "provider": "Mistral", "model": "mistralai/mistral-nemo",
        "object": "chat.completion", "created": 1_700_000_000, "system_fingerprint": None,
        "choices": [{
            "logprobs": None, "finish_reason": "stop", "native_finish_reason": "stop", "index": 0,
            "message": {"role": "assistant", "content": ANSWER, "refusal": None, "reasoning": None},
        }],
        "usage": {"prompt_tokens": 12, "completion_tokens": 18, "total_tokens": 30, "cost": 1.2e-06},
    }).encode()  # fmt: skip


def events(count: int) -> list[bytes]:
    """Return the events of a stream: so many words, then the end, the usage and ``[DONE]``."""
    return [*(_event(f" word{number}") for number in range(count)), _event("", "stop"), b"data: [DONE]\n\n"]


def _event(word: str, finish: str | None = None) -> bytes:
    chunk = {
        "id": "gen-1700000000-AbCdEfGhIjKlMnOpQrSt", "provider": "Mistral", "model": "mistralai/mistral-nemo",
        "object": "chat.completion.chunk", "created": 1_700_000_000,
        "choices": [{
            "index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": finish,
            "native_finish_reason": finish, "logprobs": None,
        }],
    }  # fmt: skip
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def framed(pieces: list[bytes], size: int | None) -> bytes:
    """Return a whole HTTP response whose body these pieces are."""
    head = (
        b"HTTP/1.1 200 OK\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Type: text/event-stream\r\n"
        b"Cache-Control: no-cache\r\nServer: cloudflare\r\nCF-RAY: 8264f3e4cf2b9b8e-FRA\r\n"
    )
    if size is None:
        return head + b"Connection: close\r\n\r\n" + b"".join(pieces)
    if size:
        body = b"".join(pieces)
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def whole(body: bytes, status: str = "200 OK") -> bytes:
    """Return a whole HTTP response of OpenRouter's kind."""
    return (
        f"HTTP/1.1 {status}\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: keep-alive\r\nCF-RAY: 8264f3e4cf2b9b8e-FRA\r\n"
        "Access-Control-Allow-Origin: *\r\nServer: cloudflare\r\n\r\n"
    ).encode() + body


# -- the process --


@functools.lru_cache(maxsize=64)
def _canned(kind: str, *numbers: int) -> bytes:
    if kind == "stream":
        count, framing = numbers
        return framed(events(count), _SIZES[framing])
    if kind == "busy":
        return whole(b'{"error":{"code":502,"message":"Provider returned error"}}', "502 Bad Gateway")
    return whole(reply())


def _paced(count: int, milliseconds: int, chunked: int) -> Iterator[tuple[float, bytes]]:
    """Yield the pieces of a stream, each with the seconds to wait after it."""
    head = framed([], 0 if chunked else None).partition(b"\r\n\r\n")[0]
    yield milliseconds / 1000, head + b"\r\n\r\n"
    for number in range(count):
        event = _event(f" {time.monotonic():.6f}", "stop" if number == count - 1 else None)
        yield milliseconds / 1000, b"%x\r\n%b\r\n" % (len(event), event) if chunked else event
    yield 0.0, (b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n" if chunked else b"data: [DONE]\n\n")


class _Client:
    """One connection.

    :ivar sock: its socket.
    :ivar closes: whether it is closed after the answer.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.closes = False
        self._received = bytearray()

    def request(self) -> tuple[str, bytes] | None:
        """Receive, and return the path and body of a request that is whole.

        :raises ConnectionError: when the client is gone.
        """
        piece = self.sock.recv(1 << 20)
        if not piece:
            raise ConnectionAbortedError
        self._received += piece
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if not end or len(body) < length:
            return None
        self._received = bytearray()
        return head.split(b" ", 2)[1].decode(), bytes(body)

    def send(self, content: bytes) -> None:
        """Send all of it: what it sends much of is read at once."""
        self.sock.setblocking(True)
        self.sock.sendall(content)
        self.sock.setblocking(False)


class _Server:
    """What is asked for stands in the path, before ``/chat/completions``.

    ``/whole``, ``/failover`` (a 502 for the model ``busy``), ``/stream/COUNT/FRAMING`` (its place in ``FRAMINGS``),
    ``/slow/MILLISECONDS`` and ``/paced/COUNT/MILLISECONDS/CHUNKED``, whose events hold the instant at which they left.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, int, _Client, Iterator[tuple[float, bytes]]]] = []
        self._numbers = itertools.count()

    def serve(self) -> None:
        """Serve until stdin ends."""
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            wait = max(self._due[0][0] - time.monotonic(), 0.0) if self._due else None
            for key, _ in self._selector.select(wait):
                if key.fileobj is sys.stdin:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._read(key.data)
            while self._due and self._due[0][0] <= time.monotonic():
                due, _, client, steps = heapq.heappop(self._due)
                self._go_on(client, steps, due)

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ, _Client(sock))

    def _read(self, client: _Client) -> None:
        try:
            request = client.request()
            if request is not None:
                self._answer(client, *request)
        except OSError:
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        self._selector.unregister(client.sock)
        client.sock.close()

    def _answer(self, client: _Client, path: str, body: bytes) -> None:
        kind, *rest = path.removesuffix("/chat/completions").strip("/").split("/")
        if kind == "failover":
            kind = "busy" if b'"model":"busy"' in body.replace(b": ", b":") else "whole"
        numbers = [int(each) for each in rest if each.isdigit()]
        if kind == "slow":
            steps = iter([(numbers[0] / 1000, b""), (0.0, _canned("whole"))])
        elif kind == "paced":
            client.closes = not numbers[2]
            steps = _paced(*numbers)
        else:
            client.closes = kind == "stream" and _SIZES[numbers[1]] is None
            steps = iter([(0.0, _canned(kind, *numbers))])
        self._go_on(client, steps, time.monotonic())

    def _go_on(self, client: _Client, steps: Iterator[tuple[float, bytes]], due: float) -> None:
        """Send what is due, and count what comes next from when this was due.

        Counted from when it was sent, streams that once left in one burst would stay in step for ever.
        """
        for wait, content in steps:
            try:
                client.send(content)
            except OSError:
                return
            if wait:
                heapq.heappush(self._due, (due + wait, next(self._numbers), client, steps))
                return
        if client.closes:
            self._drop(client)


def main() -> None:
    """Listen on a free port of this machine, and tell its number."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        print(listener.getsockname()[1], flush=True)
        _Server(listener).serve()


@contextmanager
def running() -> Iterator[str]:
    """Run a server in a process of its own, and yield the base URL behind which its paths are."""
    command = [sys.executable, str(Path(__file__).resolve())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.stdin.close()


if __name__ == "__main__":
    main()
