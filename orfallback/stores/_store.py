"""What a store is: where chains keep what they know of targets that rest."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Protocol


class StoreError(Exception):
    """A store cannot be reached, or does not answer in time: the memory is lost for a while, never a call."""


class Store(Protocol):
    """Keeps rests, by keys that a cooldown makes. Threads share it; it may be shared by processes and hosts.

    Durations, never instants, go in and come out, so that hosts whose clocks differ can share one. A rest that is over
    is remembered for 600 seconds more, unless it is cleared, so that the next caller knows that this target is to
    be probed, by one.

    Every method raises :class:`StoreError` where the store cannot do it, within a few milliseconds.
    """

    def resting(self, keys: Sequence[str]) -> Mapping[str, float]:
        """Return how long each of some keys rests.

        :param keys: a few of them.
        :returns: seconds; 0 or less for a rest that is over, and was not cleared; nothing of a key that is not known.
        """

    def rest(self, key: str, seconds: float) -> None:
        """Let a key rest, and end the claim on it. A rest that lasts longer already is not shortened.

        :param key: the key.
        :param seconds: 0 or more; 0 leaves a key to be probed by whoever claims it next.
        """

    def claim(self, key: str, lease: float) -> bool:
        """Let one caller, and no other, probe a key whose rest is over.

        :param key: the key.
        :param lease: seconds after which the claim ends by itself, whatever became of who made it.
        :returns: whether the caller is the one.
        """

    def clear(self, key: str) -> None:
        """Forget a key, and the claim on it.

        :param key: the key.
        """


#: How long a rest that is over is remembered, unless it is cleared (s).
PROBATION = 600.0

# Longer keys are not kept as they are: a model's name may come from a request, and be of any length.
_LONGEST = 200


def short(key: str) -> str:
    """Return a key as stores outside of this process keep it: of bounded length, and such that it can be encoded."""
    name = key.encode("utf-8", "backslashreplace").decode()
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST // 2]}#{hashlib.sha256(name.encode()).hexdigest()}"


def check_namespace(namespace: str) -> str:
    """Return a namespace.

    :raises ValueError: if it could be confused with a part of a key.
    """
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,100}", namespace):
        raise ValueError("namespace must be of 1 to 100 letters, digits and the signs ._:-")
    return namespace


#: How long a store may take for one step (s): no chat is to wait for what it could do without.
TIMEOUT = 0.005


def check_timeout(timeout: float) -> float:
    """Return a time limit.

    :raises ValueError: if it is none.
    """
    if not 0 < timeout < math.inf:
        raise ValueError(f"timeout must be more than 0 and finite, not {timeout!r}")
    return float(timeout)
