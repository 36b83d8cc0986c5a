"""What an endpoint tells of itself: its models, and the key."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from orfallback import Outcome
from orfallback._service import data_of, entries_of
from orfallback._service import find as found_in
from orfallback.cli._shown import shown

# No endpoint has more models; comparing names takes its time.
_COMPARED = 5_000


class Model(NamedTuple):
    """A model that an endpoint lists.

    :ivar id: its id.
    :ivar expires: when it is to be retired, or None.
    """

    id: str
    expires: datetime | None


def listed(outcome: Outcome) -> tuple[Model, ...] | None:
    """Return the models that ``GET /models`` brought; None if it brought none."""
    entries = entries_of(outcome)
    if entries is None:
        return None
    return tuple(Model(shown(entry["id"], 256), date_of(entry.get("expiration_date"))) for entry in entries)


def find(model: str, models: Iterable[Model]) -> Model | None:
    """Return a model among those listed, whichever way it is asked; None if it is not there."""
    return found_in(model, {each.id: each for each in models})


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
    data = data_of(outcome)
    return data if isinstance(data, dict) else None


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
