"""Which of the remaining targets to ask next; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orfallback._types import Call, Target


class Select(Protocol):
    """Chooses the next target; any function of this shape will do."""

    def __call__(self, call: Call, targets: Sequence[Target], /) -> Target | None:
        """Return one of the targets.

        :param call: the call so far.
        :param targets: those that are left, one at least, in the chain's order.
        """


def in_order(call: Call, targets: Sequence[Target], /) -> Target:
    """Take the first: the order in which the models were listed.

    :param call: the call so far.
    :param targets: those that are left.
    """
    return targets[0]
