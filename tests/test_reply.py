"""What a body or chunk says: content, reasoning, facts, and chunks joined into one reply; its errors: test_errors."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orfallback import _reply
from orfallback._joiner import Joiner
from orfallback._types import UpstreamError

Json = dict[str, Any]
PROPERTY = settings(max_examples=200, deadline=None, database=None)


def choice(**fields: Any) -> Json:
    return {"choices": [{"index": 0, **fields}]}


@pytest.mark.parametrize(("raw", "value"), [
    pytest.param(b'{"a": "\xc5\xbe"}', {"a": "ž"}, id="utf-8"),
    pytest.param(b'\xef\xbb\xbf{"a": 1}', {"a": 1}, id="bom"),
    pytest.param(b'\n\n \r\n{"a": 1}\n', {"a": 1}, id="keep-alive-newlines"),
    pytest.param(b'\xef\xbb\xbf\n{"a": 1}', {"a": 1}, id="bom-and-newline"),
    pytest.param('{"a": "ž"}'.encode("utf-16"), {"a": "ž"}, id="utf-16"),
    pytest.param('{"a": "ž"}', {"a": "ž"}, id="text"),
    pytest.param(b'{"a": 1, "a": 2}', {"a": 2}, id="duplicate-keys"),
    pytest.param(b'"\\ud800"', "\ud800", id="lone-surrogate"),
    pytest.param(b"null", None, id="null"),
])  # fmt: skip
def test_decode(raw: str | bytes, value: object) -> None:
    """JSON is read in any Unicode encoding, whatever stands before it."""
    assert _reply.decode(raw) == value


def test_decode_nan() -> None:
    """NaN, which is no JSON, is read as Python reads it; it is never sent."""
    assert math.isnan(_reply.decode(b"NaN"))
    with pytest.raises(ValueError, match="Out of range float"):
        _reply.encode({"a": math.nan})


def test_encode() -> None:
    """JSON is sent without blanks, in ASCII."""
    assert _reply.encode({"a": [1, "ž"], "b": None}) == b'{"a":[1,"\\u017e"],"b":null}'


@pytest.mark.parametrize("text", [bytes.decode, bytes, bytearray], ids=["text", "bytes", "bytearray"])
@pytest.mark.parametrize(("raw", "read"), [
    (b"[1,2,3,4]", True), (b"[1,2,3,4,5,6]", False), (b"[[[[[[]]]]]]", False), (b"[{},{},{}]", False),
    (b'"one long text of few values"', True), (b'{"a": "one long text of few values"}', True),
    (b"[1,2,3,4,5]", True),
])  # fmt: skip
def test_too_many_values(raw: bytes, read: bool, text: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body is refused for its values, five here, and not for its length."""
    monkeypatch.setattr(_reply, "MOST_VALUES", 5)
    if read:
        assert _reply.decode(text(raw)) == json.loads(raw)
    else:
        with pytest.raises(_reply.TooManyValues, match=r"^the body holds more than 5 values$"):
            _reply.decode(text(raw))


@pytest.mark.parametrize("raw", [
    pytest.param(b"", id="empty"), pytest.param(b"\n\n", id="newlines-only"), pytest.param(b'{"a":', id="cut"),
    pytest.param(b"<html>", id="html"), pytest.param(b"{} trailing", id="trailing"),
    pytest.param(b'"\xff"', id="bad-utf-8"),
    pytest.param(b'"a\x00b"', id="raw-nul"), pytest.param(b"[" * 100_000, id="deep"),
    pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="deep-objects"),
    pytest.param(b"9" * 5_000, id="5000-digits"),
])  # fmt: skip
def test_decode_refuses(raw: bytes) -> None:
    """What cannot be read is _reply.NotJSON, which does not carry the body."""
    with pytest.raises(_reply.NotJSON, match=r"^the body is not JSON$") as caught:
        _reply.decode(raw)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("read", [_reply.error_in, _reply.refusal_in], ids=["error_in", "refusal_in"])
def test_an_error_nested_just_within_the_limit(read: Any) -> None:
    """A body that can be decoded can also be read for its error, however deep it is."""
    for depth in range(900, 1_010):
        raw = b'{"error":{"code":502,"message":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}}"
        try:
            body = _reply.decode(raw)
        except _reply.NotJSON:
            continue
        assert read(body).code == 502


TEXT_PART = {"type": "text", "text": "hi"}


@pytest.mark.parametrize(("said", "content", "reasoning", "text"), [
    pytest.param({}, False, False, "", id="empty"),
    pytest.param({"role": "assistant", "content": ""}, False, False, "", id="role"),
    pytest.param({"content": None}, False, False, "", id="null"),
    pytest.param({"content": "hi"}, True, False, "hi", id="text"),
    pytest.param({"content": " "}, False, False, " ", id="space"),
    pytest.param({"content": 5}, False, False, "", id="a-number"),
    pytest.param({"content": {"text": "Hello"}}, False, False, "", id="an-object"),
    pytest.param({"content": [{"type": "thinking", "thinking": "hm"}]}, False, True, "", id="thinking-alone"),
    pytest.param({"content": [{"type": "image_url", "image_url": {"url": "x"}}]}, True, False, "", id="a-picture"),
    pytest.param({"tool_calls": "x"}, False, False, "", id="tool-calls-of-text"),
    pytest.param({"tool_calls": [None]}, False, False, "", id="tool-calls-of-nothing"),
    pytest.param({"tool_calls": [{"index": 0, "id": "c"}]}, True, False, "", id="a-tool-call"),
    pytest.param({"tool_calls": [{"function": {"name": "f"}}]}, True, False, "", id="a-tool-call-of-a-function"),
    pytest.param({"tool_calls": [{"custom": {"name": "f"}}]}, True, False, "", id="a-tool-call-of-another-kind"),
    pytest.param({"tool_calls": [{"name": "f"}]}, True, False, "", id="a-tool-call-that-is-a-name"),
    pytest.param({"tool_calls": [{"arguments": "{"}]}, True, False, "", id="a-tool-call-that-is-arguments"),
    pytest.param({"tool_calls": {"id": "c"}}, True, False, "", id="a-tool-call-in-no-list"),
    pytest.param({"tool_calls": [{}, {"type": "function"}, {"id": "c"}]}, True, False, "", id="the-last-of-three"),
    pytest.param({"refusal": True}, False, False, "", id="refusal-of-no-text"),
    pytest.param({"audio": {"id": None}}, False, False, "", id="empty-audio"),
    pytest.param({"images": [None]}, False, False, "", id="empty-images"),
    pytest.param({"content": [TEXT_PART, TEXT_PART]}, True, False, "hihi", id="parts"),
    pytest.param({"content": []}, False, False, "", id="no-parts"),
    pytest.param({"content": [{"type": "text", "text": ""}]}, False, False, "", id="empty-part"),
    pytest.param({"content": [None, 5, {"text": 5}, TEXT_PART]}, True, False, "hi", id="odd-parts"),
    pytest.param({"tool_calls": [{"index": 0}]}, False, False, "", id="an-empty-tool-call"),
    pytest.param({"tool_calls": []}, False, False, "", id="no-tool-calls"),
    pytest.param({"refusal": "no"}, True, False, "", id="refusal"),
    pytest.param({"audio": {"data": "x"}}, True, False, "", id="audio"),
    pytest.param({"audio": {"transcript": "x"}}, True, False, "", id="a-transcript"),
    pytest.param({"audio": {"id": "x"}}, True, False, "", id="audio-by-its-id"),
    pytest.param({"audio": {"expires_at": 5}}, False, False, "", id="audio-of-nothing"),
    pytest.param({"audio": "x"}, False, False, "", id="audio-of-text"),
    pytest.param({"images": "x"}, False, False, "", id="images-of-text"),
    pytest.param({"images": [None, {"type": "image_url"}]}, True, False, "", id="the-second-image"),
    pytest.param({"images": [{"type": "image_url"}]}, True, False, "", id="images"),
    pytest.param({"function_call": {"name": "f"}}, True, False, "", id="function-call"),
    pytest.param({"function_call": {"arguments": "{"}}, True, False, "", id="function-call-of-arguments"),
    pytest.param({"function_call": {"id": "f"}}, False, False, "", id="function-call-of-nothing"),
    pytest.param({"content": [{"text": "hi"}]}, True, False, "hi", id="a-part-of-no-type"),
    pytest.param({"content": [{"type": "output_text", "text": "hi"}]}, True, False, "hi", id="output-text"),
    pytest.param({"content": [{"type": "output_text", "text": " "}]}, False, False, " ", id="output-text-of-space"),
    pytest.param({"content": [{"type": "image_url"}]}, False, False, "", id="a-picture-of-nothing"),
    pytest.param({"content": [{"type": "thinking"}]}, False, False, "", id="thinking-of-nothing"),
    pytest.param({"content": [{"type": "reasoning", "x": "hm"}]}, False, True, "", id="a-part-of-reasoning"),
    pytest.param({"content": [5, {"type": "text", "text": ""}, {"type": "thinking", "thinking": "hm"}]}, False, True,
        "", id="thinking-behind-others"),
    pytest.param({"content": [{"type": "thinking", "thinking": "hm"}, TEXT_PART]}, True, True, "hi",
        id="thinking-and-text"),
    pytest.param({"content": "", "reasoning": "hm"}, False, True, "", id="reasoning"),
    pytest.param({"reasoning_content": "hm"}, False, True, "", id="reasoning-content"),
    pytest.param({"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}, False, True, "", id="details-text"),
    pytest.param({"reasoning_details": [{"summary": "hm"}]}, False, True, "", id="details-summary"),
    pytest.param({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, False, True, "",
        id="details-data"),
    pytest.param({"reasoning": "", "reasoning_details": [{"text": ""}, None]}, False, False, "", id="empty-reasoning"),
    pytest.param({"reasoning_details": {"text": "x"}}, False, False, "", id="details-no-list"),
    pytest.param({"content": "hi", "reasoning": "hm"}, True, True, "hi", id="both"),
])  # fmt: skip
@pytest.mark.parametrize("key", ["message", "delta"])
def test_content_and_reasoning(key: str, said: Json, content: bool, reasoning: bool, text: str) -> None:
    """A message and a delta tell alike whether they carry content or reasoning, and what text."""
    body = choice(**{key: said})
    assert (_reply.has_content(body), _reply.has_reasoning(body)) == (content, reasoning)
    assert (_reply.text_of(said), _reply.chunk_text(body)) == (text, text)


@pytest.mark.parametrize(
    "body", [None, 5, {}, {"choices": None}, {"choices": [None]}, choice(), choice(delta=None)], ids=repr
)
def test_bodies_without_choices(body: Any) -> None:
    """A body of any other shape carries nothing, and is no crash."""
    assert (_reply.has_content(body), _reply.has_reasoning(body), _reply.finish_reason(body)) == (False, False, None)


@pytest.mark.parametrize(("finish", "told"), [
    ("stop", "stop"), ("tool_calls", "tool_calls"), ("", None), ("null", None), (None, None), (5, None),
])  # fmt: skip
def test_finish_of(finish: object, told: str | None) -> None:
    """A choice has ended if it names a reason; some servers spell out that there is none."""
    assert _reply.finish_of({"finish_reason": finish}) == told
    assert _reply.finish_reason({"choices": [{}, {"finish_reason": finish}]}) == told


def test_facts() -> None:
    """Model, provider, usage and id are told where they are of the right type, None elsewhere."""
    usage = {"total_tokens": 3}
    assert _reply.facts({"model": "m", "provider": "p", "usage": usage, "id": "gen-1"}) == ("m", "p", usage, "gen-1")
    assert _reply.facts({"model": 5, "provider": "", "usage": [], "id": None}) == (None, None, None, None)
    assert _reply.facts(["x"]) == (None, None, None, None)


@pytest.mark.parametrize(
    "raw", [b"\n <!DOCTYPE html>", b"<HTML>", b"<?xml ?>", b"<body>", b"<Head>", b"<center>", b" " * 507 + b"<html"]
)
def test_is_page(raw: bytes) -> None:
    """A page is told by how it begins, within its first 512 bytes."""
    assert (_reply.is_page(raw), _reply.is_page(b"{}" + raw)) == (True, False)


@pytest.mark.parametrize("raw", [b"", b"html", b"<p>", b" " * 508 + b"<html"])
def test_is_no_page(raw: bytes) -> None:
    """Other text is none, nor is what begins too late."""
    assert not _reply.is_page(raw)


KEYS = [
    "error",
    "choices",
    "message",
    "delta",
    "content",
    "finish_reason",
    "code",
    "metadata",
    "index",
    "audio",
    "images",
]


@PROPERTY
@given(body=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(["error", "429"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(KEYS),
        inner, max_size=5,
    ),
    max_leaves=20,
))  # fmt: skip
def test_any_json(body: Any) -> None:
    """No JSON makes a reader raise, and a chunk of any shape can be joined, twice."""
    for read in (_reply.error_in, _reply.has_content, _reply.has_reasoning, _reply.finish_reason, _reply.facts):
        read(body)
    assert isinstance(_reply.refusal_in(body), UpstreamError)
    if isinstance(body, dict):
        joiner = Joiner()
        joiner.add(body)
        joiner.add(body)
        assert json.dumps(joiner.body())
        assert joiner.text == "" or _reply.chunk_text(body) != ""


USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
TOOLS = [
    {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}},
    {"index": 0, "function": {"arguments": '{"a"'}},
    {"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": "{"}},
    {"index": 0, "function": {"arguments": ": 1}"}},
    {"index": 1},
    {"index": 1, "id": None, "function": {"name": None, "arguments": "} "}},
]
CALLED = [
    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
    {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{} "}},
]


def chunk(delta: Json, finish: str | None = None, index: int = 0, **top: Any) -> Json:
    choices = [{"index": index, "delta": delta, "finish_reason": finish}]
    return {"id": "gen-1", "object": "chat.completion.chunk", "model": "m", "choices": choices, **top}


def joined(chunks: list[Json]) -> Joiner:
    joiner = Joiner()
    for one in chunks:
        joiner.add(one)
    return joiner


@pytest.mark.parametrize(("deltas", "message", "spoke"), [
    pytest.param([{"role": "assistant", "content": ""}, {"content": "Hi"}, {"content": " ž🐎"}], {"content": "Hi ž🐎"},
        True, id="text"),
    pytest.param([{"content": "\ud83d"}, {"content": "x\n"}], {"content": "\ud83dx\n"}, True, id="half-a-pair"),
    pytest.param([{"content": None, "tool_calls": [tool]} for tool in TOOLS], {"content": None, "tool_calls": CALLED},
        True, id="tool-calls"),
    pytest.param([{"content": "Hi", "tool_calls": TOOLS}], {"content": "Hi", "tool_calls": CALLED}, True,
        id="text-and-tool-calls"),
    pytest.param([{"reasoning": "h"}, {"reasoning": "m"}, {"content": "Hi"}], {"content": "Hi", "reasoning": "hm"},
        True, id="reasoning"),
    pytest.param([{"content": "", "reasoning": "hm"}], {"content": "", "reasoning": "hm"}, False, id="reasoning-alone"),
    pytest.param([{"refusal": "I "}, {"refusal": "won't"}], {"content": None, "refusal": "I won't"}, True,
        id="refusal"),
    pytest.param([{"content": None, "refusal": "no"}], {"content": None, "refusal": "no"}, True,
        id="refusal-with-null-content"),
    pytest.param([{"content": [TEXT_PART]}, {"content": [TEXT_PART]}], {"content": "hihi"}, True, id="parts"),
    pytest.param([{"images": [{"a": 1}]}, {"images": [{"a": 2}]}],
        {"content": None, "images": [{"a": 1}, {"a": 2}]}, True, id="images"),
    pytest.param([{"audio": {"id": "a", "data": "x"}}, {"audio": {"data": "y"}}],
        {"content": None, "audio": {"id": "a", "data": "xy"}}, True, id="audio"),
    pytest.param([{"images": {}}, {"images": [1]}, {"content": "Hi"}], {"content": "Hi", "images": [1]}, True,
        id="images-of-two-types"),
    pytest.param([{"audio": "x"}, {"audio": {"data": "y"}}, {"content": "Hi"}],
        {"content": "Hi", "audio": {"data": "y"}}, True, id="audio-of-two-types"),
])  # fmt: skip
def test_joined(deltas: list[Json], message: Json, spoke: bool) -> None:
    """The chunks of a stream join into the reply that the same answer is without streaming."""
    joiner = joined(
        [
            *map(chunk, deltas),
            chunk({"content": ""} if message["content"] else {}, "stop"),
            {"choices": [], "usage": USAGE},
        ]
    )
    said = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
    assert joiner.body() == {
        "id": "gen-1",
        "object": "chat.completion",
        "model": "m",
        "usage": USAGE,
        "choices": [said],
    }
    assert (joiner.text, joiner.spoke, joiner.finish_reason) == (message["content"] or "", spoke, "stop")
    assert (joiner.model, joiner.usage, joiner.finished) == ("m", USAGE, True)


def test_two_choices() -> None:
    """Choices are joined apart, and the reply is finished only when every choice is, in whatever order they come."""
    joiner = Joiner()
    steps = [
        chunk({"content": "b"}, index=1),
        chunk({"content": "a"}),
        chunk({"content": "A"}, "stop"),
        chunk({"content": "B"}, "length", 1),
    ]
    assert [(joiner.add(one), joiner.finished) for one in steps] == [
        (True, False),
        (True, False),
        (True, False),
        (True, True),
    ]
    assert [(c["message"]["content"], c["finish_reason"]) for c in joiner.body()["choices"]] == [
        ("aA", "stop"),
        ("bB", "length"),
    ]
    assert (joiner.text, joiner.finish_reason) == ("aA", "stop")


def test_a_choice_that_begins_late() -> None:
    """A choice that begins after another has ended is waited for like any other."""
    joiner = joined([chunk({"content": "a"}, "stop"), chunk({"content": "b"}, index=1)])
    assert not joiner.finished
    joiner.add(chunk({}, "stop", index=1))
    assert joiner.finished


@pytest.mark.parametrize("index", [0, None, "0"], ids=repr)
def test_text_is_the_same_chunk_by_chunk(index: object) -> None:
    """What a chunk is said to add is what the joined text grows by, whatever the choice's index."""
    one = {"choices": [{"index": index, "delta": {"content": "a"}}]}
    assert _reply.chunk_text(one) == joined([one]).text == "a"


@PROPERTY
@given(pieces=st.lists(st.text(max_size=5), max_size=12), usage=st.booleans())
def test_any_split(pieces: list[str], usage: bool) -> None:
    """However a text is split into deltas, it joins to itself, and only deltas with text are progress."""
    joiner = Joiner()
    assert [joiner.add(chunk({"content": piece})) for piece in pieces] == [piece != "" for piece in pieces]
    assert joiner.add(chunk({"content": ""}, "stop", usage=USAGE if usage else None)) is False
    assert joiner.text == joiner.body()["choices"][0]["message"]["content"] == "".join(pieces)
    assert (joiner.finished, joiner.usage) == (True, USAGE if usage else None)


@pytest.mark.parametrize("empty", [{}, {"role": "assistant", "content": ""}])
@pytest.mark.parametrize("said", [{"content": "hi"}, {"reasoning": "hm"}], ids=["content", "reasoning"])
def test_the_one_of_two_that_says_something_counts(said: Json, empty: Json) -> None:
    """Of a message and a delta in one choice the empty one does not hide the other, whichever it is."""
    for body in (choice(message=said, delta=empty), choice(message=empty, delta=said)):
        assert _reply.part(body["choices"][0]) == said
        assert (_reply.has_content(body), _reply.has_reasoning(body)) == ("content" in said, "reasoning" in said)


@pytest.mark.parametrize(("message", "delta", "counts"), [
    ({"content": "a"}, {"content": "b"}, "message"),
    ({"content": "a"}, {"reasoning": "b"}, "message"),
    ({"reasoning": "a"}, {"content": "b"}, "message"),
    ({"reasoning": "a"}, {"reasoning": "b"}, "message"),
    ({"role": "assistant"}, {}, "message"),
    ({}, {"role": "assistant"}, "message"),
])  # fmt: skip
def test_of_two_that_say_as_much_the_message_counts(message: Json, delta: Json, counts: str) -> None:
    """The delta counts only where it says something and the message does not."""
    one = {"message": message, "delta": delta}
    assert _reply.part(one) is one[counts]


def test_as_chunk() -> None:
    """A whole reply as one chunk says the same, as deltas."""
    reply = {
        "id": "gen-1",
        "object": "chat.completion",
        "usage": USAGE,
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}},
            {"index": 1, "delta": {"content": "b"}},
            None,
        ],
    }
    assert _reply.as_chunk(reply) == {
        "id": "gen-1",
        "object": "chat.completion.chunk",
        "usage": USAGE,
        "choices": [
            {"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": "a"}},
            {"index": 1, "delta": {"content": "b"}},
        ],
    }


def test_what_a_chunk_adds() -> None:
    """The texts of the first choice, without seam; a message adds nothing where there was text before."""
    first, other = {"delta": {"content": "a"}}, {"index": 1, "delta": {"content": "x"}}
    assert _reply.chunk_text({"choices": [first, other, {"index": 0, "delta": {"content": "b"}}]}) == "ab"
    told = {"choices": [{"message": {"content": "all"}}]}
    assert _reply.chunk_text(told) == _reply.chunk_text(told, spoke=False) == "all"
    assert _reply.chunk_text(told, spoke=True) == ""


def test_what_cannot_be_written_as_text_is_none() -> None:
    """What is nested deeper than Python can write is no text."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert _reply.as_text(deep) == ""


LOGPROBS = [{"token": "a", "logprob": -0.1}], [{"token": "b", "logprob": -0.2}]


def test_logprobs_are_put_together() -> None:
    """The lists of a choice's logprobs grow; anything else keeps its last value."""
    first, second = LOGPROBS
    pieces: list[Any] = [{"content": first}, None, {"content": second, "refusal": None, "top": 1}, {"top": 2}]
    one = joined([{"choices": [{"delta": {"content": "a"}, "logprobs": piece}]} for piece in pieces])
    assert one.body()["choices"][0]["logprobs"] == {"content": [*first, *second], "top": 2}
    assert first == [{"token": "a", "logprob": -0.1}], "what came is not changed"


@pytest.mark.parametrize(("pieces", "call"), [
    pytest.param([{"name": "f"}, {"arguments": "{"}, {"arguments": "}"}], {"name": "f", "arguments": "{}"},
        id="pieces"),
    pytest.param([{"name": "f", "arguments": "{"}, {"name": None, "arguments": "}"}], {"name": "f", "arguments": "{}"},
        id="null"),
    pytest.param([{"name": "f", "arguments": {}}, {"arguments": "{}"}], {"name": "f", "arguments": "{}"}, id="no-text"),
])  # fmt: skip
def test_a_function_call_is_put_together(pieces: list[Json], call: Json) -> None:
    """The arguments of a function call grow, and its name is the last that was told."""
    one = joined([chunk({"function_call": piece}) for piece in pieces])
    assert one.body()["choices"][0]["message"]["function_call"] == call


@pytest.mark.parametrize(("pieces", "calls"), [
    pytest.param([[{"id": "a", "function": {"name": "f", "arguments": "{"}}], [{"function": {"arguments": "}"}}]],
        [{"id": "a", "function": {"name": "f", "arguments": "{}"}}], id="without-index"),
    pytest.param([[{"id": "a"}], [{"id": "b"}]], [{"id": "a"}, {"id": "b"}], id="two-without-index"),
    pytest.param([[{"function": {"name": "f"}}], [{"function": {"name": "g"}}]],
        [{"function": {"name": "f"}}, {"function": {"name": "g"}}], id="two-by-their-names"),
    pytest.param([[{"name": "f"}], [{"name": "g"}]], [{"name": "f"}, {"name": "g"}], id="two-by-names-of-their-own"),
    pytest.param([[{"index": 0, "id": "a"}], [{"index": 0, "id": "b"}], [{"index": 0, "type": "function"}]],
        [{"id": "a"}, {"id": "b", "type": "function"}], id="one-index-for-all"),
    pytest.param([[{"function": {"arguments": "{"}}], [{"function": "x"}]], [{"function": {"arguments": "{"}}],
        id="nameless"),
    pytest.param([[None, 5, {"index": 0, "id": "a"}]], [{"id": "a"}], id="odd-ones"),
    pytest.param(["x", {"index": 0, "id": "a"}], [{"id": "a"}], id="in-no-list"),
    pytest.param([[{"index": 0, "function": {"arguments": 5, "name": None}}]], [{"function": {"arguments": 5}}],
        id="arguments-of-no-text"),
])  # fmt: skip
def test_tool_calls_are_told_apart(pieces: list[Any], calls: list[Json]) -> None:
    """Pieces belong to the call of their index, or of their id, or else to the last one."""
    one = joined([chunk({"tool_calls": piece}) for piece in pieces])
    assert one.body()["choices"][0]["message"]["tool_calls"] == calls


def test_nulls_take_nothing_back() -> None:
    """A null in a delta or choice leaves what came before."""
    one = joined([chunk({"role": "assistant", "content": "a", "note": "x"}), chunk({"role": None, "note": None})])
    assert one.body()["choices"][0]["message"] == {"role": "assistant", "content": "a", "note": "x"}


_values: st.SearchStrategy[Any] = st.sampled_from([
    None, "", " ", "\n", "word", " word", "stop", "null", "error", "assistant", "model", 0, 1, 0.0, False, True, [], {},
    {"code": 502, "message": "busy"}, [{"type": "text", "text": "x"}], {"content": []},
])  # fmt: skip
_deltas = st.dictionaries(
    st.sampled_from(["content", "role", "refusal", "reasoning", "tool_calls", "error", "audio"]), _values, max_size=3
)
_choice = st.fixed_dictionaries(
    {},
    optional={
        "index": _values, "delta": _deltas | _values, "message": _deltas | _values, "finish_reason": _values,
        "native_finish_reason": _values, "logprobs": _values, "error": _values, "text": _values, "extra": _values,
    },
)  # fmt: skip
_chunk = st.fixed_dictionaries(
    {"choices": st.lists(_choice, max_size=2) | _values},
    optional={"id": _values, "model": _values, "error": _values, "usage": _values, "message": _values},
)
_plain = st.builds(lambda text: {"id": "gen-1", "choices": [{"index": 0, "delta": {"content": text}}]}, st.text())


@settings(max_examples=400, deadline=None)
@given(st.lists(_chunk | _plain, min_size=1, max_size=6))
def test_the_short_way_leads_where_the_long_one_does(chunks: list[dict[str, Any]]) -> None:
    """A chunk that only adds text is taken in by a shorter way, and joined as by the longer one; it is no error."""
    short, long = Joiner(), Joiner()
    for first in ({"choices": [{"index": 0, "delta": {"content": "Well"}}]}, *chunks):
        text = _reply.plain_text(first)
        taken = short.add_text(first, text)
        progress = long.add(first)
        if taken:
            assert progress
            assert _reply.error_in(first) is None
            assert _reply.chunk_text(first, spoke=True) == text
        else:
            assert short.add(first) == progress
        assert short.body() == long.body()
        for name in ("text", "began", "spoke", "finished", "finish_reason", "model", "usage"):
            assert getattr(short, name) == getattr(long, name), name


@settings(max_examples=400, deadline=None)
@given(st.lists(_chunk, min_size=1, max_size=6))
def test_whatever_a_server_sends_can_be_joined(chunks: list[dict[str, Any]]) -> None:
    """Values of any type in any place are joined into a reply that is JSON; nothing is raised."""
    joiner = Joiner()
    for chunk in chunks:
        joiner.add(chunk)
    json.dumps(joiner.body())
    assert isinstance(joiner.text, str)


def test_logprobs_of_another_kind() -> None:
    """Logprobs that are an object after they were something else begin anew."""
    chunks = [{"choices": [{"delta": {"content": "a"}, "logprobs": odd}]} for odd in ("x", {"content": [1]})]
    assert joined(chunks).body()["choices"][0]["logprobs"] == {"content": [1]}
