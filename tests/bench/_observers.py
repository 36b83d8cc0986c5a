"""What watching costs: the hooks where nobody watches, and a call with each observer."""

from __future__ import annotations

import functools
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench._clients import KEY
from bench._measure import OURS, Effort, Row, in_turns, turn_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from orfallback import Chain

_MODELS = ["mistralai/mistral-nemo", "mistralai/pixtral-12b"]
_PROMPT = "Why is the sky blue?"
BASE = "nobody watches"


def hooks(_base: str, effort: Effort) -> list[Row]:
    """CPU of all hooks of a call where nobody implements a watching one: at most 10 µs."""
    from orfallback import Attempt, Call, Chain

    chain = Chain(_MODELS, api_key=KEY, cooldown=None)
    chain.unregister("logging")
    target, call = chain.targets[0], Call("0123456789abcdef", {"messages": []})
    attempt = Attempt(1, target.model, target.base_url)

    def hooks_of_a_call() -> None:
        asked = chain.plugin_manager.hooks()
        asked.notify("orfallback_call_started", call=call)
        asked.ask("orfallback_admit", call=call, target=target, last_resort=False)
        asked.notify("orfallback_attempt_started", call=call, target=target, number=1)
        asked.notify("orfallback_committed", call=call, attempt=attempt)
        asked.notify("orfallback_attempt_finished", call=call, attempt=attempt)
        asked.notify("orfallback_call_finished", call=call, error=None)

    costs = in_turns({OURS: turn_of(hooks_of_a_call, 100 * effort.times)}, effort)
    return [Row("hooks that nobody implements", "cpu", "call", OURS, costs)]


def watched(base: str, effort: Effort) -> list[Row]:
    """CPU of a call with observers, to the same call without: at most 1.10 with Prometheus and the log."""
    with _log_of_an_application(), tempfile.TemporaryDirectory() as folder:
        chains = {name: _chain(f"{base}/whole", each) for name, each in _observers(Path(folder)).items()}
        turns = {
            name: turn_of(functools.partial(chain.complete, _PROMPT), effort.times) for name, chain in chains.items()
        }
        costs = in_turns(turns, effort)
        for chain in chains.values():
            chain.close()
    return [Row("complete(), watched by Prometheus and the log", "cpu", "call", BASE, costs, must=1.10, aim=1.10)]


def _observers(folder: Path) -> Mapping[str, Sequence[object]]:
    from prometheus_client import CollectorRegistry

    from orfallback import LoggingPlugin
    from orfallback.plugins.call_log import CallLog
    from orfallback.plugins.opentelemetry import OpenTelemetry
    from orfallback.plugins.prometheus import Prometheus

    return {
        BASE: [],
        OURS: [Prometheus(CollectorRegistry()), LoggingPlugin()],
        "one logger.info(), seven bare metrics": [_OneLine(), _Bare(CollectorRegistry())],
        "one logger.info()": [_OneLine()],
        "the log": [LoggingPlugin()],
        "Prometheus": [Prometheus(CollectorRegistry())],
        "the call log": [CallLog(folder / "calls.jsonl")],
        "OpenTelemetry without its SDK": [OpenTelemetry()],
    }


class _OneLine:
    """What a line in the log costs by itself."""

    def orfallback_attempt_finished(self) -> None:
        """Write it."""
        logging.getLogger("orfallback").info("Successfully connected using model: %s", _MODELS[0])


class _Bare:
    """What prometheus-client takes for the same metrics by itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Histogram

        calls, tokens, cost = (Counter(f"bare_{each}", each, registry=registry) for each in ("calls", "tokens", "cost"))
        seconds = Histogram("bare_seconds", "seconds", registry=registry)
        self._count = calls.inc, calls.inc, tokens.inc, tokens.inc, cost.inc, seconds.observe, seconds.observe

    def orfallback_attempt_finished(self) -> None:
        """Count."""
        for count in self._count:
            count(0.1)


def _chain(base_url: str, plugins: Sequence[object]) -> Chain:
    from orfallback import Chain

    chain = Chain(_MODELS, api_key=KEY, base_url=base_url)
    chain.unregister("logging")
    for plugin in plugins:
        chain.register(plugin)
    return chain


@contextmanager
def _log_of_an_application() -> Iterator[None]:
    """Write the log as ``logging.basicConfig(level="INFO")`` does, to where it costs nothing more."""
    logger = logging.getLogger("orfallback")
    before = logger.level, logger.propagate
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device
        handler = logging.StreamHandler(nowhere)
        handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.level, logger.propagate = before
