"""Commands as a person types them: in a terminal of a certain width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from typing import NamedTuple

#: How every command begins.
COMMAND = (sys.executable, "-m", "orfallback")
_PATIENCE = 60.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[=>]")


_HEEDING = """\
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
if os.isatty(0) and os.getsid(0) == os.getpid():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def heeding(*command: str) -> list[str]:
    """Return a command that heeds Ctrl-C, also where the tests were started in the background, which ignores it.

    In a session of its own it makes the terminal on its stdin its own.
    """
    return [sys.executable, "-c", _HEEDING, *command]


class Seen(NamedTuple):
    """What a terminal showed.

    :ivar status: the exit status.
    :ivar raw: everything that was written.
    """

    status: int
    raw: str

    @property
    def text(self) -> str:
        """What was written, without colours and movements of the cursor, with plain line ends."""
        return _ESCAPES.sub("", self.raw).replace("\r\n", "\n").replace("\r", "\n")

    @property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.split("\n")


class Terminal:
    """A terminal with a command in it.

    :param arguments: of ``orfallback``.
    :param columns: how wide it is.
    :param environ: variables beside those of the process; None takes one away.
    """

    def __init__(self, *arguments: str, columns: int = 80, environ: Mapping[str, str | None] | None = None) -> None:
        self._main, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        changes = {"TERM": "xterm-256color", "NO_COLOR": None, "FORCE_COLOR": None, "COLUMNS": None, **(environ or {})}
        kept = {name: value for name, value in os.environ.items() if name not in changes}
        env = {**kept, **{name: value for name, value in changes.items() if value is not None}}
        self.process = subprocess.Popen(
            heeding(*COMMAND, *arguments), stdin=terminal, stdout=terminal, stderr=terminal, env=env,
            start_new_session=True,
        )  # fmt: skip
        os.close(terminal)
        self._shown = b""

    def type(self, keys: str) -> None:
        """Type keys; ``\\x03`` is Ctrl-C, ``\\x04`` Ctrl-D."""
        os.write(self._main, keys.encode())

    def wait_for(self, text: str) -> None:
        """Read on until a text was shown that was not there before the last wait."""
        until = time.monotonic() + _PATIENCE
        while text.encode() not in self._shown[self._waited :]:
            assert time.monotonic() < until, f"{text!r} did not come: {self._shown!r}"
            assert self._read(), f"{text!r} did not come: {self._shown!r}"
        self._waited = self._shown.index(text.encode(), self._waited) + len(text.encode())

    _waited = 0

    def end(self) -> Seen:
        """Read to the end of the command."""
        while self._read():
            pass
        status = self.process.wait(_PATIENCE)
        os.close(self._main)
        return Seen(status, self._shown.decode(errors="replace"))

    def _read(self) -> bool:
        ready, _, _ = select.select([self._main], [], [], _PATIENCE)
        assert ready, f"nothing came for {_PATIENCE} s: {self._shown!r}"
        try:
            piece = os.read(self._main, 65536)
        except OSError:
            # Linux's way of saying that the other end was closed.
            return False
        self._shown += piece
        return bool(piece)


def in_terminal(*arguments: str, columns: int = 80, environ: Mapping[str, str | None] | None = None) -> Seen:
    """Run a command in a terminal to its end."""
    return Terminal(*arguments, columns=columns, environ=environ).end()
