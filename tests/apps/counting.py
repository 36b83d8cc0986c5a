"""Counts calls in threads while it forks, and prints what children and all of them counted: ``counting.py BASE_URL``.

Where ``PROMETHEUS_MULTIPROC_DIR`` is set, the last figure is the sum over all processes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import warnings
from typing import Any

from asking import KEY, MODELS
from forking import forked
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from orfallback import Chain
from orfallback.plugins.prometheus import Prometheus

warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
_CHILDREN, _THREADS = 12, 6


def counted(registry: CollectorRegistry) -> dict[str, float]:
    """Return attempts by model, and calls by ending."""
    figures: dict[str, float] = {}
    for metric in registry.collect():
        label = {"orfallback_attempts": "model", "orfallback_calls": "ending", "orfallback_calls_in_progress": "mode"}
        for sample in metric.samples:
            if metric.name in label and not sample.name.endswith("_created") and sample.value:
                key = sample.labels[label[metric.name]]
                figures[key] = figures.get(key, 0) + sample.value
    return figures


def ask(chain: Chain) -> None:
    """Make one call of each kind."""
    chain.complete("whole 0")
    chain.stream("stream 1").read()
    chain.stream("left 1").close()


def child(chain: Chain) -> Any:
    """Ask twice, and tell what that added to what was inherited."""
    before = counted(REGISTRY)
    before.pop("complete", None), before.pop("stream", None)
    for _ in range(2):
        ask(chain)
    after = counted(REGISTRY)
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}


def main(base_url: str) -> None:
    """Ask in threads, and fork."""
    # Reads as slow as in a busy process: a fork strikes in the middle of counting more often.
    sys.setswitchinterval(1e-5)
    chain = Chain(MODELS, api_key=KEY, base_url=base_url, delay=0, cooldown=None, plugins=[Prometheus()])
    chain.unregister("logging")
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            ask(chain)

    threads = [threading.Thread(target=work) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    children = [forked(lambda: child(chain))() for _ in range(_CHILDREN)]
    stop.set()
    for thread in threads:
        thread.join()
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    print(json.dumps([children, counted(registry)]))


if __name__ == "__main__":
    main(sys.argv[1])
