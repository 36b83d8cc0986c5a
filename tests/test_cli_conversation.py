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


def test_ctrl_c_gives_up_a_line_and_twice_ends() -> None:
    """Ctrl-C at the prompt gives up the line and says how to end; a second one in a row ends."""
    talk = Talk("A")
    told = io.StringIO()
    keys: list[str | type[BaseException]] = [KeyboardInterrupt, "one", KeyboardInterrupt, KeyboardInterrupt, "never"]

    def read(_: str) -> str:
        key = keys.pop(0)
        if isinstance(key, str):
            return key
        raise key

    with pytest.raises(KeyboardInterrupt):
        converse(talk, Narrator(Console(file=told)), [], read)
    assert talk.asked == [["one"]]
    assert told.getvalue().count("Ctrl-C once more ends") == 2


@pytest.mark.parametrize("word", ["/foo", "/retry"])
def test_a_command_that_there_is_not(word: str) -> None:
    """A word with a slash that is no command is told as such, and asks nobody."""
    talk = Talk()
    assert f"There is no {word}" in hold(talk, word)
    assert talk.asked == []


@pytest.mark.parametrize("word", ["quit", "exit", "/quit", "/exit", "/bye"])
def test_ways_to_end(word: str) -> None:
    """What people type to end ends."""
    talk = Talk()
    hold(talk, word, "never")
    assert talk.asked == []


def test_a_message_that_is_not_ended() -> None:
    """A message of several lines that Ctrl-D breaks off is told not to be sent."""
    talk = Talk()
    assert "the message was not ended, and is not sent" in hold(talk, '"""one', "two")
    assert talk.asked == []


def test_what_was_pasted_is_one_message() -> None:
    """Several lines in one go are one message, as they are."""
    talk = Talk("A")
    hold(talk, "one\n  two\n")
    assert talk.asked == [["one\n  two\n"]]
