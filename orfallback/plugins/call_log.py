"""The plugin that writes each call into a file, as one line of JSON."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orfallback._clock import Clock, SystemClock
from orfallback._record import MOST_ATTEMPTS, Record, record_of, shortened, to_line
from orfallback._text import clean
from orfallback._types import Call
from orfallback.plugins._common import keep
from orfallback.plugins._lines import LineFile

__all__ = ["CallLog"]

_logger = logging.getLogger("orfallback.plugins")

#: The variable that names the file where the code does not.
VARIABLE = "ORFALLBACK_CALL_LOG"
# Some 200,000 calls in all.
_MOST_BYTES, _KEPT = 20_000_000, 4
# Every line has room in a file of that size (bytes); more files than that are a mistake.
_FEWEST_BYTES, _MOST_KEPT = 65_536, 10_000
# What a host adds to a record: as much JSON as this in all, and of a single text (bytes, characters).
_MOST_EXTRA, _LONGEST_TEXT = 4_096, 1_000
# The longest that a call waits for others who write; and how long none waits after one waited in vain (s).
_PATIENCE, _IMPATIENCE = 1.0, 5.0
# Far more calls than run at a time.
_MOST_CALLS = 10_000
# Trouble that comes and goes is told of once in a while (s).
_QUIET = 60.0


class CallLog:
    """Writes a record of each call that is over into a file, one line of JSON each; prompts, answers and keys never.

    Threads, and on all systems but Windows processes, share a file. A call never fails because of it, nor waits long:
    what cannot be written is not, and the log says so once. When the file is full it becomes ``<path>.1``, that one
    ``<path>.2``, and so on.

    :param path: the file, in a directory that exists; None takes the environment's ``ORFALLBACK_CALL_LOG``.
    :param most_bytes: how long the file may get, at least 65,536.
    :param kept: how many full files are kept beside it; so it takes ``(kept + 1) * most_bytes`` on the disk at most.
    :param extra: ``(call) -> mapping``: fields that the host adds to the record, at most 4 kB of JSON; None adds none.
    :param clock: for the time of a record; None is the machine's.
    :raises ValueError: if no path is named, or a number cannot be meant.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        most_bytes: int = _MOST_BYTES,
        kept: int = _KEPT,
        extra: Callable[[Call], Mapping[str, Any] | None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        path = os.environ.get(VARIABLE, "").strip() if path is None else path
        if not os.fspath(path):
            raise ValueError(f"the call log has no file: set {VARIABLE} to a path, or give CallLog one")
        _check("most_bytes", most_bytes, _FEWEST_BYTES)
        _check("kept", kept, 0, _MOST_KEPT)
        if extra is not None and not callable(extra):
            raise TypeError(f"extra is a function of the call, not {type(extra).__name__}")
        self._file = LineFile(Path(path), most_bytes, kept)
        self._extra = extra
        self._clock = SystemClock() if clock is None else clock
        self._began: dict[str, float] = {}
        self._extra_failed = False
        self._hurried_until = -math.inf
        self._down = False
        self._told = False
        self._told_at = -math.inf

    def orfallback_call_started(self, call: Call) -> None:
        """Note when it began."""
        keep(self._began, call.id, self._clock.monotonic(), _MOST_CALLS)

    def orfallback_call_finished(self, call: Call, error: BaseException | None) -> None:
        """Write it down."""
        now = self._clock.monotonic()
        took = now - self._began.pop(call.id, now)
        record = record_of(call, error, self._clock.time(), self._added(call), took)
        try:
            self._file.add(_line(record), _PATIENCE if now >= self._hurried_until else 0.0)
        except OSError as trouble:
            self._went_down(now, trouble)
        else:
            if self._down:
                self._came_back()

    def _added(self, call: Call) -> Mapping[str, Any]:
        """Return what the host adds; {} if it fails at that."""
        if self._extra is None:
            return {}
        try:
            added = self._extra(call)
            return {} if added is None else _sound(added)
        except Exception:
            # The host's own code runs here. As of any plugin, what it fails at is told, and breaks nothing.
            if not self._extra_failed:
                self._extra_failed = True
                text = "The call log leaves out what the host adds: it fails, or gives no JSON"
                _logger.exception(text, extra={"call_id": call.id})
            return {}

    def _went_down(self, now: float, trouble: OSError) -> None:
        if isinstance(trouble, TimeoutError):
            self._hurried_until = now + _IMPATIENCE
        was_down, self._down = self._down, True
        if not was_down and now - self._told_at >= _QUIET:
            self._told, self._told_at = True, now
            _logger.warning("The call log cannot be written, calls go on without it: %s", clean(str(trouble)))

    def _came_back(self) -> None:
        self._down = False
        if self._told:
            self._told = False
            _logger.info("The call log is written again: %s", clean(str(self._file.path)))

    def __repr__(self) -> str:
        return f"<CallLog {str(self._file.path)!r}>"


def _line(record: Record) -> bytes:
    """Return a record as a line that is not too long: of very many attempts, only so many as have room."""
    most = MOST_ATTEMPTS
    line = to_line(record)
    while len(line) >= _FEWEST_BYTES and most > 2:
        most //= 2
        line = to_line(shortened(record, most))
    return line.encode() + b"\n"


def _sound(added: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a host adds, fit for a record.

    :raises TypeError: if it is no JSON object.
    :raises ValueError: likewise, or if it is too much.
    """
    if not isinstance(added, Mapping):
        raise TypeError(f"extra gives a mapping, not {type(added).__name__}")
    sound: Mapping[str, Any] = _cleaned(added)
    size = len(json.dumps(sound, allow_nan=False, separators=(",", ":")))
    if size > _MOST_EXTRA:
        raise ValueError(f"extra gives {size} bytes of JSON; {_MOST_EXTRA} are the most")
    return sound


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value, _LONGEST_TEXT)
    if isinstance(value, Mapping):
        return {_key(name): _cleaned(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(each) for each in value]
    return value


def _key(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a name in JSON is a text, not {type(name).__name__}")
    return clean(name, _LONGEST_TEXT)


def _check(name: str, value: object, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is an int, not {type(value).__name__}")
    if value < least or (most is not None and value > most):
        raise ValueError(f"{name} is {least}{f' to {most}' if most is not None else ' or more'}, not {value!r}")
