"""Which of the remaining targets to ask next; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orfallback._types import Call, Target


class Select(Protocol):
    """Chooses the next target; any function of this shape will do."""

    def __call__(self, call: Call, targets: Sequence[Target], /) -> Target | None:
        """Return one of ``targets``; anything else ends the call with a ValueError.

        :param call: the call, with what was tried so far.
        :param targets: those that may be asked now, at least one, in the chain's order.
        """


def in_order(call: Call, targets: Sequence[Target], /) -> Target:
    """Take the first: the order in which the models were listed.

    :param call: the call.
    :param targets: those that may be asked now.
    :returns: the first of them.
    """
    return targets[0]
