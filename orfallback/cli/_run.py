"""``orfallback run``: any Python program with fallback, by environment alone."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from orfallback import Chain, bootstrap
from orfallback.cli._exits import SetupFailed
from orfallback.cli._options import base_url_option, deadline_option, delay_option, key_option, model_option
from orfallback.cli._settings import Settings


@click.command(
    short_help="Run a program with fallback, unchanged.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@model_option
@base_url_option
@key_option
@deadline_option
@delay_option
@click.pass_context
@click.argument("program", nargs=-1, type=click.UNPROCESSED, required=True, metavar="-- PROGRAM [ARGUMENT]...")
def run(
    context: click.Context,
    program: tuple[str, ...],
    models: tuple[str, ...],
    base_url: str | None,
    key_env: str | None,
    deadline: float | None,
    delay: float | None,
) -> None:
    """Run a Python program whose requests fall back, with no line of it changed.

    Every request that it, and the processes that it starts, send to the endpoint through requests is guarded. Python's
    options -I, -E and -S leave the environment unread, and the program without fallback.

    \b
    orfallback run -- python app.py
    orfallback run -m openai/gpt-4o -m mistralai/mistral-small -- gunicorn app:application
    orfallback run -- -m my_package
    """
    if program[0].startswith("-") and program[0] != "-m":
        raise click.NoSuchOption(program[0], possibilities=_near(program[0], context))
    settings = Settings.of_process(
        models=models, base_url=base_url, key_variable=key_env, deadline=deadline, delay=delay
    )
    environ = dict(settings.environ)
    try:
        Chain.from_env(environ).close()
    except (ValueError, LookupError) as error:
        raise SetupFailed(str(error)) from None
    folder = str(Path(bootstrap.__file__ or "").parent)
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
    command = _command(program)
    if program[0].endswith(".py") and not Path(program[0]).exists():
        raise SetupFailed(f"there is no file {program[0]}")
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], command, environ)  # noqa: S606 - it is what the user typed
    except OSError as error:
        raise SetupFailed(f"{command[0]} cannot be run: {error.strerror}") from None


def _near(option: str, context: click.Context) -> list[str]:
    """Return the options that may be meant."""
    known = [name for parameter in context.command.params for name in parameter.opts if name.startswith("-")]
    return difflib.get_close_matches(option, known)


def _command(program: Sequence[str]) -> list[str]:
    """Return what to run: a program, or a module or file of Python's."""
    if program[0] == "-m" or program[0].endswith(".py"):
        return [sys.executable, *program]
    return list(program)
