"""A terminal that is watched: its keys one by one, and the signals by which somebody wants it back."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from orfallback.cli._console import is_terminal

# On Windows there are none, and Ctrl-C alone ends the view.
if sys.platform != "win32":
    import termios

# No signal is noticed later (s).
_PROMPT = 0.1
_PAUSES = getattr(signal, "SIGTSTP", None)
_ENDS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Keyboard:
    """What the person at the terminal wants.

    :ivar over: whether it is the end: q, Ctrl-C, or a signal.
    :ivar paused: whether the terminal is wanted back for a while: Ctrl-Z.
    """

    def __init__(self) -> None:
        self.over = False
        self.paused = False
        self._ended_by = signal.SIGINT
        self._fd: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have keys and signals until the end of the block; then the terminal is as it was."""
        self.paused = False
        with ExitStack() as stack:
            for number in (*_ENDS, *(() if _PAUSES is None else (_PAUSES,))):
                stack.callback(signal.signal, number, signal.signal(number, self._told))
            if sys.platform != "win32" and is_terminal(sys.stdin):
                self._fd = sys.stdin.fileno()
                before = termios.tcgetattr(self._fd)
                # Also what was typed and not read goes: it was meant for the view.
                stack.callback(termios.tcsetattr, self._fd, termios.TCSAFLUSH, before)
                changed = [*before]
                # Keys are told at once and not shown; Ctrl-C and Ctrl-Z stay what they are.
                changed[3] &= ~(termios.ICANON | termios.ECHO)
                termios.tcsetattr(self._fd, termios.TCSANOW, changed)
            yield

    def wait(self, seconds: float = _PROMPT) -> None:
        """Wait so long, or until a key is typed.

        :param seconds: no more than makes a person wait for what a signal asks for.
        """
        if self._fd is None:
            time.sleep(seconds)
            return
        ready, _, _ = select.select([self._fd], [], [], seconds)
        if ready:
            keys = os.read(self._fd, 1024)
            # Where nothing can be read the terminal is gone.
            self.over = self.over or not keys or b"q" in keys.lower()

    def depart(self) -> None:
        """Make way as was asked: stop for a while, or end by the signal that ended the view, unless that was Ctrl-C."""
        number = self._ended_by if self.over else _PAUSES
        if number is not None and number != signal.SIGINT:
            os.kill(os.getpid(), number)

    def _told(self, number: int, _: FrameType | None) -> None:
        if number == _PAUSES:
            self.paused = True
        else:
            self.over = True
            self._ended_by = signal.Signals(number)
