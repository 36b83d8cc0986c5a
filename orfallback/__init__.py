"""Keeps chats alive when a model is busy: automatic fallback between LLMs for applications that use requests."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orfallback._adapter import FallbackAdapter as FallbackAdapter
    from orfallback._backoff import ExponentialBackoff as ExponentialBackoff
    from orfallback._chain import Chain as Chain
    from orfallback._classify import Classify as Classify
    from orfallback._classify import default_classifier as default_classifier
    from orfallback._clock import Clock as Clock
    from orfallback._completion import Completion as Completion
    from orfallback._config import DEFAULT_MODELS as DEFAULT_MODELS
    from orfallback._cooldown import Cooldown as Cooldown
    from orfallback._delay import Delay as Delay
    from orfallback._delay import FixedDelay as FixedDelay
    from orfallback._ending import Ending as Ending
    from orfallback._errors import CallRejected as CallRejected
    from orfallback._errors import ChainExhausted as ChainExhausted
    from orfallback._errors import DeadlineExceeded as DeadlineExceeded
    from orfallback._errors import FallbackError as FallbackError
    from orfallback._errors import StreamInterrupted as StreamInterrupted
    from orfallback._fit import Fit as Fit
    from orfallback._health import Health as Health
    from orfallback._health import TargetHealth as TargetHealth
    from orfallback._install import install as install
    from orfallback._install import uninstall as uninstall
    from orfallback._logging import LoggingPlugin as LoggingPlugin
    from orfallback._select import Select as Select
    from orfallback._select import in_order as in_order
    from orfallback._sockets import WatchedAdapter as WatchedAdapter
    from orfallback._stream import Stream as Stream
    from orfallback._types import Attempt as Attempt
    from orfallback._types import Call as Call
    from orfallback._types import Outcome as Outcome
    from orfallback._types import Target as Target
    from orfallback._types import Timeouts as Timeouts
    from orfallback._types import UpstreamError as UpstreamError
    from orfallback._verdict import Fault as Fault
    from orfallback._verdict import Reason as Reason
    from orfallback._verdict import Scope as Scope
    from orfallback._verdict import Verdict as Verdict
    from orfallback._weighted import weighted as weighted
    from orfallback.hookspecs import hookimpl as hookimpl
    from orfallback.plugins._latency import LowestLatency as LowestLatency
    from orfallback.plugins._sticky import Sticky as Sticky
    from orfallback.stores import MemoryStore as MemoryStore
    from orfallback.stores import RedisStore as RedisStore
    from orfallback.stores import SQLiteStore as SQLiteStore
    from orfallback.stores import Store as Store
    from orfallback.stores import StoreError as StoreError

    __version__: str

# A name is imported when it is first asked for: a tool that only looks at the version pays for nothing else.
_HOME = {
    "Attempt": "_types",
    "Call": "_types",
    "CallRejected": "_errors",
    "Chain": "_chain",
    "ChainExhausted": "_errors",
    "Classify": "_classify",
    "Clock": "_clock",
    "Completion": "_completion",
    "Cooldown": "_cooldown",
    "DEFAULT_MODELS": "_config",
    "DeadlineExceeded": "_errors",
    "Delay": "_delay",
    "Ending": "_ending",
    "ExponentialBackoff": "_backoff",
    "FallbackAdapter": "_adapter",
    "FallbackError": "_errors",
    "Fault": "_verdict",
    "Fit": "_fit",
    "FixedDelay": "_delay",
    "Health": "_health",
    "LoggingPlugin": "_logging",
    "LowestLatency": "plugins._latency",
    "MemoryStore": "stores",
    "Outcome": "_types",
    "Reason": "_verdict",
    "RedisStore": "stores",
    "SQLiteStore": "stores",
    "Select": "_select",
    "Scope": "_verdict",
    "Sticky": "plugins._sticky",
    "Store": "stores",
    "StoreError": "stores",
    "Stream": "_stream",
    "StreamInterrupted": "_errors",
    "Target": "_types",
    "TargetHealth": "_health",
    "Timeouts": "_types",
    "UpstreamError": "_types",
    "Verdict": "_verdict",
    "WatchedAdapter": "_sockets",
    "default_classifier": "_classify",
    "hookimpl": "hookspecs",
    "in_order": "_select",
    "install": "_install",
    "uninstall": "_install",
    "weighted": "_weighted",
}
__all__ = sorted([*_HOME, "__version__"])

logging.getLogger("orfallback").addHandler(logging.NullHandler())


if not TYPE_CHECKING:  # a type checker is to find a name that does not exist

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("orfallback")
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module 'orfallback' has no attribute {name!r}")
        value = getattr(importlib.import_module(f"orfallback.{home}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
