"""Writes ``reference/api.md``: every public name once, in groups. Run it from anywhere; a test runs it, too."""

from __future__ import annotations

import importlib
import inspect
import types
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("reference") / "api.md"
GROUPS = {
    "The chain": ["Chain", "Target", "Timeouts", "DEFAULT_MODELS"],
    "Answers": ["Completion", "Stream"],
    "Errors": ["FallbackError", "CallRejected", "ChainExhausted", "DeadlineExceeded", "StreamInterrupted"],
    "What strategies and plugins see": [
        "Call", "Attempt", "Outcome", "UpstreamError", "Verdict", "Reason", "Scope", "Fault", "Ending",
    ],
    "Strategies": [
        "FixedDelay", "ExponentialBackoff", "in_order", "weighted", "default_classifier", "Classify", "Delay", "Select",
        "Clock",
    ],
    "Memory": [
        "Cooldown", "Health", "TargetHealth", "Store", "MemoryStore", "SQLiteStore", "RedisStore", "StoreError",
    ],
    "Plugins that come with it": ["LoggingPlugin", "Fit", "LowestLatency", "Sticky", "hookimpl"],
    "For applications that call an endpoint themselves": [
        "install", "uninstall", "FallbackAdapter", "WatchedAdapter",
    ],
    "The gateway": ["wsgi.Gateway"],
    "Plugins that are imported from their modules": [
        "plugins.call_log.CallLog", "plugins.opentelemetry.OpenTelemetry", "plugins.prometheus.Prometheus",
        "plugins.prometheus.metrics_app",
    ],
    "More of stores": ["stores.store_from_url", "stores.Guarded"],
    "For tests": [
        f"testing.{name}" for name in (
            "Simulator", "FakeClock", "Recorder", "Seen", "no_delay", "answer", "status", "reply", "error_in_200",
            "events", "redirect", "early_hints", "silence", "reset", "cut", "keep_alive", "empty_deltas", "drip", "raw",
            "Received", "Gate", "End", "Behaviour", "Step",
        )
    ],
}  # fmt: skip


def page() -> str:
    """Return the page."""
    lines = ["# The API", "", "Imported from `orfallback` unless a name says where else, and loaded at first use.", ""]
    for title, names in GROUPS.items():
        lines += [f"## {title}", ""]
        for name in names:
            lines += ["```{eval-rst}", f".. {_directive(name)}:: orfallback.{name}", *_options(name), "```", ""]
    return "\n".join(lines)


def found_as(name: str) -> Any:
    """Return what a name of the page means."""
    module, _, last = f"orfallback.{name}".rpartition(".")
    return getattr(importlib.import_module(module), last)


def is_class(found: Any) -> bool:
    """Tell whether something is a class; Python 3.10 takes ``Callable[...]`` for one."""
    return inspect.isclass(found) and not isinstance(found, types.GenericAlias)


def _directive(name: str) -> str:
    found = found_as(name)
    if is_class(found):
        return "autoexception" if issubclass(found, BaseException) else "autoclass"
    return "autofunction" if inspect.isfunction(found) else "autodata"


def _options(name: str) -> list[str]:
    found = found_as(name)
    if not is_class(found):
        return []
    # What a strategy is called with is all that there is of it.
    return ["   :members:", "   :special-members: __call__"] if "__call__" in vars(found) else ["   :members:"]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
