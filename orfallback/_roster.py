"""Which targets may still be asked in this call; pure bookkeeping."""

from __future__ import annotations

import math
from collections.abc import Sequence

from orfallback._delay import LONGEST_WAIT
from orfallback._types import Target
from orfallback._verdict import Scope, Verdict

# An instant plus a minute, less the instant, is not always a minute (s).
_ROUNDING = 1e-6
# Those that rest for the same cause are asked one after the other how long they do (s).
_AS_GOOD_AS_EQUAL = 0.1


class Roster:
    """The targets of one call: those left to ask, those that rest, those that may come back.

    In this order: targets not asked yet; those that were passed over, as a last resort; those whose verdict said
    ``again``, once each; and as long as there are rounds left, those whose last verdict was transient.
    A target is asked at most ``rounds + 1`` times, so a call ends for any sequence of faults.

    :param targets: all, in order.
    :param rounds: how often the list is gone through.
    """

    def __init__(self, targets: Sequence[Target], rounds: int) -> None:
        self._order = {target: place for place, target in enumerate(targets)}
        self._ready = list(targets)
        self._resting: dict[Target, float] = {}
        self._again: dict[Target, float] = {}
        self._returned: set[Target] = set()
        self._transient: dict[Target, float] = {}
        self._rounds_left = rounds - 1
        self._not_before = -math.inf
        #: Whether the deadline alone keeps a target from being asked again.
        self.cut_short = False

    @property
    def ready(self) -> tuple[Target, ...]:
        """Those to select from, in the chain's order."""
        return tuple(self._ready)

    @property
    def resting(self) -> tuple[Target, ...]:
        """Those that were passed over, the shortest rest first; as good as equal ones in the chain's order."""
        soonest = sorted(self._resting, key=self._resting.__getitem__)
        ranks: dict[Target, int] = {}
        rank, first = 0, -math.inf
        for target in soonest:
            if self._resting[target] - first > _AS_GOOD_AS_EQUAL:
                rank, first = rank + 1, self._resting[target]
            ranks[target] = rank
        return tuple(sorted(soonest, key=lambda target: (ranks[target], self._order[target])))

    @property
    def not_before(self) -> float:
        """The instant before which none of those that came back is to be asked."""
        return self._not_before

    def pass_over(self, target: Target, seconds: float) -> None:
        """Put off a target that is not worth asking now."""
        self._ready.remove(target)
        self._resting[target] = seconds

    def strike(self, target: Target) -> None:
        """Take a target off: it will not be asked any more."""
        if target in self._ready:
            self._ready.remove(target)
        self._resting.pop(target, None)

    def rule_out(self, target: Target, verdict: Verdict, now: float) -> None:
        """Take off a target that was asked, and every other one that the verdict on it reaches.

        :param target: the one that was asked.
        :param verdict: what came of it.
        :param now: the instant of the verdict.
        """
        reached = [other for other in (*self._ready, *self._resting) if _reaches(verdict.scope, target, other)]
        for other in reached:
            self.strike(other)
        if verdict.scope is Scope.CALL:
            self._again.clear()
            self._rounds_left = 0
        due = now + (verdict.retry_after or 0.0)
        if verdict.transient:
            self._transient[target] = due
        else:
            for other in [other for other in self._transient if _reaches(verdict.scope, target, other)]:
                del self._transient[other]
        if verdict.again:
            for other in reached:
                if other not in self._returned:
                    self._again[other] = max(due, self._again.get(other, due))
        else:
            for other in [other for other in self._again if _reaches(verdict.scope, target, other)]:
                del self._again[other]

    def refill(self, now: float, deadline: float = math.inf) -> bool:
        """Bring back what may be asked again, when nothing else is left.

        :param now: the instant.
        :param deadline: the instant by which the call ends; what is due later is not waited for.
        :returns: whether there is anything to ask.
        """
        if self._ready or self._resting:
            return True
        soon = self._due(self._again, now, deadline)
        if soon:
            self._not_before = min(soon.values())
            self._bring_back([target for target, due in soon.items() if due == self._not_before])
            self._returned.update(self._ready)
            for target in self._ready:
                del self._again[target]
            return True
        if self._rounds_left > 0:
            self._rounds_left -= 1
            soon = self._due(self._transient, now, deadline)
            self._transient.clear()
            if soon:
                self._not_before = min(soon.values())
                self._bring_back(list(soon))
                return True
        return False

    def _due(self, instants: dict[Target, float], now: float, deadline: float) -> dict[Target, float]:
        """Return those of some targets that may be waited for."""
        soon = {target: due for target, due in instants.items() if due <= now + LONGEST_WAIT + _ROUNDING}
        in_time = {target: due for target, due in soon.items() if due < deadline}
        self.cut_short = bool(soon) and not in_time
        return in_time

    def _bring_back(self, targets: list[Target]) -> None:
        self._ready = sorted(targets, key=self._order.__getitem__)


def _reaches(scope: Scope, target: Target, other: Target) -> bool:
    if scope is Scope.CALL or other == target:
        return True
    if scope is Scope.ENDPOINT:
        return other.endpoint == target.endpoint
    return scope is Scope.FREE_TIER and other.free and other.endpoint == target.endpoint
