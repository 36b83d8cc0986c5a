"""Asks through a chain whose memory is shared, once for each line of stdin, and says who answered and how long it took.

Run as ``remembering.py BASE_URL STORE SECONDS``: a store's URL, and how long a target rests.
"""

from __future__ import annotations

import json
import sys
import time

from hosting import BUSY, GOOD

from orfallback import Chain, Cooldown
from orfallback.stores import store_from_url


def main(base_url: str, store: str, seconds: float) -> None:
    """Ask, and say."""
    cooldown = Cooldown(seconds, store=store_from_url(store))
    with Chain([BUSY, GOOD], api_key="sk-test-00000000", base_url=base_url, delay=0, cooldown=cooldown) as chain:
        print("ready", flush=True)
        for _ in sys.stdin:
            began = time.monotonic()
            answered = chain.complete("hi")
            asked = [attempt.model for attempt in answered.attempts]
            print(json.dumps({"asked": asked, "lasted": time.monotonic() - began}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
