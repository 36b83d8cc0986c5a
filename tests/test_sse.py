"""Server-sent events: WHATWG's rules hold however the bytes are cut."""

from __future__ import annotations

import logging
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orfallback._sse import MAX_LINES, Blocks, EventTooLarge, iter_events

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Events = list[tuple[str, str]]

LIMIT = 1_000_000
BOM = b"\xef\xbb\xbf"
PROPERTY = settings(max_examples=200, deadline=None, database=None)

CASES = [
    pytest.param(b"data: a\n\ndata: b\n\n", [("message", "a"), ("message", "b")], 0, id="lf"),
    pytest.param(b"data: a\r\rdata: b\r\r", [("message", "a"), ("message", "b")], 0, id="cr"),
    pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [("message", "a"), ("message", "b")], 0, id="crlf"),
    pytest.param(b"data: a\r\n\ndata: b\n\r\n", [("message", "a"), ("message", "b")], 0, id="mixed-crlf-lf"),
    pytest.param(b"data: a\n\rdata: b\r\r\n", [("message", "a"), ("message", "b")], 0, id="mixed-lf-cr"),
    pytest.param(b"\n\r\n\r\n\ndata: a\n\n\n\n", [("message", "a")], 0, id="spare-blank-lines"),
    pytest.param(BOM + b"data: a\n\n", [("message", "a")], 0, id="bom"),
    pytest.param(BOM + BOM + b"data: a\n\ndata: b\n\n", [("message", "b")], 0, id="second-bom-is-a-field-name"),
    pytest.param(BOM + b": hi\n\n", [], 1, id="bom-then-comment"),
    pytest.param(b"\n" + BOM + b"data: a\n\n", [], 0, id="late-bom"),
    pytest.param(b"\xef\xbbdata: a\n\n", [], 0, id="two-thirds-of-a-bom"),
    pytest.param(b": PROCESSING\n\ndata: a\n:\ndata: b\n\n", [("message", "a\nb")], 2, id="comments"),
    pytest.param(b": one\n\n: two\n\n", [], 2, id="comments-only"),
    pytest.param(b"data: a\ndata: b\ndata:\ndata: c\n\n", [("message", "a\nb\n\nc")], 0, id="multi-line"),
    pytest.param(b"data:a\n\ndata:  b\n\n", [("message", "a"), ("message", " b")], 0, id="one-space-is-taken"),
    pytest.param(b"data\n\ndata:\n\ndata\ndata\n\n", [("message", ""), ("message", ""), ("message", "\n")], 0,
        id="empty"),
    pytest.param(b"data: a: b:c\n\n", [("message", "a: b:c")], 0, id="colons-in-data"),
    pytest.param(b"foo: 1\nDATA: x\n data: y\nretry: 5\nid: 7\ndata: a\n\n", [("message", "a")], 0, id="other-fields"),
    pytest.param(b"event: ping\n\ndata: a\n\n", [("message", "a")], 0, id="name-without-data"),
    pytest.param(b"event: ping\ndata: a\n\ndata: b\n\n", [("ping", "a"), ("message", "b")], 0, id="event-name"),
    pytest.param(b"event: ping\nevent\ndata: a\n\n", [("message", "a")], 0, id="name-taken-back"),
    pytest.param("data: žluť 🐎\n\n".encode(), [("message", "žluť 🐎")], 0, id="utf-8"),
    pytest.param("data: a\u2028b\u2029c\u0085d\x0b\x0c\x1ce\n\n".encode(),
        [("message", "a\u2028b\u2029c\u0085d\x0b\x0c\x1ce")], 0, id="not-line-ends"),
    pytest.param(b"data: a\xffb\n\ndata: c\n\n", [("message", "a\ufffdb"), ("message", "c")], 0, id="bad-byte"),
    pytest.param(b"data: a\xe2\x82\n\n", [("message", "a\ufffd")], 0, id="cut-character"),
    pytest.param(b": \xff\n\ndata: a\n\n", [("message", "a")], 1, id="bad-byte-in-comment"),
    pytest.param(b"data: a\x00b\n\n", [("message", "a\x00b")], 0, id="nul"),
    pytest.param(b"data: a\n\ndata: {\"b\":\n", [("message", "a")], 0, id="unfinished-block"),
    pytest.param(b"data: a\n\ndata: [DONE]", [("message", "a")], 0, id="unfinished-line"),
    pytest.param(b"", [], 0, id="nothing"),
]  # fmt: skip


def parse(pieces: Iterable[bytes], limit: int = LIMIT) -> tuple[Events, int]:
    blocks = Blocks(pieces, limit)
    return [(event.event, event.data) for event in iter_events(blocks)], blocks.comments


def reference(raw: bytes) -> tuple[Events, int]:
    """WHATWG HTML 9.2.6, character by character, over the whole stream at once."""
    text = raw.decode(errors="replace").removeprefix("\ufeff")
    found: Events = []
    line, name, comments, place = "", "", 0, 0
    data: list[str] = []
    while place < len(text):
        char = text[place]
        place += 2 if text[place : place + 2] == "\r\n" else 1
        if char not in "\r\n":
            line += char
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                found.append((name or "message", "\n".join(data)))
            name, data = "", []
        elif not field:
            comments += 1
        elif field == "data":
            data.append(value)
        elif field == "event":
            name = value
        line = ""
    return found, comments


def cut(raw: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(raw)]
    return [raw[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize(("raw", "events", "comments"), CASES)
def test_whole(raw: bytes, events: Events, comments: int) -> None:
    """A stream in one piece gives the events and the comments that the standard says."""
    assert parse([raw]) == (events, comments)
    assert reference(raw) == (events, comments), "the reference parser is wrong"


@pytest.mark.parametrize(("raw", "events", "comments"), CASES)
def test_cut_at_every_byte(raw: bytes, events: Events, comments: int) -> None:
    """One cut, wherever it falls, changes nothing."""
    for place in range(len(raw) + 1):
        assert parse(cut(raw, [place])) == (events, comments), f"cut at {place}"


@pytest.mark.parametrize(("raw", "events", "comments"), CASES)
def test_byte_by_byte(raw: bytes, events: Events, comments: int) -> None:
    """One byte a read, empty reads between, changes nothing."""
    assert parse(cut(raw, range(1, len(raw)))) == (events, comments)
    assert parse(piece for byte in cut(raw, range(1, len(raw))) for piece in (b"", byte)) == (events, comments)


def test_lf_after_a_crlf_that_was_cut() -> None:
    """Only one LF belongs to a CR that ended a read; the next LF is a blank line of its own."""
    assert parse([b"data: a\r", b"\n", b"\n", b"data: b\n\n"]) == ([("message", "a"), ("message", "b")], 0)


FIELDS = st.sampled_from([
    b"data: x", b"data:", b"data", b"event: e", b": c", b":", b"x", b" ", BOM, b"id: 1", b"data: \xff",
    b"data: \xe2\x82", b"\xac", "data: \u2028\u0085".encode(), "data: 🐎".encode(), b"data: \x00",
])  # fmt: skip
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\r\n\n", b"\n\r", b""])
STREAMS = st.lists(st.tuples(FIELDS, ENDS), max_size=20).map(lambda lines: b"".join(map(b"".join, lines)))


@PROPERTY
@given(raw=STREAMS, draw=st.data())
def test_any_stream_in_any_cuts(raw: bytes, draw: st.DataObject) -> None:
    """Any bytes, cut anywhere any number of times, parse as the slow reference does."""
    expected = reference(raw)
    pieces = cut(raw, draw.draw(st.lists(st.integers(0, len(raw)), max_size=len(raw) + 2)))
    assert b"".join(pieces) == raw
    assert parse(pieces) == expected
    assert parse(cut(raw, range(1, len(raw)))) == expected, "byte by byte"


@pytest.mark.parametrize(
    "end", [pytest.param(b"\n\n", id="lf"), pytest.param(b"\r\r", id="cr"), pytest.param(b"\r\n\r\n", id="crlf")]
)
def test_prompt(end: bytes) -> None:
    """An event is handed out before the piece after the one that completed it is asked for."""
    pulled: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        for piece in (b"data: ", b"a" + end, b"data: b" + end + b"data: c" + end, b"data: d", end):
            pulled.append(piece)
            yield piece

    events = iter_events(Blocks(pieces(), LIMIT))
    seen = [(next(events).data, len(pulled)) for _ in range(4)]
    assert seen == [("a", 2), ("b", 3), ("c", 3), ("d", 5)]
    assert next(events, None) is None


def test_comments_are_counted_as_they_come() -> None:
    """A comment counts as soon as its line is whole, though no event comes of it."""
    counts: list[int] = []

    def pieces() -> Iterator[bytes]:
        for piece in (b": a", b"\n\n", b": b\n\n: c\n\n", b"data: x\n\n"):
            yield piece
            counts.append(blocks.comments)

    blocks = Blocks(pieces(), LIMIT)
    assert [event.data for event in iter_events(blocks)] == ["x"]
    assert counts == [0, 1, 3, 3]


@pytest.mark.parametrize("head", [pytest.param(b"data: ", id="one-line"), pytest.param(b"data: a\ndata: ", id="lines")])
def test_endless_event(head: bytes) -> None:
    """An event past the limit raises as soon as the piece that passes it is there, and no later."""
    pulled = 0

    def pieces() -> Iterator[bytes]:
        nonlocal pulled
        for piece in (head, *[b"x" * 10] * 1_000):
            pulled += len(piece)
            yield piece

    with pytest.raises(EventTooLarge, match=r"^an event is larger than 200 bytes$"):
        parse(pieces(), limit=200)
    assert 200 < pulled <= 210


@pytest.mark.parametrize("size", [1, 7, 60, 100])
def test_limit_is_for_one_event(size: int) -> None:
    """Events and comments that are each within the limit never add up to it."""
    raw = (b"data: " + b"x" * 90 + b"\n\n: comment\n\n") * 50
    events, comments = parse(cut(raw, range(size, len(raw), size)), limit=100)
    assert (events, comments) == ([("message", "x" * 90)] * 50, 50)


@pytest.mark.parametrize("size", [50, 5_000, 50_000])
def test_line_limit(size: int) -> None:
    """1,000 lines are an event, 1,001 are an error, however they are cut."""
    lines = b"data: x\n" * MAX_LINES
    whole, more = lines + b": comment\n\n", lines + b"data: x\n\n"
    assert MAX_LINES == 1_000
    assert parse(cut(whole, range(size, len(whole), size)))[0] == [("message", "\n".join("x" * MAX_LINES))]
    with pytest.raises(EventTooLarge, match=r"^an event has more than 1000 lines$"):
        parse(cut(more, range(size, len(more), size)))


@pytest.mark.parametrize("pieces", [
    pytest.param([b"data: a\n\n", b"data: x\n" * 1_001], id="apart"),
    pytest.param([b"data: a\n\n" + b"data: x\n" * 1_001], id="in-one-piece"),
])  # fmt: skip
def test_whole_events_before_a_broken_one(pieces: list[bytes]) -> None:
    """An event that came whole is handed out before the one after it breaks the line limit."""
    events = iter_events(Blocks(pieces, LIMIT))
    assert next(events).data == "a"
    with pytest.raises(EventTooLarge):
        next(events)


def test_an_error_of_the_source_passes_out() -> None:
    """What the byte source raises comes out unchanged, after the events before it."""

    def pieces() -> Iterator[bytes]:
        yield b"data: a\n\ndata: b"
        raise ConnectionResetError("gone")

    events = iter_events(Blocks(pieces(), LIMIT))
    assert next(events).data == "a"
    with pytest.raises(ConnectionResetError, match=r"^gone$"):
        next(events)


def test_linear_time() -> None:
    """A 4 MB event in 128-byte pieces costs at most 5 times as much a byte as one of 1 MB."""

    def seconds_a_byte(size: int) -> float:
        raw = b"data: " + b"x" * size + b"\n\n"
        pieces = cut(raw, range(128, len(raw), 128))
        best = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            (event,), _ = parse(pieces, limit=16_000_000)
            best = min(best, time.perf_counter() - started)
            assert len(event[1]) == size
        return best / size

    assert seconds_a_byte(4_000_000) <= 5 * seconds_a_byte(1_000_000)


def test_nothing_of_a_stream_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What a server sends, in fields of its own or as a type, gets into nobody's log, at DEBUG either."""
    with caplog.at_level(logging.DEBUG):
        sent = b"CANARY line\nCANARY: field\nid: CANARY\nevent: CANARY\ndata: CANARY\n\n"
        assert [event.data for event in iter_events(Blocks([sent], 1_000))] == ["CANARY"]
    assert "CANARY" not in caplog.text


def test_lines_are_counted_up_to_the_very_limit() -> None:
    """An event with a line too many is refused for it, even where its bytes are just as many as it may have."""
    whole = b"data: x\n" * (MAX_LINES + 1)
    with pytest.raises(EventTooLarge, match=r"^an event has more than 1000 lines$"):
        list(Blocks([whole], len(whole)))
    with pytest.raises(EventTooLarge, match=rf"^an event is larger than {len(whole) - 1} bytes$"):
        list(Blocks([whole], len(whole) - 1))


@pytest.mark.parametrize(
    "pieces", [[b":\n"], [b":", b"\n"], [b"\xef\xbb\xbf:\n"], [b"\xef", b"\xbb\xbf", b":\n"]], ids=repr
)
def test_the_shortest_stream_is_read_whole(pieces: list[bytes]) -> None:
    """Bytes fewer than those of a mark are held back only as long as they may become one."""
    blocks = Blocks(pieces, LIMIT)
    assert list(blocks) == []
    assert blocks.comments == 1
