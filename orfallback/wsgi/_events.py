"""A running answer as server-sent events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from requests.exceptions import StreamConsumedError

from orfallback._errors import StreamInterrupted
from orfallback._stream import Stream
from orfallback.wsgi._answers import DEGRADED, Answer, dressed, encode, facts
from orfallback.wsgi._errors import Problem, of_failure

logger = logging.getLogger("orfallback.gateway")


# A proxy that holds a stream back until it ends makes it none.
_HEADERS = [
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache"),
    ("X-Accel-Buffering", "no"),
]


def of_stream(stream: Stream, over: Callable[[Stream], None]) -> Answer:
    """Return an answer that is sent while it comes.

    :param stream: the stream, committed.
    :param over: told once it is over.
    """
    degraded = [DEGRADED] if stream.degraded else []
    told = facts(stream.requested_model, stream.attempts)
    return Answer(200, [*_HEADERS, *told, *degraded], Events(stream, over))


class Events:
    """The events of a stream, each as it comes: chunks and ``[DONE]``, or one error and no ``[DONE]``.

    :param stream: the stream, committed.
    :param over: told once it is over.
    """

    def __init__(self, stream: Stream, over: Callable[[Stream], None]) -> None:
        self._stream = stream
        self._told = over
        self._over = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._over:
            raise StopIteration
        try:
            chunk = next(self._stream)
            return event(dressed(chunk, "chat.completion.chunk") if self._stream.degraded else chunk)
        except StopIteration:
            self.close()
            return b"data: [DONE]\n\n"
        except StreamInterrupted as error:
            return self._broken(of_failure(error))
        except StreamConsumedError:
            # Somebody else closed it: the client has left, or the gateway closes.
            return self._broken(Problem(503, "the gateway ended the stream", code="cancelled"))
        except Exception:
            # A plugin judges what broke the stream, and may fail at it.
            logger.exception("A stream failed in the gateway, or in a plugin")
            return self._broken(Problem.internal())

    def _broken(self, problem: Problem) -> bytes:
        self.close()
        return event(problem.body())

    def close(self) -> None:
        """Let go of the upstream connection; the server calls it in every end, a client that left among them."""
        self._over = True
        self._told(self._stream)
        self._stream.close()


def event(value: Any) -> bytes:
    """Return an event of JSON, which has no line ends in it."""
    return b"data: " + encode(value) + b"\n\n"
