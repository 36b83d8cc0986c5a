"""The commands. click and rich are imported here and below, nowhere else."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import TextIO

import click

from orfallback._text import printable
from orfallback.cli._exits import INTERRUPTED, OK, Failed

# In the order in which they are told of: what one begins with comes first.
_COMMANDS = (
    "demo", "chat", "check", "doctor", "explain", "plugins", "report", "top", "run", "serve", "simulate", "completion",
)  # fmt: skip


class _Lazy(click.Group):
    """A group whose commands are imported when they are asked for: ``--version`` pays for none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"orfallback.cli._{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
        if args[0] not in _COMMANDS and near:
            ctx.fail(f"there is no command {args[0]!r}; did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="orfallback")
def cli() -> None:
    """Keep chats alive when an LLM is busy."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    :param arguments: those of the process by default.
    :returns: the exit status: 0 done, 1 failed, 2 wrong usage, 3 not set up, 130 interrupted.
    """
    status = _status_of(arguments)
    for stream in (sys.stdout, sys.stderr):
        status = _let_go(stream, status)
    return status


def _let_go(stream: TextIO | None, status: int) -> int:
    """Write what is left in a stream's buffer, and return the status that this leaves.

    Python would try once more at its end, complain, and end with 120.
    """
    if stream is None:
        return status
    try:
        stream.flush()
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        if status == OK and not isinstance(error, BrokenPipeError):
            return _told(_unwritten(error))
    return status


def _status_of(arguments: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets a stand-in, not a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        if sys.stdout is None:
            raise Failed("stdout is closed: there is nowhere to write to")
        status = cli.main(args=arguments, prog_name="orfallback", standalone_mode=False)
    except click.ClickException as error:
        return _told(error)
    except click.Abort:
        return INTERRUPTED
    except OSError as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            # Nobody reads stderr, where click would have ended the line that Ctrl-C struck.
            return INTERRUPTED
        # A full disk behind stdout, say; a reader that left is click's to handle, quietly.
        return _told(_unwritten(error))
    return status if isinstance(status, int) else OK


def _unwritten(error: OSError | ValueError) -> Failed:
    return Failed(f"What was to be written could not be: {getattr(error, 'strerror', None) or error}")


def _told(error: click.ClickException) -> int:
    """Tell an error where that can be, and return its exit status."""
    told = io.StringIO()
    with contextlib.suppress(OSError, AttributeError):
        error.show(told)
        # What was typed, and is told again, may have been pasted.
        sys.stderr.write(printable(told.getvalue()))
    return error.exit_code
