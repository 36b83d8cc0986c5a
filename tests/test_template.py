"""A chunk that differs from an earlier one in nothing but its text need not be decoded anew."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import KEY
from orfallback import Chain, _reply
from orfallback._template import Template
from orfallback.testing import Simulator, events


def chunk_with(text: Any, **top: Any) -> dict[str, Any]:
    """Return a chunk as OpenRouter sends it."""
    delta = {"role": "assistant", "content": text}
    return {"id": "gen-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}], "created": 17, **top}


def whole(chunks: list[dict[str, Any]]) -> list[dict[str, Any] | str]:
    """Return the events of a stream of these chunks, with its end."""
    end = {"id": "gen-1", "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]}
    return [*chunks, end, "[DONE]"]


def template_of(data: str) -> Template | None:
    """Return the template that a chunk's JSON is."""
    chunk = json.loads(data)
    return Template.of(data, chunk, _reply.plain_text(chunk))


# What may stand in a chunk, and in a text, among it what looks like the end of a string, or like another field.
_texts = st.text() | st.sampled_from([
    "word", " word", " ", "\n", '"', "\\", '\\"', "a\\", '"content": "a"', "content", "\x00", "\x7f", "\u2028", "\xa0",
    "é", "\ud800", "wordword", "word\tword", '"}', "a", "aa",
])  # fmt: skip
_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _texts | st.lists(_texts, max_size=2)
_keys = st.sampled_from(["id", "model", "content", "usage", "error", "x"])


@st.composite
def _chunks(draw: st.DrawFn) -> tuple[dict[str, Any], str, int | None, bool]:
    delta = draw(st.dictionaries(st.sampled_from(["role", "refusal", "content"]), _values, max_size=2))
    delta["content"] = draw(_texts)
    names = st.sampled_from(["finish_reason", "logprobs", "native_finish_reason"])
    choice = draw(st.dictionaries(names, _values, max_size=2))
    before, after = (draw(st.dictionaries(_keys, _values, max_size=2)) for _ in range(2))
    chunk = {**before, "choices": [{**choice, "index": 0, "delta": delta}], **after}
    return chunk, draw(_texts), draw(st.sampled_from([None, 1])), draw(st.booleans())


@settings(max_examples=1_000, deadline=None)
@given(_chunks())
def test_what_a_template_makes_is_what_decoding_makes(
    drawn: tuple[dict[str, Any], str, int | None, bool],
) -> None:  # fmt: skip
    """Whatever two chunks hold that differ in their texts: the one that is made is the one that is decoded."""
    chunk, text, indent, escaped = drawn
    data = json.dumps(chunk, indent=indent, ensure_ascii=escaped)
    template = template_of(data)
    if template is None:
        return
    other = json.loads(data)
    other["choices"][0]["delta"]["content"] = text
    told = json.dumps(other, indent=indent, ensure_ascii=escaped)
    found = template.text_in(told)
    assert found in ("", text)
    if found:
        assert json.dumps(template.with_text(found)) == json.dumps(other)
        assert _reply.plain_text(other) == text


@settings(max_examples=1_000, deadline=None)
@given(_chunks(), st.integers(0, 300), st.integers(0, 8), st.text('":,{}[]\\ content0n\x01', max_size=6))
def test_what_is_not_alike_is_left_to_be_decoded(
    drawn: tuple[dict[str, Any], str, int | None, bool], at: int, cut: int, put: str
) -> None:  # fmt: skip
    """A chunk that is changed anywhere is seen as another one, or made as decoding would make it."""
    chunk, _, indent, escaped = drawn
    data = json.dumps(chunk, indent=indent, ensure_ascii=escaped)
    template = template_of(data)
    changed = data[:at] + put + data[at + cut :]
    if template is not None and (found := template.text_in(changed)):
        assert json.dumps(template.with_text(found)) == json.dumps(json.loads(changed))


def test_the_usual_chunk() -> None:
    """Most chunks of a stream are alike; those whose text needs escapes, or is white space, are decoded."""
    template = template_of(json.dumps(chunk_with("Well")))
    assert template is not None
    texts = {text: template.text_in(json.dumps(chunk_with(text), ensure_ascii=False)) for text in (
        " then", "é", "日本", "", " ", "\n", 'say "no"', "C:\\", "\x7f",
    )}  # fmt: skip
    assert [text for text, found in texts.items() if found] == [" then", "é", "日本"]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(json.dumps(chunk_with('say "no"')), id="a text that needs escapes"),
        pytest.param(json.dumps(chunk_with("a", usage={"cost": 1})), id="what a caller could change"),
        pytest.param(json.dumps({"content": "a", **chunk_with("a")}), id="another content before"),
        pytest.param(json.dumps(chunk_with("a")).replace('"content"', '"cont\\u0065nt"'), id="a key with an escape"),
        pytest.param(json.dumps({"x": {"content": "a"}, **chunk_with("a")}), id="a content of something else"),
        pytest.param(
            json.dumps(chunk_with("a")).replace('"content": "a"', '"content": "a", "content": "a"'), id="said twice"
        ),
    ],
)
def test_what_is_no_template(data: str) -> None:
    """Where the text cannot be told from the rest for sure, or more than the text may be another's, none is made."""
    assert _reply.plain_text(json.loads(data)) in ("a", 'say "no"')
    assert template_of(data) is None


def test_a_chunk_is_its_readers_own(sim: Simulator) -> None:
    """Whoever changes a chunk changes no other one, and nothing of the answer."""
    sim.default(events(*whole([chunk_with("Well"), chunk_with(" then"), chunk_with(" go"), chunk_with(" on")])))
    with Chain(["a/b"], api_key=KEY, base_url=sim.base_url).stream("Hi") as stream:
        texts = []
        for chunk in stream:
            texts.append(chunk["choices"][0]["delta"]["content"])
            chunk["choices"][0]["delta"]["content"] = "changed"
            chunk["choices"][0]["index"] = 9
            chunk["id"] = "changed"
            chunk["choices"].clear()
        assert texts == ["Well", " then", " go", " on", ""]
        assert stream.text == "Well then go on"
        assert stream.read().json()["id"] == "gen-1"


def test_what_a_later_chunk_tells_counts(sim: Simulator) -> None:
    """A field that changes for one chunk and changes back has its last value in the reply."""
    changes: list[dict[str, Any]] = [{"model": "x"}, {"created": 18, "model": "y"}, {"system_fingerprint": "z"}]
    tops = [{}, {}, *[top for change in changes for top in (change, {})]]
    chunks = [chunk_with(f"word {number}", **top) for number, top in enumerate(tops)]
    sim.default(events(*whole(chunks)))
    body = Chain(["a/b"], api_key=KEY, base_url=sim.base_url).stream("Hi").read().json()
    last: dict[str, Any] = {}
    for chunk in chunks:
        last |= {key: value for key, value in chunk.items() if key != "choices"}
    assert {key: body[key] for key in last} == last


def test_chunks_that_are_never_alike(sim: Simulator) -> None:
    """Where each chunk differs in more than its text, looking for a likeness is given up soon; the answer is whole."""
    sim.default(events(*whole([chunk_with(f"{number} ", obfuscation="x" * number) for number in range(200)])))
    with mock.patch.object(Template, "of", side_effect=Template.of) as looked:
        stream = Chain(["a/b"], api_key=KEY, base_url=sim.base_url).stream("Hi")
        assert stream.read().text == "".join(f"{number} " for number in range(200))
    assert 1 <= looked.call_count < 10


def test_chunks_whose_second_changes(sim: Simulator) -> None:
    """Where something changes now and then, the new likeness is learnt each time, however long the stream is."""
    sim.default(events(*whole([chunk_with(f"{number} ", created=number // 10) for number in range(600)])))
    with mock.patch.object(_reply, "decode", side_effect=_reply.decode) as decoded:
        stream = Chain(["a/b"], api_key=KEY, base_url=sim.base_url).stream("Hi")
        assert stream.read().text == "".join(f"{number} " for number in range(600))
    assert decoded.call_count < 2 * 60 + 20
