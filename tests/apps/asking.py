"""Asks questions that no one else asks, so that an answer to somebody else is told by its words."""

from __future__ import annotations

from orfallback import Chain

#: The first is busy now and then.
MODELS = ["a/busy", "b/good"]


def chain_for(base_url: str) -> Chain:
    """Return a chain that does not wait between attempts."""
    return Chain(MODELS, api_key="sk-test-0000000000000000", base_url=base_url, delay=0)


def wrong(chain: Chain, who: str, times: int) -> int:
    """Ask so many whole answers and as many streams, and count those that answer something else."""
    count = 0
    for number in range(times):
        whole, stream = f"{who} asks whole {number}", f"{who} asks a stream {number}"
        count += chain.complete(whole).text != whole
        count += "".join(chain.stream(stream).iter_text()) != stream
    return count
