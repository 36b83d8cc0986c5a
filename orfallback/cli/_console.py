"""What is looked at: lines on stderr, with colour where the terminal has it."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console, RenderableType
from rich.text import Text

from orfallback import Attempt
from orfallback._text import clean

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


def output() -> Console:
    """Return the console for data, on stdout: as wide as the terminal; elsewhere without line breaks of its own."""
    console = Console(highlight=False)
    if not console.is_terminal:
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

    def say(self, text: str = "", style: str = "") -> None:
        """Write a line."""
        if not self.quiet:
            self._print(Text(text, style=style))

    def note(self, text: str) -> None:
        """Write what the user ought to know."""
        if not self.quiet:
            self._print(Text.assemble(sign(self.console, "note"), " ", clean(text)))

    def fail(self, text: str, mend: str = "") -> None:
        """Write what went wrong, and how to mend it; even if quiet."""
        self._print(Text.assemble(sign(self.console, "failed"), " ", (clean(text, 2_000), "bold")))
        if mend:
            self._mend(mend)

    def mend(self, text: str) -> None:
        """Write what to do about what was said before."""
        if not self.quiet:
            self._mend(text)

    def _mend(self, text: str) -> None:
        self._print(Text.assemble("  ", sign(self.console, "mend"), " ", clean(text, 2_000)))

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
        line = Text.assemble("  ", sign(self.console, kind), " ")
        if seconds is not None:
            line.append(f"{seconds:.2f} s  ", style="dim")
        if model:
            line.append(model, style="bold").append("  ")
        self._print(line.append(what, style=SIGNS[kind][2]))

    def _print(self, text: Text) -> None:
        # The terminal wraps long lines itself: files and snippets keep theirs whole.
        self.console.print(text, soft_wrap=True)


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a standard stream is a terminal; one that was closed is None, and is none."""
    return stream is not None and stream.isatty()
