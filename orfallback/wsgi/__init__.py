"""The gateway: a chain as a WSGI application, for any client that speaks OpenAI's API."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from orfallback._chain import Chain
from orfallback._errors import FallbackError
from orfallback._secret import Secret
from orfallback.wsgi import _guard, _routes
from orfallback.wsgi._answers import Answer, of_completion
from orfallback.wsgi._body import LIMIT, Asked, parse, read
from orfallback.wsgi._departures import ClientLeft, Departures, left_of
from orfallback.wsgi._errors import Problem, of_failure
from orfallback.wsgi._events import of_stream
from orfallback.wsgi._models import Models

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["Gateway"]

logger = logging.getLogger("orfallback.gateway")


class Gateway:
    """A WSGI application that answers OpenAI's chat completions by asking a chain.

    ``POST /v1/chat/completions``, ``GET /v1/models``, ``GET /health`` and, if it was handed in, ``/metrics``; the first
    two without ``/v1`` as well, for hosts that mount it under a prefix. Any WSGI server with threads serves it; so does
    ``orfallback serve``.

    The ``model`` of a request is asked first and the chain's others follow; ``orfallback``, ``auto`` or none at all
    means the chain's own order. ``models``, OpenRouter's list, is the chain of that one call. All other fields are sent
    on as they are; the client's ``Authorization`` never is.

    :param chain: what answers; it is not closed with the gateway.
    :param token: what clients show as ``Authorization: Bearer ...``; None lets everybody in who gets here.
    :param metrics: a WSGI application for ``/metrics``.
    :param limit: the largest body of a request, in bytes.
    :raises TypeError: for an option of the wrong type.
    :raises ValueError: for a token that no header can carry, and for a limit that is none.
    """

    def __init__(
        self,
        chain: Chain,
        token: str | None = None,
        metrics: WSGIApplication | None = None,
        *,
        limit: int = LIMIT,
    ) -> None:
        if not isinstance(chain, Chain):
            raise TypeError(f"chain is a Chain, not {type(chain).__name__}")
        if isinstance(limit, bool) or not isinstance(limit, int):
            raise TypeError(f"limit is a number of bytes, not {type(limit).__name__}")
        if limit <= 0:
            raise ValueError(f"limit is greater than 0 bytes, not {limit}")
        if metrics is not None and not callable(metrics):
            raise TypeError(f"metrics is a WSGI application, not {type(metrics).__name__}")
        self._token = None if token is None else Secret(token)
        del token
        self._metrics = metrics
        self._limit = limit
        self._since = int(time.time())
        self._departures = Departures()
        self._models = Models(chain, self._departures)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        try:
            route = _routes.find(environ, metrics=self._metrics is not None)
            if route is not _routes.HEALTH:
                _guard.admit(environ, self._token)
            _routes.check_method(route, environ)
            if route is _routes.METRICS and self._metrics is not None:
                return self._metrics(_routes.below(environ, route), start_response)
            answer = self._answer(route, environ)
        except Problem as problem:
            answer = problem.answer()
        except Exception:
            # A plugin's own code ran, or the metrics': whatever it raised is the log's business, and not the client's.
            logger.exception("A request failed in the gateway, or in a plugin")
            answer = Problem.internal().answer()
        return answer.begin(environ, start_response)

    def _answer(self, route: _routes.Route, environ: WSGIEnvironment) -> Answer:
        if route is _routes.HEALTH:
            return Answer.json(200, {"status": "ok"})
        if route is _routes.MODELS:
            return Answer.json(200, self._models.listed(self._since))
        return self._chat(environ)

    def _chat(self, environ: WSGIEnvironment) -> Answer:
        asked = parse(read(environ, self._limit))
        chain = self._models.chain_for(asked.first, asked.only)
        try:
            return self._ask(chain, asked, environ)
        except FallbackError as error:
            raise of_failure(error) from None
        except ClientLeft:
            # Nobody reads it.
            raise Problem(499, "the client left") from None

    def _ask(self, chain: Chain, asked: Asked, environ: WSGIEnvironment) -> Answer:
        left = left_of(environ)
        context = self._departures.context(left)
        if not asked.stream:
            return of_completion(chain.complete(asked.messages, context=context, **asked.params))
        stream = chain.stream(asked.messages, context=context, **asked.params)
        self._departures.watch(stream, left)
        return of_stream(stream, self._departures.forget)

    def close(self) -> None:
        """End every stream that is running; what is asked later is answered all the same."""
        self._departures.close()

    def __repr__(self) -> str:
        return f"<Gateway of {self._models.own!r}>"
