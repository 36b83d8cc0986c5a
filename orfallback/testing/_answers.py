"""Behaviours that answer: well, with an error status, or with anything at all in a well-formed response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from orfallback.testing._framing import Framing, Headers, head, one_of, pairs, respond, to_bytes
from orfallback.testing._payloads import (
    EVENT_STREAM,
    Generation,
    Json,
    Shape,
    comment,
    error_object,
    failure,
    message_for,
    sse,
)
from orfallback.testing._speech import HELLO, Speech, words
from orfallback.testing._steps import Behaviour, End, Gate, Received, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Item: TypeAlias = Json | str | bytes | float | Gate | End


def answer(
    text: str = HELLO,
    *,
    pace: float = 0.0,
    pieces: Sequence[str] | None = None,
    reasoning: str | None = None,
    tool_calls: Sequence[Json] | None = None,
    refusal: str | None = None,
    finish_reason: str | None = "stop",
    usage: bool = True,
    done: bool = True,
    model: str | None = None,
    provider: str = "Simulated",
    framing: Framing = "chunked",
    gate: Gate | None = None,
    comments: int = 0,
    role_first: bool = True,
    empty_choices_usage: bool = False,
    headers: Headers | None = None,
    line_end: str = "\n",
) -> Behaviour:
    """A good answer, as a stream or as one JSON object, whichever the request asks for.

    A stream is a role delta without content, the text word by word, a chunk with the finish_reason, one with
    the usage, and ``[DONE]``. Pace, gate, comments, done, role_first and line_end concern streams alone.

    :param text: what the model says.
    :param pace: seconds between two events; comments count.
    :param pieces: the text as the stream shall cut it; given, it replaces ``text``.
    :param reasoning: text of the reasoning.
    :param tool_calls: tool calls in OpenAI's form; a stream sends the arguments of each in two halves.
    :param refusal: text of a refusal.
    :param finish_reason: None sends no chunk for it.
    :param usage: whether usage is told.
    :param done: whether the stream ends with ``[DONE]``.
    :param model: the model that claims to have answered; None for the one asked for.
    :param provider: the host that claims to have answered.
    :param framing: how the body is put on the wire: "chunked", "gzip" (compressed, in chunks), "length", "close"
        (ended by the connection's end) or "byte" (chunks of one byte).
    :param gate: waited for before each data event but the first, ``[DONE]`` included.
    :param comments: number of keep-alive comments that come first.
    :param role_first: whether the stream begins with an empty delta.
    :param empty_choices_usage: whether the usage chunk has an empty list of choices.
    :param headers: further headers.
    :param line_end: line end of the stream's events.
    :raises ValueError: for a framing that there is not.
    """
    one_of("framing", framing, Framing)
    speech = Speech(
        words(text) if pieces is None else pieces,
        reasoning,
        tool_calls or (),
        refusal,
        finish_reason,
        usage,
        done,
        role_first,
        empty_choices_usage,
    )

    def behave(received: Received) -> Iterator[Step]:
        generation = Generation.of(received, model=model, provider=provider)
        more = [*generation.headers.items(), *pairs(headers)]
        if not received.stream:
            body = [to_bytes(speech.completion(generation))]
            return respond(body, headers=more, framing=framing)
        waiting: list[Step] = [comment(line_end), pace] * comments
        steps = [*waiting, *_paced(speech.events(generation, line_end), pace=pace, gate=gate)]
        more.append(("Cache-Control", "no-cache"))
        return respond(steps, content_type=EVENT_STREAM, headers=more, framing=framing)

    return behave


def status(
    code: int,
    body: Any = None,
    *,
    headers: Headers | None = None,
    message: str | None = None,
    metadata: Json | None = None,
    content_type: str = "application/json",
) -> Behaviour:
    """An HTTP error.

    :param code: the HTTP status.
    :param body: None for OpenRouter's envelope; bytes and text go as they are, anything else as JSON.
    :param headers: further headers; pairs may repeat a name.
    :param message: the envelope's message; None for what OpenRouter says with this status.
    :param metadata: the envelope's metadata.
    :param content_type: value of the Content-Type header.
    :raises ValueError: for a code that has not three digits.
    """

    if not 100 <= code <= 999:
        raise ValueError(f"code is an HTTP status of three digits, not {code}")

    def behave(received: Received) -> Iterator[Step]:
        said = message_for(code, received.model) if message is None else message
        content = {"error": error_object(code, said, metadata)} if body is None else body
        steps = [to_bytes(content)]
        return respond(steps, code=code, content_type=content_type, headers=headers, framing="length")

    return behave


def reply(
    body: Any,
    *,
    code: int = 200,
    content_type: str = "application/json",
    headers: Headers | None = None,
    leading: bytes = b"",
    framing: Framing = "length",
) -> Behaviour:
    """Any body at all, in a well-formed response.

    :param body: bytes and text go as they are, anything else as JSON.
    :param code: the HTTP status.
    :param content_type: value of the Content-Type header.
    :param headers: further headers.
    :param leading: bytes before the body, such as keep-alive newlines.
    :param framing: how the body is put on the wire: "chunked", "gzip" (compressed, in chunks), "length", "close"
        (ended by the connection's end) or "byte" (chunks of one byte).
    :raises ValueError: for a framing that there is not.
    """
    one_of("framing", framing, Framing)
    steps = [leading, to_bytes(body)]

    def behave(_: Received) -> Iterator[Step]:
        return respond(steps, code=code, content_type=content_type, headers=headers, framing=framing)

    return behave


def error_in_200(
    code: int = 502,
    message: str = "Provider returned error",
    *,
    shape: Shape = "top",
    after: str | None = None,
    metadata: Json | None = None,
    done: bool = False,
) -> Behaviour:
    """A failure inside HTTP 200, as a stream or as one JSON object, whichever the request asks for.

    :param code: the code of the error object.
    :param message: its message.
    :param shape: where it is written: "top" as documented (a whole answer has the error alone, a chunk also
        a choice that finishes with "error"), "bare" (nothing but the error), "null_choices",
        "empty_choices", "choice" (in the choice), "finish" (finish_reason "error", no error object),
        "native" (only the native_finish_reason is "error"), "string" (the error is its message) or
        "string_code" (as "top", the code a string).
    :param after: text that the model says before it fails.
    :param metadata: metadata of the error object.
    :param done: whether a stream still ends with ``[DONE]``.
    :raises ValueError: for a shape that there is not.
    """
    one_of("shape", shape, Shape)
    fault = error_object(code, message, metadata)

    def behave(received: Received) -> Iterator[Step]:
        generation = Generation.of(received)
        if not received.stream:
            whole = failure(generation, shape, fault, text=after or "")
            return respond([to_bytes(whole)], headers=generation.headers, framing="length")
        begun = Speech(words(after or ""), finish=None, usage=False, done=False, role_first=bool(after))
        last = [sse(failure(generation, shape, fault, text=None)), *([sse("[DONE]")] if done else [])]
        steps = [*begun.events(generation), *last]
        return respond(steps, content_type=EVENT_STREAM, headers=generation.headers)

    return behave


def events(
    *items: Item,
    framing: Framing = "chunked",
    end: End | None = None,
    pace: float = 0.0,
    gate: Gate | None = None,
    headers: Headers | None = None,
    content_type: str = EVENT_STREAM,
    line_end: str = "\n",
) -> Behaviour:
    """A stream of exactly these events.

    :param items: a dict is sent as an event with JSON, text as an event, bytes as they are; a number is a
        pause in seconds, a Gate is waited for, an End ends the connection there.
    :param framing: how the body is put on the wire: "chunked", "gzip" (compressed, in chunks), "length", "close"
        (ended by the connection's end) or "byte" (chunks of one byte).
    :param end: how the connection ends after the last item; None ends the body as its framing demands.
    :param pace: seconds between two items that are sent.
    :param gate: waited for before each item that is sent but the first.
    :param headers: further headers.
    :param content_type: value of the Content-Type header.
    :param line_end: line end of the events.
    :raises ValueError: for a framing that there is not.
    """
    one_of("framing", framing, Framing)
    written = [sse(item, line_end) if isinstance(item, dict | str) else item for item in items]

    def behave(_: Received) -> Iterator[Step]:
        steps = [*_paced(written, pace=pace, gate=gate), *([] if end is None else [end])]
        return respond(steps, content_type=content_type, headers=headers, framing=framing)

    return behave


def redirect(code: int, location: str) -> Behaviour:
    """A redirect with an empty body.

    :param code: the HTTP status, such as 302.
    :param location: value of the Location header, sane or not.
    """
    return reply(b"", code=code, headers={"Location": location})


def early_hints(then: Behaviour) -> Behaviour:
    """An interim 103 response before the real one.

    :param then: the real one.
    """

    def behave(received: Received) -> Iterator[Step]:
        yield head(103, "", {"Link": "</style.css>; rel=preload"})
        yield from then(received)

    return behave


def _paced(steps: Iterable[Step], *, pace: float, gate: Gate | None) -> Iterator[Step]:
    begun = False
    for step in steps:
        if isinstance(step, bytes):
            if begun:
                yield pace
                if gate is not None:
                    yield gate
            begun = True
        yield step
