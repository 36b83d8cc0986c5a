"""What Prometheus is shown of one registry: the metrics, counted by any thread, over forks and between processes."""

from __future__ import annotations

import functools
import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from orfallback._ending import Ending
from orfallback._text import clean

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from orfallback._types import Target

#: From what a connection takes to the longest call (s).
BUCKETS = (
    0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 600.0,
)  # fmt: skip
#: What stands for each model that is not configured.
OTHER = "other"
MODES = ("complete", "stream")
# An application that makes a chain for each request, of models that its users name, is to make no series of them.
_MOST_MODELS = 100
_LONGEST_NAME = 200
# An instant that is computed anew each time is the same as long as it differs by less (s).
_SAME = 1.0
# What happened is counted when somebody looks, or so much of it at a time: between the system calls of a call the code
# is out of the processor's caches, and counting takes three times as long.
_TOGETHER = 64


class _Kind(NamedTuple):
    make: Callable[..., Any]
    help: str
    labels: tuple[str, ...] = ()
    mode: str = ""


_KINDS = {
    "calls_total": _Kind(Counter, "Calls that are over, by how they ended.", ("mode", "ending")),
    "calls_in_progress": _Kind(Gauge, "Calls under way, streams that are read among them.", ("mode",), "livesum"),
    "call_seconds": _Kind(Histogram, "Seconds of a call: its attempts, and the waits between them.", ("mode",)),
    "attempts_total": _Kind(
        Counter, "Attempts that are over: answered, or the reason why not.", ("model", "mode", "outcome")
    ),
    "attempt_seconds": _Kind(Histogram, "Seconds of an attempt, from its start to its end.", ("model", "mode")),
    "first_token_seconds": _Kind(
        Histogram, "Seconds from the start of a stream's attempt to its first content.", ("model",)
    ),
    "fallbacks_total": _Kind(
        Counter, "Attempts that followed a failed one, by its reason.", ("from_model", "to_model", "reason")
    ),
    "wait_seconds_total": _Kind(Counter, "Seconds waited between attempts."),
    "tokens_total": _Kind(Counter, "Tokens that replies told of.", ("model", "kind")),
    "cost_usd_total": _Kind(Counter, "US dollars that replies told of.", ("model",)),
    "rests_until_timestamp_seconds": _Kind(
        Gauge, "Instant until which a model rests; 0, or one that is over, if it does not.", ("model",),
        "livemostrecent",
    ),
}  # fmt: skip
RESTS = "rests_until_timestamp_seconds"
_METHODS: dict[Any, str] = {Counter: "inc", Histogram: "observe", Gauge: "set"}

# Held while values are changed or read, and over a fork: a child would inherit their own locks held. Reentrant, for
# calls that a signal handler makes, or the garbage collector ends, in the very thread that counts.
_lock = threading.RLock()
_metrics_of: weakref.WeakKeyDictionary[CollectorRegistry, Metrics] = weakref.WeakKeyDictionary()


class Metrics(Collector):
    """What is counted into one registry.

    :param buckets: of its histograms, in seconds.
    :ivar names: the label of each target that is configured, by what the chain calls it.
    :ivar running: by mode, the label of the target that a call under way asks, by the call's id.
    """

    def __init__(self, buckets: Sequence[float]) -> None:
        self.buckets = tuple(buckets)
        self.names: dict[str, str] = {}
        self.running: dict[str, dict[str, str]] = {mode: {} for mode in MODES}
        self._metrics = {name: _made(name, kind, self.buckets) for name, kind in _KINDS.items()}
        self._children: dict[tuple[str, ...], Callable[[float], object]] = {}
        self._pending: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._counting = False
        # Where processes share their metrics by files nobody collects here.
        self._files = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self._chains: tuple[weakref.ref[Any], ...] = ()
        self._until: dict[str, float] = {}
        self._tickets = itertools.count(1)
        self._newest = 0
        # What never happened yet is 0: a rate has something to begin with.
        for mode in MODES:
            self.note(None, "calls_in_progress", mode)
            for ending in Ending:
                self.note(None, "calls_total", mode, str(ending))

    # -- whose --

    def know(self, names: Iterable[str]) -> None:
        """Give models a label of their own, as long as there are few."""
        for name in names:
            if len(self.names) < _MOST_MODELS and name not in self.names:
                self.names[name] = clean(name, _LONGEST_NAME)
                self.note(None, RESTS, self.names[name])
        self.count()

    def watch(self, chain: Any) -> None:
        """Tell of what rests in a chain, as long as there is one."""
        with _lock:
            known = [each for each in self._chains if each() not in (None, chain)]
            self._chains = (*known, weakref.ref(chain))
        self.know(called(target) for target in chain.targets)

    def label(self, name: str) -> str:
        """Return the label of a target that is called so."""
        return self.names.get(name, OTHER)

    # -- counting --

    def later(self, work: Callable[..., None], *facts: Any) -> None:
        """Remember what is to be counted: ``work`` calls ``add``, in whichever thread counts, and holds no prompt."""
        self._pending.append((work, facts))

    def note(self, amount: float | None, *key: str) -> None:
        """Remember an amount for a metric with these labels. None makes the series alone."""
        self._pending.append((self.add, (amount, *key)))

    def settle(self) -> None:
        """Count what was remembered, if it is much, or if it is another process that reads it."""
        if self._files or len(self._pending) >= _TOGETHER:
            self.count()

    def count(self) -> None:
        """Count what was remembered. Whoever comes while this thread counts leaves it to what is under way already."""
        with _lock:
            if self._counting:
                return
            try:
                self._counting = True
                pending = self._pending
                while pending:
                    work, facts = pending.popleft()
                    work(*facts)
            finally:
                self._counting = False

    def add(self, amount: float | None, *key: str) -> None:
        """Add an amount to a metric with these labels; for what ``count`` calls."""
        child = self._children.get(key) or self._child(key)
        if amount is not None:
            child(amount)

    def _child(self, key: tuple[str, ...]) -> Callable[[float], object]:
        """Make what counts for a key."""
        name, *labels = key
        child = self._metrics[name].labels(*labels) if labels else self._metrics[name]
        method: Callable[[float], object] = getattr(child, _METHODS[type(child)])
        if name == "calls_in_progress":
            method = functools.partial(_set_to_size, method, self.running[labels[0]])
        self._children[key] = method
        return method

    def note_running(self, mode: str) -> None:
        """Remember how many calls are under way; ``collect`` looks by itself."""
        if self._files:
            self.note(0, "calls_in_progress", mode)

    # -- what rests --

    def refresh(self) -> None:
        """Look at what rests; of two that look at once the one that began later is believed."""
        ticket = next(self._tickets)
        now = time.time()
        seen: dict[str, float] = {}
        for chain in filter(None, [each() for each in self._chains]):
            for each in chain.health.snapshot():
                name = self.label(each.name or each.model)
                seen[name] = max(seen.get(name, 0.0), now + each.resting if each.resting > 0 else 0.0)
        with _lock:
            if ticket < self._newest:
                return
            self._newest = ticket
            for name, until in seen.items():
                known = self._until.get(name, 0.0)
                if not (until == known or (until and abs(until - known) < _SAME)):
                    self._until[name] = until
                    self.note(until, RESTS, name)

    def rested(self, label: str) -> bool:
        """Tell whether a model rested when it was last looked at."""
        return self._until.get(label, 0.0) > 0

    # -- for the registry --

    def collect(self) -> Iterator[Metric]:
        """Yield everything, in the state of now; not for processes that share their metrics by files."""
        self.refresh()
        for mode in MODES:
            self.note(0, "calls_in_progress", mode)
        self.count()
        with _lock:
            try:
                # What is noted meanwhile in this thread would wait for a value that this thread reads.
                self._counting = True
                collected = [metric for each in self._metrics.values() for metric in each.collect()]
            finally:
                self._counting = False
        self.count()
        yield from collected

    def describe(self) -> Iterator[Metric]:
        """Yield the names."""
        for each in self._metrics.values():
            yield from each.describe()

    def forked(self) -> None:
        """Forget, in a child, what its parent is about to count, and the calls that are its parent's."""
        self._pending.clear()
        for calls in self.running.values():
            calls.clear()


def _set_to_size(set_to: Callable[[float], object], running: Sized, _: float) -> None:
    # As many as there are by now: of two that come at once either may be told last.
    set_to(len(running))


def _made(name: str, kind: _Kind, buckets: Sequence[float]) -> Any:
    options: dict[str, Any] = {"multiprocess_mode": kind.mode} if kind.mode else {}
    if kind.make is Histogram:
        options["buckets"] = buckets
    return kind.make(f"orfallback_{name}", kind.help, kind.labels, registry=None, **options)


def shared(registry: CollectorRegistry, buckets: Sequence[float]) -> Metrics:
    """Return the metrics of a registry, which are made once."""
    with _lock:
        found = _metrics_of.get(registry)
        if found is None:
            found = Metrics(buckets)
            registry.register(found)
            _metrics_of[registry] = found
        elif found.buckets != tuple(buckets):
            raise ValueError(f"the metrics of this registry have other buckets: {found.buckets}")
        return found


def _in_child() -> None:
    for metrics in list(_metrics_of.values()):
        metrics.forked()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_in_child)


def called(target: Target) -> str:
    """Return what logs and metrics call a target."""
    return target.name or target.model
