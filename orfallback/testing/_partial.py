"""An answer that stops at a chosen place: the common ground of cuts, resets and stalls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from orfallback.testing._framing import Framing, respond, to_bytes
from orfallback.testing._payloads import EVENT_STREAM, Generation
from orfallback.testing._speech import Speech, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orfallback.testing._steps import Behaviour, End, Received, Step

Place: TypeAlias = Literal["start", "headers", "head", "role", "content", "json", "character", "finish"]

PARTIAL = "The sky is"

# Never arrives whole; its accent is the character to cut.
_LAST_WORD = " bl\u00e9u"


def broken(place: Place, end: End | None, *, text: str, framing: Framing = "chunked") -> Behaviour:
    """An answer, as a stream or as one JSON object, that stops at a place.

    :param place: "start" (before any byte), "headers" (inside them), "head" (after them), "role" (before
        the text), "content" (after the text), "json" (inside what follows the text), "character" (inside a
        character there) or "finish" (after the finish_reason).
    :param end: how the connection ends there; None ends the body as its framing demands.
    :param text: the text that arrives.
    :param framing: how the body is put on the wire.
    """

    def behave(received: Received) -> Iterator[Step]:
        if place == "start" and end is not None:
            return iter([end])
        before, after = (_stream if received.stream else _whole)(received, place, text)
        body: list[Step] = [*before] if end is None else [*before, end, *after]
        content_type = EVENT_STREAM if received.stream else "application/json"
        headers = Generation.of(received).headers
        steps = respond(body, content_type=content_type, headers=headers, framing=framing)
        return _half_a_head(steps, end) if place == "headers" and end is not None else steps

    return behave


def _half_a_head(steps: Iterator[Step], end: End) -> Iterator[Step]:
    head = next(step for step in steps if isinstance(step, bytes))
    yield head[: len(head) // 2]
    yield end


def _stream(received: Received, place: Place, text: str) -> tuple[list[bytes], list[bytes]]:
    """The events that arrive, and the rest."""
    said = words(text)
    spoken = 1 + len(said)
    events = [*Speech([*said, _LAST_WORD]).events(Generation.of(received))]
    if place in ("json", "character"):
        events[spoken : spoken + 1] = _split(events[spoken], place)
    counts = {"role": 1, "content": spoken, "json": spoken + 1, "character": spoken + 1, "finish": spoken + 2}
    count = counts.get(place, 0)
    return events[:count], events[count:]


def _whole(received: Received, place: Place, text: str) -> tuple[list[bytes], list[bytes]]:
    """The part of the JSON that arrives, and the rest."""
    body = to_bytes(Speech([text, _LAST_WORD]).completion(Generation.of(received)))
    mark = b'"content":"'
    start = body.index(mark) + len(mark)
    spoken = body.rindex(to_bytes(_LAST_WORD))
    inside = spoken + len(_split(body[spoken:], place)[0])
    counts = {"role": start, "content": spoken, "json": inside, "character": inside, "finish": len(body)}
    count = counts.get(place, 0)
    return [body[:count]], [body[count:]]


def _split(part: bytes, place: Place) -> tuple[bytes, bytes]:
    accent = part.index("\u00e9".encode())
    count = accent if place == "json" else accent + 1
    return part[:count], part[count:]
