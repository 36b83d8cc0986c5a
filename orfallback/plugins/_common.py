"""What plugins that remember targets have in common."""

from __future__ import annotations

from typing import TypeVar

from orfallback._types import Attempt
from orfallback._verdict import Reason

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

# Failures that say nothing of the model: another request would have been answered, or nobody waited for this one.
_OF_THE_CALL = frozenset(
    {Reason.CONTEXT_LENGTH, Reason.UNSUPPORTED, Reason.MODERATED, Reason.INVALID_REQUEST, Reason.CANCELLED}
)


def blamed(attempt: Attempt) -> bool:
    """Tell whether an attempt failed for a reason that may be the next call's, too."""
    return attempt.reason is not None and attempt.reason not in _OF_THE_CALL


def keep(kept: dict[_Key, _Value], key: _Key, value: _Value, most: int = 1_000) -> None:
    """Put something into a dict that threads share without a lock, which a fork could leave held.

    :param most: beyond so many the older half is forgotten.
    """
    kept[key] = value
    if len(kept) > most:
        # A copy is made in one go; other threads may change the dict while it is gone through.
        for old in list(kept.copy())[: most // 2]:
            kept.pop(old, None)
