"""How a command ends: the exit statuses, and the errors that lead to them."""

from __future__ import annotations

from typing import IO, Any

import click

from orfallback.cli._console import Narrator

OK = 0
FAILED = 1
SETUP = 3
#: 128 + SIGINT, what shells give a command that Ctrl-C ended.
INTERRUPTED = 130


class Failed(click.ClickException):
    """A command failed: one sentence, and how to mend it.

    :param message: what went wrong.
    :param mend: what to do about it; "" if nothing can be said.
    """

    exit_code = FAILED

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.mend = mend

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it on stderr."""
        Narrator().fail(self.message, self.mend)


class SetupFailed(Failed):
    """Something has to be set up first: the configuration, the key, the credit."""

    exit_code = SETUP
