"""Makes thousands of calls that fail in every way, and says what they left behind, as JSON.

Run as ``soak.py BASE_URL MODELS COUNT COLLECTOR``: each of the models ``row/0`` to ``row/MODELS-1`` fails in a way of
its own, and COLLECTOR is ``on`` or ``off``.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import os
import sys
import threading
from pathlib import Path

import requests

from orfallback import Chain
from orfallback.testing import FakeClock

WARM_UP = 1_000
_PAGE = os.sysconf("SC_PAGE_SIZE")


def held() -> dict[str, int]:
    """What this process holds now."""
    # Whether the C library gives back what was freed is chance, unless it is asked.
    getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - a Path for each would count, too
        "threads": threading.active_count(),
        "bytes": int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE,
        "blocks": sys.getallocatedblocks(),
    }


def call(chain: Chain, number: int) -> None:
    """Make one call: a whole answer, a stream that is read, or one that is dropped."""
    try:
        if number % 2:
            chain.complete("hi")
        elif number % 3:
            chain.stream("hi").read()
        else:
            chain.stream("hi")
    except requests.RequestException:
        pass


def main(base_url: str, models: int, count: int, collector: str) -> None:
    """Warm up, make the calls, and say what they left."""
    clock = FakeClock()
    with Chain("a/good", api_key="sk-test-0000000000000000", base_url=base_url, clock=clock, cooldown=None) as first:
        chains = itertools.cycle([first.replace(models=[f"row/{number}", "a/good"]) for number in range(models)])
        if collector == "off":
            gc.collect()
            gc.disable()

        def calls(numbers: range) -> dict[str, int]:
            # The number of models being even or odd, each has its turn in every mode.
            for number in numbers:
                call(next(chains), number + number // models)
                clock.sleeps.clear()
            first.close()
            return held()

        before = calls(range(WARM_UP))
        after = calls(range(WARM_UP, WARM_UP + count))
    print(json.dumps({name: after[name] - before[name] for name in before}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
