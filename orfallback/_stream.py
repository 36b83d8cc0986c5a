"""The running answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

from requests.exceptions import StreamConsumedError

from orfallback import _failure, _reply
from orfallback._chunks import Broken, Chunks
from orfallback._completion import Completion, degraded_reply
from orfallback._engine import Answered
from orfallback._errors import StreamInterrupted
from orfallback._joiner import Joiner
from orfallback._types import Attempt, Json, Outcome
from orfallback._verdict import Reason, Verdict

# What a stream can be: still coming, read to its end, or broken or left.
_OPEN, _DONE, _CLOSED = "open", "done", "closed"


class Stream:
    """An answer while it comes: an iterator over chunks, dicts as received.

    It ends in one of two ways: completed, or :class:`~orfallback.StreamInterrupted`. Leaving early, by ``close()``, the
    end of a ``with`` block or dropping it, closes the connection at once, which stops a paid generation. It is iterated
    once, in the process that made it, by one thread at a time.

    :param answered: the call that it belongs to: :meth:`Chain.stream` makes streams, and nobody else.
    :ivar requested_model: the model that was asked.
    :ivar degraded: whether a plugin gave it as a last resort, and no model answered.
    """

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        # The thread that is reading now, and whether another one has closed the stream meanwhile.
        # Reentrant, for a signal handler that closes the stream in the very thread that holds it.
        self._lock = threading.RLock()
        self._reader: int | None = None
        self._left = False
        value = answered.value
        if isinstance(value, Chunks):
            self._chunks: Chunks | None = value
            # A plugin may have forked since.
            self._pid = value.pid
            self._joiner = value.joiner
            self._source: Iterator[Json] = value
        else:
            self._chunks = None
            self._pid = os.getpid()
            self._joiner = Joiner()
            self._source = _degraded(value, self._joiner)
        self.degraded = answered.attempt is None
        self.requested_model = answered.attempt.model if answered.attempt is not None else ""
        # The last: what has no state yet has nothing to close.
        self._state = _OPEN

    # -- what came --

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Everything that was tried; the last is the one that answers, as far as it is known."""
        answered = self._answered
        if self._state != _OPEN or answered.attempt is None:
            return answered.call.attempts
        return (*answered.call.attempts, answered.attempt)

    @property
    def text(self) -> str:
        """The text received so far."""
        return self._joiner.text

    @property
    def model(self) -> str:
        """The model that serves, as the service names it; the one asked if it does not."""
        return self._joiner.model or self.requested_model

    @property
    def usage(self) -> Json | None:
        """The usage object; None until it came, which is at the end."""
        return self._joiner.usage

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended; None until it did."""
        return self._joiner.finish_reason

    # -- reading --

    def __iter__(self) -> Iterator[Json]:
        if self._state != _OPEN:
            raise StreamConsumedError("a stream is iterated once; this one is over")
        return self

    def __next__(self) -> Json:
        if self._state == _DONE:
            raise StopIteration
        self._claim()
        try:
            chunk = self._pull()
            if isinstance(chunk, Outcome):
                # Raised outside of the handler, so that nothing of the wire hangs on the error.
                raise self._was_left() if self._left else self._interrupted(chunk)
            return chunk
        finally:
            self._reader = None

    def _claim(self) -> None:
        """Become the one that reads.

        :raises StreamConsumedError: if that cannot be.
        """
        # Before the lock: another thread may have held it at the fork, and nobody here would release it.
        if self._pid != os.getpid():
            raise StreamConsumedError("this stream belongs to the process that made it")
        with self._lock:
            if self._state != _OPEN:
                raise StreamConsumedError("this stream broke, or was closed")
            if self._reader is not None:
                raise StreamConsumedError("another thread reads this stream")
            self._reader = threading.get_ident()
        if self._left:
            try:
                raise self._was_left()
            finally:
                self._reader = None

    def _pull(self) -> Json | Outcome:
        """Return the next chunk, or what broke the stream.

        :raises StopIteration: when the answer is whole.
        """
        try:
            return next(self._source)
        except StopIteration:
            self._finish(_DONE)
            self._answered.end(None)
            raise
        except Broken as error:
            return error.outcome
        except AttributeError as error:
            # What http.client stumbles over when its connection is closed under it.
            if self._left:
                return Outcome()
            self._cancel(error)
            raise
        except BaseException as error:
            self._cancel(error)
            raise

    def iter_text(self) -> Iterator[str]:
        """Yield the pieces of choice 0's text as they come, none of them empty. Leaving the loop closes the stream."""
        spoke = False
        for chunk in self:
            text = _reply.chunk_text(chunk, spoke=spoke)
            if text:
                spoke = True
                try:
                    yield text
                except GeneratorExit:
                    # Whoever leaves this loop leaves the stream: a web server closes what it iterates, no more.
                    self.close()
                    raise

    def read(self) -> Completion:
        """Read to the end, and return the whole answer, with what was iterated before; again, if it was read already.

        :raises StreamInterrupted: when the stream breaks.
        :raises requests.exceptions.StreamConsumedError: if it broke before, or was closed.
        """
        if self._state != _DONE:
            for _ in self:
                pass
        return Completion(
            self._joiner.body(),
            requested_model=self.requested_model,
            attempts=self.attempts,
            degraded=self.degraded,
        )

    # -- ending --

    def close(self) -> None:
        """Read no more, and close the connection; what was left unread counts as cancelled, nobody's fault.

        Another thread may call it while one reads: the reader is woken, and gets StreamConsumedError.
        """
        if self._pid != os.getpid():
            return
        with self._lock:
            reader = self._reader
            if self._state != _OPEN:
                return
            # Whoever ends the call is the one reader; a thread that reads is woken, and ends it itself.
            mine = reader in (None, threading.get_ident())
            if mine:
                self._reader = threading.get_ident()
            else:
                self._left = True
        if not mine:
            if self._chunks is not None:
                self._chunks.interrupt()
            return
        try:
            self._cancel(None)
        finally:
            self._reader = reader

    def _cancel(self, error: BaseException | None) -> None:
        self._finish(_CLOSED, verdict=Verdict.abort(Reason.CANCELLED))
        self._answered.end(error)

    def _was_left(self) -> StreamConsumedError:
        self._cancel(None)
        return StreamConsumedError("this stream was closed by another thread while it was read")

    def _interrupted(self, broken: Outcome) -> StreamInterrupted:
        try:
            verdict = self._answered.judge(broken)
        except BaseException as raised:
            self._cancel(raised)
            raise
        self._finish(_CLOSED, verdict=verdict, message=broken.message, status=broken.effective_status)
        error = _failure.interrupted(self._answered.call, broken, self.text)
        self._answered.end(error)
        return error

    def _finish(self, state: str, **facts: Any) -> None:
        self._state = state
        chunks = self._chunks
        if chunks is not None:
            chunks.close()
            self._answered.finish(bytes=chunks.bytes, events=chunks.events, usage=self.usage, **facts)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A stream whose making failed has no state yet.
        if getattr(self, "_state", _CLOSED) == _OPEN:
            self.close()

    def __repr__(self) -> str:
        by = self.requested_model or "a last resort"
        return f"<Stream by {by}: {self._state}, {len(self.text)} characters so far>"


def _degraded(answer: str | Json, joiner: Joiner) -> Iterator[Json]:
    """Yield a plugin's last resort as a chunk."""
    chunk = _reply.as_chunk(degraded_reply(answer))
    joiner.add(chunk)
    yield chunk
