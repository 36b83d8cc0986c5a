"""Good answers in odd dress: they are answers."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import requests
from rows import BOTH, CHUNKED, dressed

from orfallback import Chain
from orfallback.testing import Behaviour, End, FakeClock, Simulator, early_hints, events, raw, reply
from orfallback.testing import answer as good

REPLY = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "H\u00e9!"}, "finish_reason": "stop"}]}
BODY = json.dumps(REPLY, ensure_ascii=False).encode()
CHUNK = {"choices": [{"index": 0, "delta": {"content": "H\u00e9!"}, "finish_reason": "stop"}]}


def undressed(*lines: bytes) -> Behaviour:
    """A response with these header lines and no others, ended by the connection's end."""
    return raw(b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", BODY]), end=End.CLOSE)


def with_message(**message: Any) -> Behaviour:
    """A reply with such a message."""
    return reply({"choices": [{"message": message, "finish_reason": "stop"}]})


GOOD = [
    pytest.param(dressed(BODY), id="plain"),
    pytest.param(undressed(b"Content-Length: -5"), id="20 a length below nothing"),
    pytest.param(undressed(b"Content-Length: abc"), id="20 a length that is none"),
    pytest.param(undressed(), id="20 no length"),
    pytest.param(raw(CHUNKED + b"%x;ext=1\r\n%b\r\n0\r\nX-Trailer: y\r\n\r\n" % (len(BODY), BODY)), id="21 extensions"),
    pytest.param(dressed(gzip.compress(BODY), b"Content-Encoding: gzip"), id="22 gzip"),
    pytest.param(dressed(gzip.compress(BODY), b"Content-Encoding: x-gzip"), id="22 x-gzip"),
    pytest.param(dressed(BODY, b"Content-Encoding: snappy"), id="22 an encoding in name only"),
    pytest.param(raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + BODY, end=End.CLOSE), id="15 100 first"),
    pytest.param(raw(b"HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + BODY, end=End.CLOSE), id="15 102 first"),
    pytest.param(early_hints(good("H\u00e9!")), id="15 103 first"),
    pytest.param(dressed(b"\xef\xbb\xbf" + BODY), id="35 a byte order mark"),
    pytest.param(dressed(BODY, b"Content-Type: application/json; charset=latin-1"), id="35 a charset that lies"),
    pytest.param(dressed(BODY, b"Content-Type: application/json; charset=klingon"), id="35 a charset of nobody"),
    pytest.param(dressed(BODY, b"Content-Type: text/plain"), id="35 JSON as text"),
    pytest.param(dressed(BODY, b"Content-Type: text/html"), id="35 JSON as a page"),
    pytest.param(dressed(b"\n\n \n" + BODY), id="34 newlines first"),
    pytest.param(dressed(b'{"x": NaN, "y": 1e400, ' + BODY[1:]), id="37 NaN and infinity"),
    pytest.param(dressed(b'{"choices": [], ' + BODY[1:]), id="37 a name twice: the last counts"),
    pytest.param(reply({**REPLY, "error": None}), id="33 an error of null"),
    pytest.param(reply({**REPLY, "error": {}}), id="33 an error of nothing"),
    pytest.param(with_message(content=[{"type": "text", "text": "H\u00e9!"}]), id="36 content in parts"),
    pytest.param(reply({"choices": [{"message": {"content": "H\u00e9!"}, "finish_reason": None}]}), id="38 no finish"),
    pytest.param(reply({"choices": [{"message": {"content": "H\u00e9!"}, "finish_reason": "length"}]}), id="38 length"),
    pytest.param(reply({**REPLY, "model": "other/model-20260101"}), id="39 another model's name"),
    pytest.param(reply({**REPLY, "model": 5}), id="39 a model that is a number"),
]


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("behaviour", GOOD)
def test_a_good_answer_is_one(behaviour: Behaviour, mode: str, sim: Simulator, clock: FakeClock) -> None:
    """An answer counts whatever it is dressed in, also where a stream was asked for; nobody else is asked."""
    sim.script("a/a", behaviour)
    with Chain(["a/a", "b/b"], base_url=sim.base_url, clock=clock) as chain:
        completion = chain.complete("?") if mode == "complete" else chain.stream("?").read()
    assert completion.text == "H\u00e9!"
    assert sim.models_asked == ["a/a"]
    assert completion.attempts[0].ok
    assert isinstance(completion.model, str)
    assert sim.wait_idle()


def test_a_mark_byte_by_byte(sim: Simulator, clock: FakeClock) -> None:
    """A byte order mark that comes in pieces hides neither a reply nor a stream."""
    sim.script("a/whole", reply(REPLY, leading=b"\xef\xbb\xbf", framing="byte"))
    sim.script("a/stream", events(b"\xef\xbb\xbf", CHUNK, framing="byte"))
    for model in ("a/whole", "a/stream"):
        with Chain(model, base_url=sim.base_url, clock=clock) as chain:
            assert chain.stream("?").read().text == "H\u00e9!"


def test_a_large_stream_that_a_hook_has_read(sim: Simulator, clock: FakeClock) -> None:
    """A session's hook that reads the body of a stream, which comes in one piece then, does no harm at any size."""
    sim.script("a/a", good("word " * 2_000))
    with requests.Session() as session:
        session.hooks["response"].append(lambda response, **_: response.content and None)
        with Chain("a/a", base_url=sim.base_url, clock=clock, session=session) as chain:
            assert chain.stream("?").read().text == "word " * 2_000


def test_utf_16_is_json_too(sim: Simulator, clock: FakeClock) -> None:
    """A whole reply may be JSON in UTF-16, as RFC 4627 had it."""
    sim.script("a/a", reply(json.dumps(REPLY).encode("utf-16")))
    with Chain("a/a", base_url=sim.base_url, clock=clock) as chain:
        assert chain.complete("?").text == "H\u00e9!"


DONE = [
    pytest.param(events(CHUNK, b"data: [DONE]"), id="48 [DONE] without its blank line"),
    pytest.param(events(CHUNK, "[DONE]", CHUNK), id="48 more behind [DONE]"),
    pytest.param(events(CHUNK, " [DONE] "), id="48 [DONE] with blanks round it"),
    pytest.param(events(CHUNK, "[DONE]", "[DONE]"), id="48 [DONE] twice"),
    pytest.param(events(CHUNK), id="47 a finish, and no [DONE]"),
    pytest.param(events({"choices": [{"delta": {"content": "H\u00e9!"}}]}, "[DONE]"), id="47 [DONE], and no finish"),
    pytest.param(events(b"event: ping\ndata: {}\n\n", CHUNK, "[DONE]"), id="50 a ping"),
    pytest.param(events(b"event: ping\ndata: pong\n\n", CHUNK, "[DONE]"), id="50 a ping that is no JSON"),
    pytest.param(events(b"data:\n\n", b"data: \n\n", CHUNK, "[DONE]"), id="50 data of nothing"),
    pytest.param(events(b"retry: 5\nid: 7\nfoo: bar\n\n", CHUNK, "[DONE]"), id="50 fields that nobody needs"),
    pytest.param(events({"usage": {}}, {"choices": []}, {"choices": None}, CHUNK), id="51 chunks without choices"),
    pytest.param(events({"choices": [{"delta": None}]}, {"choices": [{}]}, CHUNK), id="51 no delta"),
    pytest.param(events({"choices": [{"delta": {"role": "assistant"}}]}, CHUNK), id="51 a role alone"),
]


@pytest.mark.parametrize("behaviour", DONE)
def test_a_good_stream_is_one(behaviour: Behaviour, sim: Simulator, clock: FakeClock) -> None:
    """A stream counts whatever comes beside its text, and what comes behind its end is left alone."""
    sim.script("a/a", behaviour)
    with Chain(["a/a", "b/b"], base_url=sim.base_url, clock=clock) as chain:
        assert chain.stream("?").read().text == "H\u00e9!"
    assert sim.models_asked == ["a/a"]
    assert sim.wait_idle()
