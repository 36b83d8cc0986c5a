"""Tools for tests: a loopback server that plays OpenRouter, good and bad, a clock and a plugin that remembers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orfallback.testing._answers import answer, early_hints, error_in_200, events, redirect, reply, status
    from orfallback.testing._doubles import FakeClock, Recorder, Seen, no_delay
    from orfallback.testing._faults import cut, drip, empty_deltas, keep_alive, raw, reset, silence
    from orfallback.testing._simulator import Simulator
    from orfallback.testing._steps import Behaviour, End, Gate, Received, Step

__all__ = [
    "Behaviour",
    "End",
    "FakeClock",
    "Gate",
    "Received",
    "Recorder",
    "Seen",
    "Simulator",
    "Step",
    "answer",
    "cut",
    "drip",
    "early_hints",
    "empty_deltas",
    "error_in_200",
    "events",
    "keep_alive",
    "no_delay",
    "raw",
    "redirect",
    "reply",
    "reset",
    "silence",
    "status",
]

_NAMES_OF = {
    "_answers": ("answer", "early_hints", "error_in_200", "events", "redirect", "reply", "status"),
    "_doubles": ("FakeClock", "Recorder", "Seen", "no_delay"),
    "_faults": ("cut", "drip", "empty_deltas", "keep_alive", "raw", "reset", "silence"),
    "_simulator": ("Simulator",),
    "_steps": ("Behaviour", "End", "Gate", "Received", "Step"),
}
_HOME_OF = {name: module for module, names in _NAMES_OF.items() for name in names}


if not TYPE_CHECKING:  # a type checker is to find a name that does not exist

    def __getattr__(name: str) -> Any:
        # Sockets, TLS and JSON load with the first name that needs them (PEP 562).
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
