"""Replies that are made to fill the memory, or to take for ever: each is refused within bounds."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rows import BOTH

from orfallback import Chain, Reason, _reply
from orfallback._exchange import BODY_LIMIT
from orfallback.testing import Behaviour, Received, Simulator, Step, events, reply

KEY = "sk-test-0000000000000000"
MEMORY = Path(__file__).parent / "apps" / "memory.py"
MEGABYTE = 1024 * 1024
#: What a bomb may take besides its own bytes, up to the limit.
ROOM = 32
_GZIP = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
_DEFLATE = b"\x78\x9c"


def packed(unit: bytes, times: int, start: bytes = b"", *, head: bytes = _GZIP) -> bytes:
    """So many units, packed without being made first."""
    packer = zlib.compressobj(9, wbits=-15)
    begin = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush a block stands for itself, and can be repeated.
    block = packer.compress(unit) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + begin + block * times


def body(content: bytes, *, coding: str = "", code: int = 200, kind: str = "application/json") -> Behaviour:
    """A reply of exactly this body."""
    headers = {"Content-Encoding": coding} if coding else None
    return reply(content, code=code, content_type=kind, headers=headers)


def endless(piece: bytes, *, start: bytes = b"", head: bytes | None = None, code: int = 200) -> Behaviour:
    """A reply that never ends, as fast as it is read."""
    begin = head if head is not None else b"HTTP/1.1 %d X\r\nContent-Type: x/y\r\nConnection: close\r\n\r\n" % code

    def behave(_: Received) -> Iterator[Step]:
        yield begin + start
        while True:
            yield piece

    return behave


def many(unit: bytes, size: int = BODY_LIMIT) -> bytes:
    """A reply with a list of as many units as fit into a size."""
    start = b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"x":['
    return start + unit * ((size - len(start) - 10) // len(unit)) + b"0]}"


SPACES = b" " * MEGABYTE
TEN_GIGABYTES = packed(SPACES, 10_000, b'{"x":"')
EMPTY = zlib.compressobj(9, wbits=31).flush()
NOTHING = packed(EMPTY * 50_000, 400)
HTML = b"<html>" + b"x" * MEGABYTE
COMMENT = b": " + b"x" * 1000 + b"\n\n"
ROLE = b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n'
TEXT = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'

#: Each with what it is refused for.
BOMBS: dict[str, tuple[Behaviour, Reason]] = {
    "gzip, 10 GB": (body(TEN_GIGABYTES, coding="gzip"), Reason.MALFORMED),
    "x-gzip, 10 GB": (body(TEN_GIGABYTES, coding="X-GZIP"), Reason.MALFORMED),
    "deflate, 10 GB": (body(packed(SPACES, 10_000, b'{"x":"', head=_DEFLATE), coding="deflate"), Reason.MALFORMED),
    "gzip, gzip, 10 GB": (body(packed(TEN_GIGABYTES, 1), coding="gzip, gzip"), Reason.MALFORMED),
    "gzip three times over": (body(packed(packed(TEN_GIGABYTES, 1), 1), coding="gzip, gzip, gzip"), Reason.MALFORMED),
    "gzip of gzip of nothing": (body(NOTHING, coding="gzip, gzip"), Reason.MALFORMED),
    "gzip of gzip of gzip of nothing": (body(packed(NOTHING, 40), coding="gzip, gzip, gzip"), Reason.MALFORMED),
    "br, gzip": (body(packed(TEN_GIGABYTES, 1), coding="br, gzip"), Reason.MALFORMED),
    "an error of 10 GB": (body(TEN_GIGABYTES, coding="gzip", code=502), Reason.BUSY),
    "an error without end": (endless(b"x" * MEGABYTE, code=503), Reason.BUSY),
    "a page without end": (endless(HTML), Reason.MALFORMED),
    "a text without end": (endless(b"x" * MEGABYTE, start=b'{"x":"'), Reason.MALFORMED),
    "a header without end": (endless(b"x" * 8192, head=b"HTTP/1.1 200 OK\r\nX: "), Reason.MALFORMED),
    "headers without end": (endless(b"X: y\r\n" * 1000, head=b"HTTP/1.1 200 OK\r\n"), Reason.MALFORMED),
    "a chunk size without end": (
        endless(b"0" * 8192, head=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Reason.MALFORMED,
    ),
    "objects": (body(many(b"{},")), Reason.MALFORMED),
    "objects with a member": (body(many(b'{"a":1},')), Reason.MALFORMED),
    "lists": (body(many(b"[],")), Reason.MALFORMED),
    "texts": (body(many(b'"ab",')), Reason.MALFORMED),
    "numbers": (body(many(b"1.5,")), Reason.MALFORMED),
}
STREAMS: dict[str, tuple[Behaviour, Reason]] = {
    "events without content": (endless(ROLE * 1000), Reason.MALFORMED),
    "comments without end": (endless(COMMENT * 1000), Reason.MALFORMED),
    "one comment without end": (endless(b"x" * MEGABYTE, start=b": "), Reason.MALFORMED),
    "one line without end": (endless(b"x" * MEGABYTE, start=b"data: "), Reason.MALFORMED),
    "white space without end": (endless(b"\n" * MEGABYTE), Reason.MALFORMED),
    "a line without end, after text": (endless(b"x" * MEGABYTE, start=TEXT + b"data: "), Reason.MALFORMED),
    "80,000 lines": (events(TEXT, b"data: x\n" * 80_000, b"\n"), Reason.MALFORMED),
    "an event of objects": (events(b"data: " + many(b"{},", 8 * MEGABYTE) + b"\n\n", "[DONE]"), Reason.MALFORMED),
}


def measured(bombs: dict[str, tuple[Behaviour, Reason]], mode: str) -> dict[str, Any]:
    """What a process of its own says of each bomb; the simulator's memory is not its own."""
    with Simulator() as simulator:
        models = [f"a/{number}" for number in range(len(bombs))]
        for model, (behaviour, _) in zip(models, bombs.values(), strict=True):
            simulator.script(model, behaviour)
        command = [sys.executable, str(MEMORY), simulator.base_url, "20", mode, *models]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    found = dict(zip(bombs, map(json.loads, done.stdout.splitlines()), strict=True))
    for name, came in found.items():
        print(f"{name:40} {came['reason']} {came['seconds']:.2f} s {came['megabytes']:.0f} MB")
    return found


@pytest.mark.parametrize(
    ("bombs", "mode"),
    [
        pytest.param(BOMBS, "complete", id="whole replies"),
        pytest.param(BOMBS, "stream", id="whole replies for a stream"),
        pytest.param(STREAMS, "stream", id="streams"),
    ],
)
def test_a_bomb_stops_at_the_limit(bombs: dict[str, tuple[Behaviour, Reason]], mode: str) -> None:
    """What would fill the memory is refused for what it is, within 64 MB and 32 more, long before the deadline."""
    found = measured(bombs, mode)
    assert {name: came["reason"] for name, came in found.items()} == {name: why for name, (_, why) in bombs.items()}
    assert max(came["megabytes"] for came in found.values()) < BODY_LIMIT / MEGABYTE + ROOM
    assert max(came["seconds"] for came in found.values()) < 10


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("coding", ["br", "zstd", "br, br", "identity, zstd", "rot13", "gzip;q=1", ","])
def test_an_unknown_coding_is_no_answer(coding: str, mode: str, sim: Simulator) -> None:
    """A body in a coding that may be unknown here is refused, and not taken for text."""
    sim.script("a/a", body(TEN_GIGABYTES[:MEGABYTE], coding=coding))
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, delay=0) as chain:
        completion = chain.complete("hi") if mode == "complete" else chain.stream("hi").read()
    assert completion.attempts[0].reason in (Reason.MALFORMED, Reason.TRUNCATED)
    assert completion.model == "b/b"


HI = b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}'
HI_AND = HI[:-1] + b',"x":'
#: Odd, but nobody's bomb: it is read for what it says.
ODD = [
    pytest.param(body(packed(b"", 1, HI), coding="gzip"), id="gzip"),
    pytest.param(body(packed(b"", 1, HI, head=_DEFLATE), coding="deflate"), id="deflate"),
    pytest.param(body(HI_AND + b"[" * 500 + b"]" * 500 + b"}"), id="deep"),
    pytest.param(body(HI_AND + b"[NaN,Infinity]}"), id="NaN"),
    pytest.param(body(HI_AND + b'"\\ud800","\\udfff":1}'), id="surrogates"),
    pytest.param(body(b'{"choices":[],' + HI[1:]), id="the same name twice"),
    pytest.param(body(many(b'"ab",', 8 * MEGABYTE)), id="a million texts"),
    pytest.param(body(many(b'"' + b"x" * MEGABYTE + b'",', 48 * MEGABYTE)), id="48 MB of text"),
]


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("behaviour", ODD)
def test_what_is_odd_is_read(behaviour: Behaviour, mode: str, sim: Simulator) -> None:
    """A reply that is large, deep, packed or not quite JSON, yet within the bounds, is an answer."""
    sim.script("a/a", behaviour)
    with Chain("a/a", api_key=KEY, base_url=sim.base_url) as chain:
        completion = chain.complete("hi") if mode == "complete" else chain.stream("hi").read()
    assert completion.text == "Hi"


@pytest.mark.parametrize("mode", BOTH)
def test_half_a_character_is_handed_on(mode: str, sim: Simulator) -> None:
    """A lone surrogate in an answer is handed on as it came, and in an error it breaks nothing."""
    sim.script("a/a", body(b'{"error":{"code":502,"message":"\\ud800"}}', code=502))
    sim.script("b/b", body(HI.replace(b"Hi", b"\\ud800")))
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, delay=0) as chain:
        completion = chain.complete("hi") if mode == "complete" else chain.stream("hi").read()
    assert completion.text == "\ud800"
    assert pickle.loads(pickle.dumps(completion.attempts)) == completion.attempts


def test_the_bound_on_values_is_on_bytes_and_text_alike() -> None:
    """Four million values are read, and one more is refused, before a value is made."""
    for raw in (b"[" + b"1," * (_reply.MOST_VALUES - 1) + b"1]", "[" + "1," * (_reply.MOST_VALUES - 1) + "1]"):
        assert len(_reply.decode(raw)) == _reply.MOST_VALUES
    for raw in (b"[" + b"1," * _reply.MOST_VALUES + b"1]", "[" + "1," * _reply.MOST_VALUES + "1]"):
        with pytest.raises(_reply.TooManyValues, match=r"^the body holds more than 4,000,000 values$"):
            _reply.decode(raw)
