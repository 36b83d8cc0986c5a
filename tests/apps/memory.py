"""Asks models that send far too much, and says what came of it, what it took and how long, one line of JSON each.

Run as ``memory.py BASE_URL DEADLINE MODE MODEL...``; MODE is ``complete`` or ``stream``.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from orfallback import Chain, FallbackError, Timeouts


def kilobytes(name: str) -> int:
    """What the kernel says of this process's memory; ``VmHWM`` is the most that it ever had."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def settle() -> None:
    """Give back what was freed, and forget the most that there was; where that cannot be, it stays the most of all."""
    getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def ask(chain: Chain, mode: str) -> dict[str, Any]:
    """Make one call."""
    try:
        completion = chain.complete("hi") if mode == "complete" else chain.stream("hi").read()
    except FallbackError as error:
        attempt = error.attempts[0]
        return {"reason": attempt.reason, "said": attempt.message, "bytes": attempt.bytes, "status": attempt.status}
    return {"reason": None, "said": completion.text[:100], "status": 200}


def main(base_url: str, deadline: str, mode: str, *models: str) -> None:
    """Warm up, and ask each model."""
    timeouts = Timeouts(deadline=float(deadline))
    with Chain("a/good", api_key="sk-test-0000000000000000", base_url=base_url, timeouts=timeouts, delay=0) as first:
        ask(first, mode)
        for model in models:
            settle()
            before = kilobytes("VmRSS")
            started = time.monotonic()
            came = ask(first.replace(models=model), mode)
            elapsed = time.monotonic() - started
            came |= {"model": model, "seconds": elapsed, "megabytes": (kilobytes("VmHWM") - before) / 1024}
            print(json.dumps(came))


if __name__ == "__main__":
    main(*sys.argv[1:])
