"""The prompt: words of the command line, and what is on stdin."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence

import click

from orfallback.cli._console import Narrator, is_terminal
from orfallback.cli._reading import read

#: The word that stands for what is on stdin.
STDIN = "-"


def prompt(words: Sequence[str], narrator: Narrator) -> str:
    """Return the prompt: the words, with what is on stdin where "-" stands, or that alone if there are no words.

    Beside words stdin is not read unasked: a command in a loop would swallow what the loop reads, and one that
    inherited a pipe would wait for ever.

    :param words: of the command line.
    :param narrator: tells of what was left unread.
    :raises click.UsageError: if it is empty, or longer than 16 MB.
    """
    if words and STDIN not in words and _holds_something():
        narrator.note('What is on stdin was not read; put "-" where it belongs in the prompt')
    text = ""
    for word in words or (STDIN,):
        if word == STDIN:
            text += f"\n\n{_stdin(narrator)}\n\n"
        else:
            text += word if text.endswith("\n") else f" {word}"
    if not text.strip():
        raise click.UsageError("the prompt is empty")
    return text.strip()


def _stdin(narrator: Narrator) -> str:
    if sys.stdin is None:
        return ""
    if is_terminal(sys.stdin):
        narrator.say("Reading from the terminal; Ctrl-D ends.", "dim")
    return read(sys.stdin.buffer, "what is on stdin").decode("utf-8-sig", errors="replace").strip()


def _holds_something() -> bool:
    """Tell whether something was piped or redirected in."""
    if sys.stdin is None:
        return False
    try:
        number = sys.stdin.fileno()
        found = os.fstat(number)
    except (OSError, ValueError):
        return False
    if stat.S_ISREG(found.st_mode):
        return found.st_size > 0
    return stat.S_ISFIFO(found.st_mode) and _waiting(number) > 0


def _waiting(number: int) -> int:
    """Return how many bytes a pipe holds; 0 where that cannot be asked."""
    try:
        import fcntl
        import termios
    except ImportError:
        return 0
    return int.from_bytes(fcntl.ioctl(number, termios.FIONREAD, b"\0\0\0\0"), sys.byteorder)
