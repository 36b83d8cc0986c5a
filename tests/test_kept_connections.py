"""What a connection must not do to the next request, and what becomes of a call when there is none to be had."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from rows import BOTH

from orfallback import CallRejected, Chain, Completion, Reason
from orfallback.testing import Behaviour, FakeClock, Gate, Received, Simulator, Step

KEY = "sk-test-0000000000000000"
DESCRIPTORS = Path(__file__).parent / "apps" / "descriptors.py"
SCHEMES = ["http", "https"]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that requests trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    return authority


@pytest.fixture(params=SCHEMES)
def server(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[Simulator]:
    """A simulator, with and without TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Simulator(ssl_context=context if request.param == "https" else None) as simulator:
        yield simulator


@pytest.fixture
def chain(server: Simulator, clock: FakeClock) -> Iterator[Chain]:
    """A chain of two models."""
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=server.base_url, clock=clock) as chain:
        yield chain


def ask(chain: Chain, mode: str, prompt: str = "hi") -> Completion:
    """Ask in one mode."""
    return chain.complete(prompt) if mode == "complete" else chain.stream(prompt).read()


def written(text: str, code: int = 200, *, chunked: bool = False) -> bytes:
    """A reply, byte for byte."""
    choices = [{"message": {"content": text}, "finish_reason": "stop"}]
    said = {"choices": choices} if code == 200 else {"error": {"code": code, "message": text}}
    body = json.dumps(said).encode()
    head = f"HTTP/1.1 {code} X\r\nContent-Type: application/json\r\n"
    if chunked:
        return f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


# -- what follows a reply --

STALE = written("STALE")
EVENTS = b'data: {"choices":[{"delta":{"content":"one"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
STREAMED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVENTS), EVENTS)
)
JUNK = [
    pytest.param(b"\n", id="a line end"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="an interim reply"),
    pytest.param(STALE[:20], id="half a status line"),
    pytest.param(STALE[:-10], id="half a reply"),
    pytest.param(STALE, id="a reply"),
    pytest.param(STALE * 1_000, id="a thousand replies"),
    pytest.param(b"\x00" * 9_000, id="zeros"),
]


def confused(first: bytes, junk: bytes) -> Behaviour:
    """A server with junk behind its first reply; whoever asks it on the same connection again gets a stale one."""

    def behave(received: Received) -> Iterator[Step]:
        yield first + junk if received.number == received.connection == 1 else STALE if received.number > 1 else OK

    return behave


OK = written("two")


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize(
    ("first", "mode"),
    [
        pytest.param(written("one"), "complete", id="by length"),
        pytest.param(written("one", chunked=True), "complete", id="in chunks"),
        pytest.param(written("one"), "stream", id="whole, for a stream"),
        pytest.param(STREAMED, "stream", id="a stream"),
    ],
)
def test_junk_behind_a_reply_costs_the_connection(
    first: bytes, junk: bytes, mode: str, server: Simulator, chain: Chain
) -> None:
    """A connection on which more came than the reply is not used again, so the next call gets its own answer."""
    server.script("a/a", confused(first, junk))
    assert ask(chain, mode).text == "one"
    completion = ask(chain, mode)
    assert completion.text == "two"
    assert [(attempt.model, attempt.ok, attempt.resent) for attempt in completion.attempts] == [("a/a", True, False)]
    assert server.connections == 2


def test_junk_behind_a_refusal(server: Simulator, chain: Chain) -> None:
    """The next model is asked on a new connection when the refusal brought more than itself."""
    server.script("a/a", confused(written("busy", 502), STALE))
    server.script("b/b", confused(b"", b""))
    completion = chain.complete("hi")
    assert [attempt.reason for attempt in completion.attempts] == [Reason.BUSY, None]
    assert (completion.text, server.connections) == ("two", 2)


def test_junk_that_comes_late(server: Simulator, chain: Chain) -> None:
    """What comes on a kept connection while nobody asks costs the connection, too."""
    gate = Gate()
    sent = threading.Event()

    def behave(received: Received) -> Iterator[Step]:
        if received.connection > 1:
            yield OK
            return
        yield written("one")
        yield gate
        yield STALE
        sent.set()

    server.script("a/a", behave)
    assert chain.complete("hi").text == "one"
    gate.open()
    assert sent.wait(10)
    assert chain.complete("hi").text == "two"
    assert server.connections == 2


# -- a reply before the request has left --


class Hasty:
    """A server that answers each request as soon as its first bytes are there, and closes.

    :param polite: on each connection it answers so many requests in good order first.
    """

    def __init__(self, *, polite: int = 0) -> None:
        self._polite = polite
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with peer:
                for _ in range(self._polite):
                    # A short request comes in one or two pieces, its body last.
                    got = b""
                    while not got.endswith(b"}"):
                        got += peer.recv(65_536)
                    peer.sendall(OK)
                peer.recv(1_000)
                peer.sendall(written("too large", 413).replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                # Closing with the rest unread resets the connection.

    def __enter__(self) -> Hasty:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("kept", [0, 1], ids=["a fresh connection", "a kept one"])
def test_an_early_413_is_read(kept: int, mode: str, clock: FakeClock) -> None:
    """A 413 that comes, with the end of the connection, while the body is still being sent is what is judged."""
    with (
        Hasty(polite=kept) as hasty,
        Chain(["a/a", "b/b"], api_key=KEY, base_url=hasty.base_url, clock=clock) as chain,
    ):
        for _ in range(5):
            if kept:
                assert ask(chain, mode).text == "two"
            with pytest.raises(CallRejected) as caught:
                ask(chain, mode, "x" * 12_000_000)
            assert [(attempt.status, attempt.resent) for attempt in caught.value.attempts] == [(413, False)]
    assert hasty.connections == 5
    assert clock.sleeps == []


# -- no connection to be had --


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("left", range(4))
def test_too_few_descriptors(left: int, mode: str, server: Simulator) -> None:
    """Without a free file descriptor a call ends soon, with a clear error or an answer, and later ones are answered."""
    command = [sys.executable, str(DESCRIPTORS), server.base_url, str(left), mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    told = json.loads(done.stdout)
    # One for the socket; with TLS one more, for the certificates.
    enough = left > server.base_url.startswith("https")
    if enough:
        assert told["short"] == told["then"]
    else:
        attempts = [["connection", "too many open files"]] * 2
        assert told["short"] == {"error": "ChainExhausted", "attempts": attempts}
        assert told["waits"] == [2.0]
    assert "text" in told["then"]
