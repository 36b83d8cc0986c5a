"""What orfallback costs: its import, and the CPU of a call, each against what an application would do without it.

Run it from anywhere: ``python benchmarks/overhead.py``. Each figure is a ratio against a peer measured in the same run,
in turns, since machines are noisy. CPU time is compared, not wall time. The server is a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# What an application that speaks to OpenRouter and has plugins imports anyway.
PEER_IMPORT = "import requests, sseclient, pluggy"
IMPORTS = {
    "import orfallback": "import orfallback",
    "from orfallback import Chain": "from orfallback import Chain",
}
IMPORT_TARGET = 1.10
CALL_TARGET = 1.0

SERVER = """
import sys
from orfallback.testing import Simulator
with Simulator() as simulator:
    print(simulator.base_url, flush=True)
    sys.stdin.read()
"""


def import_seconds(statement: str) -> float:
    """Return the CPU seconds of an import in a fresh interpreter."""
    code = f"import time; t = time.process_time(); {statement}; print(time.process_time() - t)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def import_ratios(rounds: int) -> dict[str, float]:
    """Return, for each of our imports, the median of its ratios to the peer's, measured in turns."""
    import_seconds(PEER_IMPORT)
    ratios: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(rounds):
        peer = import_seconds(PEER_IMPORT)
        for name, statement in IMPORTS.items():
            ratios[name].append(import_seconds(statement) / peer)
    return {name: statistics.median(found) for name, found in ratios.items()}


@contextmanager
def serving() -> Iterator[str]:
    """Run a simulator in a process of its own, and hand out its base URL."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()


def cpu_of(call: Callable[[], object], times: int) -> float:
    """Return the CPU seconds of so many calls."""
    started = time.process_time()
    for _ in range(times):
        call()
    return time.process_time() - started


def call_ratio(base_url: str, rounds: int, times: int) -> tuple[float, float]:
    """Return the median ratio of ``complete()`` to ``Session.post().json()``, and the peer's microseconds a call."""
    import requests

    from orfallback import Chain

    payload = {"model": "mistralai/mistral-nemo", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
    headers = {"Authorization": "Bearer sk-bench-0000000000"}
    url = f"{base_url}/chat/completions"
    with requests.Session() as session, Chain(api_key="sk-bench-0000000000", base_url=base_url) as chain:

        def bare() -> object:
            return session.post(url, json=payload, headers=headers).json()["choices"][0]["message"]["content"]

        def ours() -> object:
            return chain.complete("Why is the sky blue?").text

        if bare() != ours():
            raise SystemExit("the two do not give the same answer")
        cpu_of(bare, times), cpu_of(ours, times)
        gc.collect()
        peers, ratios = [], []
        for _ in range(rounds):
            peer = cpu_of(bare, times)
            ratios.append(cpu_of(ours, times) / peer)
            peers.append(peer / times * 1e6)
    return statistics.median(ratios), statistics.median(peers)


def main() -> int:
    """Print the figures; with ``--check``, fail where one is over its target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="pairs to measure of each")
    parser.add_argument("--times", type=int, default=100, help="calls in each measurement")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a ratio is over its target")
    options = parser.parse_args()

    over = False
    for name, ratio in import_ratios(options.rounds).items():
        print(f"{name}: {ratio:.2f} x `{PEER_IMPORT}` (target: at most {IMPORT_TARGET:.2f})")
        over = over or ratio > IMPORT_TARGET
    with serving() as base_url:
        ratio, peer = call_ratio(base_url, options.rounds, options.times)
    print(f"Chain.complete(): {ratio:.2f} x the CPU of `Session.post(json=).json()`, {peer:.0f} µs (target: at most 1)")
    return 1 if options.check and (over or ratio > CALL_TARGET) else 0


if __name__ == "__main__":
    sys.exit(main())
