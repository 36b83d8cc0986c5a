"""What a chain knows of its targets, to be seen and steered by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from orfallback._cooldown import MOST, Cooldown, Resting
from orfallback._text import in_seconds
from orfallback._types import Target
from orfallback._verdict import Reason


class TargetHealth(NamedTuple):
    """What is known of one target.

    :ivar name: what logs call it.
    :ivar model: its model.
    :ivar base_url: its endpoint.
    :ivar resting: how long it rests, in seconds; 0 if it does not.
    :ivar what: what rests: ``model``, ``free`` (all free models of the endpoint), ``endpoint`` or ``parked``; "" if
        nothing does.
    :ivar reason: why; None if it does not rest, was parked, or another process found out.
    """

    name: str
    model: str
    base_url: str
    resting: float = 0.0
    what: str = ""
    reason: Reason | None = None


class Health:
    """What a chain's cooldown knows of the chain's targets.

    :param cooldown: None if the chain has none.
    :param targets: resolved, in order.
    """

    def __init__(self, cooldown: Cooldown | None, targets: Sequence[Target]) -> None:
        self._cooldown = cooldown
        self._targets = tuple(targets)

    def snapshot(self) -> tuple[TargetHealth, ...]:
        """Return what is known of each target, in the chain's order."""
        return tuple(self._of(target) for target in self._targets)

    def park(self, model: str, seconds: float = math.inf) -> None:
        """Let a target rest, whatever it answers meanwhile; as a last resort it is asked all the same.

        :param model: the target's name or model; all with that model are meant.
        :param seconds: how long; a day at most.
        :raises LookupError: if the chain has no such target.
        :raises RuntimeError: if the chain has no cooldown.
        :raises ValueError: unless the time is positive.
        """
        if not seconds > 0:
            raise ValueError(f"a target is parked for more than 0 seconds, not {seconds!r}")
        cooldown = self._memory()
        for target in self._named(model):
            cooldown.park(target, min(seconds, MOST))

    def release(self, model: str) -> None:
        """Forget all that lets a target rest, so that the next call asks it.

        If its whole endpoint rests, or the free tier, that is forgotten for all.

        :param model: the target's name or model.
        :raises LookupError: if the chain has no such target.
        :raises RuntimeError: if the chain has no cooldown.
        """
        cooldown = self._memory()
        for target in self._named(model):
            cooldown.release(target)

    def _memory(self) -> Cooldown:
        if self._cooldown is None:
            raise RuntimeError("this chain has no cooldown, so none of its targets ever rests")
        return self._cooldown

    def _named(self, model: str) -> list[Target]:
        found = [target for target in self._targets if model in (target.name, target.model)]
        if not found:
            raise LookupError(f"no target is called {model!r}; there are: {', '.join(t.name for t in self._targets)}")
        return found

    def _of(self, target: Target) -> TargetHealth:
        resting = [] if self._cooldown is None else [*self._cooldown.resting(target)]
        longest = max(resting, default=Resting(0.0, "", None), key=lambda each: each.seconds)
        return TargetHealth(target.name, target.model, target.base_url, *longest)

    def __repr__(self) -> str:
        resting = [f"{each.name} for {in_seconds(each.resting)}" for each in self.snapshot() if each.resting]
        return f"<Health: {', '.join(resting) or 'nobody'} rests>"
