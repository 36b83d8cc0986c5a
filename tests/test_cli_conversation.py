"""A conversation, without a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from orfallback.cli._chat._conversation import Message, converse
from orfallback.cli._console import Narrator
from orfallback.cli._exits import Failed, SetupFailed


class Talk:
    """Answers as told, and remembers what it was asked."""

    def __init__(self, *answers: str | BaseException) -> None:
        self._answers = list(answers)
        self.asked: list[list[str]] = []
        self.heard = ""

    def ask(self, messages: Sequence[Message]) -> None:
        """Take the next answer."""
        self.asked.append([message["content"] for message in messages])
        answer = self._answers.pop(0)
        self.heard = answer if isinstance(answer, str) else ""
        if isinstance(answer, BaseException):
            raise answer


def hold(talk: Talk, *lines: str, system: str = "") -> str:
    """Hold a conversation of these lines, and return what was told."""
    typed = iter(lines)
    file = io.StringIO()

    def read(_: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    first = [{"role": "system", "content": system}] if system else []
    converse(talk, Narrator(Console(file=file)), first, read)
    return file.getvalue()


def test_what_was_said_is_remembered() -> None:
    """Each question goes with all that was said before."""
    talk = Talk("A", "B")
    hold(talk, "one", "two", system="S")
    assert talk.asked == [["S", "one"], ["S", "one", "A", "two"]]


def test_clear_forgets_all_but_the_system_message() -> None:
    """/clear begins anew."""
    talk = Talk("A", "B")
    assert "forgotten" in hold(talk, "one", "/clear", "two", system="S")
    assert talk.asked[-1] == ["S", "two"]


def test_a_message_of_several_lines() -> None:
    """Three quotes begin a message of several lines, and end it."""
    talk = Talk("A", "B", "C")
    hold(talk, '"""one', "", 'two"""', '"""', "three", '"""', '"""four"""')
    assert [asked[-1] for asked in talk.asked] == ["one\n\ntwo", "three", "four"]


def test_a_message_that_got_no_answer_is_forgotten() -> None:
    """A failure is told, and the question can be asked again."""
    talk = Talk(Failed("No model answered"), "A")
    hold(talk, "one", "two")
    assert talk.asked == [["one"], ["two"]]


def test_a_fault_of_the_set_up_ends_it() -> None:
    """What no other message would mend ends the conversation."""
    with pytest.raises(SetupFailed):
        hold(Talk(SetupFailed("no key")), "one", "two")


def test_help_blank_lines_and_the_end() -> None:
    """/help tells the commands; blank lines ask nothing; /quit ends."""
    talk = Talk("A")
    told = hold(talk, "/help", "", "  ", "/etc/passwd is what?", "/quit", "never")
    assert "/clear" in told
    assert talk.asked == [["/etc/passwd is what?"]]
