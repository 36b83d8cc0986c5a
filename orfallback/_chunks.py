"""The chunks of an open stream."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from typing import Any

from orfallback import _reply, _sse
from orfallback._exchange import BODY_LIMIT, REFUSAL_LIMIT, Exchange
from orfallback._faults import Cut
from orfallback._joiner import Joiner
from orfallback._template import Template
from orfallback._types import Json, Outcome
from orfallback._verdict import Fault
from orfallback._watch import Watch

#: The most bytes of one event, decoded.
EVENT_LIMIT = 16 * 1024 * 1024
#: The most bytes of a stream that are held back before its first content, decoded.
HELD_LIMIT = 4 * 1024 * 1024
# After a finish_reason, how long usage and [DONE] are waited for (s).
_FAREWELL_SECONDS = 1.0
# After [DONE], how long and how far to read on to the end of the body, so that the connection can be kept.
_DRAIN_SECONDS = 0.1
_DRAIN_LIMIT = 4 * 1024
# A likeness that serves for fewer than so many events was not worth looking for, and after so many of those none is.
_WORTH = 4
_PATIENCE = 8


class Broken(Exception):
    """The body of a stream ended otherwise than as a whole answer.

    :ivar outcome: what came of it, to be judged.
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class Chunks:
    """The chunks of an open stream, as dicts; ``next`` reads on.

    They end when the answer is whole: every choice told its ``finish_reason``, or ``[DONE]`` came after content.
    Anything else raises :class:`Broken`.

    :ivar joiner: what came so far, joined.
    :ivar events: data events so far.
    :ivar first_token: seconds from the start to the first content, or None.
    :ivar over: whether no more will be read.
    :ivar pid: the process whose connection it is.
    """

    def __init__(self, exchange: Exchange, head: bytes, idle: float | None) -> None:
        self._exchange = exchange
        self._idle = idle
        self._held: deque[Json] = deque()
        self._turn = _Turn(exchange.watch)
        self._blocks = _sse.Blocks(_pieces(exchange, head, self._turn), EVENT_LIMIT)
        self._events = _sse.iter_events(self._blocks)
        self._template: Template | None = None
        self._patience = _PATIENCE
        self._learnt = 0
        self.joiner = Joiner()
        self.events = 0
        self.first_token: float | None = None
        self.over = False
        self.pid = os.getpid()

    def __iter__(self) -> Chunks:
        return self

    def __next__(self) -> Json:
        if self._held:
            return self._held.popleft()
        if self.over:
            raise StopIteration
        turn = self._turn
        if turn.counted:
            turn.begin()
        chunk = self._read()
        if turn.counts:
            turn.end()
        if chunk is None:
            self.close()
            if not self.joiner.spoke:
                # Reasoning alone is no answer.
                raise self._empty()
            raise StopIteration
        return chunk

    def commit(self) -> Outcome:
        """Read on to the first content, and hold back what came before it.

        :raises Broken: if the stream ends or breaks before.
        """
        for chunk in iter(self._read, None):
            self._held.append(chunk)
            if self.first_token is not None:
                self._turn.end()
                return self.outcome(chunk, value=self, close=self.close)
            if self.bytes > HELD_LIMIT:
                raise self._broken(Fault.TOO_LARGE, f"{self.bytes} bytes came without content")
        self.close()
        raise self._empty()

    def outcome(self, body: Any = None, **more: Any) -> Outcome:
        """Return the outcome of the stream as far as it has come."""
        return self._exchange.outcome(body, first_token=self.first_token, events=self.events, **more)

    @classmethod
    def of_reply(cls, exchange: Exchange, reply: Json) -> Chunks:
        """Return a whole reply in the form of a stream that has been read to its end."""
        chunks = cls(exchange, b"", None)
        chunk = _reply.as_chunk(reply)
        chunks.joiner.add(chunk)
        chunks._held.append(chunk)
        chunks.events, chunks.over = 1, True
        return chunks

    def interrupt(self) -> None:
        """Wake a thread that reads; only this may be called by another thread."""
        self._exchange.interrupt()

    def close(self) -> None:
        """Read no more, and close the connection unless the body was read to its end."""
        self.over = True
        self._exchange.close()

    @property
    def bytes(self) -> int:
        """Decoded bytes so far."""
        return self._exchange.bytes

    def _read(self) -> Json | None:
        """Return the next chunk; None when the answer is whole.

        :raises Broken: when the stream is.
        """
        while True:
            event = self._event()
            if event is None:
                return None
            data = event.data.strip()
            kind = event.event
            if kind != "message" and kind.lower() == "error":
                raise self._refused(data, kind)
            chunk = self._alike(data)
            if chunk is not None:
                return chunk
            # What is no progress may come as fast as it can be read.
            self._turn.begin()
            if data == "[DONE]":
                self._drain()
                return None
            chunk = self._parse(kind, data) if data else None
            if chunk is None:
                continue
            text = _reply.plain_text(chunk)
            if self._adds(chunk, text):
                self._learn(data, chunk, text)
                return chunk
            # Once the answer is whole, only what calls itself an error is one.
            if _reply.error_in(chunk) is not None and (chunk.get("error") or not self.joiner.finished):
                raise self._refused(data, kind)
            self.events += 1
            self._note(chunk)
            return chunk

    def _alike(self, data: str) -> Json | None:
        """Take in an event whose chunk is like one before it but for its text, and return it; None for another."""
        template = self._template
        if template is None:
            return None
        text = template.text_in(data)
        return template.with_text(text) if self._adds(template.chunk, text) else None

    def _adds(self, like: Json, text: str) -> bool:
        """Take in text that a chunk adds in the middle of the answer; False if more has to be looked at.

        :param like: a chunk that is the same but for its text.
        """
        if not self.joiner.add_text(like, text):
            return False
        self.events += 1
        if self._turn.counted:
            self._exchange.watch.allow("idle", self._idle)
            self._turn.counted = False
        return True

    def _learn(self, data: str, chunk: Json, text: str) -> None:
        """Keep a chunk to hold the next ones against, as long as that is worth it."""
        if self.events - self._learnt <= _WORTH:
            self._patience -= 1
        if self._patience > 0:
            self._template = Template.of(data, chunk, text) or self._template
            self._learnt = self.events

    def _event(self) -> _sse.Event | None:
        """Return the next event; None where the body ends, or breaks off, after the answer did.

        :raises Broken: where it does before.
        """
        try:
            event = next(self._events, None)
        except Cut as cut:
            fault, detail = cut.fault, cut.detail
        except _sse.EventTooLarge as error:
            fault, detail = Fault.TOO_LARGE, str(error)
        else:
            if event is not None:
                return event
            fault, detail = Fault.TRUNCATED, "the stream ended before the answer did"
        if self.joiner.finished:
            return None
        raise self._broken(fault, detail)

    def _parse(self, kind: str, data: str) -> Json | None:
        """Return an event's chunk; None for one that is none and may be passed over."""
        try:
            chunk = _reply.decode(data)
        except _reply.NotJSON:
            chunk = None
        if isinstance(chunk, dict):
            return chunk
        if kind != "message" or self.joiner.finished:
            # Another gateway's ping, or its farewell: the answer does not need it.
            return None
        raise self._broken(Fault.MALFORMED, "an event is no JSON object")

    def _refused(self, data: str, kind: str) -> Broken:
        """Return the end of a stream by an event that tells an error, in whatever form."""
        self.events += 1
        content = self._exchange.scrub(data.encode(errors="replace"))[:REFUSAL_LIMIT]
        try:
            body = _reply.decode(content)
        except _reply.NotJSON:
            body = {"error": {"message": content.decode(errors="replace")}}
        if _reply.error_in(body) is None:
            body = {"error": body or f"an event of type {kind}"}
        return Broken(self.outcome(body, error=_reply.error_in(body), content=content))

    def _note(self, chunk: Json) -> None:
        """Take a chunk in, and set the limits anew by what it brings."""
        watch = self._exchange.watch
        progress = self.joiner.add(chunk)
        if self.first_token is None and self.joiner.began:
            self.first_token = self._exchange.clock.monotonic() - self._exchange.started
        if progress and self.first_token is not None:
            watch.allow("idle", self._idle)
            self._turn.counted = False
        if self.joiner.finished and watch.limit != "farewell":
            watch.allow("farewell", _FAREWELL_SECONDS)

    def _empty(self) -> Broken:
        """Return the end of a stream in which nothing was said, to be judged as an empty reply."""
        return Broken(self.outcome(self.joiner.body(), value=self, close=self.close))

    def _drain(self) -> None:
        """Read on to the end of the body, so that its connection is kept."""
        self._exchange.watch.allow("drain", _DRAIN_SECONDS)
        try:
            for _ in self._exchange.chunks(self._exchange.bytes + _DRAIN_LIMIT):
                pass
        except Cut:
            pass  # The answer is whole; the connection is given up.

    def _broken(self, fault: Fault, detail: str) -> Broken:
        if self._blocks.comments and fault in (Fault.TIMEOUT, Fault.TRUNCATED):
            detail = f"{detail} ({self._blocks.comments} keep-alive comments came)"
        return Broken(self.outcome(fault=fault, detail=detail))


class _Turn:
    """Whose time it is: ours, which counts as waiting, or the consumer's. Between texts reading alone counts.

    :param watch: the attempt's, which counts already.
    :ivar counts: whether the watch counts.
    :ivar counted: whether it has since there was progress.
    """

    __slots__ = ("_watch", "counted", "counts")

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.counts = self.counted = True

    def begin(self) -> None:
        """Count from now on: what the consumer did since the last chunk was no waiting; all that is done here is."""
        if not self.counts:
            self._watch.start()
            self.counts = self.counted = True

    def end(self) -> None:
        """Count no longer: what comes next is the consumer's time."""
        self._watch.stop()
        self.counts = False


def _pieces(exchange: Exchange, head: bytes, turn: _Turn) -> Iterator[bytes]:
    # No method of the stream's: it would hold itself by what it reads.
    yield head
    pieces = exchange.chunks(BODY_LIMIT)
    while True:
        turn.begin()
        piece = next(pieces, None)
        if piece is None:
            return
        yield piece
