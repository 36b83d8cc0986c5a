"""What is looked at: lines on stderr, with colour where the terminal has it."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console, RenderableType
from rich.status import Status
from rich.text import Text

from orfallback import Attempt
from orfallback._text import printable
from orfallback.cli._shown import shown

#: What a line can say, by a sign, its stand-in where the terminal knows ASCII alone, and a colour: never colour alone.
SIGNS = {
    "failed": ("✗", "x", "red"),
    "served": ("✓", "+", "green"),
    "waits": ("·", "-", "dim"),
    "note": ("!", "!", "yellow"),
    "mend": ("→", ">", "cyan"),
}
# What is not read in a terminal is read by programs, which want whole lines (columns).
_UNBOUNDED = 10_000
# Words get no less room (columns).
_NARROWEST = 20


def output() -> Console:
    """Return the console for data, on stdout: as wide as the terminal; elsewhere without line breaks of its own."""
    console = Console(highlight=False)
    # FORCE_COLOR makes no terminal of a pipe.
    if not is_terminal(sys.stdout):
        console.width = _UNBOUNDED
    return console


def put(console: Console, *parts: RenderableType) -> None:
    """Print data, one part below the other."""
    if console.is_terminal:
        console.print(*parts, sep="\n")
        return
    # The blanks that fill a table's last column have no place in a file.
    with console.capture() as capture:
        console.print(*parts, sep="\n")
    console.file.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())
    # A full disk, or a reader that left, is told here: at the end of the process it is too late.
    console.file.flush()


def hang(console: Console, head: Text, text: Text) -> None:
    """Print a text behind a head; on a terminal its further lines hang beneath its first."""
    if "utf" not in console.encoding.lower():
        text = Text("...").join(text.split("…", allow_blank=True))
    if not console.is_terminal:
        console.print(Text.assemble(head, text), soft_wrap=True)
        return
    margin = head.cell_len
    for line in text.wrap(console, max(console.width - margin, _NARROWEST)) or [text]:
        line.rstrip()
        console.print(Text.assemble(head, line), soft_wrap=True)
        head = Text(" " * margin)


def counted(number: int, what: str) -> str:
    """Return a number of things in words: "1 attempt", "2 attempts"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def span(seconds: float) -> str:
    """Return a length of time in words: "7 s", "1.5 s", "35 min", "24 h"."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def sign(console: Console, kind: str) -> Text:
    """Return a sign that the console can show."""
    pretty, plain, style = SIGNS[kind]
    return Text(pretty if "utf" in console.encoding.lower() else plain, style=style)


class Narrator:
    """Writes what happens on stderr; stdout is for the answer.

    :param console: where to; None is stderr. ``NO_COLOR`` turns colour off.
    :param quiet: whether to write nothing but what went wrong in the end.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False) if console is None else console
        self.quiet = quiet
        self._waiting: Status | None = None

    def begin(self, doing: str) -> None:
        """Show what is waited for, until something is written; on a terminal alone."""
        self.over()
        if not self.quiet and self.console.is_interactive and is_terminal(sys.stderr):
            text = Text(shown(f"{doing} ..."), style="dim")
            self._waiting = self.console.status(text, spinner="line", spinner_style="dim")
            self._waiting.start()

    def over(self) -> None:
        """Show it no more."""
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None

    def say(self, text: str = "", style: str = "") -> None:
        """Write a line."""
        if not self.quiet:
            for line in printable(text).split("\n"):
                self._print(Text(), Text(line, style=style))

    def note(self, text: str) -> None:
        """Write what the user ought to know."""
        if not self.quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Write what the user has to know; even if quiet."""
        self._print(self._sign("note"), Text(shown(text)))

    def fail(self, text: str, mend: str = "") -> None:
        """Write what went wrong, and how to mend it; even if quiet."""
        self._print(self._sign("failed"), Text(shown(text, 2_000), style="bold"))
        if mend:
            self._mend(mend)

    def mend(self, text: str) -> None:
        """Write what to do about what was said before."""
        if not self.quiet:
            self._mend(text)

    def _mend(self, text: str) -> None:
        self._print(Text.assemble("  ", self._sign("mend")), Text(shown(text, 2_000)))

    def attempt(self, attempt: Attempt) -> None:
        """Write what became of an attempt that gave no answer."""
        self._line("failed", attempt.model, attempt.summary, attempt.elapsed)

    def served(self, attempt: Attempt) -> None:
        """Write that a model has begun to answer."""
        self._line("served", attempt.model, "answers", attempt.elapsed)

    def waits(self, seconds: float, model: str) -> None:
        """Write that there is a wait before the next model."""
        self._line("waits", "", f"waiting {seconds:g} s, then {model}" if seconds else f"next: {model}", None)

    def _line(self, kind: str, model: str, what: str, seconds: float | None) -> None:
        if self.quiet:
            return
        line = Text()
        if seconds is not None:
            line.append(f"{seconds:.2f} s  ", style="dim")
        if model:
            line.append(shown(model), style="bold").append("  ")
        line.append(shown(what, 2_000), style=SIGNS[kind][2])
        self._print(Text.assemble("  ", self._sign(kind)), line)

    def _sign(self, kind: str) -> Text:
        return sign(self.console, kind).append(" ")

    def _print(self, head: Text, text: Text) -> None:
        self.over()
        hang(self.console, head, text)


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a standard stream is a terminal; one that was closed is None, and is none."""
    return stream is not None and stream.isatty()
