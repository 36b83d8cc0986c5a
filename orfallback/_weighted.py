"""Which target to ask next, at random; apart from the others, for few chains want it."""

from __future__ import annotations

import math
import random as _random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from orfallback._select import Select
from orfallback._types import Call, Target


def weighted(weights: Mapping[str, float], *, random: Callable[[], float] | None = None) -> Select:
    """Choose at random, each target as often as its weight says: ``Chain(select=weighted({"a/a": 3, "b/b": 1}))``.

    A target without a weight, or with 0, is asked when none with one is left; those in the chain's order.

    :param weights: by the target's name, or its model.
    :param random: gives numbers from 0 up to 1; None is Python's own.
    :returns: what ``Chain(select=...)`` takes; it pickles unless ``random`` does not.
    :raises TypeError: for a weight that is no number.
    :raises ValueError: for a weight that is negative or not finite, and if all are 0.
    """
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise TypeError(f"the weight of {name} is a number, not {type(weight).__name__}")
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"the weight of {name} is finite and not negative, not {weight!r}")
    if not any(weights.values()):
        raise ValueError("a weight is greater than 0")
    return _Weighted(dict(weights), random)


@dataclass(frozen=True)
class _Weighted:
    weights: Mapping[str, float] = field(hash=False)
    # Not random.random itself: pickled, it would bring every process the same numbers.
    random: Callable[[], float] | None = None

    def __call__(self, call: Call, targets: Sequence[Target], /) -> Target:
        weights = [self.weights.get(target.name, self.weights.get(target.model, 0)) for target in targets]
        sums = list(accumulate(weights))
        if sums[-1] == 0:
            return targets[0]
        drawn = sums[-1] * (_random.random() if self.random is None else self.random())  # noqa: S311 - no secret
        # Rounding may bring what is drawn up to the last sum.
        return next(
            (target for target, sum_ in zip(targets, sums, strict=True) if drawn < sum_),
            targets[max(place for place, weight in enumerate(weights) if weight)],
        )
