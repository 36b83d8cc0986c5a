"""What an endpoint tells of itself: its models, and the key."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from orfallback import Outcome, Timeouts
from orfallback._clock import SystemClock
from orfallback._request import Request
from orfallback._secret import Secret
from orfallback._transport import Transport
from orfallback._wire import Wire
from orfallback.cli._shown import shown

# Longest wait for one of its lists (s).
_PATIENCE = 15.0
# What OpenRouter takes behind a model's id without listing it: how to choose among the hosts of the model.
_SHORTCUTS = ("nitro", "floor", "exacto", "online", "extended", "thinking")
# No endpoint has more models; comparing names takes its time.
_COMPARED = 5_000


class Model(NamedTuple):
    """A model that an endpoint lists.

    :ivar id: its id.
    :ivar expires: when it is to be retired, or None.
    """

    id: str
    expires: datetime | None


class Service:
    """Looks things up at an endpoint; every wait is bounded.

    :param base_url: the endpoint.
    :param secret: its key, or None.
    :param patience: longest wait for one answer, in seconds.
    """

    def __init__(self, base_url: str, secret: Secret | None, patience: float = _PATIENCE) -> None:
        clock = SystemClock()
        self._base_url = base_url
        self._secret = secret
        self._clock = clock
        self._patience = patience
        self._transport = Transport()
        self._wire = Wire(self._transport, Timeouts(connect=min(5.0, patience), answer=patience), clock)

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


def listed(outcome: Outcome) -> tuple[Model, ...] | None:
    """Return the models that ``GET /models`` brought; None if it brought none."""
    data = _data(outcome)
    if not isinstance(data, list):
        return None
    entries = [entry for entry in data if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    return tuple(Model(shown(entry["id"], 256), date_of(entry.get("expiration_date"))) for entry in entries)


def find(model: str, models: Iterable[Model]) -> Model | None:
    """Return a model among those listed, also under a shortcut such as ``:nitro``; None if it is not there.

    Ollama lists as ``name:latest`` what is asked as ``name``.
    """
    by_id = {each.id: each for each in models}
    base, _, shortcut = model.rpartition(":")
    return by_id.get(model) or by_id.get(f"{model}:latest") or (by_id.get(base) if shortcut in _SHORTCUTS else None)


def closest(model: str, models: Iterable[Model]) -> list[str]:
    """Return the ids that are most like a model's, the closest first, at most three."""
    ids = [each.id for each in itertools.islice(models, _COMPARED)]
    near = difflib.get_close_matches(model.lower(), ids, n=3, cutoff=0.6)
    # A vendor left out, or another one's: what the model itself is called counts.
    own = {each.rpartition("/")[2]: each for each in reversed(ids)}
    more = difflib.get_close_matches(model.lower().rpartition("/")[2], list(own), n=3, cutoff=0.7)
    return list(dict.fromkeys([*near, *(own[name] for name in more)]))[:3]


def key_of(outcome: Outcome) -> Mapping[str, Any] | None:
    """Return what ``GET /key`` told of the key; None if it told nothing."""
    data = _data(outcome)
    return data if isinstance(data, dict) else None


def _data(outcome: Outcome) -> Any:
    good = isinstance(outcome.value, dict) and outcome.error is None and (outcome.status or 0) // 100 == 2
    return outcome.value.get("data") if good else None


def date_of(value: Any) -> datetime | None:
    """Return the instant that "2026-12-01" or "2026-12-01T08:00:00Z" names, UTC where it names no zone; else None."""
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d(T|$)", value):
        return None
    try:
        # Python 3.10 reads neither a Z nor every fraction of a second.
        date = datetime.fromisoformat(re.sub(r"\.\d+", "", value).replace("Z", "+00:00"))
    except ValueError:
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)
