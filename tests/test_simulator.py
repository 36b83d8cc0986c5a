"""The simulator, seen by bare sockets: every behaviour sends the bytes that its name promises."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any, get_args

import pytest
import trustme

from orfallback import testing
from orfallback.testing import (
    End,
    Gate,
    Simulator,
    answer,
    cut,
    drip,
    early_hints,
    empty_deltas,
    error_in_200,
    events,
    keep_alive,
    raw,
    redirect,
    reply,
    reset,
    silence,
    status,
)
from orfallback.testing._framing import Framing
from orfallback.testing._payloads import Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orfallback.testing import Behaviour, Received, Step

MODEL = "mistralai/mistral-nemo"
KEY = "sk-or-v1-canary-0123456789abcdef"
PATIENCE = 2.0
SHORT = 0.03
COMMENT = b": OPENROUTER PROCESSING\n\n"
FRAMINGS = get_args(Framing)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


class Client:
    """A bare socket that knows just enough HTTP to look at what it is sent."""

    def __init__(self, sim: Simulator) -> None:
        host, port = re.findall(r"//(.+):(\d+)", sim.base_url)[0]
        self.sock = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.unread = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, method: str, path: str, body: bytes = b"", headers: str = "") -> None:
        head = f"{method} /api/v1{path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        self.sock.sendall(head.encode() + body)

    def ask(self, *, stream: bool = False, model: str = MODEL, headers: str = "") -> None:
        body = json.dumps({"model": model, "stream": stream, "messages": []}).encode()
        self.send("POST", "/chat/completions", body, headers)

    def until(self, mark: bytes) -> bytes:
        """What comes up to and with a mark."""
        while mark not in self.unread:
            data = self.sock.recv(65536)
            assert data, f"no {mark!r} before the end, only {self.unread!r}"
            self.unread += data
        found, _, self.unread = self.unread.partition(mark)
        return found + mark

    def head(self) -> str:
        return self.until(b"\r\n\r\n").decode()

    def exactly(self, count: int) -> bytes:
        while len(self.unread) < count:
            self.unread += self.sock.recv(65536)
        data, self.unread = self.unread[:count], self.unread[count:]
        return data

    def body(self) -> bytes:
        """The body of a response whose length is declared."""
        return self.exactly(int(re.findall(r"Content-Length: (\d+)", self.head())[0]))

    def to_end(self) -> bytes:
        """Everything up to the FIN; a reset raises."""
        while data := self.sock.recv(65536):
            self.unread += data
        found, self.unread = self.unread, b""
        return found

    def to_reset(self) -> bytes:
        """Everything up to the RST; a FIN fails."""
        with pytest.raises(ConnectionResetError):
            self.to_end()
        return self.unread

    def is_silent(self) -> bool:
        """Whether nothing comes, the connection's end included."""
        self.sock.settimeout(SHORT)
        try:
            self.unread += self.sock.recv(65536)
        except TimeoutError:
            return not self.unread
        finally:
            self.sock.settimeout(PATIENCE)
        return False


class _Reluctant(ssl.SSLContext):
    """Has no greeting for the first client, as if it were gone again already."""

    greeted = 0

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        self.greeted += 1
        if self.greeted == 1:
            raise ConnectionResetError
        return super().wrap_socket(*arguments, **options)


def asked(sim: Simulator, behaviour: Behaviour, *, stream: bool = False) -> tuple[str, bytes]:
    """Head and body of the answer to one request, read to the connection's end."""
    sim.script(MODEL, behaviour)
    with Client(sim) as client:
        client.ask(stream=stream, headers="Connection: close\r\n")
        head, _, body = client.to_end().partition(b"\r\n\r\n")
    return head.decode(), body


def sent(sim: Simulator, behaviour: Behaviour, *, stream: bool = False) -> bytes:
    """Everything that answers one request, up to a FIN that the client did not ask for."""
    sim.script(MODEL, behaviour)
    with Client(sim) as client:
        client.ask(stream=stream)
        return client.to_end()


def opened(got: bytes) -> tuple[bytes, bytes]:
    """Head and body of a chunked response that may break off anywhere, the body without its framing."""
    head, end, rest = got.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return head + end, body


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that another thread brings about."""
    for _ in itertools.takewhile(lambda _: not holds(), range(1000)):
        time.sleep(0.001)
    assert holds()


def chunks(body: bytes) -> list[bytes]:
    """The chunks of a body that must be whole, the last one included."""
    found = []
    while True:
        size, _, body = body.partition(b"\r\n")
        chunk, body = body[: int(size, 16)], body[int(size, 16) :]
        assert body.startswith(b"\r\n")
        body = body[2:]
        found.append(chunk)
        if not chunk:
            assert body == b""
            return found


def decoded(head: str, body: bytes) -> bytes:
    """A body without its framing."""
    if "Transfer-Encoding: chunked" in head:
        body = b"".join(chunks(body))
    if "Content-Encoding: gzip" in head:
        body = zlib.decompress(body, zlib.MAX_WBITS | 16)
    return body


def data_of(body: bytes) -> list[Any]:
    """The payloads of a stream's events, parsed where they are JSON."""
    blocks = body.decode().split("\n\n")
    payloads = [block.removeprefix("data: ") for block in blocks if block.startswith("data: ")]
    return [json.loads(payload) if payload.startswith("{") else payload for payload in payloads]


def text_of(payloads: list[Any]) -> str:
    """The text that a stream's chunks carry."""
    return "".join(
        choice["delta"].get("content", "")
        for payload in payloads
        if isinstance(payload, dict)
        for choice in payload.get("choices") or ()
    )


def streamed(sim: Simulator, behaviour: Behaviour) -> list[Any]:
    return data_of(decoded(*asked(sim, behaviour, stream=True)))


def whole(sim: Simulator, behaviour: Behaviour) -> Any:
    return json.loads(decoded(*asked(sim, behaviour)))


class TestAnswer:
    def test_stream_has_the_events_of_a_live_one(self, sim: Simulator) -> None:
        """A stream is a role, the words, a finish_reason, that again with the usage, and [DONE]."""
        head, body = asked(sim, answer("Grüß dich!"), stream=True)
        first, *words, stop, usage, done = data_of(decoded(head, body))
        assert "Content-Type: text/event-stream\r\n" in head
        assert re.search(r"X-Generation-Id: gen-\d{10}-\d{20}", head)
        assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert [word["choices"][0]["delta"]["content"] for word in words] == ["Grüß ", "dich!"]
        assert stop["choices"][0]["finish_reason"] == usage["choices"][0]["finish_reason"] == "stop"
        assert usage["usage"]["completion_tokens"] == 2
        assert done == "[DONE]"
        assert "Grüß".encode() in body

    def test_whole_answer_is_one_json_object(self, sim: Simulator) -> None:
        """Without a stream there is one completion, named by its header too."""
        head, body = asked(sim, answer("Grüß dich!", model="served", provider="Host"))
        completion = json.loads(decoded(head, body))
        assert completion["choices"][0]["message"] == {"role": "assistant", "content": "Grüß dich!"}
        assert (completion["model"], completion["provider"]) == ("served", "Host")
        assert f"X-Generation-Id: {completion['id']}" in head
        assert "usage" in completion

    def test_whole_answer_has_all_that_must_be_there(self, sim: Simulator) -> None:
        """Every member that OpenRouter's schema requires of a completion is sent: its own client takes none without."""
        required = {"id", "object", "created", "model", "choices", "system_fingerprint"}
        for behaviour in (answer("Hi"), error_in_200(shape="choice")):
            assert required <= whole(sim, behaviour).keys()

    @pytest.mark.parametrize("framing", FRAMINGS)
    @pytest.mark.parametrize("stream", [True, False])
    def test_every_framing_carries_the_same(self, sim: Simulator, framing: Framing, stream: bool) -> None:
        """Whatever the framing, what it carries is the answer."""
        head, body = asked(sim, answer("one two", framing=framing), stream=stream)
        assert b"one" in decoded(head, body)
        assert b"two" in decoded(head, body)

    def test_chunked_sends_an_event_a_chunk(self, sim: Simulator) -> None:
        """In the chunked framing each chunk is one event."""
        _, body = asked(sim, answer("one two"), stream=True)
        *parts, last = chunks(body)
        assert all(part.startswith(b"data: ") and part.endswith(b"\n\n") for part in parts)
        assert (len(parts), last) == (6, b"")

    def test_byte_framing_has_chunks_of_one_byte(self, sim: Simulator) -> None:
        """In the byte framing no chunk is longer than one byte."""
        _, body = asked(sim, answer("hi", framing="byte"), stream=True)
        assert {len(chunk) for chunk in chunks(body)} == {0, 1}

    def test_length_is_known_in_advance(self, sim: Simulator) -> None:
        """In the length framing a stream declares its length, and is not chunked."""
        head, body = asked(sim, answer("hi", framing="length"), stream=True)
        assert f"Content-Length: {len(body)}" in head
        assert "Transfer-Encoding" not in head

    def test_close_is_ended_by_fin_alone(self, sim: Simulator) -> None:
        """In the close framing there is neither length nor chunk, and the FIN comes unasked."""
        sim.script(MODEL, answer("hi", framing="close"))
        with Client(sim) as client:
            client.ask(stream=True)
            head, body = client.head(), client.to_end()
        assert "Content-Length" not in head
        assert "Transfer-Encoding" not in head
        assert "Connection: close" in head
        assert data_of(body)[-1] == "[DONE]"

    def test_gzip_is_prompt(self, sim: Simulator) -> None:
        """In the gzip framing each event can be decompressed before the next one is sent."""
        gate = Gate()
        sim.script(MODEL, answer("hi", framing="gzip", gate=gate))
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        with Client(sim) as client:
            client.ask(stream=True)
            client.head()
            for _ in range(3):
                size = int(client.until(b"\r\n"), 16)
                assert unpacker.decompress(client.exactly(size + 2)[:-2]).endswith(b"\n\n")
                assert client.is_silent()
                gate.open()

    def test_gate_holds_back_every_event_but_the_first(self, sim: Simulator) -> None:
        """Event n + 1 is not sent before the gate is opened for it."""
        gate = Gate()
        sim.script(MODEL, answer(pieces=["a"], gate=gate))
        with Client(sim) as client:
            client.ask(stream=True)
            for _ in range(4):
                client.until(b"\n\n\r\n")
                assert client.is_silent()
                gate.open()
            assert client.until(b"0\r\n\r\n").startswith(b"e\r\ndata: [DONE]")

    def test_a_gate_that_nobody_opens(self, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who waits at a forgotten gate is reset in the end, not kept for ever."""
        monkeypatch.setattr("orfallback.testing._wire.GATE_TIMEOUT", 0.01)
        sim.script(MODEL, answer(pieces=["a"], gate=Gate()))
        with Client(sim) as client:
            client.ask(stream=True)
            assert b'"role":"assistant"' in client.to_reset()

    def test_gate_counts(self, sim: Simulator) -> None:
        """A gate opened n times in advance lets n events pass at once."""
        gate = Gate()
        gate.open(4)
        assert text_of(streamed(sim, answer(pieces=["a"], gate=gate))) == "a"

    def test_pace_separates_the_events(self, sim: Simulator) -> None:
        """With a pace the events come apart, comments too."""
        begun = time.monotonic()
        _, body = asked(sim, answer(pieces=["a"], pace=0.02, comments=2), stream=True)
        assert time.monotonic() - begun >= 6 * 0.02
        assert [chunk == COMMENT for chunk in chunks(body)] == [True, True, *[False] * 6]

    def test_options_change_the_stream(self, sim: Simulator) -> None:
        """Role, usage, finish_reason and [DONE] can be left out, and line ends chosen."""
        bare = answer(pieces=["a", "b"], role_first=False, usage=False, finish_reason=None, done=False)
        assert [chunk["choices"][0]["delta"]["content"] for chunk in streamed(sim, bare)] == ["a", "b"]
        usage = streamed(sim, answer(empty_choices_usage=True))[-2]
        assert usage["choices"] == []
        assert "usage" in usage
        head, body = asked(sim, answer(line_end="\r\n", headers=[("X-A", "1"), ("X-A", "2")]), stream=True)
        assert decoded(head, body).endswith(b"data: [DONE]\r\n\r\n")
        assert "X-A: 1\r\nX-A: 2" in head

    def test_reasoning_and_refusal(self, sim: Simulator) -> None:
        """Reasoning comes before the text and a refusal instead of it, in both modes."""
        behaviour = answer("", reasoning="hm", refusal="no")
        deltas = [chunk["choices"][0]["delta"] for chunk in streamed(sim, behaviour)[:-1]]
        assert [(delta.get("reasoning"), delta.get("refusal")) for delta in deltas[1:3]] == [
            ("hm", None),
            (None, "no"),
        ]
        message = whole(sim, behaviour)["choices"][0]["message"]
        assert message == {"role": "assistant", "content": None, "reasoning": "hm", "refusal": "no"}

    def test_tool_calls_are_split_over_two_deltas(self, sim: Simulator) -> None:
        """A stream cuts the arguments of a call in two; a whole answer has the call as given."""
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
        behaviour = answer("", tool_calls=[call], finish_reason="tool_calls")
        assert whole(sim, behaviour)["choices"][0]["message"]["tool_calls"] == [call]
        deltas = [chunk["choices"][0]["delta"] for chunk in streamed(sim, behaviour)[:-1]]
        parts = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
        assert [part["index"] for part in parts] == [0, 0]
        assert [part.get("id") for part in parts] == ["c1", None]
        assert "".join(part["function"]["arguments"] for part in parts) == '{"a":1}'


class TestReplies:
    def test_status_wears_the_envelope(self, sim: Simulator) -> None:
        """An error status has OpenRouter's envelope, metadata only when given."""
        head, body = asked(sim, status(429, metadata={"provider_name": "X"}, headers={"Retry-After": "7"}))
        assert head.startswith("HTTP/1.1 429 Too Many Requests\r\n")
        assert "Retry-After: 7" in head
        error = json.loads(body)["error"]
        assert error["code"] == 429
        assert MODEL in error["message"]
        assert error["metadata"] == {"provider_name": "X"}
        assert whole(sim, status(502, message="busy")) == {"error": {"code": 502, "message": "busy"}}

    @pytest.mark.parametrize(
        ("body", "wanted"), [({"a": "é"}, '{"a":"é"}'.encode()), ("é", "é".encode()), (b"\xff",) * 2]
    )
    def test_bodies_go_as_they_are(self, sim: Simulator, body: Any, wanted: bytes) -> None:
        """Bytes and text go as they are, anything else as JSON, under any status."""
        head, got = asked(sim, status(599, body, content_type="text/html"))
        assert head.startswith("HTTP/1.1 599 Unknown\r\nContent-Type: text/html")
        assert got == wanted
        assert asked(sim, reply(body, leading=b"\n\n"))[1] == b"\n\n" + wanted

    def test_redirect_and_hints(self, sim: Simulator) -> None:
        """A redirect names its location; early hints come before the real response."""
        head, body = asked(sim, redirect(307, "http://elsewhere/"))
        assert head.startswith("HTTP/1.1 307 ")
        assert "Location: http://elsewhere/" in head
        assert body == b""
        head, rest = asked(sim, early_hints(status(204, b"")))
        assert head.startswith("HTTP/1.1 103 Early Hints")
        assert rest.startswith(b"HTTP/1.1 204 ")

    @pytest.mark.parametrize("shape", get_args(Shape))
    def test_error_in_200_has_its_shape(self, sim: Simulator, shape: Shape) -> None:
        """A failure inside HTTP 200 is written where its shape says, in both modes."""
        behaviour = error_in_200(503, "overloaded", shape=shape)
        head, body = asked(sim, behaviour)
        chunk = streamed(sim, behaviour)[-1]
        assert head.startswith("HTTP/1.1 200 OK")
        for payload in (json.loads(body), chunk):
            error, choices = payload.get("error"), payload.get("choices")
            first = choices[0] if choices else {}
            facts = {
                "top": error == {"code": 503, "message": "overloaded"},
                "bare": set(payload) == {"error"},
                "null_choices": choices is None and "choices" in payload,
                "empty_choices": choices == [] and error is not None,
                "choice": first.get("error") is not None and first.get("finish_reason") == "error",
                "finish": first.get("finish_reason") == "error" and not first.get("error"),
                "native": first.get("native_finish_reason") == "error" and first.get("finish_reason") is None,
                "string": error == "overloaded",
                "string_code": isinstance(error, dict) and error["code"] == "503",
            }
            assert facts[shape]

    def test_error_after_text(self, sim: Simulator) -> None:
        """Text said before the failure comes first, in a whole answer as partial text."""
        behaviour = error_in_200(shape="choice", after="half an answer", done=True)
        payloads = streamed(sim, behaviour)
        assert text_of(payloads) == "half an answer"
        assert payloads[-2]["choices"][0]["error"]["code"] == 502
        assert payloads[-1] == "[DONE]"
        assert whole(sim, behaviour)["choices"][0]["message"]["content"] == "half an answer"

    def test_events_are_exactly_those_given(self, sim: Simulator) -> None:
        """A dict becomes JSON, text an event, bytes stay; the body ends as its framing demands."""
        _, body = asked(sim, events({"a": 1}, "[DONE]", b": odd\r", 0.001), stream=True)
        assert chunks(body) == [b'data: {"a":1}\n\n', b"data: [DONE]\n\n", b": odd\r", b""]

    def test_events_can_break_off(self, sim: Simulator) -> None:
        """With an end of their own the body lacks the end of its framing."""
        sim.script(MODEL, events("a", end=End.RESET), events("a", end=End.CLOSE))
        with Client(sim) as client:
            client.ask(stream=True)
            assert client.to_reset().endswith(b"data: a\n\n\r\n")
        with Client(sim) as client:
            client.ask(stream=True)
            assert client.to_end().endswith(b"data: a\n\n\r\n")


class TestBrokenOff:
    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("at", ["accept", "headers", "body", "content"])
    def test_reset_is_a_real_one(self, sim: Simulator, at: Any, stream: bool) -> None:
        """A reset reaches the client as ECONNRESET, after just what should arrive."""
        sim.script(MODEL, reset(at, text="spoken"))
        with Client(sim) as client:
            client.ask(stream=stream)
            head, body = opened(client.to_reset())
        assert head.startswith(b"HTTP/1.1 200 OK") == (at != "accept")
        assert head.endswith(b"\r\n\r\n") == (at in ("body", "content"))
        assert (b'"content":"' in body) == (at in ("body", "content"))
        assert (b"spoken" in body) == (at == "content")

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("at", ["start", "headers"])
    def test_cut_before_the_body(self, sim: Simulator, at: Any, stream: bool) -> None:
        """A cut at the start sends nothing; one in the headers never reaches their end."""
        head, body = opened(sent(sim, cut(at), stream=stream))
        assert head.startswith(b"HTTP/1.1 200 OK") == (at == "headers")
        assert not head.endswith(b"\r\n\r\n")
        assert body == b""

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("at", ["body", "content", "json", "character", "finish"])
    def test_cut_inside_the_body(self, sim: Simulator, at: Any, stream: bool) -> None:
        """A cut in the body comes in the right place, and leaves the chunks without their end."""
        got = sent(sim, cut(at, text="spoken"), stream=stream)
        _, body = opened(got)
        assert not got.endswith(b"0\r\n\r\n")
        assert (b"spoken" in body) == (at != "body")
        assert (b'"finish_reason":"stop"' in body) == (at == "finish")
        assert b"[DONE]" not in body
        if stream:
            assert body.endswith(b"\n\n") == (at not in ("json", "character"))
        else:
            assert body.endswith(b"}") == (at == "finish")

    @pytest.mark.parametrize("stream", [True, False])
    def test_cut_inside_a_character(self, sim: Simulator, stream: bool) -> None:
        """A cut in a character leaves UTF-8 that is not complete; a cut in the JSON leaves text that is."""
        _, body = opened(sent(sim, cut("character"), stream=stream))
        with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
            body.decode()
        assert opened(sent(sim, cut("json"), stream=stream))[1].decode()

    def test_cut_falls_short_of_its_length(self, sim: Simulator) -> None:
        """In the length framing the length declared is that of the answer unbroken."""
        head, body = asked(sim, cut("body", framing="length"))
        assert int(re.findall(r"Content-Length: (\d+)", head)[0]) > len(body) > 0

    def test_clean_cut_ends_its_framing(self, sim: Simulator) -> None:
        """A clean cut is a well-formed response whose answer is not complete, and keeps the connection."""
        sim.script(MODEL, cut("content", text="spoken", clean=True))
        with Client(sim) as client:
            for _ in range(2):
                client.ask(stream=True)
                client.head()
                payloads = data_of(b"".join(chunks(client.until(b"\r\n0\r\n\r\n"))))
                assert text_of(payloads) == "spoken"
                assert "[DONE]" not in payloads
        assert sim.connections == 1
        with pytest.raises(ValueError, match="inside the body"):
            cut("headers", clean=True)

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize(
        ("before", "last"),
        [("headers", b""), ("body", b"\r\n\r\n"), ("content", b'"content":"'), ("end", b"spoken")],
    )
    def test_silence_stalls_for_good(self, sim: Simulator, before: Any, last: bytes, stream: bool) -> None:
        """Before what never comes everything else does; then nothing, not even an end."""
        sim.script(MODEL, silence(before, text="spoken"))
        with Client(sim) as client:
            client.ask(stream=stream)
            if last:
                client.until(last)
            client.is_silent()
            client.unread = b""
            assert client.is_silent()
            assert sim.open_connections == 1


class TestEndless:
    def test_keep_alive_sends_signs_of_life(self, sim: Simulator) -> None:
        """Comments in a stream and newlines without one go on until the client leaves."""
        sim.script(MODEL, keep_alive(every=0.001, after="so far"))
        with Client(sim) as client:
            client.ask(stream=True)
            _, begun = opened(client.until(COMMENT))
            assert text_of(data_of(begun)) == "so far"
            for _ in range(5):
                client.until(COMMENT)
        with Client(sim) as client:
            client.ask()
            client.head()
            assert client.exactly(18) == b"1\r\n\n\r\n" * 3

    @pytest.mark.parametrize("stream", [True, False])
    def test_keep_alive_can_lead_to_an_answer(self, sim: Simulator, stream: bool) -> None:
        """After so many signs of life a good answer comes."""
        body = decoded(*asked(sim, keep_alive(every=0.001, then=3), stream=stream))
        assert body.startswith((COMMENT if stream else b"\n") * 3)
        assert b"Hello" in body
        assert json.loads(body)["choices"] if not stream else data_of(body)[-1] == "[DONE]"

    def test_empty_deltas_carry_nothing(self, sim: Simulator) -> None:
        """Deltas keep coming, all of them empty."""
        sim.script(MODEL, empty_deltas(every=0.001))
        with Client(sim) as client:
            client.ask(stream=True)
            client.head()
            got = b"".join(client.until(b"\n\n") for _ in range(5))
        assert got.count(b'"delta":{"role":"assistant","content":""}') == 5

    @pytest.mark.parametrize(
        ("part", "stream", "begins"),
        [("headers", False, b"Drip: xxx"), ("body", False, b"\r\n\r\n    "), ("body", True, b"\r\n\r\n: OP")],
    )
    def test_drip_comes_byte_by_byte(self, sim: Simulator, part: Any, stream: bool, begins: bytes) -> None:
        """Headers, a body or a stream's comments come one byte at a time."""
        sim.script(MODEL, drip(part, every=0.01))
        begun = time.monotonic()
        with Client(sim) as client:
            client.ask(stream=stream)
            client.until(begins)
        assert time.monotonic() - begun >= 2 * 0.01

    def test_raw_is_verbatim(self, sim: Simulator) -> None:
        """Raw bytes are all that is sent, with an end if one is given."""
        gate = Gate()
        gate.open()
        got = sent(sim, raw(b"HTTP/9 what\r\n", 0.001, gate, b"\xff", end=End.CLOSE))
        assert got == b"HTTP/9 what\r\n\xff"


class TestServer:
    def test_connection_is_kept(self, sim: Simulator) -> None:
        """Requests on one connection are counted on it."""
        with Client(sim) as client:
            for _ in range(3):
                client.ask()
                client.until(b"0\r\n\r\n")
            assert [(got.connection, got.number) for got in sim.requests] == [(1, 1), (1, 2), (1, 3)]
            assert (sim.connections, sim.open_connections) == (1, 1)

    def test_script_goes_on_and_its_last_repeats(self, sim: Simulator) -> None:
        """Behaviours are taken in order, the last again and again; unscripted models do the default."""
        sim.script(MODEL, status(502), status(503))
        sim.default(status(418, b""))
        with Client(sim) as client:
            codes = []
            for model in (MODEL, MODEL, MODEL, "other"):
                client.ask(model=model)
                client.until(b" ")
                codes.append(client.until(b" "))
                client.body()
        assert codes == [b"502 ", b"503 ", b"503 ", b"418 "]
        assert sim.models_asked == [MODEL, MODEL, MODEL, "other"]
        with pytest.raises(ValueError, match="behaviour"):
            sim.script(MODEL)

    def test_what_is_no_behaviour(self, sim: Simulator) -> None:
        """A status or a text in the place of a behaviour is refused with what makes one, and nothing changes."""
        for odd in (502, "Hi", None):
            wrong: Any = odd
            with pytest.raises(TypeError, match=r"made by a function such as status\(502\) .+, not "):
                sim.script(MODEL, status(502), wrong)
            with pytest.raises(TypeError, match="not "):
                sim.default(wrong)
        with Client(sim) as client:
            client.ask()
            assert client.head().startswith("HTTP/1.1 200 ")

    def test_key_is_never_held(self, sim: Simulator) -> None:
        """What was received tells which key came, and holds the key nowhere."""
        with Client(sim) as client:
            client.ask(headers=f"Authorization: Bearer {KEY}\r\n")
            client.head()
        (got,) = sim.requests
        assert KEY not in repr(got) + repr(got.headers)
        assert KEY.encode() not in got.raw
        assert got.headers["authorization"] == "Bearer sk-...cdef"
        assert got.authorized
        assert got.key_digest == hashlib.sha256(KEY.encode()).hexdigest()[:12]

    def test_odd_authorizations_are_masked(self, sim: Simulator) -> None:
        """Short keys, keys without a scheme and no key at all reveal nothing."""
        seen = []
        for header in ("Authorization: Bearer sk-test\r\n", f"Authorization: {KEY}\r\n", ""):
            with Client(sim) as client:
                client.ask(headers=header)
                client.head()
            seen.append((sim.requests[-1].headers.get("authorization"), sim.requests[-1].key_digest is None))
        assert seen == [("Bearer sk-...", False), ("sk-...cdef", True), (None, True)]

    @pytest.mark.parametrize("form", ["Bearer {} more", "{} more", "Bearer  {}", "x-api-key {}", "Bearer {},{}"])
    def test_a_key_beside_other_words_is_masked(self, form: str, sim: Simulator) -> None:
        """Whatever stands before or behind it, a key is not to be read in what was received."""
        with Client(sim) as client:
            client.ask(headers=f"Authorization: {form.format(KEY, KEY)}\r\n")
            client.head()
        assert KEY[:8] not in sim.requests[-1].headers["authorization"]

    def test_body_may_come_in_chunks(self, sim: Simulator) -> None:
        """A chunked request is read like any other, and 100 Continue said when asked for."""
        with Client(sim) as client:
            client.sock.sendall(b"POST /api/v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n")
            client.sock.sendall(b"Expect: 100-continue\r\n\r\n")
            assert client.head() == "HTTP/1.1 100 Continue\r\n\r\n"
            client.sock.sendall(b'7;x=y\r\n{"model\r\n6\r\n":"m"}\r\n0\r\nTrailer: t\r\n\r\n')
            assert client.head().startswith("HTTP/1.1 200")
        assert sim.models_asked == ["m"]

    @pytest.mark.parametrize(
        "request_bytes",
        [
            b"nonsense\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"x" * 100_000,
            b"GET //[ HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nlonger\r\n0\r\n\r\n",
        ],
    )
    def test_nonsense_is_refused(self, sim: Simulator, request_bytes: bytes) -> None:
        """What is not HTTP gets a 400 and no place among the requests."""
        with Client(sim) as client:
            client.sock.sendall(request_bytes)
            assert client.head().startswith("HTTP/1.1 400 ")
        assert sim.requests == []

    def test_an_old_client_is_hung_up_on(self, sim: Simulator) -> None:
        """HTTP/1.0 keeps no connection, unless the client asks for it."""
        for headers, kept in (("", False), ("Connection: keep-alive\r\n", True)):
            with Client(sim) as client:
                client.sock.sendall(f"GET /api/v1/key HTTP/1.0\r\n{headers}\r\n".encode())
                client.body()
                assert client.is_silent() if kept else client.to_end() == b""

    def test_who_is_gone_before_the_welcome_keeps_nobody_out(self) -> None:
        """A client that cannot even be greeted is hung up on, and the next one is served."""
        ca = trustme.CA()
        context = _Reluctant(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        trusting = ssl.create_default_context()
        ca.configure_trust(trusting)
        with Simulator(ssl_context=context) as sim:
            with Client(sim) as gone:
                assert gone.to_end() == b""
            with Client(sim) as client:
                client.sock = trusting.wrap_socket(client.sock, server_hostname="127.0.0.1")
                client.send("GET", "/key")
                assert client.head().startswith("HTTP/1.1 200 ")
            assert sim.connections == 1

    def test_other_routes(self, sim: Simulator) -> None:
        """Models and key are told in OpenRouter's form; any other path is not found."""
        with Client(sim) as client:
            client.send("GET", "/models?x=1")
            models = {model["id"]: model for model in json.loads(client.body())["data"]}
            client.send("GET", "/key")
            key = json.loads(client.body())["data"]
            client.send("GET", "/chat/completions")
            missing = json.loads(client.body())
        assert len(models) == 4
        assert models[MODEL]["context_length"] == 131_072
        assert models["mistralai/pixtral-12b"]["architecture"]["input_modalities"] == ["text", "image"]
        assert models[MODEL]["pricing"]["prompt"] == "0.00000015"
        assert {"limit", "usage", "is_free_tier"} <= set(key)
        assert missing == {"error": {"message": "Not Found", "code": 404}}
        assert sim.models_asked == []

    @pytest.mark.parametrize(
        "behaviour", [silence(), raw(5.0), answer(gate=Gate()), keep_alive(every=0.001), answer(pace=0.5)]
    )
    def test_client_that_leaves_is_noticed(self, sim: Simulator, behaviour: Behaviour) -> None:
        """A client that closes while the behaviour hangs, pauses, waits or sends has left early."""
        sim.script(MODEL, behaviour)
        with Client(sim) as client:
            client.ask(stream=True)
            client.is_silent()
            assert not sim.wait_idle(timeout=0.001)
        assert sim.wait_idle(timeout=PATIENCE)
        assert sim.left_early == sim.requests
        assert sim.open_connections == 0

    def test_client_that_stays_to_the_end_did_not_leave_early(self, sim: Simulator) -> None:
        """Who leaves after the answer, or is cut off, has not left early."""
        asked(sim, answer())
        asked(sim, cut("content"))
        with Client(sim) as client:
            client.ask(model="other")
            client.until(b"0\r\n\r\n")
        assert sim.wait_idle()
        assert sim.left_early == []

    def test_close_ends_everything(self) -> None:
        """Closing wakes whatever hangs, frees every thread and socket, and nobody has left early."""
        before = threading.active_count()
        sim = Simulator()
        with pytest.raises(RuntimeError, match="not started"):
            _ = sim.base_url
        with sim:
            clients = [Client(sim) for _ in range(5)]
            sim.script(MODEL, silence(), raw(9.0), answer(gate=Gate()), drip(), keep_alive())
            for client in clients:
                client.ask(stream=True)
            until(lambda: len(sim.requests) == len(clients))
            with pytest.raises(RuntimeError, match="running"):
                sim.start()
            begun = time.monotonic()
        assert time.monotonic() - begun < PATIENCE
        for client in clients:
            client.to_end()
            client.sock.close()
        assert threading.active_count() == before
        assert (sim.open_connections, sim.left_early) == (0, [])
        sim.close()

    def test_it_comes_back_on_its_port(self) -> None:
        """A simulator that was closed refuses connections, and may be started again where it was."""
        sim = Simulator()
        with sim:
            url = sim.base_url
        with pytest.raises(ConnectionRefusedError):
            Client(sim)
        with sim:
            assert sim.base_url == url
            assert text_of(streamed(sim, answer("back"))) == "back"

    def test_many_at_once(self, sim: Simulator) -> None:
        """Clients on different threads are served at the same time."""
        gate = Gate()
        sim.default(answer(pieces=["a"], gate=gate))
        clients = [Client(sim) for _ in range(20)]
        for client in clients:
            client.ask(stream=True)
            client.until(b"\n\n\r\n")
        gate.open(4 * len(clients))
        for client in clients:
            client.until(b"0\r\n\r\n")
            client.sock.close()
        assert sim.wait_idle()
        assert sim.connections == len(clients)

    def test_own_behaviours_are_plain_generators(self, sim: Simulator) -> None:
        """Any callable that yields steps is a behaviour, and sees the request."""

        def echo(received: Received) -> Iterator[Step]:
            yield f"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n{received.method} {received.number}".encode()

        sim.script(MODEL, echo)
        with Client(sim) as client:
            client.ask()
            assert client.body() == b"POST 1"


class TestRoutes:
    def test_a_route_has_a_script_of_its_own(self, sim: Simulator) -> None:
        """A route's script wins for its route, built in or not, whatever the query; other routes stay."""
        sim.script("GET /models", status(500, b""), status(503, b""))
        sim.script("POST /embeddings", status(418, b""))
        with Client(sim) as client:
            codes = []
            for method, path in (("GET", "/models"), ("GET", "/models?x=1"), ("POST", "/embeddings"), ("GET", "/key")):
                client.send(method, path)
                codes.append(client.until(b"\r\n")[9:12])
                client.body()
        assert codes == [b"500", b"503", b"418", b"200"]

    def test_a_chat_goes_by_its_model_first(self, sim: Simulator) -> None:
        """The script of the model wins over that of the chat route, and that over the default."""
        sim.default(status(500, b""))
        sim.script("POST /chat/completions", status(501, b""))
        sim.script(MODEL, status(502, b""))
        assert [asked(sim, status(502, b""))[0][9:12]] == ["502"]
        with Client(sim) as client:
            client.ask(model="other")
            assert client.head().startswith("HTTP/1.1 501 ")
            client.ask(model="GET /key")
            assert client.head().startswith("HTTP/1.1 501 ")

    @pytest.mark.parametrize("name", ["GET models", "get /models", "a b", "GET /models?x=1", "GET /api/v1/models"])
    def test_a_name_with_a_space_is_a_route(self, sim: Simulator, name: str) -> None:
        """A name with a space that is no route is refused."""
        with pytest.raises(ValueError, match="a route is METHOD /path"):
            sim.script(name, status(500))

    def test_what_is_listed_of_a_model_can_be_said(self) -> None:
        """A listed model may bring members of its own, which replace those that are told, or come on top."""
        with Simulator(models=["a/a", {"id": MODEL, "expiration_date": "2026-12-01", "extra": 1}]) as sim:
            with Client(sim) as client:
                client.send("GET", "/models")
                first, second = json.loads(client.body())["data"]
        assert (first["id"], first["expiration_date"]) == ("a/a", None)
        assert (second["expiration_date"], second["extra"]) == ("2026-12-01", 1)
        assert second["context_length"] == 131_072
        with pytest.raises(ValueError, match=r"models\[1\] is a model's id or an object"):
            Simulator(models=["a/a", {"name": "x"}])


class TestLoad:
    def test_a_script_may_be_json(self, sim: Simulator) -> None:
        """A document says what models, routes and all others do, and what is listed."""
        sim.load(
            {
                "models": {MODEL: [{"status": 502}, "answer"], "GET /key": {"status": 401}},
                "default": {"status": 418},
                "listed": ["a/a"],
            }
        )
        with Client(sim) as client:
            codes = []
            for model in (MODEL, MODEL, "other"):
                client.ask(model=model)
                codes.append(client.until(b"\r\n")[9:12])
                client.until(b"0\r\n\r\n") if codes[-1] == b"200" else client.body()
            client.send("GET", "/key")
            codes.append(client.until(b"\r\n")[9:12])
            client.body()
            client.send("GET", "/models")
            listed = json.loads(client.body())["data"]
        assert codes == [b"502", b"200", b"418", b"401"]
        assert [model["id"] for model in listed] == ["a/a"]

    def test_what_it_does_not_name_stays(self, sim: Simulator) -> None:
        """Scripts, default and list are replaced by what a document says, and kept where it says nothing."""
        sim.script(MODEL, status(502, b""))
        sim.default(status(418, b""))
        sim.load({"models": {"a/a": {"status": 503}}})
        sim.load({})
        with Client(sim) as client:
            codes = []
            for model in (MODEL, "a/a", "other"):
                client.ask(model=model)
                codes.append(client.until(b"\r\n")[9:12])
                client.body()
            client.send("GET", "/models")
            assert len(json.loads(client.body())["data"]) == 4
        assert codes == [b"502", b"503", b"418"]

    def test_a_wrong_script_changes_nothing(self, sim: Simulator) -> None:
        """Of a document that is wrong anywhere nothing is taken."""
        with pytest.raises(ValueError, match=r'models\["b/b"\]: no behaviour is called "statsu"'):
            sim.load({"default": {"status": 418}, "models": {MODEL: {"status": 502}, "b/b": "statsu"}, "listed": []})
        with Client(sim) as client:
            for model in (MODEL, "other"):
                client.ask(model=model)
                assert client.head().startswith("HTTP/1.1 200 ")
                client.until(b"0\r\n\r\n")


class TestTelling:
    def test_requests_are_told_before_they_are_answered(self) -> None:
        """A function is told of each request as it arrives, on every route, and may ask the simulator itself."""
        told: list[Received] = []
        counts: list[int] = []

        def tell(received: Received) -> None:
            told.append(received)
            counts.append(len(simulator.requests))

        simulator = Simulator(on_request=tell)
        with simulator, Client(simulator) as client:
            client.ask()
            client.until(b"0\r\n\r\n")
            client.send("GET", "/nowhere")
            client.body()
        assert [got.path for got in told] == ["/api/v1/chat/completions", "/api/v1/nowhere"]
        assert (told, counts) == (simulator.requests, [1, 2])

    def test_replies_are_told_as_they_begin(self) -> None:
        """A function is told of each reply with its status, and of each connection that ends without one."""
        told: list[tuple[str | None, int | None]] = []
        with Simulator(on_reply=lambda got, code: told.append((got.model, code))) as sim:
            sim.script(MODEL, status(502), reset("accept"), raw(b"nonsense"), answer())
            for count in range(1, 5):
                with Client(sim) as client:
                    client.ask()
                    until(lambda count=count: len(told) == count)  # type: ignore[misc]  # bound at once
        assert told == [(MODEL, 502), (MODEL, None), (MODEL, None), (MODEL, 200)]

    def test_who_left_early_is_told(self) -> None:
        """A function is told of each request that was left early, and of no other."""
        told: list[Received] = []
        with Simulator(on_left=told.append) as sim:
            asked(sim, answer())
            sim.script(MODEL, silence())
            with Client(sim) as client:
                client.ask()
                until(lambda: len(sim.requests) == 2)
            assert sim.wait_idle()
            assert told == sim.left_early == sim.requests[1:]
            with Client(sim) as client:
                client.ask()
                until(lambda: len(sim.requests) == 3)
                sim.close()
        assert len(told) == 1

    def test_nothing_need_be_remembered(self) -> None:
        """Without a memory requests are told of and answered, and none is kept."""
        told: list[Received] = []
        left: list[Received] = []
        with Simulator(on_request=told.append, on_left=left.append, remember=False) as sim:
            asked(sim, answer())
            sim.script(MODEL, silence())
            with Client(sim) as client:
                client.ask()
                until(lambda: len(told) == 2)
            assert sim.wait_idle()
            assert (sim.requests, sim.models_asked, sim.left_early) == ([], [], [])
            assert left == told[1:]

    def test_half_a_character_is_refused(self, sim: Simulator) -> None:
        """A model's name that no answer can repeat gets a 400."""
        with Client(sim) as client:
            client.ask(model="a/\ud800")
            assert client.head().startswith("HTTP/1.1 400 ")
        assert sim.requests == []


class TestPackage:
    @pytest.mark.parametrize(
        ("behaviour", "name"),
        [
            (answer, "framing"),
            (reply, "framing"),
            (events, "framing"),
            (cut, "framing"),
            (cut, "at"),
            (reset, "at"),
            (silence, "before"),
            (drip, "part"),
            (error_in_200, "shape"),
        ],
    )
    def test_unknown_choices_are_refused(self, behaviour: Any, name: str) -> None:
        """A choice that does not exist is refused by name, with those that do."""
        body = [b""] if behaviour is reply else []
        with pytest.raises(ValueError, match=rf"{name} must be one of '\w+', .+ not 'odd'"):
            behaviour(*body, **{name: "odd"})

    @pytest.mark.parametrize("code", [0, 99, 1000])
    def test_a_status_that_is_none_is_refused(self, code: int) -> None:
        """What no status line can hold is refused when the behaviour is made."""
        with pytest.raises(ValueError, match=rf"code is an HTTP status of three digits, not {code}"):
            status(code)

    def test_names_load_when_they_are_used(self) -> None:
        """Importing the package loads neither sockets nor anything else of it; every name resolves."""
        code = "import sys, orfallback.testing; print([m for m in sys.modules if '.testing.' in m])"
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert shown.stdout.strip() == "[]"
        assert all(getattr(testing, name) for name in testing.__all__)
        assert set(testing.__all__) <= set(dir(testing))
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = testing.nothing  # type: ignore[attr-defined]  # that is what the test is about
