"""What is sent: checked before any I/O, encoded once, different for each target only where it says so."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orfallback._payload import _NOT_SENT, Payload
from orfallback._types import Target

PROPERTY = settings(max_examples=200, deadline=None, database=None)

NEMO = Target("mistralai/mistral-nemo")
HI = [{"role": "user", "content": "hi"}]
CIRCLE: dict[str, Any] = {"role": "user"}
CIRCLE["content"] = CIRCLE
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


def sent(payload: Payload, target: Target = NEMO) -> Any:
    return json.loads(payload.for_target(target))


@pytest.mark.parametrize(("messages", "expected"), [
    pytest.param("hi", HI, id="text"),
    pytest.param(" ", [{"role": "user", "content": " "}], id="space"),
    pytest.param(HI, HI, id="list"),
    pytest.param(tuple(HI), HI, id="tuple"),
    pytest.param([{"role": "user", "content": [{"type": "text", "text": "ž🐎"}]}],
        [{"role": "user", "content": [{"type": "text", "text": "ž🐎"}]}], id="parts"),
    pytest.param("\ud800", [{"role": "user", "content": "\ud800"}], id="lone-surrogate"),
])  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_body(messages: Any, expected: list[Any], stream: bool) -> None:
    """The body holds the model, the messages, the parameters as they are, and ``stream`` where it is one."""
    payload = Payload(messages, {"temperature": 0.5, "provider": {"order": ["a"]}, "stop": None}, stream=stream)
    wanted = {"model": NEMO.model, "messages": expected, "temperature": 0.5, "provider": {"order": ["a"]}, "stop": None}
    assert sent(payload) == ({**wanted, "stream": True} if stream else wanted)


def test_bytes() -> None:
    """The body is compact ASCII, the same bytes but for the model."""
    payload = Payload("ž", {"top_p": 1}, stream=True)
    rest = b',"stream":true,"messages":[{"role":"user","content":"\\u017e"}],"top_p":1}'
    assert payload.for_target(Target("a")) == b'{"model":"a"' + rest
    assert payload.for_target(Target("b")) == b'{"model":"b"' + rest


@pytest.mark.parametrize("model", ['a"b', "a\\b", "ž/🐎", 'a","stream":true,"x":"', "a\nb"])
def test_odd_model_names(model: str) -> None:
    """A model's name is encoded, and cannot break out of its field."""
    assert sent(Payload("hi", {}, stream=False), Target(model)) == {"model": model, "messages": HI}


@pytest.mark.parametrize(("params", "message"), [
    pytest.param({"model": "x"}, r"^model is no parameter of a call: .*replace\(models=", id="model"),
    pytest.param({"models": ["x"]}, r"^models is no parameter of a call: .*replace\(models=", id="models"),
    pytest.param({"stream": True}, r"^stream is no parameter of a call: .*replace\(models=", id="stream"),
    pytest.param({"timeout": 3}, r"^timeout is no parameter of a call: .*Timeouts", id="timeout"),
    pytest.param({"deadline": 3}, r"^deadline is no parameter of a call: .*deadline=", id="deadline"),
    pytest.param({"extra_headers": {}}, "^extra_headers is no .*orfallback_prepare", id="extra_headers"),
    pytest.param({"extra_body": {}}, r"^extra_body is no .*\*\*extra", id="extra_body"),
    pytest.param({"api_key": "sk"}, "^api_key is no parameter of a call: .*Target", id="api_key"),
])  # fmt: skip
def test_refused_parameters(params: dict[str, Any], message: str) -> None:
    """What would go to the service and do nothing there is refused, and the error names what to use instead."""
    with pytest.raises(TypeError, match=message):
        Payload("hi", params, stream=False)


def test_the_parameter_that_is_no_json_is_named() -> None:
    """Of many parameters the one that cannot be sent is named."""
    with pytest.raises(TypeError, match=r"^logit_bias is no JSON: Object of type set"):
        Payload("hi", {"temperature": 0.5, "logit_bias": {1}}, stream=False)
    with pytest.raises(ValueError, match=r"^temperature is no JSON: "):
        Payload("hi", {"temperature": float("nan")}, stream=False)


@pytest.mark.parametrize(("messages", "error", "message"), [
    pytest.param("", ValueError, "^the message is empty$", id="empty-text"),
    pytest.param([], ValueError, "^there are no messages$", id="no-messages"),
    pytest.param((), ValueError, "^there are no messages$", id="empty-tuple"),
    pytest.param(None, TypeError, "not NoneType$", id="none"),
    pytest.param(5, TypeError, "not int$", id="int"),
    pytest.param(b"hi", TypeError, "not bytes$", id="bytes"),
    pytest.param({"role": "user"}, TypeError, "not dict$", id="one-dict"),
    pytest.param({"hi"}, TypeError, "not set$", id="set"),
    pytest.param((m for m in HI), TypeError, "not generator$", id="generator"),
    pytest.param(["hi"], TypeError, "^a message is a dict, not str$", id="list-of-text"),
    pytest.param([{"content": {1}}], TypeError, "not JSON serializable", id="set-inside"),
    pytest.param([{"content": b"x"}], TypeError, "not JSON serializable", id="bytes-inside"),
    pytest.param([{"content": math.nan}], ValueError, "Out of range float", id="nan-inside"),
    pytest.param([{("a",): 1}], TypeError, "keys must be", id="tuple-as-key"),
    pytest.param([CIRCLE], ValueError, "Circular reference", id="circle"),
    pytest.param([{"content": DEEP}], ValueError, "nested too deep", id="deep"),
])  # fmt: skip
def test_refused_messages(messages: Any, error: type[Exception], message: str) -> None:
    """Messages that cannot be sent are refused when the payload is made."""
    with pytest.raises(error, match=message):
        Payload(messages, {}, stream=False)


@pytest.mark.parametrize(("value", "error"), [
    pytest.param(math.nan, ValueError, id="nan"),
    pytest.param(-math.inf, ValueError, id="infinity"),
    pytest.param({1}, TypeError, id="set"),
    pytest.param(b"x", TypeError, id="bytes"),
    pytest.param([{"a": {"b": math.nan}}], ValueError, id="nan-inside"),
    pytest.param(object(), TypeError, id="object"),
])  # fmt: skip
def test_refused_values(value: object, error: type[Exception]) -> None:
    """Parameters that are no JSON are refused when the payload is made."""
    with pytest.raises(error):
        Payload("hi", {"x": value}, stream=False)


def test_the_callers_later_changes_have_no_effect() -> None:
    """What is sent was fixed when the call began: neither the caller nor a plugin's view of it changes it."""
    messages = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    params: dict[str, Any] = {"provider": {"order": ["a"]}}
    payload = Payload(messages, params, stream=False)
    before = payload.for_target(NEMO)
    messages[0]["content"][0]["text"] = "changed"  # type: ignore[index]  # the value is a list here
    messages.append({"role": "user", "content": "more"})
    params["provider"]["order"].append("b")
    params["x"] = 1
    payload.fields["messages"].clear()
    assert payload.for_target(NEMO) == before
    content = [{"type": "text", "text": "hi"}]
    fields = {"messages": [{"role": "user", "content": content}], "provider": {"order": ["a"]}}
    assert payload.own_copy(NEMO) == fields


SET = Target("m", set={"temperature": 0, "extra": [1]}, drop=("top_p", "absent"))


def test_set_and_drop() -> None:
    """A target's own parameters go over the call's, for this target alone, and what it does not take is left out."""
    payload = Payload("hi", {"temperature": 1, "top_p": 0.5, "seed": 7}, stream=True)
    fields = {"messages": HI, "temperature": 0, "extra": [1], "seed": 7}
    assert sent(payload, SET) == {"model": "m", "stream": True, **fields}
    assert payload.own_copy(SET) == fields
    assert sent(payload) == {
        "model": NEMO.model,
        "stream": True,
        "messages": HI,
        "temperature": 1,
        "top_p": 0.5,
        "seed": 7,
    }


def test_set_goes_over_drop() -> None:
    """A parameter that a target both drops and sets is sent with the target's value."""
    target = Target("m", set={"top_p": 1}, drop=("top_p",))
    assert sent(Payload("hi", {"top_p": 0.5}, stream=False), target) == {"model": "m", "messages": HI, "top_p": 1}


def test_copies_are_apart() -> None:
    """What a plugin does to its copy, at any depth, reaches neither another copy, nor what is sent, nor the target."""
    payload = Payload("hi", {"stop": ["a"]}, stream=False)
    target = Target("m", set={"extra": [1]})
    first = payload.own_copy(target)
    first["messages"][0]["content"] = "changed"
    first["stop"].append("b")
    first["extra"].append(2)
    assert payload.own_copy(target) == {"messages": HI, "stop": ["a"], "extra": [1]}
    assert target.set == {"extra": [1]}


def test_changed_fields() -> None:
    """Fields that a plugin changed are sent, but for those that are the chain's."""
    payload = Payload("hi", {"top_p": 0.5}, stream=True)
    changed = {"messages": HI, "model": "evil", "models": ["evil"], "stream": False, "seed": 1}
    assert json.loads(payload.encode(changed, NEMO)) == {"model": NEMO.model, "stream": True, "messages": HI, "seed": 1}


@pytest.mark.parametrize("stream", [False, True])
def test_no_fields_left(stream: bool) -> None:
    """The body is JSON even if a plugin took everything out."""
    body = json.loads(Payload("hi", {}, stream=stream).encode({}, NEMO))
    assert body == ({"model": NEMO.model, "stream": True} if stream else {"model": NEMO.model})


def test_repr() -> None:
    """A payload's repr shows its size and no content."""
    assert repr(Payload("hi", {}, stream=False)) == "<Payload of 44 bytes>"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
NAMES = st.text(max_size=8).filter(lambda name: name not in {"messages", *_NOT_SENT})


@PROPERTY
@given(
    text=st.text(min_size=1), params=st.dictionaries(NAMES, JSON, max_size=4),
    own=st.dictionaries(NAMES, JSON, max_size=3), model=st.text(), stream=st.booleans(),
)  # fmt: skip
def test_any_payload(text: str, params: dict[str, Any], own: dict[str, Any], model: str, stream: bool) -> None:
    """Any JSON arrives as it was given, under any model name."""
    messages = [{"role": "user", "content": text}]
    target = Target(model, set=own, drop=tuple(params)[:1])
    head = {"model": model, **({"stream": True} if stream else {}), "messages": messages}
    payload = Payload(text, params, stream=stream)
    assert sent(payload, Target(model)) == {**head, **params}
    kept = {name: value for name, value in params.items() if name not in target.drop}
    assert sent(payload, target) == {**head, **kept, **own}


def test_what_fails_but_once_is_told_all_the_same() -> None:
    """Where no single parameter can be blamed any more, the error passes out as it was."""

    class Changing(dict[str, Any]):
        calls = 0

        def items(self) -> Any:
            self.calls += 1
            if self.calls == 1:
                raise TypeError("changed meanwhile")
            return super().items()

    with pytest.raises(TypeError, match=r"^changed meanwhile$"):
        Payload("hi", {"metadata": Changing(a=1)}, stream=False)
