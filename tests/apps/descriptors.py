"""Makes calls while hardly a file descriptor is left, and one when there are some again; says what came of each.

Run as ``descriptors.py BASE_URL LEFT MODE``: LEFT descriptors are free, and MODE is ``complete`` or ``stream``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

from orfallback import Chain, FallbackError
from orfallback.testing import FakeClock

MOST = 64


def ask(chain: Chain, mode: str) -> dict[str, Any]:
    """Make one call."""
    try:
        completion = chain.complete("hi") if mode == "complete" else chain.stream("hi").read()
    except FallbackError as error:
        told = [[attempt.reason, attempt.message] for attempt in error.attempts]
        return {"error": type(error).__name__, "attempts": told}
    return {"text": completion.text}


def main(base_url: str, left: str, mode: str) -> None:
    """Use up the descriptors, make a call, give them back, and make another."""
    clock = FakeClock()
    # What is loaded with the first call needs files, too.
    with Chain("a/good", api_key="sk-test-0000000000000000", base_url=base_url, clock=clock) as chain:
        ask(chain, mode)
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    hogs: list[int] = []
    try:
        while True:
            hogs.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    with Chain(["a/good", "b/good"], api_key="sk-test-0000000000000000", base_url=base_url, clock=clock) as chain:
        for _ in range(int(left)):
            os.close(hogs.pop())
        short = ask(chain, mode)
        waits = list(clock.sleeps)
        for hog in hogs:
            os.close(hog)
        print(json.dumps({"short": short, "waits": waits, "then": ask(chain, mode)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
