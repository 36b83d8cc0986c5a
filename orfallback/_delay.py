"""How long to wait before the next attempt, after a transient failure; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from orfallback._types import Attempt, Call

#: The wait before the next model after a transient failure, in seconds.
DEFAULT_DELAY = 2.0
#: No single wait inside a call is longer, in seconds; a target that asks for more is passed over.
LONGEST_WAIT = 60.0
#: How long a target that gave no hint is taken to be busy, in seconds.
REST = 30.0


class Delay(Protocol):
    """Chooses the wait before the next attempt; any function of this shape will do."""

    def __call__(self, call: Call, attempt: Attempt, /) -> float:
        """Return seconds to wait.

        :param call: the call, with ``attempt`` as the last of its attempts.
        :param attempt: the attempt that failed for a transient reason.
        """


@dataclass(frozen=True)
class FixedDelay:
    """The same wait each time.

    :param seconds: 0 to 60.
    :raises ValueError: for anything else.
    """

    seconds: float = DEFAULT_DELAY

    def __post_init__(self) -> None:
        check_seconds("seconds", self.seconds)

    def __call__(self, call: Call, attempt: Attempt, /) -> float:
        """Return ``seconds``."""
        return self.seconds


def check_seconds(name: str, seconds: float) -> None:
    """Refuse what is no wait.

    :raises TypeError: for what is no number.
    :raises ValueError: for a number that is not 0 to 60.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} is a number of seconds, not {type(seconds).__name__}")
    if not 0 <= seconds <= LONGEST_WAIT:
        raise ValueError(f"{name} is 0 to {LONGEST_WAIT:g} seconds, not {seconds!r}")
