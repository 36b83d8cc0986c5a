"""The answer, on stdout: as it came where it is kept, made harmless where it is looked at."""

from __future__ import annotations

import sys

from orfallback._text import printable
from orfallback.cli._console import is_terminal


class Answer:
    """Writes pieces of text on stdout as they come.

    Into a file or a pipe they go as they are; a terminal gets no control characters, which could make it show
    something else than what was said.

    :ivar terminal: whether it is looked at.
    """

    def __init__(self) -> None:
        self.terminal = is_terminal(sys.stdout)
        self._last = "\n"

    def write(self, text: str) -> None:
        """Write a piece."""
        if self.terminal:
            text = printable(text)
        if text:
            self._last = text[-1]
            sys.stdout.write(text)
            sys.stdout.flush()

    def end(self) -> None:
        """End the line, if the answer did not."""
        if self._last != "\n":
            self.write("\n")
