"""What a chain remembers of its targets, in words."""

from __future__ import annotations

import time

from orfallback import TargetHealth
from orfallback.cli._console import span
from orfallback.cli._shown import shown

_KINDS = {
    "free": "as all free models of its endpoint do",
    "endpoint": "as all models of its endpoint do",
    "parked": "since somebody parked it",
}


def told(health: TargetHealth) -> str:
    """Return how long a target rests, until when, and why.

    :param health: of a target that does.
    """
    why = [each for each in (None if health.reason is None else str(health.reason), _KINDS.get(health.what)) if each]
    until = time.strftime("%H:%M:%S", time.localtime(time.time() + health.resting))
    told = f"{shown(health.name)} rests for {span(health.resting)}, until {until}"
    return f"{told} ({', '.join(why)})" if why else told
