"""What watching costs: the hooks where nobody watches, and a call with Prometheus, the log and the call log.

Run it from anywhere: ``python benchmarks/observers.py``. Hooks without observers are told in microseconds of CPU a
call; observers as the share that they add to the CPU of the same call without them, measured in turns in the same run,
since machines are noisy. The server is a process of its own, and the log is formatted into memory.
"""

from __future__ import annotations

import argparse
import functools
import gc
import io
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from overhead import cpu_of, serving
from prometheus_client import CollectorRegistry

from orfallback import Attempt, Call, Chain, LoggingPlugin
from orfallback.plugins.call_log import CallLog
from orfallback.plugins.opentelemetry import OpenTelemetry
from orfallback.plugins.prometheus import Prometheus

MODELS = ["mistralai/mistral-nemo", "mistralai/pixtral-12b"]
PROMPT = "Why is the sky blue?"
#: Targets: microseconds a call, and a share of a call.
MOST_HOOKS = 10.0
MOST_SHARE = 0.10


def hooks_microseconds(rounds: int, times: int) -> float:
    """Return the CPU microseconds that a call's hooks cost where nobody implements a watching one."""
    chain = Chain(MODELS, api_key="sk-bench-0000000000", cooldown=None)
    chain.unregister("logging")
    target, call = chain.targets[0], Call("0123456789abcdef", {"messages": []})
    attempt = Attempt(1, target.model, target.base_url)

    def hooks_of_a_call() -> None:
        hooks = chain.plugin_manager.hooks()
        hooks.notify("orfallback_call_started", call=call)
        hooks.ask("orfallback_admit", call=call, target=target, last_resort=False)
        hooks.notify("orfallback_attempt_started", call=call, target=target, number=1)
        hooks.notify("orfallback_committed", call=call, attempt=attempt)
        hooks.notify("orfallback_attempt_finished", call=call, attempt=attempt)
        hooks.notify("orfallback_call_finished", call=call, error=None)

    found = []
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(times):
            hooks_of_a_call()
        found.append((time.process_time() - started) / times * 1e6)
    return statistics.median(found)


def shares(
    base_url: str, watched: Mapping[str, Sequence[object]], rounds: int, times: int
) -> tuple[dict[str, float], float]:
    """Return by which share some plugins make a call dearer in CPU, and what it costs without them in microseconds.

    The shares are medians of ratios, measured in turns.
    """
    plain, *chains = [_chain(base_url, plugins) for plugins in [(), *watched.values()]]
    calls = {name: functools.partial(chain.complete, PROMPT) for name, chain in zip(watched, chains, strict=True)}
    bare = functools.partial(plain.complete, PROMPT)
    for call in (bare, *calls.values()):
        cpu_of(call, times)
    ratios: dict[str, list[float]] = {name: [] for name in watched}
    peers = []
    gc.collect()
    for _ in range(rounds):
        for name, call in calls.items():
            peer = cpu_of(bare, times)
            ratios[name].append(cpu_of(call, times) / peer)
            peers.append(peer / times * 1e6)
    for chain in (plain, *chains):
        chain.close()
    return {name: statistics.median(found) - 1 for name, found in ratios.items()}, statistics.median(peers)


def _chain(base_url: str, plugins: Sequence[object]) -> Chain:
    chain = Chain(MODELS, api_key="sk-bench-0000000000", base_url=base_url)
    chain.unregister("logging")
    for plugin in plugins:
        chain.register(plugin)
    return chain


def main() -> int:
    """Print the figures; with ``--check``, fail where one is over its target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="pairs to measure of each")
    parser.add_argument("--times", type=int, default=20, help="calls in each measurement")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure is over its target")
    options = parser.parse_args()

    # As an application has it that writes its log into a file.
    logger = logging.getLogger("orfallback")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    spent = hooks_microseconds(options.rounds, 100 * options.times)
    print(f"hooks that nobody implements: {spent:.1f} µs a call (target: at most {MOST_HOOKS:g})")
    with tempfile.TemporaryDirectory() as folder, serving() as base_url:
        watched: dict[str, list[object]] = {
            "Prometheus and the log": [Prometheus(CollectorRegistry()), LoggingPlugin()],
            "the log": [LoggingPlugin()],
            "Prometheus": [Prometheus(CollectorRegistry())],
            "the call log": [CallLog(Path(folder, "calls.jsonl"))],
            "OpenTelemetry without its SDK": [OpenTelemetry()],
        }
        found, peer = shares(base_url, watched, options.rounds, options.times)
    print(f"complete() with nobody watching: {peer:.0f} µs")
    for name, share in found.items():
        target = f" (target: at most {MOST_SHARE:.0%})" if name == "Prometheus and the log" else ""
        print(f"{name}: {share:+.1%} of the CPU of complete(){target}")
    over = spent > MOST_HOOKS or found["Prometheus and the log"] > MOST_SHARE
    return 1 if options.check and over else 0


if __name__ == "__main__":
    sys.exit(main())
