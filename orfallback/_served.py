"""Who served a response, and what was tried, told on the response."""

from __future__ import annotations

import requests

from orfallback._errors import FallbackError
from orfallback._stream import Stream
from orfallback._text import clean
from orfallback._types import Attempt, Call

# What one header may hold of everything that was tried (characters).
_LONGEST_HEADER = 1000


class Served:
    """Who served a response, and what was tried.

    :param requested_model: the model that was asked; "" for a plugin's last resort.
    :param of: what knows the attempts: the call, the stream that goes on with it, or the error.
    :param error: why no model answered.
    :ivar requested_model: the model that was asked.
    :ivar degraded: whether a plugin gave it as a last resort, and no model answered.
    :ivar error: why no model answered, where the response is that of the first one; else None.
    """

    def __init__(
        self, requested_model: str, of: Call | Stream | FallbackError, error: FallbackError | None = None
    ) -> None:
        self.requested_model = requested_model
        self.degraded = not requested_model and error is None
        self.error = error
        self._of = of

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Everything that was tried, the answer last."""
        return self._of.attempts

    def __repr__(self) -> str:
        by = self.requested_model or ("a last resort" if self.degraded else "nobody")
        return f"<Served by {by}: {len(self.attempts)} attempts>"


def telling(response: requests.Response, served: Served) -> requests.Response:
    """Return a response that tells who served it."""
    response.orfallback = served  # type: ignore[attr-defined]  # that is what it is for
    attempts = served.attempts
    told = {
        "X-Orfallback-Model": served.requested_model,
        "X-Orfallback-Attempts": str(len(attempts)),
        "X-Orfallback-Tried": "; ".join(f"{attempt.model} {attempt.reason or 'ok'}" for attempt in attempts),
        "X-Orfallback-Degraded": "1" if served.degraded else "",
    }
    for name, value in told.items():
        if value:
            response.headers[name] = clean(value, _LONGEST_HEADER).encode("ascii", "replace").decode()
        else:
            # A server's own, maybe another one of these: it is not about this call.
            response.headers.pop(name, None)
    return response
