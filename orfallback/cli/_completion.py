"""``orfallback completion``: the script with which a shell completes commands and options."""

from __future__ import annotations

import os
from pathlib import PurePath

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

_SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
_PROGRAM = "orfallback"
# Where click looks for what the script asks.
_VARIABLE = "_ORFALLBACK_COMPLETE"


@click.command(short_help="Print a script for shell completion.")
@click.argument("shell", type=click.Choice([*_SHELLS]), metavar="[bash|zsh|fish]", required=False)
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print a script that completes commands, options and models.

    Without a name it is for the shell that $SHELL names. To have it in every new shell:

    \b
    bash, in ~/.bashrc:
        eval "$(orfallback completion bash)"
    zsh, in ~/.zshrc, after compinit:
        eval "$(orfallback completion zsh)"
    fish, once:
        orfallback completion fish > ~/.config/fish/completions/orfallback.fish
    """
    made = _SHELLS[shell or _own_shell()]
    click.echo(made(ctx.find_root().command, {}, _PROGRAM, _VARIABLE).source())


def _own_shell() -> str:
    name = PurePath(os.environ.get("SHELL", "")).name
    if name not in _SHELLS:
        known = f"$SHELL is {name!r}" if name else "$SHELL is not set"
        raise click.UsageError(f"which shell is it for? {known}; name one of {', '.join(_SHELLS)}")
    return name
