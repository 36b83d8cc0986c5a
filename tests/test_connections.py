"""Connections: kept where they can be, closed where they have to be, sent again only where that is safe."""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import trustme

from orfallback import Chain, ChainExhausted, Reason, StreamInterrupted, Target, Timeouts
from orfallback.testing import End, FakeClock, Simulator, answer, cut, raw, reply, status

KEY = "sk-test-0000000000000000"
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 67\r\n\r\n{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}  '


@pytest.fixture
def chain(sim: Simulator, clock: FakeClock) -> Iterator[Chain]:
    """A chain of two models."""
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
        yield chain


def test_twenty_fallbacks_use_one_connection(sim: Simulator, chain: Chain) -> None:
    """20 times a 502 and then an answer use one connection: a refused body is read before it is given up."""
    sim.script("a/a", status(502))
    forgetful = chain.replace(cooldown=None)
    for _ in range(20):
        forgetful.complete("hi")
    assert len(sim.requests) == 40
    assert sim.connections == 1


@pytest.mark.parametrize("framing", ["chunked", "gzip", "length", "byte"])
def test_twenty_streams_use_one_connection(framing: Any, sim: Simulator, chain: Chain) -> None:
    """20 streams that are read to their end use one connection: what follows [DONE] is drained."""
    sim.script("a/a", answer("Hi there", framing=framing))
    for _ in range(20):
        assert chain.stream("hi").read().text == "Hi there"
    assert sim.connections == 1


def test_close_closes_at_once(sim: Simulator, chain: Chain) -> None:
    """``close()`` closes kept connections though somebody still holds a response; the chain can be used again."""
    stream = chain.stream("hi")
    held = stream._chunks
    stream.read()
    assert sim.open_connections == 1
    chain.close()
    assert sim.wait_idle()
    assert held is not None
    assert chain.complete("hi").text
    assert sim.connections == 2


def test_close_closes_what_urllib3_has_let_go_of() -> None:
    """``close()`` closes the connections of all hosts, also where they are more than urllib3 keeps pools for."""
    with ExitStack() as stack:
        servers = [stack.enter_context(Simulator()) for _ in range(12)]
        targets = [Target("a/a", base_url=server.base_url, api_key=KEY) for server in servers]
        chain = Chain(targets, select=lambda call, targets: targets[int(call.context["n"])])
        for number in (*range(12), *range(12)):
            chain.complete("hi", context={"n": number})
        chain.close()
        assert [server.wait_idle() for server in servers] == [True] * 12


@pytest.mark.parametrize(("size", "pieces"), [(10, 1), (60_000, 1), (100_000, 2)])
def test_a_request_leaves_at_once(
    size: int, pieces: int, sim: Simulator, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head of a request and a body that is not large leave together, in one packet where they fit into one."""
    chain.complete("hi")
    sent: list[int] = []
    real = socket.socket.sendall
    me = threading.get_ident()

    def sendall(self: socket.socket, data: bytes) -> None:
        if threading.get_ident() == me:
            sent.append(len(data))
        real(self, data)

    monkeypatch.setattr(socket.socket, "sendall", sendall)
    chain.complete("x" * size)
    assert len(sent) == pieces
    assert sent[-1] > size


def chunked(*pieces: bytes, form: str = "{:x}") -> bytes:
    """A reply whose body comes in these HTTP chunks, all at once."""
    chunks = b"".join(form.format(len(piece)).encode() + b"\r\n" + piece + b"\r\n" for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks


@pytest.mark.parametrize("form", ["{:x}", "{:X}", "{:04x}", "{:x};extension=1", "{:x} "])
@pytest.mark.parametrize("size", [1, 7, 300, 5_000, 40_000])
def test_chunks_that_came_together(form: str, size: int, sim: Simulator, chain: Chain) -> None:
    """HTTP chunks that came together are read together, however they are written and cut; the connection is kept."""
    words = [f" word{number}" for number in range(300)]
    told = [json.dumps({"choices": [{"delta": {"content": word}}]}) for word in words]
    body = "".join(f"data: {each}\n\n" for each in (*told, '{"choices":[{"finish_reason":"stop"}]}', "[DONE]")).encode()
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    sim.script("a/a", raw(chunked(*pieces, form=form) + b"0\r\n\r\n"))
    for _ in range(2):
        assert chain.stream("hi").read().text == "".join(words)
    assert sim.connections == 1


@pytest.mark.parametrize("end", [b"", b"5\r\nda", b"no size\r\n", b"-3\r\nabc\r\n"])
def test_chunks_that_break_off(end: bytes, sim: Simulator, chain: Chain) -> None:
    """What came whole before a body broke off, or turned to nonsense, is handed on; then the stream breaks."""
    event = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    sim.script("a/a", raw(chunked(*[event] * 5) + end, end=End.CLOSE))
    stream = chain.stream("hi")
    with pytest.raises(StreamInterrupted) as caught:
        stream.read()
    assert caught.value.text == "aaaaa"


def test_a_stale_connection_is_sent_to_again(sim: Simulator, chain: Chain) -> None:
    """A kept connection that dies before any byte of the reply is replaced, once, before anyone hears of it."""
    sim.script("a/a", answer("Hi"), cut("start"), answer("Hi"))
    assert [attempt.resent for attempt in chain.complete("hi").attempts] == [False]
    completion = chain.complete("hi")
    assert completion.text == "Hi"
    assert [(attempt.model, attempt.ok, attempt.resent) for attempt in completion.attempts] == [("a/a", True, True)]
    assert sim.models_asked == ["a/a"] * 3


def read_request(peer: socket.socket) -> None:
    """Read a request to its end."""
    read = b""
    while b"\r\n\r\n" not in read:
        read += peer.recv(65536)
    head, _, body = read.partition(b"\r\n\r\n")
    left = int(re.findall(rb"(?i)content-length: (\d+)", head)[0]) - len(body)
    while left > 0:
        left -= len(peer.recv(min(left, 1 << 20)))


def serve_reset_serve(listener: socket.socket) -> None:
    """Answer once, reset the kept connection in the middle of the next request, and answer on another one."""
    first, _ = listener.accept()
    read_request(first)
    first.sendall(OK)
    first.recv(1000)
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    first.close()
    second, _ = listener.accept()
    with second:
        read_request(second)
        second.sendall(OK)


def test_a_stale_connection_that_breaks_in_a_large_body(clock: FakeClock) -> None:
    """A kept connection that is reset while 8 MB are sent on it is replaced, once, before anyone hears of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve_reset_serve, args=(listener,))
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with Chain(["a/a", "b/b"], base_url=url, clock=clock) as chain:
            assert chain.complete("hi").text == "Hi"
            (attempt,) = chain.complete("x" * 8_000_000).attempts
        server.join(10)
    assert (attempt.model, attempt.ok, attempt.resent) == ("a/a", True, True)
    assert clock.sleeps == []


def test_stale_twice_is_a_failure(sim: Simulator, chain: Chain) -> None:
    """A connection that dies again is a failure of the model: it is sent to again once only."""
    sim.script("a/a", answer("Hi"), cut("start"))
    chain.complete("hi")
    completion = chain.complete("hi")
    assert [(attempt.reason, attempt.resent) for attempt in completion.attempts] == [
        (Reason.CONNECTION, True),
        (None, False),
    ]
    assert sim.models_asked == ["a/a", "a/a", "a/a", "b/b"]


def test_a_fresh_connection_is_not_sent_to_again(sim: Simulator, chain: Chain) -> None:
    """A new connection that dies before any byte may have been billed: the next model is asked, not the same."""
    sim.script("a/a", cut("start"))
    assert chain.complete("hi").attempts[0].resent is False
    assert sim.models_asked == ["a/a", "b/b"]


def test_a_reply_that_began_is_not_sent_again(sim: Simulator, chain: Chain) -> None:
    """Once a byte of the reply came, a kept connection that dies is a failure like any other."""
    sim.script("a/a", answer("Hi"), raw(b"HTTP/1.1 2", end=End.CLOSE))
    chain.complete("hi")
    assert chain.complete("hi").requested_model == "b/b"
    assert sim.models_asked == ["a/a", "a/a", "b/b"]


@pytest.mark.parametrize("hint", [100, 102, 103])
def test_interim_replies_are_read_over(hint: int, sim: Simulator, chain: Chain) -> None:
    """100, 102 and 103 are no replies: what follows them is."""
    interim = b"HTTP/1.1 %d Wait\r\nLink: </x>\r\n\r\n" % hint
    sim.script("a/a", raw(interim * 3 + OK))
    assert chain.complete("hi").text == "Hi"
    assert sim.models_asked == ["a/a"]


def test_cookies_are_not_kept(sim: Simulator, chain: Chain) -> None:
    """A cookie that the upstream sets is not sent to it the next time."""
    sim.script("a/a", answer("Hi", headers={"Set-Cookie": "who=me; Path=/"}))
    chain.complete("hi")
    chain.complete("hi")
    assert "cookie" not in sim.requests[1].headers


def test_a_recovered_server_is_found_again(sim: Simulator, chain: Chain) -> None:
    """A server that went away and came back answers the next call, without a fault left over."""
    chain.complete("hi")
    sim.close()
    with pytest.raises(ChainExhausted) as caught:
        chain.complete("hi")
    assert {attempt.reason for attempt in caught.value.attempts} == {Reason.CONNECTION}
    sim.start()
    assert chain.complete("hi").text


def test_a_content_type_that_requests_cannot_read(sim: Simulator, chain: Chain) -> None:
    """A charset without a value, on which older requests stumbles, does not matter."""
    sim.script("a/a", reply({"choices": [{"message": {"content": "Hi"}}]}, content_type="application/json; charset"))
    assert chain.complete("hi").text == "Hi"
    assert chain.stream("hi").read().text == "Hi"


@pytest.mark.parametrize("warm", [False, True], ids=["a fresh connection", "a kept one"])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_sending_is_not_connecting(warm: bool, secure: bool, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit for connecting does not bound the sending of a large body."""
    slow = SlowReader(secure=secure)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", slow.ca)
    timeouts = Timeouts(connect=0.4, answer=10)
    with slow, Chain("a/a", api_key=KEY, base_url=slow.base_url, clock=clock, timeouts=timeouts) as chain:
        if warm:
            chain.complete("hi")
        slow.pause = 0.8
        assert chain.complete("x" * 8_000_000).text == "Hi"


class SlowReader:
    """A server that waits before it reads what it is sent, and answers then.

    :param secure: whether it speaks TLS.
    """

    def __init__(self, *, secure: bool) -> None:
        authority = trustme.CA()
        self._file = tempfile.NamedTemporaryFile(suffix=".pem")  # noqa: SIM115 - closed in __exit__
        authority.cert_pem.write_to_path(self._file.name)
        self.ca = self._file.name
        self.pause = 0.0
        self._context: ssl.SSLContext | None = None
        if secure:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http{'s' if secure else ''}://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        if self._context is not None:
            peer = self._context.wrap_socket(peer, server_side=True)
        with peer, peer.makefile("rb") as reader:
            while (line := reader.readline()) and line:
                length = 0
                while line not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                    line = reader.readline()
                threading.Event().wait(self.pause)
                reader.read(length)
                peer.sendall(OK)

    def __enter__(self) -> SlowReader:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.close()
        self._thread.join(5)
        self._file.close()
