"""How a call ended, in one word: what every observer wants to know of it."""

from __future__ import annotations

from orfallback._errors import FallbackError, StreamInterrupted
from orfallback._types import Call
from orfallback._verdict import Label, Reason, Scope


class Ending(Label):
    """How a call ended; what ``orfallback_call_finished`` is told, in one word."""

    #: A model answered, and the answer is whole.
    ANSWERED = "answered"
    #: A plugin gave its last resort.
    DEGRADED = "degraded"
    #: The application left a stream before its end.
    LEFT = "left"
    #: A stream broke after its first content: ``StreamInterrupted``.
    BROKEN = "broken"
    #: No model answered: any other ``FallbackError``.
    FAILED = "failed"
    #: Something else ended it: Ctrl-C, a host's time limit, a plugin's own exception.
    ABORTED = "aborted"

    @classmethod
    def of(cls, call: Call, error: BaseException | None) -> Ending:
        """Tell how a call ended.

        :param call: the call, with all its attempts.
        :param error: what ``orfallback_call_finished`` is told.
        """
        if error is not None:
            if isinstance(error, StreamInterrupted):
                return cls.BROKEN
            return cls.FAILED if isinstance(error, FallbackError) else cls.ABORTED
        # What answers, or is left, is the last that is asked.
        if not call.attempts:
            return cls.DEGRADED
        verdict = call.attempts[-1].verdict
        if verdict is None:
            return cls.ANSWERED
        # One that came too late to be asked is cancelled, too, but does not end the call.
        left = verdict.reason is Reason.CANCELLED and verdict.scope is Scope.CALL
        return cls.LEFT if left else cls.DEGRADED
