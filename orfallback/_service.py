"""What an endpoint tells of itself, and of its models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from orfallback._clock import SystemClock
from orfallback._exchange import BODY_LIMIT
from orfallback._request import Request
from orfallback._secret import Secret
from orfallback._transport import Transport
from orfallback._types import Json, Outcome, Timeouts
from orfallback._wire import Wire

# Longest wait for one of its lists (s).
_PATIENCE = 15.0
# What OpenRouter takes behind a model's id without listing it: how to choose among the hosts of the model.
_SHORTCUTS = ("nitro", "floor", "exacto", "online", "extended", "thinking")

_Known = TypeVar("_Known")


class Service:
    """Looks things up at an endpoint; every wait is bounded.

    :param base_url: the endpoint.
    :param secret: its key, or None.
    :param patience: longest wait for one answer, in seconds.
    :param limit: the most that one answer may be, in bytes.
    """

    def __init__(
        self, base_url: str, secret: Secret | None, patience: float = _PATIENCE, limit: int = BODY_LIMIT
    ) -> None:
        clock = SystemClock()
        self._base_url = base_url
        self._secret = secret
        self._clock = clock
        self._patience = patience
        self._transport = Transport()
        self._wire = Wire(self._transport, Timeouts(connect=min(5.0, patience), answer=patience), clock, limit)

    def get(self, path: str) -> Outcome:
        """GET a path below the base URL.

        :param path: with its slash, as in ``/models``.
        :returns: the outcome; its ``value`` is the JSON object that came, or None.
        """
        request = Request("", f"{self._base_url}{path}", b"", {}, self._secret, method="GET")
        return self._wire.ask(request, stream=False, deadline=self._clock.monotonic() + self._patience)

    def knows(self, path: str) -> bool:
        """Tell whether a path below the base URL takes requests: an empty one is refused, and costs nothing.

        :param path: with its slash.
        """
        request = Request("", f"{self._base_url}{path}", b"{}", {}, self._secret)
        outcome = self._wire.ask(request, stream=False, deadline=self._clock.monotonic() + self._patience)
        return outcome.status is not None and outcome.status not in (404, 405, 410)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def data_of(outcome: Outcome) -> Any:
    """Return the ``data`` of a good answer; None if there is none."""
    good = isinstance(outcome.value, dict) and outcome.error is None and (outcome.status or 0) // 100 == 2
    return outcome.value.get("data") if good else None


def entries_of(outcome: Outcome) -> list[Json] | None:
    """Return the models that ``GET /models`` brought, each with its ``id``; None if it brought no list."""
    data = data_of(outcome)
    if not isinstance(data, list):
        return None
    return [entry for entry in data if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def find(model: str, by_id: Mapping[str, _Known]) -> _Known | None:
    """Return what is known of a model, also under a shortcut such as ``:nitro``; None if it is not there.

    Ollama lists as ``name:latest`` what is asked as ``name``.
    """
    base, _, shortcut = model.rpartition(":")
    known = by_id.get(model) or by_id.get(f"{model}:latest")
    return known or (by_id.get(base) if shortcut in _SHORTCUTS else None)
