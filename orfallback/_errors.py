"""What a call can end in when it does not end in an answer.

::

    requests.RequestException
    └── FallbackError            attempts, reason, retry_after, response
        ├── CallRejected         asking again would not help: a fault of the key, the account or the request
        ├── ChainExhausted       every target was tried
        ├── DeadlineExceeded     also requests.Timeout: the call's time was up before a stream was committed
        └── StreamInterrupted    also requests.ConnectionError: a stream broke after its first content; text so far

All of them pickle, with their attempts and without any key: they hold plain data and a rebuilt response.
"""

from __future__ import annotations

import requests

from orfallback._types import Attempt
from orfallback._verdict import Reason


class FallbackError(requests.RequestException):
    """The call gave no answer; ``attempts`` lists what was tried.

    :param message: what happened, in words; the rest becomes the attributes of the same names.
    :ivar attempts: every attempt, in order.
    :ivar reason: why the last attempt failed; None if none was made.
    :ivar retry_after: seconds until the soonest useful retry; None if asking again would not help.
    :ivar response: of the last attempt that had one: status, headers, URL and at most 64 kB of body, no request.
    """

    def __init__(
        self,
        message: str = "",
        *,
        attempts: tuple[Attempt, ...] = (),
        reason: Reason | None = None,
        retry_after: float | None = None,
        response: requests.Response | None = None,
    ) -> None:
        super().__init__(message, response=response)
        self.attempts = attempts
        self.reason = reason
        self.retry_after = retry_after


class CallRejected(FallbackError):
    """Asking again would not help: the key, the account or the request itself is at fault."""


class ChainExhausted(FallbackError):
    """Every target was tried, and none answered."""


class DeadlineExceeded(FallbackError, requests.Timeout):
    """The call's deadline came before an answer did; trying again is safe, and may be billed again."""


class StreamInterrupted(FallbackError, requests.ConnectionError):
    """A stream broke after its first content. Nothing was joined on from another model.

    :param message: what happened, in words; the rest becomes the attributes of the same names.
    :ivar text: the text received before the break.
    """

    def __init__(
        self,
        message: str = "",
        *,
        text: str = "",
        attempts: tuple[Attempt, ...] = (),
        reason: Reason | None = None,
        retry_after: float | None = None,
        response: requests.Response | None = None,
    ) -> None:
        super().__init__(message, attempts=attempts, reason=reason, retry_after=retry_after, response=response)
        self.text = text
