"""Asks questions that no one else asks, so that an answer to somebody else is told by its words."""

from __future__ import annotations

import logging

from orfallback import Chain

#: A key and a word of every question, neither of which may stand in a log.
KEY, PROMPT = "sk-or-v1-CANARYKEY00000000", "CANARYPROMPT"
#: The first is busy now and then.
MODELS = ["a/busy", "b/good"]


def chain_for(base_url: str) -> Chain:
    """Return a chain that neither waits between attempts nor remembers them."""
    return Chain(MODELS, api_key=KEY, base_url=base_url, delay=0, cooldown=None)


def wrong(chain: Chain, who: str, times: int) -> int:
    """Ask so many whole answers and as many streams, and count those that answer something else."""
    count = 0
    for number in range(times):
        whole, stream = f"{who} asks whole {number}", f"{who} asks a stream {number}"
        count += chain.complete(whole).text != whole
        count += "".join(chain.stream(stream).iter_text()) != stream
    return count


def tell_everything() -> None:
    """Let the library, and those beneath it, log all that they have to say to stderr."""
    handler = logging.StreamHandler()
    for name in ("orfallback", "requests", "urllib3"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
