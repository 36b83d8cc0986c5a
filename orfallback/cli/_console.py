"""What is looked at: lines on stderr, with colour where the terminal has it."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from orfallback import Attempt

#: A word says it, too: never colour or sign alone.
_SIGNS = {"failed": ("✗", "x", "red"), "served": ("✓", "+", "green"), "waits": ("·", "-", "dim")}


class Narrator:
    """Writes what happens on stderr; stdout is for the answer.

    :param console: where to; None is stderr. ``NO_COLOR`` turns colour off.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = Console(stderr=True, highlight=False) if console is None else console

    def say(self, text: str = "", style: str = "") -> None:
        """Write a line."""
        # The terminal wraps long lines itself: files and snippets keep theirs whole.
        self.console.print(Text(text, style=style), soft_wrap=True)

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
        sign, plain, style = _SIGNS[kind]
        sign = sign if "utf" in self.console.encoding.lower() else plain
        line = Text.assemble("  ", (sign, style), " ")
        if seconds is not None:
            line.append(f"{seconds:.2f} s  ", style="dim")
        if model:
            line.append(model, style="bold").append("  ")
        line.append(what, style=style)
        self.console.print(line, soft_wrap=True)
