"""What went wrong, as OpenAI's clients understand it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from http import HTTPStatus

from orfallback._errors import CallRejected, DeadlineExceeded, FallbackError
from orfallback._text import clean
from orfallback._types import Json
from orfallback._verdict import Reason
from orfallback.wsgi._answers import Answer, Headers, facts

# Many attempts are listed in one message (characters).
_MESSAGE_LIMIT = 2_000
# The chain has asked everybody already: a client that asks again by itself multiplies that.
_DO_NOT_RETRY = ("x-should-retry", "false")
_LABELS = {401: "authentication_error", 403: "permission_error"}
# What is the request's fault, and the status where the upstream gave none that says so.
_CALLERS = {
    Reason.INVALID_REQUEST: 400,
    Reason.CONTEXT_LENGTH: 400,
    Reason.UNSUPPORTED: 400,
    Reason.MODERATED: 403,
    Reason.NOT_FOUND: 404,
}
# Of the upstream's statuses these are handed on. Those about the gateway's own key, credit, connection and rate are
# not: a client would take them for its own.
_TOLD = {status.value for status in HTTPStatus if 400 <= status < 500} - {401, 402, 407, 408, 429}
# The one that clients know by another name.
_CODES = {Reason.CONTEXT_LENGTH: "context_length_exceeded"}


class Problem(Exception):
    """A request that gets no answer.

    :param status: the HTTP status.
    :param message: what is wrong, in a sentence; what came from outside is cleaned here.
    :param code: a label for programs.
    :param param: the field of the body that is at fault.
    :param headers: further headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(status)
        self.status = status
        self._message = clean(message, _MESSAGE_LIMIT)
        self._code = code
        self._param = param
        self._headers = [*headers]

    @classmethod
    def internal(cls) -> Problem:
        """Return what is told of a fault that is nobody's business."""
        return cls(500, "the gateway failed; its log says why", code="internal_error")

    def body(self) -> Json:
        """Return what is told in OpenAI's form."""
        kind = _LABELS.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        error = {"message": self._message, "type": kind, "param": self._param, "code": self._code}
        return {"error": error}

    def answer(self) -> Answer:
        """Return the reply."""
        return Answer.json(self.status, self.body(), [_DO_NOT_RETRY, *self._headers])


def of_failure(error: FallbackError) -> Problem:
    """Return what a client is told of a call that got no answer, or half of one."""
    headers: Headers = facts(error.attempts[-1].model if error.attempts else "", error.attempts)
    if error.retry_after is not None:
        headers.append(("Retry-After", str(max(1, math.ceil(error.retry_after)))))
    reason = error.reason
    code = None if reason is None else _CODES.get(reason, str(reason))
    return Problem(_status(error), str(error), code=code, headers=headers)


def _status(error: FallbackError) -> int:
    if isinstance(error, DeadlineExceeded):
        return 504
    reasons = {attempt.reason for attempt in error.attempts}
    last = error.attempts[-1] if error.attempts else None
    at_fault = _CALLERS.get(error.reason) if error.reason is not None else None
    # All of them said the same of the request, or the last one said it for all.
    if last is not None and at_fault is not None and (isinstance(error, CallRejected) or len(reasons) == 1):
        return last.status if last.status in _TOLD else at_fault
    return 502 if error.retry_after is None else 503
