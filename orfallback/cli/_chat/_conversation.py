"""A conversation in the terminal, which remembers what was said."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from orfallback.cli._console import Narrator, is_terminal
from orfallback.cli._exits import SETUP, Failed

Message = dict[str, Any]

_HELP = """\
/clear  forget what was said
/quit   end, as Ctrl-D does, or Ctrl-C twice
\"""     begins a message of several lines, and ends it
Ctrl-C  stops an answer"""
_ENDS = ("/quit", "/exit", "/bye", "quit", "exit")
_QUOTES = '"""'


class Asks(Protocol):
    """Asks for an answer and shows it.

    :ivar heard: the text of the last answer, as far as it came.
    """

    heard: str

    def ask(self, messages: Sequence[Message]) -> None:
        """Ask, with all of the conversation so far."""


def converse(
    talk: Asks, narrator: Narrator, first: Sequence[Message], read: Callable[[str], str] | None = None
) -> None:
    """Converse until the user ends it.

    A message that got no answer is forgotten, so that it can be given again; an answer that was stopped, or broke,
    stays as far as it came.

    :param talk: asks and shows.
    :param narrator: tells what happens.
    :param first: messages that come before all others.
    :param read: reads a line after a prompt; None reads from the terminal.
    :raises Failed: if the set-up is at fault, which no other message would mend.
    """
    read = _read if read is None else read
    narrator.say("/help tells what you can do; Ctrl-D ends.", "dim")
    said: list[Message] = [*first]
    warned = False
    while True:
        try:
            message = _message(read, narrator)
        except EOFError:
            narrator.say()
            return
        except KeyboardInterrupt:
            # The line is given up; so soon after an answer was stopped, no more was meant.
            if warned:
                raise
            warned = True
            narrator.say("\nCtrl-C once more ends; so does Ctrl-D.", "dim")
            continue
        warned = False
        if message in _ENDS:
            return
        if message == "/help":
            narrator.say(_HELP)
        elif message == "/clear":
            said = [*first]
            narrator.say("What was said is forgotten.", "dim")
        elif re.fullmatch(r"/[a-z]+", message):
            narrator.note(f"There is no {message}; /help tells what there is")
        elif message.strip():
            _exchange(talk, narrator, said, message)


def _exchange(talk: Asks, narrator: Narrator, said: list[Message], message: str) -> None:
    said.append({"role": "user", "content": message})
    try:
        talk.ask(said)
    except KeyboardInterrupt:
        narrator.say()
        narrator.note("stopped")
    except Failed as failed:
        if failed.exit_code == SETUP:
            raise
        failed.show()
    if talk.heard.strip():
        said.append({"role": "assistant", "content": talk.heard})
    else:
        said.pop()


def _message(read: Callable[[str], str], narrator: Narrator) -> str:
    line = read("> ")
    if not line.startswith(_QUOTES):
        return line.strip() if "\n" not in line else line
    lines = [line.removeprefix(_QUOTES)]
    try:
        while not lines[-1].endswith(_QUOTES) or not lines[-1]:
            lines.append(read("… "))
    except EOFError:
        narrator.note("the message was not ended, and is not sent")
        raise
    lines[-1] = lines[-1].removesuffix(_QUOTES)
    return "\n".join(lines).strip("\n")


def _read(prompt: str) -> str:
    """Read a line, with the keys of a shell where Python has them; the prompt goes nowhere but to a terminal."""
    if is_terminal(sys.stdin) and is_terminal(sys.stdout):
        try:
            import readline
        except ImportError:
            pass  # Lines are read all the same.
        else:
            # What is pasted is one message, however many lines it has.
            readline.parse_and_bind("set enable-bracketed-paste on")
        return input(prompt)
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")
