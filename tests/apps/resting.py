"""Shows what two processes that share files say of what rests: ``resting.py BASE_URL FOLDER``."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[2]

from asking import KEY, MODELS
from forking import forked
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from orfallback import Chain
from orfallback.plugins.prometheus import Prometheus
from orfallback.testing import FakeClock

registry = CollectorRegistry()
MultiProcessCollector(registry)  # type: ignore[no-untyped-call]


def resting() -> list[str]:
    """Return what rests, as a query shows it."""
    return [
        sample.labels["model"]
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "orfallback_rests_until_timestamp_seconds" and sample.value - time.time() > 0
    ]


def ask(**options: Any) -> Chain:
    """Return a chain of its own memory that has asked once."""
    chain = Chain(MODELS, api_key=KEY, base_url=sys.argv[1], delay=0, plugins=[Prometheus()], **options)
    chain.unregister("logging")
    chain.complete("Hi")
    return chain


def in_child() -> list[str]:
    """Let a child ask, and return what rests then."""
    code, seen = forked(lambda: (ask(), resting())[1])()
    assert code == 0
    return list(seen)


clock = FakeClock()
chain = ask(clock=clock)
said = {"first": resting(), "second is silent": in_child()}
clock.advance(31)
chain.complete("Hi")
print(json.dumps({**said, "answers again": resting(), "second": in_child()}))
