"""What a client is told of an answer: frames, the same over WebSocket and SSE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from flask_chat.problems import Refusal, retry_after, sentence, status_of, told
from flask_chat.turns import Frame, Stopped, Turn
from orfallback import FallbackError, StreamInterrupted

#: The frames that end an answer: each answer has exactly one of them.
FINAL = frozenset({"end", "broken", "stopped", "error"})

_ENDS = {"complete": "end", "degraded": "end", "stopped": "stopped"}


def of_turn(turn: Turn) -> Iterator[Frame]:
    """Ask, and yield what there is to tell.

    The end of a turn that was stopped is not: whoever stopped it knows.
    """
    try:
        turn.begin()
    except FallbackError as error:
        yield of_failure(error, turn)
    except Stopped:
        return
    else:
        yield from of_answer(turn)


def of_answer(turn: Turn) -> Iterator[Frame]:
    """Yield what there is to tell of an answer that has begun: its text, and how it ends."""
    yield {"type": "begin", "answer": turn.answer, "model": turn.model, "attempts": told(turn.tried)}
    try:
        for text in turn:
            yield {"type": "token", "answer": turn.answer, "text": text}
    except StreamInterrupted as error:
        # Told as a break, never as an end: what came is not a whole answer.
        yield {**of_end(turn), "retry_after": retry_after(error)}
    except Stopped:
        return
    else:
        yield of_end(turn)


def of_end(turn: Turn) -> Frame:
    """Return the last frame of an answer that has ended, by what is stored of it."""
    message = turn.message()
    kind = _ENDS.get(message.state, "broken")
    return {"type": kind, "answer": turn.answer, "message": asdict(message)}


def of_failure(error: FallbackError, turn: Turn) -> Frame:
    """Return the last frame of an answer that never began."""
    return {
        "type": "error",
        "answer": turn.answer,
        "status": status_of(error),
        "text": sentence(error),
        "retry_after": retry_after(error),
        "message": asdict(turn.message()),
    }


def of_refusal(refusal: Refusal) -> Frame:
    """Return what is told of a request that was not carried out."""
    return {"type": "error", "answer": None, "status": refusal.status, "text": refusal.message, "retry_after": None}
