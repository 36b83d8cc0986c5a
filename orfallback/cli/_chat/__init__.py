"""``orfallback chat``: one question, or a conversation."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from orfallback.cli._chat._conversation import converse
from orfallback.cli._chat._prompt import prompt
from orfallback.cli._chat._talk import Manner, Talk
from orfallback.cli._console import Narrator, is_terminal
from orfallback.cli._options import chain_options
from orfallback.cli._parameters import parameter_option
from orfallback.cli._settings import Settings


@click.command(short_help="Ask a question, or hold a conversation.")
@click.argument("words", metavar="[PROMPT]...", nargs=-1)
@chain_options
@click.option("-s", "--system", metavar="TEXT", help="The system message.")
@parameter_option
@click.option("--stream/--no-stream", default=True, show_default=True, help="Whether to show the answer as it comes.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole reply as JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Tell tokens, cost and times, too.")
@click.option("-q", "--quiet", is_flag=True, help="Tell nothing but what went wrong in the end.")
def chat(
    words: tuple[str, ...], settings: Settings, system: str | None, params: Mapping[str, Any], stream: bool,
    as_json: bool, verbose: bool, quiet: bool,
) -> None:  # fmt: skip
    """Ask PROMPT, and print the answer.

    The answer alone goes to stdout; attempts, and who served, to stderr. Without PROMPT it is read from stdin; in a
    terminal that begins a conversation. "-" in PROMPT stands for what is on stdin.

    \b
    orfallback chat "Why is the sky blue?"
    git diff | orfallback chat "Write a commit message for this:" -
    """
    settings.require_key()
    narrator = Narrator(quiet=quiet)
    first = [{"role": "system", "content": system}] if system else []
    with Talk(settings, narrator, Manner(params, stream, as_json, verbose)) as talk:
        if not words and is_terminal(sys.stdin):
            converse(talk, narrator, first)
        else:
            talk.ask([*first, {"role": "user", "content": prompt(words, narrator)}])
