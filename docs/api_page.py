"""Writes ``reference/api.md``: every public name once, in groups. Run it from anywhere; a test holds that it is current."""

from __future__ import annotations

import inspect
from pathlib import Path

import orfallback

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
}  # fmt: skip


def page() -> str:
    """Return the page."""
    lines = ["# The API", "", "All of it is imported from `orfallback`, and loaded when it is first used.", ""]
    for title, names in GROUPS.items():
        lines += [f"## {title}", ""]
        for name in names:
            lines += ["```{eval-rst}", f".. {_directive(name)}:: orfallback.{name}", *_options(name), "```", ""]
    return "\n".join(lines)


def _directive(name: str) -> str:
    found = getattr(orfallback, name)
    if inspect.isclass(found):
        return "autoexception" if issubclass(found, BaseException) else "autoclass"
    return "autofunction" if inspect.isfunction(found) else "autodata"


def _options(name: str) -> list[str]:
    return ["   :members:"] if inspect.isclass(getattr(orfallback, name)) else []


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
