"""Event streams as the WHATWG's text has them: every case, cut in every way, against an independent reference.

The reference also tells ids and reconnection times; the package has no use for them, so they are not compared.
"""

from __future__ import annotations

import itertools
import json
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, get_args

import pytest
import sse_reference
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from rows import delta

from orfallback import Chain, Completion, FallbackError, Reason, StreamInterrupted, Timeouts, _sse
from orfallback._sse import MAX_LINES, Blocks, EventTooLarge, iter_events
from orfallback.testing import End, FakeClock, Simulator, events, raw
from orfallback.testing._framing import Framing

Events = list[tuple[str, str]]

LIMIT = 1_000_000
BOM = b"\xef\xbb\xbf"
CONTROLS = "".join(chr(code) for code in [*range(32), *range(127, 160)] if chr(code) not in "\r\n")
#: Up to this length every pair of cuts is tried.
SHORT = 64
FRAMINGS: tuple[Framing, ...] = get_args(Framing)
KEY = "sk-test-0000000000000000"


def case(name: str, stream: bytes | str, *expected: str | tuple[str, str]) -> Any:
    """One row: bytes in, events out; of an event of the type ``message`` the data alone."""
    given = stream.encode() if isinstance(stream, str) else stream
    return pytest.param(given, [("message", e) if isinstance(e, str) else e for e in expected], id=name)


# The expected events are written by hand, all of them.
CASES = [
    # Line ends.
    case("LF", b"data: a\n\ndata: b\n\n", "a", "b"),
    case("CR", b"data: a\r\rdata: b\r\r", "a", "b"),
    case("CRLF", b"data: a\r\n\r\ndata: b\r\n\r\n", "a", "b"),
    case("LF then CR", b"data: a\n\rdata: b\n\r", "a", "b"),
    case("LF then CRLF", b"data: a\n\r\ndata: b\n\r\n", "a", "b"),
    case("CR then CRLF", b"data: a\r\r\ndata: b\r\r\n", "a", "b"),
    case("CRLF then LF", b"data: a\r\n\ndata: b\r\n\n", "a", "b"),
    case("CRLF then CR", b"data: a\r\n\rdata: b\r\n\r", "a", "b"),
    case("CR LF is one line end", b"data: a\r\ndata: b\r\n\r\n", "a\nb"),
    case("one event of each", b"data: a\n\ndata: b\r\rdata: c\r\n\r\n", "a", "b", "c"),
    case("each line another", b"data: a\rdata: b\ndata: c\r\ndata: d\r\n\r", "a\nb\nc\nd"),
    case("LF CR LF", b"data: a\n\r\ndata: b\n\n", "a", "b"),
    case("CR CR LF LF", b"data: a\r\r\n\ndata: b\r\r", "a", "b"),
    case("LF LF CR CR", b"data: a\n\n\r\rdata: b\n\n", "a", "b"),
    case("a CR is the last byte", b"data: a\n\r", "a"),
    case("two CRs are the last bytes", b"data: a\r\r", "a"),
    case("a lone CR after a line", b"data: a\r"),
    case("a CRLF after a line", b"data: a\r\n"),
    case("CRLF and half of another", b"data: a\r\n\r", "a"),
    # Blank lines.
    case("nothing", b""),
    case("one LF", b"\n"),
    case("one CR", b"\r"),
    case("blank lines alone", b"\n\r\n\r\r\n\n"),
    case("blank lines first", b"\n\n\r\n\rdata: a\n\n", "a"),
    case("blank lines between", b"data: a\n\n\n\n\r\r\r\n\r\ndata: b\n\n", "a", "b"),
    case("blank lines last", b"data: a\n\n\n\r\n\r", "a"),
    case("a line of spaces is not blank", b"data: a\n  \n\n", "a"),
    case("a line of a tab is not blank", b"data: a\n\t\ndata: b\n\n", "a\nb"),
    case("a space keeps blocks together", b"data: a\n \ndata: b\n\n", "a\nb"),
    # Colons and spaces.
    case("no space", b"data:a\n\n", "a"),
    case("one space is taken", b"data: a\n\n", "a"),
    case("of two spaces one is taken", b"data:  a\n\n", " a"),
    case("of four spaces one is taken", b"data:    a\n\n", "   a"),
    case("a tab is kept", b"data:\ta\n\n", "\ta"),
    case("a space, then a tab", b"data: \ta\n\n", "\ta"),
    case("a no-break space is kept", "data:\u00a0a\n\n", "\u00a0a"),
    case("spaces at the end are kept", b"data: a  \n\n", "a  "),
    case("a space alone", b"data: \n\n", ""),
    case("two spaces alone", b"data:  \n\n", " "),
    case("colons in the data", b"data: a:b: c\n\n", "a:b: c"),
    case("data of a colon", b"data::\n\n", ":"),
    case("data of a colon after a space", b"data: :\n\n", ":"),
    case("data that looks like a field", b"data: data: a\n\n", "data: a"),
    case("data of quotes and braces", b'data: {"a": "b"}\n\n', '{"a": "b"}'),
    # Fields without a colon.
    case("data without a colon", b"data\n\n", ""),
    case("data without a colon, twice", b"data\ndata\n\n", "\n"),
    case("data without a colon, thrice", b"data\ndata\ndata\n\n", "\n\n"),
    case("event without a colon", b"event\ndata: a\n\n", "a"),
    case("id and retry without a colon", b"id\nretry\ndata: a\n\n", "a"),
    case("a word without a colon", b"just some text\ndata: a\n\n", "a"),
    # Names that are almost right.
    case("a name with a space behind", b"data : a\ndata: b\n\n", "b"),
    case("a name with a space before", b" data: a\ndata: b\n\n", "b"),
    case("a name with a tab behind", b"data\t: a\ndata: b\n\n", "b"),
    case("a name in capitals", b"DATA: a\nData: b\ndata: c\n\n", "c"),
    case("a longer name", b"datas: a\ndat: b\ndata_: c\ndata: d\n\n", "d"),
    case("a name with a NUL", b"data\x00: a\n\x00data: b\ndata: c\n\n", "c"),
    case("event in capitals", b"Event: x\nEVENT: y\ndata: a\n\n", "a"),
    case("event with a space behind", b"event : x\ndata: a\n\n", "a"),
    case("almost right alone", b"data : a\n\n"),
    # Data.
    case("two lines", b"data: a\ndata: b\n\n", "a\nb"),
    case("two lines of CR", b"data: a\rdata: b\r\r", "a\nb"),
    case("an empty line in the middle", b"data: a\ndata:\ndata: b\n\n", "a\n\nb"),
    case("an empty line first", b"data:\ndata: a\n\n", "\na"),
    case("an empty line last", b"data: a\ndata:\n\n", "a\n"),
    case("two empty lines last", b"data: a\ndata:\ndata\n\n", "a\n\n"),
    case("empty", b"data:\n\n", ""),
    case("empty, twice in one event", b"data:\ndata:\n\n", "\n"),
    case("empty events", b"data\n\ndata\ndata\n\ndata:", "", "\n"),
    case("lines apart by other fields", b"data: a\nid: 1\nfoo: x\nevent: e\ndata: b\n\n", ("e", "a\nb")),
    case("JSON over lines", b'data: {\ndata:  "a": 1\ndata: }\n\n', '{\n "a": 1\n}'),
    # Comments.
    case("a comment", b": hi\ndata: a\n\n", "a"),
    case("a comment without text", b":\ndata: a\n\n", "a"),
    case("a comment alone", b": hi\n\n"),
    case("comments alone", b": a\n\n: b\n\n:\n\n::\n\n"),
    case("comments in one block", b": a\n: b\r:c\r\n\n"),
    case("a comment between events", b"data: a\n\n: hi\n\ndata: b\n\n", "a", "b"),
    case("a comment inside an event", b"data: a\n: hi\ndata: b\n\n", "a\nb"),
    case("a comment after the data", b"data: a\n: hi\n\n", "a"),
    case("a comment that looks like data", b":data: no\ndata: a\n\n", "a"),
    case("a space before the colon is no comment", b" : hi\ndata: a\n\n", "a"),
    case("a comment with a NUL", b":\x00\ndata: a\n\n", "a"),
    case("a comment that is never ended", b"data: a\n\n: hi", "a"),
    case("OpenRouter's", b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\ndata: a\n\n", "a"),
    case("comments of all line ends", b"data:1\r:x\n:\r\ndata:2\n:xx\rdata:3\n:data:no\r:x\ndata:4\n\n", "1\n2\n3\n4"),
    # Types.
    case("a type", b"event: ping\ndata: a\n\n", ("ping", "a")),
    case("a type after the data", b"data: a\nevent: ping\n\n", ("ping", "a")),
    case("a type without a space", b"event:ping\ndata: a\n\n", ("ping", "a")),
    case("an empty type", b"event:\ndata: a\n\n", "a"),
    case("a type of a space", b"event: \ndata: a\n\n", "a"),
    case("a type of two spaces", b"event:  \ndata: a\n\n", (" ", "a")),
    case("a type set twice", b"event: x\nevent: y\ndata: a\n\n", ("y", "a")),
    case("a type taken back", b"event: x\nevent\ndata: a\n\n", "a"),
    case("a type is for one event", b"event: x\ndata: a\n\ndata: b\n\n", ("x", "a"), "b"),
    case("a type without data is lost", b"event: x\n\ndata: a\n\n", "a"),
    case("a type named message", b"event: message\ndata: a\n\n", "a"),
    case("a type with a colon", b"event: a:b\ndata: c\n\n", ("a:b", "c")),
    case("a type of other letters", "event: žluť\ndata: a\n\n", ("žluť", "a")),
    case("a type with empty data", b"event: x\ndata\n\n", ("x", "")),
    # Other fields.
    case("fields without data", b"event: x\nid: 1\nretry: 5\n\n"),
    case("an id", b"id: 1\ndata: a\n\n", "a"),
    case("an id alone", b"id: 1\n\ndata: a\n\n", "a"),
    case("an empty id", b"id: 1\ndata: a\n\nid\ndata: b\n\n", "a", "b"),
    case("an id with a NUL", b"id: 1\x002\ndata: a\n\n", "a"),
    case("a retry", b"retry: 3000\ndata: a\n\n", "a"),
    case("a retry that is none", b"retry: -1\nretry: 1e3\nretry: x\nretry:\ndata: a\n\n", "a"),
    case("a retry of other digits", "retry: \u0663\ndata: a\n\n", "a"),
    case("unknown fields", b"foo: 1\nbar\n_: :\nfield: data\ndata: a\n\n", "a"),
    case("unknown fields alone", b"foo: 1\nbar\n\n"),
    case("names of Python's attributes", b"__class__: x\n__dict__: y\ndata: a\n\n", "a"),
    # Byte order marks.
    case("a mark", BOM + b"data: a\n\n", "a"),
    case("a mark alone", BOM),
    case("a mark, then a blank line", BOM + b"\ndata: a\n\n", "a"),
    case("a mark, then CRLF", BOM + b"\r\n\r\ndata: a\r\n\r\n", "a"),
    case("a mark, then a comment", BOM + b": hi\n\ndata: a\n\n", "a"),
    case("a mark, then a type", BOM + b"event: x\ndata: a\n\n", ("x", "a")),
    case("two marks", BOM + BOM + b"data: a\n\ndata: b\n\n", "b"),
    case("a mark at the second event", BOM + b"data: a\n\n" + BOM + b"data: b\n\ndata: c\n\n", "a", "c"),
    case("a mark at the second line", b"data: a\n" + BOM + b"data: b\n\n", "a"),
    case("a mark after a blank line", b"\n" + BOM + b"data: a\n\n"),
    case("a mark inside the data", b"data: " + BOM + b"a" + BOM + b"\n\n", "\ufeffa\ufeff"),
    case("a mark before a comment's colon", b"data: a\n" + BOM + b": hi\n\n", "a"),
    case("one third of a mark", b"\xefdata: a\n\ndata: b\n\n", "b"),
    case("two thirds of a mark", b"\xef\xbbdata: a\n\ndata: b\n\n", "b"),
    case("two thirds of a mark, and the end", b"\xef\xbb"),
    case("two thirds, then a mark", b"\xef\xbb" + BOM + b"data: a\n\ndata: b\n\n", "b"),
    case("the mark of UTF-16", b"\xfe\xffdata: a\n\ndata: b\n\n", "b"),
    # Characters.
    case("UTF-8 of all lengths", "data: až…🐎\n\n", "až…🐎"),
    case("a bad byte", b"data: a\xffb\n\n", "a\ufffdb"),
    case("a bad byte is no end", b"data: a\xff\n\xff\ndata: b\n\n", "a\ufffd\nb"),
    case("a character cut by a line end", b"data: a\xe2\x82\ndata: \xacb\n\n", "a\ufffd\n\ufffdb"),
    case("a character cut by a CR", b"data: a\xf0\x9f\x90\rdata: b\r\r", "a\ufffd\nb"),
    case("a character cut by an event's end", b"data: a\xf0\x9f\n\ndata: b\n\n", "a\ufffd", "b"),
    case("a character cut by a letter", b"data: \xe2\x82a\n\n", "\ufffda"),
    case("an overlong slash", b"data: \xc0\xaf\n\n", "\ufffd\ufffd"),
    case("an overlong LF", b"data: a\xc0\x8ab\n\n", "a\ufffd\ufffdb"),
    case("overlong, three bytes", b"data: \xe0\x80\xaf\n\n", "\ufffd\ufffd\ufffd"),
    case("a surrogate", b"data: \xed\xa0\x80\n\n", "\ufffd\ufffd\ufffd"),
    case("past the last character", b"data: \xf4\x90\x80\x80\n\n", "\ufffd\ufffd\ufffd\ufffd"),
    case("Latin-1", b"data: caf\xe9\n\ndata: b\n\n", "caf\ufffd", "b"),
    case("a bad byte in a type", b"event: \xffx\ndata: a\n\n", ("\ufffdx", "a")),
    case("a bad byte in a comment", b": \xff\xfe\n\ndata: a\n\n", "a"),
    case("a bad byte in a name", b"da\xffta: a\ndata\xff: b\ndata: c\n\n", "c"),
    case("a bad byte in an id", b"id: \xff\nretry: \xff\ndata: a\n\n", "a"),
    case("a bad byte in an unfinished event", b"data: a\n\ndata: \xff", "a"),
    case("U+2028 and U+2029", "data: a\u2028b\u2029c\n\n", "a\u2028b\u2029c"),
    case("U+0085", "data: a\u0085b\n\n", "a\u0085b"),
    case("VT and FF", b"data: a\x0bb\x0cc\n\n", "a\x0bb\x0cc"),
    case("FS, GS, RS and US", b"data: a\x1cb\x1dc\x1ed\x1fe\n\n", "a\x1cb\x1dc\x1ed\x1fe"),
    case("lines of what Python takes for white space", "\u2028\n\u0085\n\x0b\n\x1c\ndata: a\n\n", "a"),
    case("data of what Python takes for white space", "data: \u2028\u0085\x0b\x1c\n\n", "\u2028\u0085\x0b\x1c"),
    case("NUL", b"data: a\x00b\n\n", "a\x00b"),
    case("NUL alone", b"data:\x00\n\x00\n\n", "\x00"),
    case("all control characters", f"data: {CONTROLS}\n\n", CONTROLS),
    # Ends.
    case("an unfinished line", b"data: a\n\ndata: b", "a"),
    case("an unfinished block", b"data: a\n\ndata: b\n", "a"),
    case("an unfinished block of two lines", b"data: a\n\ndata: b\ndata: c\r\n", "a"),
    case("an unfinished name", b"data: a\n\ndat", "a"),
    case("an unfinished character", b"data: a\n\ndata: \xf0\x9f", "a"),
    case("an unfinished event alone", b"data: a"),
    case("a type without an end", b"data: a\n\nevent: x\ndata: b\n", "a"),
    # [DONE].
    case("[DONE]", b"data: a\n\ndata: [DONE]\n\n", "a", "[DONE]"),
    case("[DONE] without a space", b"data:[DONE]\n\n", "[DONE]"),
    case("[DONE] padded", b"data:  [DONE] \r\n\r\n", " [DONE] "),
    case("[DONE] without a blank line", b"data: a\n\ndata: [DONE]\n", "a"),
    case("[DONE] without a line end", b"data: a\n\ndata: [DONE]", "a"),
    case("[DONE] twice", b"data: [DONE]\n\ndata: [DONE]\n\n", "[DONE]", "[DONE]"),
    case("[DONE] behind data", b"data: a\ndata: [DONE]\n\n", "a\n[DONE]"),
    case("[DONE] with a type", b"event: done\ndata: [DONE]\n\n", ("done", "[DONE]")),
    case("[DONE] that is no field", b"[DONE]\n\n"),
    # Length.
    case("a long line", b"data: " + b"x" * 2_000 + b"\n\n", "x" * 2_000),
    case("a long type", b"event: " + b"x" * 500 + b"\ndata: a\n\n", ("x" * 500, "a")),
    case("a long comment", b":" + b"x" * 2_000 + b"\ndata: a\n\n", "a"),
    case("a long unknown field", b"x" * 2_000 + b"\ndata: a\n\n", "a"),
    case("a long line that is never ended", b"data: a\n\ndata: " + b"x" * 2_000, "a"),
    case("many lines", b"data:\r\n" * 100 + b"\r\n", "\n" * 99),
    case("many events", b"data: a\n\n" * 60, *["a"] * 60),
    case("many comments", b":\r\n" * 200 + b"data: a\r\n\r\n", "a"),
    case("a clef of four bytes, over and over", "data: " + "𝄞" * 100 + "\n\n", "𝄞" * 100),
]  # fmt: skip

# -- how a stream is read --


class Read(NamedTuple):
    """What came of a stream in pieces.

    :ivar events: the events.
    :ivar arrivals: how many pieces had been taken when each was handed out.
    :ivar comments: how many comments were counted.
    :ivar error: what ended it, if not its end.
    :ivar taken: how many pieces were taken in all.
    """

    events: Events
    arrivals: list[int]
    comments: int
    error: str
    taken: int


def read(pieces: Iterable[bytes], limit: int = LIMIT) -> Read:
    """Read a stream as the package does."""
    taken = 0

    def feed() -> Iterator[bytes]:
        nonlocal taken
        for piece in pieces:
            taken += 1
            yield piece

    found: Events = []
    arrivals: list[int] = []
    error = ""
    blocks = Blocks(feed(), limit)
    try:
        for event in iter_events(blocks):
            found.append((event.event, event.data))
            arrivals.append(taken)
    except EventTooLarge as raised:
        error = str(raised)
    return Read(found, arrivals, blocks.comments, error, taken)


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut a stream at these places; one that is named twice makes an empty piece."""
    edges = [0, *sorted(places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


def piece_with(pieces: list[bytes], end: int) -> int:
    """The number of the piece with which so many bytes are there."""
    sizes = itertools.accumulate(map(len, pieces))
    return next(number for number, size in enumerate(sizes, 1) if size >= end)


def check(pieces: list[bytes], expected: sse_reference.Interpretation) -> None:
    """Hold what is read against the reference: the events, when each came, and the comments."""
    got = read(pieces)
    told = expected.events
    arrivals = [piece_with(pieces, event.end) for event in told]
    wanted = Read([event[:2] for event in told], arrivals, expected.comments, "", len(pieces))
    assert got == wanted, pieces


# -- every case in every chunking --


def test_there_are_enough_cases() -> None:
    """There are at least the 109 cases by which other readers were measured, each another one."""
    assert len({parameters.values[0] for parameters in CASES}) == len(CASES) >= 109


@pytest.mark.parametrize(("stream", "expected"), CASES)
def test_the_reference_reads_what_a_person_does(stream: bytes, expected: Events) -> None:
    """The reference gives the events that were written by hand, and so does the package for the stream in one piece."""
    assert [event[:2] for event in sse_reference.interpret(stream).events] == expected
    assert read([stream]).events == expected


@pytest.mark.parametrize(("stream", "expected"), CASES)
def test_cut_at_every_byte(stream: bytes, expected: Events) -> None:
    """One cut, wherever it falls, changes no event, and none is held back longer than the piece that ends it."""
    told = sse_reference.interpret(stream)
    for place in range(len(stream) + 1):
        check(cut(stream, [place]), told)


@pytest.mark.parametrize(("stream", "expected"), CASES)
def test_cut_at_many_bytes(stream: bytes, expected: Events) -> None:
    """Pieces of one, two, three and seven bytes give the same, as do those with empty ones between."""
    told = sse_reference.interpret(stream)
    for size in (1, 2, 3, 7):
        check(cut(stream, range(size, len(stream), size)), told)
    check([piece for byte in cut(stream, range(1, len(stream))) for piece in (b"", byte, b"")], told)


@pytest.mark.parametrize(("stream", "expected"), [case for case in CASES if len(case.values[0]) <= SHORT])
def test_cut_at_every_pair_of_bytes(stream: bytes, expected: Events) -> None:
    """Two cuts, wherever they fall in a short stream, change nothing."""
    told = sse_reference.interpret(stream)
    for places in itertools.combinations(range(1, len(stream)), 2):
        check(cut(stream, places), told)


def test_the_reference_knows_ids_and_times() -> None:
    """Last event ids and reconnection times are as the standard says; the package has no use for them."""
    told = sse_reference.interpret(
        b"data: a\n\nid: 1\n\ndata: b\n\nid: 2\x00\nretry: 30\ndata: c\n\nid\nretry: 4s\ndata: d\n\nretry: 7\n"
    )
    ids = [(event.data, event.last_event_id) for event in told.events]
    assert ids == [("a", ""), ("b", "1"), ("c", "1"), ("d", "")]
    assert told.reconnection_time == 7
    assert [event.end for event in told.events] == [9, 25, 51, 73]


# -- any stream at all --

LINES = st.sampled_from([
    b"data: x", b"data:", b"data", b"data:  y ", b"event: e", b"event", b": c", b":", b"id: 1", b"id: \x00",
    b"retry: 5", b"foo: bar", b" ", b"", BOM, b"\xef\xbb", b"data: \xff", b"data: \xe2\x82", b"\xac", b"\xf0\x9f",
    b"data: \x00", "data: \u2028\u0085\x0b".encode(), "data: 🐎".encode(), "event: ž".encode(), b"data: [DONE]",
    b"data" * 9,
])  # fmt: skip
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\r\n\n", b"\n\r", b""])
# Whole lines, letters of which lines are made, and anything.
LIKELY = st.lists(st.tuples(LINES, ENDS), max_size=24).map(lambda lines: b"".join(map(b"".join, lines)))
LETTERS = st.lists(
    st.sampled_from([b"\n", b"\r", b":", b" ", b"data", b"event", b"x", b"\xef", b"\xbb", b"\xbf", b"\xe2", b"\xff"]),
    max_size=40,
).map(b"".join)
STREAMS = st.one_of(LIKELY, LIKELY, LETTERS, st.binary(max_size=80))


def cuts(stream: bytes) -> st.SearchStrategy[list[bytes]]:
    """Every way to cut a stream, with empty pieces."""
    places = st.lists(st.integers(0, len(stream)), max_size=min(len(stream), 30) + 2)
    return places.map(lambda found: cut(stream, found))


@settings(max_examples=1_200, deadline=None, database=None)
@given(stream=STREAMS, draw=st.data())
def test_any_bytes_in_any_cuts(stream: bytes, draw: st.DataObject) -> None:
    """Any bytes, cut anywhere, are read as the reference does, each event as soon as it is whole; nothing is raised."""
    told = sse_reference.interpret(stream)
    check(draw.draw(cuts(stream)), told)
    check([stream], told)
    check(cut(stream, range(1, len(stream))), told)


@settings(max_examples=300, deadline=None, database=None)
@given(stream=STREAMS)
def test_python_decodes_as_the_reference_does(stream: bytes) -> None:
    """The reference's own decoder agrees with the one that Python has."""
    decoded = "".join(char.value for char in sse_reference._decode(stream))
    assert decoded == stream.removeprefix(BOM).decode(errors="replace")


# -- limits --


def overflow(stream: bytes, limit: int, most: int) -> tuple[int, str]:
    """With how many bytes of a stream an event is too large, and why; one more than there are if none is.

    An event has the bytes since the last blank line, comments with them, each line end being one; and its lines,
    comments without.
    """
    size = lines = 0
    line, before = b"", b""
    start = len(BOM) if stream.startswith(BOM) else 0
    for place in range(start, len(stream)):
        byte = stream[place : place + 1]
        half_of_crlf = before == b"\r" and byte == b"\n"
        before = byte
        if half_of_crlf:
            continue
        if byte not in (b"\r", b"\n"):
            size += 1
            line += byte
        elif not line:
            size = lines = 0
        else:
            size += 1
            lines += not line.startswith(b":")
            line = b""
        if size > limit:
            return place + 1, f"an event is larger than {limit} bytes"
        if lines > most:
            return place + 1, f"an event has more than {most} lines"
    return len(stream) + 1, ""


def check_limits(pieces: list[bytes], limit: int, most: int) -> None:
    """Hold what is read against the reference up to where an event is too large."""
    stream = b"".join(pieces)
    end, why = overflow(stream, limit, most)
    told = [event for event in sse_reference.interpret(stream).events if event.end <= end]
    got = read(pieces, limit)
    assert got.events == [event[:2] for event in told], pieces
    assert got.arrivals == [piece_with(pieces, event.end) for event in told], pieces
    assert got.error == why, pieces
    assert got.taken == (piece_with(pieces, end) if why else len(pieces)), pieces


LIMITED = [
    pytest.param(b"data: abcd\n\n", 11, 9, False, id="as large as may be"),
    pytest.param(b"data: abcde\n\n", 11, 9, True, id="too large by one"),
    pytest.param(b"data: abcde", 11, 9, False, id="as large as may be, unfinished"),
    pytest.param(b"data: abcdef", 11, 9, True, id="too large by one, unfinished"),
    pytest.param(b"data: a\n\ndata: abcde\n\ndata: a\n\n", 11, 9, True, id="too large between others"),
    pytest.param(b"data: abcd\n\n" * 9, 11, 9, False, id="many that are as large as may be"),
    pytest.param(b"data: abcd\r\n\r\n" * 9, 11, 9, False, id="a CRLF counts once"),
    pytest.param(b"data: a\r\ndata: b\r\n\r\n", 16, 9, False, id="a CRLF counts once in each line"),
    pytest.param(b"data: a\ndata: b\n\n", 15, 9, True, id="lines add up"),
    pytest.param(BOM + b"data: abcd\n\n", 11, 9, False, id="a mark does not count"),
    pytest.param(b": abcdefg\n: abc\n\n", 11, 9, True, id="comments add up"),
    pytest.param(b": abcdefg\n\n" * 9, 11, 9, False, id="comments with blank lines do not"),
    pytest.param(b"data: \xff\xff\xff\xff\n\n", 11, 9, False, id="bad bytes count as bytes"),
    pytest.param(b"\n\n\r\n\r" * 20 + b"data: abcd\n\n", 11, 9, False, id="blank lines do not count"),
    pytest.param(b"data\n" * 5 + b"\n", 99, 5, False, id="as many lines as may be"),
    pytest.param(b"data\n" * 6 + b"\n", 99, 5, True, id="one line too many"),
    pytest.param(b"data\n" * 5 + b"data", 99, 5, False, id="one line too many, unfinished"),
    pytest.param(b"data: a\n\n" + b"x\r\n" * 6 + b"\r\ndata: b\n\n", 99, 5, True, id="lines of unknown fields"),
    pytest.param(b"data\n" * 5 + b":\n" * 9 + b"\n", 99, 5, False, id="comments are no lines"),
    pytest.param(b"data\n" * 5 + b"data: abcdefg\n\n", 32, 5, True, id="one line too many, and too large"),
]


@pytest.mark.parametrize(("stream", "limit", "lines", "broken"), LIMITED)
def test_limits_hold_in_any_cuts(
    stream: bytes, limit: int, lines: int, broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event one byte or line past its limit is refused, and one at its limit is not, however they are cut."""
    monkeypatch.setattr(_sse, "MAX_LINES", lines)
    assert bool(overflow(stream, limit, lines)[1]) is broken, "the reference is wrong"
    for place in range(len(stream) + 1):
        check_limits(cut(stream, [place]), limit, lines)
    for size in (1, 2, 3, 7):
        check_limits(cut(stream, range(size, len(stream), size)), limit, lines)


@settings(max_examples=600, deadline=None, database=None)
@given(stream=STREAMS, limit=st.integers(3, 60), lines=st.integers(1, 6), draw=st.data())
def test_limits_of_any_bytes(stream: bytes, limit: int, lines: int, draw: st.DataObject) -> None:
    """Whatever is sent, the same events come and the same limit breaks at the same byte, however it is cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sse, "MAX_LINES", lines)
        check_limits(draw.draw(cuts(stream)), limit, lines)
        check_limits([stream], limit, lines)


@pytest.mark.parametrize("size", [1, 128, 5_000, 70_000])
def test_the_real_limits(size: int) -> None:
    """An event of 1,000 lines and of 16 MB is read, and one of a line or a byte more is not."""
    whole = b"data: x\n" * MAX_LINES
    for stream in (whole + b":\n\n", whole + b"x\n\n"):
        check_limits(cut(stream, range(size, len(stream), size)), LIMIT, 1_000)
    if size > 1:
        large = b"data: a\n\ndata: " + b"x" * (16 * 1024 * 1024 - 7)
        for stream, expected in ((large + b"\n\n", 2), (large + b"x\n\n", 1)):
            got = read(cut(stream, range(size, len(stream), size)), 16 * 1024 * 1024)
            assert len(got.events) == expected
            assert bool(got.error) == (expected == 1)


# -- time --


def cost(stream: bytes, times: int = 1) -> float:
    """The seconds of the processor for each byte of a stream in pieces of 128 bytes, the best of three."""
    pieces = cut(stream, range(128, len(stream), 128))
    found = []
    for _ in range(3):
        began = time.process_time()
        for _ in range(times):
            assert len(list(iter_events(Blocks(pieces, 16_000_000)))) == 1
        found.append(time.process_time() - began)
    return min(found) / times / len(stream)


def event_of(size: int, lines: int) -> bytes:
    """One event of about so many bytes."""
    return (b"data: " + b"x" * (size // lines - 7) + b"\n") * lines + b"\n"


@pytest.mark.parametrize("lines", [1, 900])
def test_time_is_linear(lines: int) -> None:
    """Each byte of an event of 4 MB costs at most five times what it does in one of 1 MB, in one line or in many."""
    # What is quadratic costs four times as much there, so one of 64 kB is asked, too: it would be 64 times.
    large = cost(event_of(4_000_000, lines))
    assert large <= 5 * cost(event_of(1_000_000, lines))
    assert large <= 20 * cost(event_of(64_000, lines), times=16)


def peak(size: int) -> int:
    """The most memory in use while an event of 50 kB is read in pieces of this size."""
    stream = event_of(50_000, 1)
    tracemalloc.start()
    try:
        assert len(read(stream[start : start + size] for start in range(0, len(stream), size)).events) == 1
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_that_of_the_event() -> None:
    """An event that comes byte by byte takes no more memory than one that comes at once."""
    assert peak(1) <= 1.5 * peak(50_000)
    assert peak(2) <= 1.5 * peak(50_000)


# -- over sockets --

TEXT = "The sky žluť \u2028\u0085🐎 is\nblue."


def lines_of(text: str) -> list[list[bytes]]:
    """The events of an answer as lines: a comment, deltas with other fields about them, ``[DONE]``."""
    pieces = [text[start : start + 4] for start in range(0, len(text), 4)]
    chunks = [delta(role="assistant", content=""), *(delta(content=piece) for piece in pieces), delta("stop")]
    told = [[b"data: " + json.dumps(chunk, ensure_ascii=False).encode()] for chunk in chunks]
    told[1] = [b": hm", b"id: 7", b"foo", *told[1], b"retry: 1"]
    # JSON does not mind a line end between its tokens.
    told[2] = [b"data: " + line.encode() for line in json.dumps(chunks[2], ensure_ascii=False, indent=1).split("\n")]
    return [[b": OPENROUTER PROCESSING"], *told, [b"data:[DONE]"]]


# How each line of a block is ended, and how the blank line is; a CR before a LF would be one line end.
WRITTEN = {
    "LF": [(b"\n", b"\n")],
    "CR": [(b"\r", b"\r")],
    "CRLF": [(b"\r\n", b"\r\n")],
    "mixed": [(b"\n", b"\r"), (b"\r\n", b"\n"), (b"\r", b"\r\n"), (b"\n", b"\r\n"), (b"\r\n", b"\r"), (b"\r", b"\r")],
}


def written(ends: str, text: str = TEXT) -> list[bytes]:
    """An answer as the bytes of its events."""
    pairs = itertools.cycle(WRITTEN[ends])
    return [
        b"".join(line + of_line for line in lines) + of_blank
        for lines, (of_line, of_blank) in zip(lines_of(text), pairs, strict=False)
    ]


def spoilt(pieces: list[bytes]) -> list[bytes]:
    """The same with bytes that are no UTF-8: in a comment, a name, an event without a type, and the text."""
    at = "ť".encode()
    bad = [piece.replace(at, at[:1]).replace(b"foo", b"f\xffoo") for piece in pieces]
    return [b": \xff\xfe\n\n", b"\xe2\x82: 1\n\n", *bad]


SENT = [
    *(pytest.param(written(ends), TEXT, id=ends) for ends in WRITTEN),
    *(pytest.param([BOM, *written(ends)], TEXT, id=f"mark {ends}") for ends in WRITTEN),
    *(pytest.param(spoilt(written(ends)), TEXT.replace("ť", "\ufffd"), id=f"bad {ends}") for ends in WRITTEN),
    pytest.param(cut(b"".join(written("mixed")), range(3, 3_000, 5)), TEXT, id="mixed, in pieces of five bytes"),
]


@pytest.fixture
def chain(sim: Simulator, clock: FakeClock) -> Iterator[Chain]:
    """A chain of one model."""
    timeouts = Timeouts(first_token=5, idle=5, answer=5)
    with Chain("a/a", api_key=KEY, base_url=sim.base_url, clock=clock, timeouts=timeouts) as chain:
        yield chain


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(("pieces", "text"), SENT)
def test_the_same_text_arrives(
    pieces: list[bytes], text: str, framing: Framing, sim: Simulator, chain: Chain
) -> None:
    """Line ends, a mark, bad bytes, and how the body is framed make no difference to the text of an answer."""
    sim.script("a/a", events(*pieces, framing=framing))
    with chain.stream("hi") as stream:
        assert "".join(stream.iter_text()) == text
    assert stream.read().text == text
    assert stream.finish_reason == "stop"


@pytest.mark.parametrize("ends", WRITTEN)
def test_a_server_that_ends_all_with_the_connection(ends: str, sim: Simulator, chain: Chain) -> None:
    """An old server that tells neither version, length nor type is read all the same."""
    body = b"".join(written(ends))
    sim.script("a/a", raw(b"HTTP/1.0 200 OK\r\n\r\n" + body[:100], body[100:], end=End.CLOSE))
    assert chain.stream("hi").read().text == TEXT


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("left", [pytest.param(b"\n", id="no blank line"), pytest.param(b"", id="no line end")])
def test_an_unfinished_event_is_no_text(framing: Framing, left: bytes, sim: Simulator, chain: Chain) -> None:
    """The last event counts only with its blank line: without it the stream broke off, and what it says is not told."""
    half = b"data: " + json.dumps(delta("stop", content="no")).encode() + left
    sim.script("a/a", events(delta(content="yes"), half, framing=framing))
    with pytest.raises(StreamInterrupted) as caught:
        chain.stream("hi").read()
    assert (caught.value.text, caught.value.reason) == ("yes", Reason.TRUNCATED)


# What a stream may be made of when it goes wrong.
SCRAPS = st.one_of(
    LINES,
    st.sampled_from([
        delta(content="Hi"), delta(content=""), delta("stop"), delta("stop", content="x"), delta("error"),
        delta(content=["x"]), delta(content={"x": 1}), delta(content=7), delta(role=None), delta(reasoning="hm"),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "{"}}]), delta(tool_calls={}), delta(tool_calls=[7]),
        {"error": {"code": 502, "message": "x"}}, {"error": "x"}, {"error": []}, {"choices": []}, {"choices": None},
        {"choices": [None]}, {"choices": {"delta": 1}}, {"choices": [{"delta": None, "finish_reason": 1}]}, {}, [], 7,
        {"choices": [{"index": "0", "message": 3}], "usage": 3, "model": [], "id": {}}, "x", None, 1e999,
    ]).map(lambda said: b"data: " + json.dumps(said).encode()),
    st.sampled_from([
        b"data: {", b"data: " + b"[" * 3_000, b"data: " + b"9" * 5_000, b"event: error\ndata: dead", b"data: [DONE]",
        b'data: {"choices":[{"delta":{"content":"\\ud800"}}]}', b'data: {"choices":[{"delta":{"content":"\xff"}}]}',
        b"event: ping", b'{"choices":[{"message":{"content":"Hi"}}]}', b"<html>", b"data: data: {}",
    ]),
)  # fmt: skip
BLOCKS = st.sampled_from([b"\n\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n", b"\n\r", b""])
SOUP = st.one_of(
    st.lists(st.tuples(SCRAPS, BLOCKS), max_size=12).map(lambda scraps: b"".join(map(b"".join, scraps))),
    STREAMS,
)
WHOLE = b"data: " + json.dumps(delta("stop", content="Hi")).encode() + b"\n\ndata: [DONE]\n\n"


def ending(chain: Chain) -> Completion | FallbackError:
    """How a stream ends; anything but these two passes out."""
    try:
        return chain.stream("hi").read()
    except FallbackError as error:
        return error


def test_byte_soup_ends_one_way_or_the_other(sim: Simulator, chain: Chain) -> None:
    """Whatever a 200 holds, in whatever framing, the stream ends in an answer or in the library's error."""
    answered = set()

    @settings(max_examples=500, deadline=None, database=None)
    @given(soup=SOUP, framing=st.sampled_from(FRAMINGS))
    @example(soup=WHOLE, framing="close")
    @example(soup=b"", framing="close")
    def one(soup: bytes, framing: Framing) -> None:
        sim.script("a/a", events(soup, framing=framing))
        end = ending(chain)
        assert isinstance(end, Completion | FallbackError)
        assert str(end) is not None
        answered.add(isinstance(end, Completion))

    one()
    assert answered == {True, False}


def test_byte_soup_ends_alike_however_it_is_cut(sim: Simulator, chain: Chain) -> None:
    """What comes of a stream does not depend on how its bytes were cut on the way."""

    @settings(max_examples=150, deadline=None, database=None)
    @given(soup=SOUP)
    @example(soup=BOM + WHOLE)
    def one(soup: bytes) -> None:
        # What begins like JSON or a page is no stream, and is judged whole.
        assume(soup.lstrip(BOM + b" \t\r\n")[:1] not in (b"{", b"[", b"<"))
        said = []
        for framing in ("close", "byte"):
            sim.script("a/a", events(soup, framing=framing))
            end = ending(chain)
            reason = end.attempts[-1].reason if isinstance(end, FallbackError) else None
            said.append((type(end), end.text if isinstance(end, Completion | StreamInterrupted) else "", reason))
        assert said[0] == said[1]

    one()
