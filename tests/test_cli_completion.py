"""``orfallback completion``: the scripts, and what they offer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orfallback import DEFAULT_MODELS

SCRIPT = Path(sys.executable).with_name("orfallback")
SHELLS = ("bash", "zsh", "fish")


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, where ``orfallback`` is found."""
    path = os.pathsep.join([str(SCRIPT.parent), os.environ["PATH"]])
    return subprocess.run(
        arguments, capture_output=True, text=True, encoding="utf-8", timeout=60,
        env={**os.environ, "PATH": path, **environ},
    )  # fmt: skip


def offered(shell: str, line: str, **environ: str) -> list[str]:
    """Return what a shell is offered for the last word of a line."""
    words = line.split(" ")
    at = words[-1] if shell == "fish" else str(len(words) - 1)
    instruction = f"{shell}_complete"
    done = run("orfallback", COMP_WORDS=line, COMP_CWORD=at, _ORFALLBACK_COMPLETE=instruction, **environ)
    assert (done.returncode, done.stderr) == (0, "")
    if shell == "zsh":
        return done.stdout.splitlines()[1::3]
    return [line.partition(",")[2].partition("\t")[0] for line in done.stdout.splitlines() if line.startswith("plain,")]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_for_each_shell(shell: str) -> None:
    """The script alone is on stdout, and asks the command in the shell's own way."""
    done = run("orfallback", "completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_ORFALLBACK_COMPLETE={shell}_complete" in done.stdout
    if shutil.which(shell):
        assert run(shell, "-n", "-c", done.stdout).returncode == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_is_that_of_the_environment(shell: str) -> None:
    """Without a name the script is for the shell that ``$SHELL`` names."""
    done = run("orfallback", "completion", SHELL=f"/usr/bin/{shell}")
    assert done.returncode == 0
    assert done.stdout == run("orfallback", "completion", shell).stdout


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        (["tcsh"], {}, "'tcsh' is not one of"),
        ([], {"SHELL": "/bin/tcsh"}, "$SHELL is 'tcsh'; name one of bash, zsh, fish"),
        ([], {"SHELL": ""}, "$SHELL is not set; name one of bash, zsh, fish"),
    ],
    ids=["named", "of the environment", "none"],
)
def test_an_unknown_shell(arguments: list[str], environ: dict[str, str], says: str) -> None:
    """A shell that has no script is wrong usage: status 2, and the shells that have one."""
    done = run("orfallback", "completion", *arguments, **environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_the_help_says_what_to_do() -> None:
    """The help holds the line that each shell's own start file wants."""
    told = run("orfallback", "completion", "--help").stdout
    assert 'eval "$(orfallback completion bash)"' in told
    assert 'eval "$(orfallback completion zsh)"' in told
    assert "orfallback completion fish > ~/.config/fish/completions/orfallback.fish" in told


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_offered(shell: str) -> None:
    """Commands, options and choices are completed in each shell."""
    assert offered(shell, "orfallback pl") == ["plugins"]
    assert {"chat", "check"} <= set(offered(shell, "orfallback ch"))
    assert {"demo", "chat", "plugins", "completion"} <= set(offered(shell, "orfallback "))
    assert "--json" in offered(shell, "orfallback plugins --j")
    assert offered(shell, "orfallback completion z") == ["zsh"]


@pytest.mark.parametrize("shell", SHELLS)
def test_models_are_offered(shell: str) -> None:
    """``-m`` offers the models of the environment, then the default ones, each once, that begin as typed."""
    assert offered(shell, "orfallback chat -m ") == list(DEFAULT_MODELS)
    named = f"qwen/qwen-2.5-72b-instruct, {DEFAULT_MODELS[1]},"
    rest = [model for model in DEFAULT_MODELS if model != DEFAULT_MODELS[1]]
    found = offered(shell, "orfallback chat -m ", ORFALLBACK_MODELS=named)
    assert found == ["qwen/qwen-2.5-72b-instruct", DEFAULT_MODELS[1], *rest]
    assert offered(shell, "orfallback chat --model qw", ORFALLBACK_MODELS=named) == ["qwen/qwen-2.5-72b-instruct"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("orfallback pl", ["plugins"]),
        ("orfallback completion fi", ["fish"]),
        ("orfallback chat --no-s", ["--no-stream"]),
        ("orfallback chat -m mistralai/mistral-ne", ["mistralai/mistral-nemo"]),
    ],
)
def test_in_bash(words: str, expected: list[str]) -> None:
    """bash takes the script as the help says, and its completion gives what can follow."""
    lines = (
        'eval "$(orfallback completion bash)"',
        f"COMP_WORDS=({words})",
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))",
        "complete -p orfallback >&2",
        "_orfallback_completion orfallback",
        'printf "%s\\n" "${COMPREPLY[@]}"',
    )
    done = run("bash", "--norc", "-c", "\n".join(lines))
    assert done.stdout.split() == expected
    assert "-F _orfallback_completion orfallback" in done.stderr
