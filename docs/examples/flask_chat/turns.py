"""One answer on its way from the models to the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from requests.exceptions import StreamConsumedError

from flask_chat.problems import Refusal, told
from flask_chat.storage import Message, State, Store
from orfallback import Attempt, Call, Chain, Completion, FallbackError, Stream, StreamInterrupted

#: Something told to a client: what a WebSocket or an SSE stream sends as JSON.
Frame = dict[str, Any]

# Under which name a call carries its turn.
_CONTEXT = "flask_chat.turn"


class Stopped(Refusal):
    """The answer was stopped, and is stored as such."""

    def __init__(self) -> None:
        super().__init__(409, "The answer was stopped.")


class Turn:
    """An answer while it is written. However it ends, it is stored once, as what it is.

    It is written either as a :meth:`whole`, or by :meth:`begin` and an iteration over its text. Leaving its ``with``
    block before its end stores it as stopped; with an exception, as broken.

    :param chain: whom to ask; it has the plugin :class:`Stopping`.
    :param store: where the answer goes.
    :param answer: its id there.
    :param messages: what to ask.
    :param tell: called with what is to be told while one waits, in the thread that asks.
    :ivar answer: its id.
    :ivar tell: as given.
    :ivar tried: whom the chain has asked so far, in vain.
    """

    def __init__(
        self, chain: Chain, store: Store, answer: int, messages: list[dict[str, Any]], tell: Callable[[Frame], object]
    ) -> None:
        self.answer = answer
        self.tell = tell
        self.tried: tuple[Attempt, ...] = ()
        self._chain = chain
        self._store = store
        self._messages = messages
        # Guards what follows; never held over I/O.
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self._stopped = False

    @staticmethod
    def of(call: Call) -> Turn | None:
        """Return the turn that a call is made for; None for calls that others make on the same chain."""
        turn = call.context.get(_CONTEXT)
        return turn if isinstance(turn, Turn) else None

    # -- writing --

    def whole(self) -> Message:
        """Ask for a whole answer. The chain falls back wherever a model breaks, for nobody has seen anything yet.

        :raises FallbackError: when nobody answered.
        """
        try:
            completion = self._chain.complete(self._messages, context={_CONTEXT: self})
        except FallbackError as error:
            self._end("failed", "", error.attempts)
            raise
        self._end(_state_of(completion), completion.text, completion.attempts, completion.model)
        return self.message()

    def begin(self) -> None:
        """Ask, and wait until a model begins to answer.

        :raises FallbackError: when nobody does.
        :raises Stopped: if it was stopped meanwhile.
        """
        try:
            stream = self._chain.stream(self._messages, context={_CONTEXT: self})
        except FallbackError as error:
            self._conclude("failed", "", error.attempts)
            raise
        with self._lock:
            self._stream = stream
            stopped = self._stopped
        if stopped:
            stream.close()
            raise Stopped

    def __iter__(self) -> Iterator[str]:
        """Yield the text as it comes.

        :raises StreamInterrupted: when the model breaks off. Nobody else is asked then: the user has read half of it.
        :raises Stopped: if it was stopped meanwhile.
        """
        stream = self._stream
        if stream is None:
            raise RuntimeError("begin() comes first")
        try:
            yield from stream.iter_text()
        except StreamInterrupted as error:
            self._conclude("broken", error.text, error.attempts, stream.model)
            raise
        except StreamConsumedError:
            # stop() closed it.
            raise Stopped from None
        self._conclude(_state_of(stream), stream.text, stream.attempts, stream.model)

    # -- what is known of it --

    @property
    def model(self) -> str:
        """Who writes; "" as long as nobody does."""
        return "" if self._stream is None else self._stream.model

    @property
    def stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stopped

    def message(self) -> Message:
        """Return the answer as it is stored."""
        return self._store.message(self.answer)

    # -- ending --

    def stop(self) -> bool:
        """Store what there is as stopped, and close the connection to the model. Any thread may call it.

        A model that has not begun to speak cannot be hung up on; the connection is closed at its first word.

        :returns: whether this was the end of the answer.
        """
        return self._leave("stopped")

    def _leave(self, state: State) -> bool:
        with self._lock:
            self._stopped = True
            stream = self._stream
        if stream is None:
            return self._end(state, "", self.tried)
        ended = self._end(state, stream.text, stream.attempts, stream.model)
        # It wakes the thread that reads, if there is one.
        stream.close()
        return ended

    def _conclude(self, state: State, text: str, attempts: Sequence[Attempt], model: str = "") -> None:
        """Store an end that came by itself.

        :raises Stopped: if somebody was faster.
        """
        if not self._end(state, text, attempts, model):
            raise Stopped from None

    def _end(self, state: State, text: str, attempts: Sequence[Attempt], model: str = "") -> bool:
        return self._store.finish(self.answer, state, text, model, told(attempts))

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        # What has ended before stays as it is.
        self._leave("stopped" if kind is None else "broken")


class Stopping:
    """A plugin that asks no further model for an answer that was stopped."""

    def orfallback_admit(self, call: Call) -> None:
        """Ask nobody for it.

        :raises Stopped: if it was.
        """
        turn = Turn.of(call)
        if turn is not None and turn.stopped:
            raise Stopped


def _state_of(answer: Completion | Stream) -> State:
    return "degraded" if answer.degraded else "complete"
