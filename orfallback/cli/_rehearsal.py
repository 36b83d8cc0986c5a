"""A call that is rehearsed: nothing is sent, and nobody waits."""

from __future__ import annotations

import math
import time

from orfallback import Call
from orfallback.testing import FakeClock


def rehearsal(*, stream: bool = False, deadline: float = math.inf) -> tuple[Call, FakeClock]:
    """Return a call that begins now, on a clock of its own.

    :param stream: whether it asks for a stream.
    :param deadline: seconds for all of it.
    """
    clock = FakeClock(time.time())
    payload = {"messages": [{"role": "user", "content": "?"}]}
    return Call("0" * 16, payload, stream, started=clock.now, deadline=clock.now + deadline), clock
