"""What does this body or chunk say? The one place that reads the service's JSON; pure.

Shapes and their sources: OpenRouter's API reference, its pages on errors and streaming, and bodies seen live.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from orfallback._types import Json, UpstreamError

_REASONING = ("reasoning", "reasoning_content")
_THOUGHTS = ("thinking", "reasoning")
# The last two are DeepSeek's and vLLM's ways of saying that they gave up half way.
_FAILED = frozenset({"error", "insufficient_system_resource", "abort"})
_DECODER = json.JSONDecoder()
# What a choice and a delta hold that add text, and nothing more.
_PLAIN_CHOICE = frozenset({"index", "delta", "finish_reason", "native_finish_reason", "logprobs"})
_PLAIN_DELTA = frozenset({"content", "role"})

#: The most values of a body: a long answer with twenty alternatives to each token has two million. One takes up to
#: 100 bytes, so that a few megabytes of ``{},{},`` would fill the memory, and hold up the deadline while they are read.
MOST_VALUES = 4_000_000


class NotJSON(ValueError):
    """The body is not JSON that Python can read."""


class TooManyValues(NotJSON):
    """The body holds more values than any reply."""


def decode(raw: str | bytes | bytearray) -> Any:
    """Parse a body; leading newlines (OpenRouter's keep-alive) and a byte order mark are read over.

    The declared charset is not asked: RFC 8259 section 8.1 makes JSON UTF-8, and servers lie about it.

    :raises NotJSON: for anything that is not JSON, nested too deep, or holds an integer of thousands of digits.
    :raises TooManyValues: for more than four million values.
    """
    if len(raw) > MOST_VALUES and _marks_in(raw) > MOST_VALUES:
        raise TooManyValues(f"the body holds more than {MOST_VALUES:,} values")
    try:
        # Text, of which the events of a stream are made, needs none of what ``loads`` looks for first.
        return _DECODER.decode(raw) if isinstance(raw, str) else json.loads(raw)
    except (ValueError, RecursionError):
        raise NotJSON("the body is not JSON") from None


def _marks_in(raw: str | bytes | bytearray) -> int:
    """Return how many values a body holds at most, and in its texts seems to hold."""
    if isinstance(raw, str):
        return raw.count("{") + raw.count("[") + raw.count(",")
    return raw.count(b"{") + raw.count(b"[") + raw.count(b",")


def encode(value: Any) -> bytes:
    """Return JSON as it is sent.

    :raises ValueError: for NaN and infinities, which JSON does not know.
    :raises TypeError: for what is no JSON.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def finite(value: Any) -> Any:
    """Return what a service sent as JSON that is JSON: NaN and infinity, which some send, become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, list) else value


def is_page(raw: bytes) -> bool:
    """Tell whether a body looks like HTML: a page of a proxy or gateway, not of the service."""
    return raw[:512].lstrip().lower().startswith((b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<center"))


# -- choices --


def choices(body: Any) -> list[Json]:
    """Return the choices of a reply or chunk, without what is not an object."""
    found = body.get("choices") if isinstance(body, dict) else None
    return [choice for choice in found if isinstance(choice, dict)] if isinstance(found, list) else []


def part(choice: Json) -> Json:
    """Return a choice's ``message`` or ``delta``; of two the one that says something.

    The older ``/completions`` has neither, but ``text``.
    """
    message, delta = choice.get("message"), choice.get("delta")
    if not isinstance(message, dict):
        return delta if isinstance(delta, dict) else _of_text(choice)
    if not isinstance(delta, dict) or speaks(message) or reasons(message):
        return message
    return delta if speaks(delta) or reasons(delta) else message


def _of_text(choice: Json) -> Json:
    text = choice.get("text")
    return {"content": text} if isinstance(text, str) else {}


def delta_of(choice: Json, *, spoke: bool) -> Json:
    """Return what a chunk's choice adds.

    A ``message`` there is all the text so far, or all of it once more at the end, so it counts only where nothing else
    does.

    :param spoke: whether the choice has had text before.
    """
    delta, message = choice.get("delta"), choice.get("message")
    if isinstance(delta, dict) and (delta or not isinstance(message, dict)):
        return delta
    if isinstance(message, dict):
        return {} if spoke else message
    return _of_text(choice)


def plain_text(chunk: Json) -> str:
    """Return the text of a chunk that adds text to its only choice and tells nothing else: of nearly all of a stream.

    :returns: "" for any other chunk, which has to be looked at closely.
    """
    found = chunk.get("choices")
    if not isinstance(found, list) or len(found) != 1 or chunk.get("error"):
        return ""
    choice = found[0]
    if not isinstance(choice, dict) or not choice.keys() <= _PLAIN_CHOICE:
        return ""
    delta = choice.get("delta")
    if not isinstance(delta, dict) or not delta.keys() <= _PLAIN_DELTA:
        return ""
    told = choice.get("finish_reason") or choice.get("native_finish_reason") or choice.get("logprobs") is not None
    if told or choice.get("index") != 0 or delta.get("role") not in (None, "assistant"):
        return ""
    text = delta.get("content")
    return text if isinstance(text, str) and not text.isspace() else ""


def has_content(body: Any) -> bool:
    """Tell whether any choice of a reply or chunk carries what a user asked for.

    That is text, tool calls, a refusal, audio or images. White space alone is no text, and a value of another type
    than the service's is nothing.
    """
    return any(speaks(part(choice)) for choice in choices(body))


def speaks(said: Mapping[str, Any]) -> bool:
    """Tell whether a message or delta carries what a user asked for."""
    content = said.get("content")
    if _is_text(content) or (isinstance(content, list) and any(map(_is_part, content))):
        return True
    return (
        _any_dict(tool_calls_of(said), "function", "id", "custom", "name", "arguments")
        or _is_text(said.get("refusal"))
        or _any_dict([said.get("audio")], "data", "transcript", "id")
        or (isinstance(said.get("images"), list) and any(said["images"]))
        or _any_dict([said.get("function_call")], "name", "arguments")
    )


def tool_calls_of(said: Mapping[str, Any]) -> Any:
    """Return the tool calls of a message or delta; some servers send one that is not in a list."""
    calls = said.get("tool_calls")
    return [calls] if isinstance(calls, dict) else calls


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and not value.isspace()


def _any_dict(values: Any, *keys: str) -> bool:
    """Tell whether a list has an object that holds something under one of these keys."""
    return isinstance(values, list) and any(isinstance(v, dict) and any(map(v.get, keys)) for v in values)


def _is_part(value: Any) -> bool:
    """Tell whether a part of a content list holds something for the user: text, or a picture or the like."""
    if not isinstance(value, dict):
        return False
    kind = value.get("type", "text")
    if kind in ("text", "output_text"):
        return _is_text(value.get("text"))
    return kind not in _THOUGHTS and len(value) > 1


def has_reasoning(body: Any) -> bool:
    """Tell whether any choice of a reply or chunk carries reasoning."""
    return any(reasons(part(choice)) for choice in choices(body))


def reasons(said: Mapping[str, Any]) -> bool:
    """Tell whether a message or delta carries reasoning; Mistral sends it as parts of the content."""
    if any(map(said.get, _REASONING)):
        return True
    content = said.get("content")
    thoughts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    if any(part.get("type") in _THOUGHTS and len(part) > 1 for part in thoughts):
        return True
    details = said.get("reasoning_details")
    return isinstance(details, list) and any(
        isinstance(d, dict) and (d.get("text") or d.get("summary") or d.get("data")) for d in details
    )


def finish_reason(body: Any) -> str | None:
    """Return the first choice's ``finish_reason`` that is set, or None."""
    return next((finish for finish in map(finish_of, choices(body)) if finish is not None), None)


def finish_of(choice: Json) -> str | None:
    """Return a choice's ``finish_reason``; None where it tells none, which some servers spell out."""
    finish = choice.get("finish_reason")
    return finish if isinstance(finish, str) and finish not in ("", "null") else None


def text_of(said: Mapping[str, Any]) -> str:
    """Return the text of a message or delta; its content may be a string, a list of parts, or null."""
    content = said.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str))
    return ""


def chunk_text(chunk: Json, *, spoke: bool = False) -> str:
    """Return the text that a chunk adds to choice 0.

    :param spoke: whether it has had text before.
    """
    return "".join(text_of(delta_of(choice, spoke=spoke)) for choice in choices(chunk) if index_of(choice) == 0)


def index_of(choice: Json) -> int:
    """Return a choice's index; 0 if it tells none."""
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def as_chunk(reply: Json) -> Json:
    """Return a whole reply as one chunk, for a server that ignores ``stream``."""
    turned = [{**choice, "delta": part(choice)} for choice in choices(reply)]
    for choice in turned:
        choice.pop("message", None)
    return {**reply, "object": "chat.completion.chunk", "choices": turned}


# -- errors --


def error_in(body: Any) -> UpstreamError | None:
    """Find the error in a body or chunk that came with a good status; None if it holds none.

    It may sit at the top, in a choice, or be told by a ``finish_reason`` alone.
    """
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if error and _tells(error):
        return _read_error(error)
    found = choices(body)
    if not found and _looks_like_error(body):
        return refusal_in(body)
    for choice in found:
        for error in (choice.get("error"), part(choice).get("error")):
            if error and _tells(error):
                return _read_error(error)
        for finish in (choice.get("finish_reason"), choice.get("native_finish_reason")):
            if finish and isinstance(finish, str) and finish.lower() in _FAILED:
                return UpstreamError(message=f"the reply ended with finish_reason {finish.lower()}")
    return None


def _looks_like_error(body: Json) -> bool:
    """Tell an error that other servers put at the top of a body or event without ``error``: vLLM, FastAPI, gateways."""
    if body.get("object") == "error" or body.get("type") == "error" or body.get("errors"):
        return True
    if "choices" in body or body.get("usage"):
        return False  # A usage or debug chunk, whatever else stands in it.
    if body.get("error") == {} or body.get("detail"):
        return True
    return bool(body.get("message")) and body.get("code") not in (None, 0, 200, "0", "200", "")


def _tells(error: Any) -> bool:
    """Tell whether an ``error`` says anything: some servers send one whose fields are all empty beside an answer."""
    return any(error.values()) if isinstance(error, dict) else bool(error)


def refusal_in(body: Any) -> UpstreamError:
    """Read the body of a bad status: OpenRouter's envelope, or what vLLM, FastAPI and proxies send instead."""
    if isinstance(body, dict):
        for key in ("error", "errors", "detail"):
            if body.get(key):
                return _read_error(body[key])
        if "message" in body:
            return _read_error(body)
    return _read_error(body) if isinstance(body, (list, str)) and body else UpstreamError()


def _read_error(found: Any) -> UpstreamError:
    while isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict):
        return UpstreamError(message=as_text(found))
    metadata = _mapping(found.get("metadata"))
    availability = _mapping(found.get("availability")) or _mapping(metadata.get("availability"))
    code = _code(found.get("code"))
    named = found.get("code") if code is None and isinstance(found.get("code"), str) else None
    if code is None:
        code = _code(found.get("http_status"))
    kind = metadata.get("error_type") or found.get("error_type") or named or found.get("type") or found.get("name")
    message = found.get("message") or found.get("msg") or found.get("detail") or ""
    return UpstreamError(
        code,
        kind.lower() if isinstance(kind, str) else "",
        as_text(message),
        metadata,
        availability,
    )


def as_text(value: Any) -> str:
    """Return what a service put where text belongs: text as it is, anything else as JSON, "" for None."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json.dumps(value)
    except RecursionError:
        # As deep as the decoder bore, it can be too deep for the encoder, a few frames further down.
        return ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _code(value: Any) -> int | None:
    # "429" is what some proxies send; True is an int to Python, and no status.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599 else None


# -- facts --


def facts(body: Any) -> tuple[str | None, str | None, Json | None, str | None]:
    """Return served model, provider, usage and generation id, each None where the body does not tell."""
    if not isinstance(body, dict):
        return None, None, None, None
    usage = body.get("usage")
    return (
        text_or_none(body.get("model")),
        text_or_none(body.get("provider")),
        usage if isinstance(usage, dict) else None,
        text_or_none(body.get("id")),
    )


def text_or_none(value: Any) -> str | None:
    """Return a text that is not empty; None for anything else."""
    return value if isinstance(value, str) and value else None
