"""The view in a terminal, until somebody has seen enough."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live

from orfallback.cli._top._figures import Figures
from orfallback.cli._top._keyboard import Keyboard
from orfallback.cli._top._sources import Look, Source
from orfallback.cli._top._view import Frame, view

_HINT = "q ends"


class Wants(Protocol):
    """What the person at the terminal wants: a :class:`Keyboard`."""

    over: bool
    paused: bool

    def wait(self) -> None:
        """Wait for a moment, or until something is wanted."""


class Poller:
    """Looks at a source again and again, in a thread of its own: one that hangs holds up no key.

    In the end it closes the source.

    :param source: the source.
    :param interval: seconds from the beginning of one look to that of the next.
    """

    def __init__(self, source: Source, interval: float) -> None:
        self._source = source
        self._interval = interval
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._latest = Look(time.time(), Figures(), notes=(f"looking at {source.name}",))

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="orfallback-top", daemon=True).start()

    def stop(self) -> None:
        """Look no more; a look that hangs is not waited for."""
        self._over.set()

    def latest(self) -> Look:
        """Return what the last look brought."""
        if self._error is not None:
            raise self._error
        return self._latest

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                began = time.monotonic()
                self._latest = self._source.look()
                self._over.wait(max(began + self._interval - time.monotonic(), 0.0))
        except BaseException as error:  # noqa: BLE001 - raised above, in the thread that has the terminal
            self._error = error
        finally:
            self._source.close()


def watch(source: Source, interval: float, console: Console) -> None:
    """Show a source until q or Ctrl-C; the terminal is then as it was.

    :param source: what is shown.
    :param interval: seconds between two looks.
    :param console: the terminal, on stdout.
    """
    keyboard = Keyboard()
    poller = Poller(source, interval)
    poller.start()
    try:
        while not keyboard.over:
            with keyboard.held(), Live(
                console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            ) as live:  # fmt: skip
                follow(source.name, poller.latest, keyboard, console, live.update)
            keyboard.depart()
    finally:
        poller.stop()


def follow(name: str, latest: Callable[[], Look], wants: Wants, console: Console, update: Callable[..., None]) -> None:
    """Draw what is new, in the size that the terminal has, until something else is wanted.

    :param name: what the source is called.
    :param latest: returns the last look.
    :param wants: what the person wants.
    :param console: the terminal.
    :param update: draws.
    """
    drawn: object = None
    while not (wants.over or wants.paused):
        look, size = latest(), console.size
        if drawn != (id(look), size):
            drawn = id(look), size
            kept = look  # An id is nobody else's as long as this is there.
            frame = Frame(size.width, size.height, pretty(console), _HINT)
            update(Group(*view(name, kept, frame)), refresh=True)
        wants.wait()


def pretty(console: Console) -> bool:
    """Tell whether more than ASCII can be shown."""
    return "utf" in (console.encoding or sys.getdefaultencoding()).lower()
