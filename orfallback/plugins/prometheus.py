"""The plugin that counts for Prometheus; it needs ``orfallback[prometheus]``.

Every ``Prometheus()`` of a registry counts into the same metrics, so each chain of a process may have one. Their names
and labels are a contract: ``docs/reference/metrics.md`` lists them, and what they mean.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector

from orfallback._ending import Ending
from orfallback._types import Attempt, Call, Target
from orfallback._usage import cost_of, prompt_tokens_of, tokens_of
from orfallback._verdict import Reason, Scope
from orfallback.hookspecs import hookimpl
from orfallback.plugins._common import keep
from orfallback.plugins._series import BUCKETS, OTHER, called, shared

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# By ``Call.stream``.
_MODES = {False: "complete", True: "stream"}
# Far more calls than run at a time.
_MOST_CALLS = 10_000


class Prometheus:
    """Counts calls, attempts, fallbacks, waits, tokens and cost for Prometheus, and tells what rests.

    A model is a label only if it is configured: if it is a target of a chain that this plugin is registered with, by
    the target's name, or one of ``models``. Whatever else is asked for is ``other``, and so are targets beyond the
    hundredth of a process.

    :param registry: where the metrics are; None is prometheus-client's own.
    :param models: models, or names of targets, beside those of the chain: what ``chain.replace()`` makes is told to no
        plugin.
    :param buckets: of all histograms, in seconds; the same for all plugins of a registry.
    :raises TypeError: for a model that is no name.
    :raises ValueError: for other buckets than the registry's metrics have.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        models: Iterable[str] | str = (),
        buckets: Sequence[float] = BUCKETS,
    ) -> None:
        names = (models,) if isinstance(models, str) else tuple(models)
        for name in names:
            if not isinstance(name, str):
                raise TypeError(f"models are names, not {type(name).__name__}")
        self._metrics = shared(REGISTRY if registry is None else registry, buckets)
        self._metrics.know(names)

    def orfallback_registered(self, chain: Any) -> None:
        """Learn the names of a chain's targets, and whom to ask what rests.

        :raises ValueError: if the chain has such a plugin already, which would count everything twice.
        """
        for other in chain.plugin_manager.get_plugins():
            if other is not self and isinstance(other, Prometheus) and other._metrics is self._metrics:
                mend = "register it in the code, or name it in ORFALLBACK_PLUGINS, not both"
                raise ValueError(f"this chain has a Prometheus plugin of this registry already: {mend}")
        self._metrics.watch(chain)

    def orfallback_attempt_started(self, call: Call, target: Target) -> None:
        """Remember a call that is under way, and who is asked: an attempt tells its model alone."""
        mode = _MODES[call.stream]
        keep(self._metrics.running[mode], call.id, self._metrics.label(called(target)), _MOST_CALLS)
        self._metrics.note_running(mode)
        self._metrics.settle()

    @hookimpl(trylast=True)
    def orfallback_committed(self, call: Call, attempt: Attempt) -> None:
        """Count the time to the first content, once the chain knows that the model answers again."""
        model = self._asked(call, attempt)
        if attempt.first_token is not None:
            self._metrics.note(_seconds(attempt.first_token), "first_token_seconds", model)
        if self._metrics.rested(model):
            self._metrics.refresh()
            self._metrics.count()
        self._metrics.settle()

    @hookimpl(trylast=True)
    def orfallback_attempt_finished(self, call: Call, attempt: Attempt) -> None:
        """Count an attempt, once the chain knows whether its model rests."""
        model = self._asked(call, attempt)
        self._metrics.later(self._count_attempt, model, _MODES[call.stream], attempt)
        verdict = attempt.verdict
        if self._metrics.rested(model) if verdict is None else verdict.scope is not Scope.CALL:
            self._metrics.refresh()
            self._metrics.count()
        # What is no news of a rest is counted with what follows at once: the fallback, or the end of the call.

    def orfallback_falling_back(self, call: Call, attempt: Attempt, target: Target) -> None:
        """Count a fallback, or a retry: then both models are the same."""
        model = self._asked(call, attempt)
        self._metrics.note(1, "fallbacks_total", model, self._metrics.label(called(target)), _reason(attempt))
        self._metrics.settle()

    def orfallback_call_finished(self, call: Call, error: BaseException | None) -> None:
        """Count a call by its ending."""
        mode = _MODES[call.stream]
        self._metrics.running[mode].pop(call.id, None)
        self._metrics.note_running(mode)
        self._metrics.later(self._count_call, mode, Ending.of(call, error), call.attempts)
        self._metrics.settle()

    def _count_attempt(self, model: str, mode: str, attempt: Attempt) -> None:
        add, usage = self._metrics.add, attempt.usage
        add(1, "attempts_total", model, mode, "answered" if attempt.ok else _reason(attempt))
        add(_seconds(attempt.elapsed), "attempt_seconds", model, mode)
        if attempt.waited > 0:
            add(_seconds(attempt.waited), "wait_seconds_total")
        if usage:
            add(prompt_tokens_of(usage) or 0, "tokens_total", model, "prompt")
            add(tokens_of(usage) or 0, "tokens_total", model, "completion")
            add(cost_of(usage) or 0.0, "cost_usd_total", model)

    def _count_call(self, mode: str, ending: Ending, attempts: Sequence[Attempt]) -> None:
        self._metrics.add(1, "calls_total", mode, str(ending))
        seconds = sum(attempt.waited + attempt.elapsed for attempt in attempts)
        self._metrics.add(_seconds(seconds), "call_seconds", mode)

    def _asked(self, call: Call, attempt: Attempt) -> str:
        return self._metrics.running[_MODES[call.stream]].get(call.id) or self._metrics.label(attempt.model)


def metrics_app(registry: CollectorRegistry | None = None) -> WSGIApplication:
    """Return a WSGI application that shows the metrics: of all processes where ``PROMETHEUS_MULTIPROC_DIR`` is set.

    :param registry: what to show; None is what the processes share, or prometheus-client's own.
    """
    if registry is None and "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    application: WSGIApplication = make_wsgi_app(REGISTRY if registry is None else registry)
    return application


def _reason(attempt: Attempt) -> str:
    # What a plugin's verdict says may be anything.
    return str(attempt.reason) if isinstance(attempt.reason, Reason) else OTHER


def _seconds(value: float) -> float:
    # A clock of the host's own may run backwards, which no counter can.
    return value if 0 <= value < math.inf else 0.0
