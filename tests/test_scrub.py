"""What a server sends back of a key or a message is taken out of a body that is no answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orfallback import Chain
from orfallback._request import Request
from orfallback._scrub import scrub
from orfallback._secret import Secret
from orfallback.testing import Simulator, answer

KEY = "sk-or-v1-CANARYKEY00000000"
SAID = 'CANARYPROMPT "why"\nis the ž blue?'


def request(messages: Any, key: str | None = KEY) -> Request:
    """A request with these messages."""
    body = json.dumps({"messages": messages}).encode()
    return Request("m", "http://x/v1", body, {}, None if key is None else Secret(key))


FORMS = [SAID, json.dumps(SAID)[1:-1], json.dumps(SAID, ensure_ascii=False)[1:-1]]


@pytest.mark.parametrize(
    "content", [SAID, [{"type": "text", "text": SAID}], [5, {"type": "image_url"}, {"text": SAID}]], ids=repr
)
@pytest.mark.parametrize("form", FORMS, ids=["text", "JSON in ASCII", "JSON"])
def test_a_message_is_taken_out(content: Any, form: str) -> None:
    """Texts and parts of messages, as text and as JSON, are hidden; what stands around them is not."""
    messages = [None, "x", {"role": "system"}, {"role": "user", "content": content}]
    assert scrub(f"before {form} after".encode(), request(messages)) == b"before *** after"


@pytest.mark.parametrize("messages", [None, "text", 5, {"content": SAID}, [[SAID]]], ids=repr)
def test_messages_of_another_kind(messages: Any) -> None:
    """What are no messages is nothing to hide, and no crash."""
    assert scrub(SAID.encode(), request(messages)) == SAID.encode()


def test_a_request_without_a_body_has_none() -> None:
    """A request that asks for something has nothing to hide but its key."""
    asked = Request("", "http://x/v1/key", b"", {}, Secret(KEY), method="GET")
    assert scrub(f"{KEY} {SAID}".encode(), asked) == f"*** {SAID}".encode()


@pytest.mark.parametrize(("content", "left"), [
    (f"key {KEY}.", "key ***"),
    (f"key {KEY[:16]}, no more", "key ***, no more"),
    (f"key {KEY[:16]}...0000", "key ***"),
    (f"key {KEY[:15]}", f"key {KEY[:15]}"),
])  # fmt: skip
def test_a_key_cut_short(content: str, left: str) -> None:
    """The first 16 characters of a key tell it, with what of it stands behind them."""
    assert scrub(content.encode(), request([])) == left.encode()


@pytest.mark.parametrize(
    ("key", "left"), [(None, "abc local-key12"), ("local-key12", "abc ***"), ("abc", "abc local-key12")]
)
def test_a_short_key(key: str | None, left: str) -> None:
    """A key of eight characters is hidden where it stands whole; a shorter one is a word that may stand anywhere."""
    assert scrub(b"abc local-key12", request([], key)) == left.encode()


@pytest.mark.parametrize(("said", "left"), [("a word.", "a word."), ("a words.", "***")])
def test_a_short_message(said: str, left: str) -> None:
    """A message of eight characters is hidden, and no shorter one."""
    assert scrub(said.encode(), request([{"content": said}])) == left.encode()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_good_reply_whose_names_are_the_key(stream: bool, sim: Simulator) -> None:
    """A server that sends the key back as a model's or a provider's name brings it into no record."""
    key = "sk-or-v1-CANARYKEY00000000"
    sim.default(answer("Hi", model=key, provider=f"by {key}", headers={"X-Generation-Id": f"gen-{key}"}))
    chain = Chain(["a/a"], api_key=key, base_url=sim.base_url)
    completion = chain.stream("Hello").read() if stream else chain.complete("Hello")
    (attempt,) = completion.attempts
    assert completion.text == "Hi"
    assert (attempt.served_model, attempt.provider) == ("***", "by ***")
    assert "CANARYKEY" not in repr(attempt)
