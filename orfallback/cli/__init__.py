"""The commands. click and rich are imported here and below, nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from orfallback.cli._demo import demo

# 128 + SIGINT, what shells give a command that Ctrl-C ended.
_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="orfallback")
def cli() -> None:
    """Keep chats alive when an LLM is busy."""


cli.add_command(demo)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    :param arguments: those of the process by default.
    :returns: the exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets a stand-in, not a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        status = cli.main(args=arguments, prog_name="orfallback", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return _INTERRUPTED
    except OSError as error:
        # A full disk behind stdout, say; a reader that left is click's to handle, quietly.
        click.echo(f"orfallback: {error.strerror or error}", err=True)
        return 1
    return status if isinstance(status, int) else 0
