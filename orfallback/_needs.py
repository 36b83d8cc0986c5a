"""What a call needs of a model, and whether what is known of one rules it out; pure.

In doubt nothing is ruled out: a payload or a listing of another form than the service's says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from orfallback._types import Json, Target

# Characters other than white space that a token stands for, at most. Measured with the tokenizer of Mistral Nemo: 3.0
# to 3.4 in English prose, 2.6 to 3.2 in source code; only runs of one character, and lists of long words, have more.
# White space is not counted, since a token may stand for a whole line of it.
_CHARACTERS = 5
_INPUTS = {
    "image": "image", "image_url": "image", "input_image": "image",
    "audio": "audio", "audio_url": "audio", "input_audio": "audio",
    "video": "video", "video_url": "video", "input_video": "video",
    "file": "file", "input_file": "file",
}  # fmt: skip
# What OpenRouter, vLLM, Groq and Mistral call a window in their lists.
_WINDOWS = ("context_length", "max_model_len", "context_window", "max_context_length")
# What ``require_parameters`` is about. Other names in a body are for the service, not for the model.
_PARAMETERS = frozenset({
    "temperature", "top_p", "top_k", "top_a", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty",
    "seed", "stop", "logit_bias", "logprobs", "top_logprobs", "max_tokens", "response_format", "tools", "tool_choice",
})  # fmt: skip


class Facts(NamedTuple):
    """What is known of a model; None is not known.

    :ivar inputs: the kinds of input that it takes.
    :ivar window: the most that a prompt and its answer may be, in tokens.
    :ivar parameters: the names of the parameters that it takes.
    """

    inputs: frozenset[str] | None = None
    window: int | None = None
    parameters: frozenset[str] | None = None


def facts_in(entry: Json) -> Facts:
    """Return what an entry of ``GET /models`` tells of a model."""
    architecture, top = _mapping(entry.get("architecture")), _mapping(entry.get("top_provider"))
    inputs = _names(architecture.get("input_modalities"))
    # Hosts differ: what one of them takes is not too long.
    window = max(_count(top.get("context_length")), *(_count(entry.get(name)) for name in _WINDOWS))
    parameters = _names(entry.get("supported_parameters"))
    if parameters is not None and "structured_outputs" in parameters:
        parameters |= {"response_format"}
    return Facts(
        # OpenRouter turns files into text for a model that takes none.
        None if inputs is None else inputs | {"file"},
        window or None,
        parameters,
    )


def facts_of(target: Target, listed: Facts | None) -> Facts:
    """Return what is known of a target: what it says itself goes before what its endpoint lists.

    :param listed: what the endpoint lists of the model; None is nothing.
    """
    listed = listed or Facts()
    return Facts(
        frozenset(target.inputs) if target.inputs else listed.inputs,
        listed.window if target.context_length is None else target.context_length,
        listed.parameters,
    )


def lacking(payload: Mapping[str, Any], target: Target, facts: Facts) -> str | None:
    """Say what a call needs and a target surely has not; None if it may serve the call.

    :param payload: the call's own.
    :param target: what it sets and drops counts.
    :param facts: what is known of it.
    """
    own = {name: value for name, value in payload.items() if name not in target.drop}
    own.update(target.set)
    if facts.inputs is not None:
        missing = sorted(set(_inputs(own)) - facts.inputs)
        if missing:
            return f"{missing[0]} input"
    if facts.parameters is not None:
        missing = sorted(_parameters(own) - facts.parameters)
        if missing:
            return missing[0]
    if facts.window is not None and not _is_compressed(own):
        least = tokens_at_least(own)
        if least > facts.window:
            return f"window of {least} tokens"
    return None


def tokens_at_least(payload: Mapping[str, Any]) -> int:
    """Return how many tokens a call takes at the least, those that the answer may take included."""
    prompt = sum(map(_tokens_in, _texts(payload)))
    return prompt + max(_count(payload.get("max_tokens")), _count(payload.get("max_completion_tokens")))


def _inputs(payload: Mapping[str, Any]) -> Iterator[str]:
    """Yield the kinds of input in the messages, apart from text."""
    for part in _parts(payload):
        kind = part.get("type")
        if isinstance(kind, str) and kind in _INPUTS:
            yield _INPUTS[kind]


def _parameters(payload: Mapping[str, Any]) -> set[str]:
    """Return the parameters without which a call makes no sense; a model that lacks any other goes without it."""
    if _mapping(payload.get("provider")).get("require_parameters") is True:
        return {name for name in _PARAMETERS & set(payload) if payload[name] is not None}
    needed = set()
    if payload.get("tools"):
        needed.add("tools")
    if _mapping(payload.get("response_format")).get("type") == "json_schema":
        needed.add("response_format")
    return needed


def _is_compressed(payload: Mapping[str, Any]) -> bool:
    """Tell whether OpenRouter is to shorten what is too long: by a plugin, or a transform, as it used to be called."""
    plugins, transforms = payload.get("plugins"), payload.get("transforms")
    if isinstance(transforms, list) and "middle-out" in transforms:
        return True
    return isinstance(plugins, list) and any(_mapping(each).get("id") == "context-compression" for each in plugins)


def _parts(payload: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    messages = payload.get("messages")
    for message in messages if isinstance(messages, (list, tuple)) else ():
        content = _mapping(message).get("content")
        if isinstance(content, (list, tuple)):
            yield from (part for part in content if isinstance(part, Mapping))


def _texts(payload: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the texts of a prompt; what is no text counts for nothing."""
    messages = payload.get("messages")
    for message in messages if isinstance(messages, (list, tuple)) else ():
        yield _mapping(message).get("content")
    yield from (part.get("text") for part in _parts(payload))
    # Of the older interface. A list there is of prompts, each with a window of its own.
    yield payload.get("prompt")


def _tokens_in(text: Any) -> int:
    if not isinstance(text, str):
        return 0
    return (len(text) - sum(map(text.count, " \n\t\r"))) // _CHARACTERS


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _names(value: Any) -> frozenset[str] | None:
    """Return a list of names; None for what is none, or empty: a service that tells nothing tells nothing."""
    names = frozenset(name for name in value if isinstance(name, str)) if isinstance(value, list) else frozenset()
    return names or None


def _count(value: Any) -> int:
    """Return a number of tokens; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
