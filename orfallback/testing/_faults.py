"""Behaviours that break off, stall, dawdle or talk nonsense."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal, TypeAlias

from orfallback.testing._framing import Framing, head, one_of, respond, to_bytes
from orfallback.testing._partial import PARTIAL, Place, broken
from orfallback.testing._payloads import EVENT_STREAM, Generation, comment, sse
from orfallback.testing._speech import HELLO, Speech, words
from orfallback.testing._steps import Behaviour, End, Gate, Received, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

Before: TypeAlias = Literal["headers", "body", "content", "end"]
ResetAt: TypeAlias = Literal["accept", "headers", "body", "content"]
CutAt: TypeAlias = Literal["start", "headers", "body", "content", "json", "character", "finish"]
Part: TypeAlias = Literal["headers", "body"]

_ENDLESS = 1_000_000_000


def silence(before: Before = "headers", *, text: str = PARTIAL) -> Behaviour:
    """An answer that stalls until the client leaves.

    :param before: what never comes: "headers" (not a byte is sent), "body", "content" (a stream has sent its
        role delta, a whole answer the JSON up to its text) or "end" (the text was sent).
    :param text: what the model says before it stalls.
    :raises ValueError: for a place that there is not.
    """
    one_of("before", before, Before)
    places: dict[Before, Place] = {"headers": "start", "body": "head", "content": "role", "end": "content"}
    return broken(places[before], End.HANG, text=text)


def reset(at: ResetAt = "accept", *, text: str = PARTIAL) -> Behaviour:
    """An answer broken off by a connection reset.

    :param at: how far it gets: "accept" (the request was read, not a byte is sent), "headers" (inside
        them), "body" (a stream has sent its role delta, a whole answer the JSON up to its text) or
        "content" (the text was sent).
    :param text: what the model says before.
    :raises ValueError: for a place that there is not.
    """
    one_of("at", at, ResetAt)
    place: Place = "start" if at == "accept" else "role" if at == "body" else at
    return broken(place, End.RESET, text=text)


def cut(at: CutAt = "start", *, framing: Framing = "chunked", text: str = PARTIAL, clean: bool = False) -> Behaviour:
    """An answer broken off by the connection's end in good order.

    :param at: how far it gets: "start" (not a byte is sent), "headers" (inside them), "body" (a stream has
        sent its role delta, a whole answer the JSON up to its text), "content" (the text was sent), "json"
        (inside an event or the JSON), "character" (inside a UTF-8 character) or "finish" (after the
        finish_reason, before ``[DONE]``; a whole answer is there, though its framing has no end).
    :param framing: how the body is put on the wire; "length" declares the length of the answer unbroken.
    :param text: what the model says before.
    :param clean: whether the body ends there as its framing demands, and the connection is kept; only for
        places inside the body.
    :raises ValueError: for a place or a framing that there is not, and for ``clean`` where nothing was sent yet.
    """
    one_of("at", at, CutAt)
    one_of("framing", framing, Framing)
    if clean and at in ("start", "headers"):
        raise ValueError(f"clean needs a place inside the body, not {at!r}")
    place: Place = "role" if at == "body" else at
    return broken(place, None if clean else End.CLOSE, text=text, framing=framing)


def keep_alive(*, every: float = 0.05, after: str | None = None, then: int | None = None) -> Behaviour:
    """Signs of life without content: comments in a stream, newlines before a whole answer.

    :param every: seconds between two of them.
    :param after: text that a stream's model says first.
    :param then: how many come before a good answer; None never answers.
    """

    def body(received: Received, generation: Generation) -> Iterator[Step]:
        if received.stream:
            yield from _begun(generation, after)
        for _ in itertools.count() if then is None else range(then):
            yield comment() if received.stream else b"\n"
            yield every
        speech = Speech(words(HELLO))
        if received.stream:
            yield from speech.events(generation)
        else:
            yield to_bytes(speech.completion(generation))

    def behave(received: Received) -> Iterator[Step]:
        generation = Generation.of(received)
        content_type = EVENT_STREAM if received.stream else "application/json"
        return respond(body(received, generation), content_type=content_type, headers=generation.headers)

    return behave


def empty_deltas(*, every: float = 0.05, after: str | None = None) -> Behaviour:
    """A stream of deltas without content, for ever, whatever the request asks for.

    :param every: seconds between two of them.
    :param after: text that the model says first.
    """

    def body(generation: Generation) -> Iterator[Step]:
        yield from _begun(generation, after)
        while True:
            yield sse(generation.chunk())
            yield every

    def behave(received: Received) -> Iterator[Step]:
        generation = Generation.of(received)
        return respond(body(generation), content_type=EVENT_STREAM, headers=generation.headers)

    return behave


def drip(part: Part = "body", *, every: float = 0.05) -> Behaviour:
    """A response that comes byte by byte and never gets anywhere.

    :param part: "headers" (one header without end) or "body" (comments in a stream, else spaces of a body
        whose declared length is a gigabyte).
    :param every: seconds between two bytes.
    :raises ValueError: for a part that there is not.
    """
    one_of("part", part, Part)

    def behave(received: Received) -> Iterator[Step]:
        if part == "headers":
            drops = b"x"
            yield b"HTTP/1.1 200 OK\r\nX-Drip: "
        elif received.stream:
            drops = comment()
            yield head(200, EVENT_STREAM, Connection="close")
        else:
            drops = b" "
            yield head(200, "application/json", Content_Length=str(_ENDLESS))
        while True:
            for drop in drops:
                yield bytes((drop,))
                yield every

    return behave


def raw(*parts: bytes | float | Gate, end: End | None = None) -> Behaviour:
    """Exactly these bytes, pauses and gates, for whatever HTTP ought not to be.

    :param parts: bytes, seconds to pause, gates to wait for.
    :param end: how the connection ends; None keeps it for the next request.
    """
    steps: list[Step] = [*parts, *([] if end is None else [end])]
    return lambda _: iter(steps)


def _begun(generation: Generation, text: str | None) -> Iterator[Step]:
    return (sse(generation.chunk({"content": word})) for word in words(text or ""))
