"""Asks the chain, writes the answer on stdout, and what happens on stderr."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orfallback import Completion, DeadlineExceeded, FallbackError, StreamInterrupted
from orfallback._text import clean
from orfallback.cli._advice import advise
from orfallback.cli._chat._answer import Answer
from orfallback.cli._console import Narrator
from orfallback.cli._exits import Failed, SetupFailed
from orfallback.cli._settings import Settings
from orfallback.cli._watching import Telling, Witness


class Manner(NamedTuple):
    """How to ask, and what to show.

    :ivar params: parameters of every call.
    :ivar stream: whether to show the answer as it comes.
    :ivar as_json: whether to show the whole reply as JSON instead of its text.
    :ivar verbose: whether to tell tokens, cost and times.
    """

    params: Mapping[str, Any]
    stream: bool = True
    as_json: bool = False
    verbose: bool = False


class Talk:
    """Asks a chain of its own.

    :param settings: what the chain is made of.
    :param narrator: tells what happens.
    :param manner: how to ask, and what to show.
    :ivar heard: the text of the last answer, as far as it came.
    """

    def __init__(self, settings: Settings, narrator: Narrator, manner: Manner) -> None:
        self._settings = settings
        self._narrator = narrator
        self._manner = manner
        self._witness = Witness()
        self._chain = settings.chain(self._witness, Telling(narrator))
        self.heard = ""

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self._chain.close()

    def ask(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Ask, and write the answer on stdout.

        :param messages: all of the conversation.
        :raises Failed: if there is no answer, or half of one.
        """
        answer = Answer()
        self.heard = ""
        try:
            completion = self._asked(messages, answer)
        except StreamInterrupted as error:
            answer.end()
            raise _broken(error) from None
        except FallbackError as error:
            raise self._failed(error) from None
        if self._manner.as_json:
            answer.write(json.dumps(completion.json(), ensure_ascii=False))
        answer.end()
        self._tell(completion)

    def _asked(self, messages: Sequence[Mapping[str, Any]], answer: Answer) -> Completion:
        shown = not self._manner.as_json
        if not self._manner.stream:
            completion = self._chain.complete(messages, **self._manner.params)
            self.heard = completion.text
            answer.write(completion.text if shown else "")
            return completion
        with self._chain.stream(messages, **self._manner.params) as stream:
            for text in stream.iter_text():
                self.heard += text
                answer.write(text if shown else "")
            return stream.read()

    def _tell(self, completion: Completion) -> None:
        if completion.finish_reason == "length":
            self._narrator.note("The answer was cut off at its longest (finish_reason length); see -p max_tokens=...")
        elif completion.finish_reason == "content_filter":
            self._narrator.note("A filter cut the answer off (finish_reason content_filter)")
        if not completion.text.strip() and not self._manner.as_json:
            self._narrator.note(f"No text came, but {len(completion.tool_calls)} tool calls; --json shows them")
        if self._manner.verbose:
            self._narrator.say(f"  {described(completion)}", "dim")

    def _failed(self, error: FallbackError) -> Failed:
        advice = advise(self._witness.failures, self._settings, self._settings.closest)
        if advice is not None:
            return SetupFailed(*advice)
        hope = f"Worth another try in {error.retry_after:.3g} s" if error.retry_after is not None else ""
        if self._narrator.quiet:
            # Nothing was told of the attempts: the error tells all.
            return Failed(f"{error}"[:1].upper() + f"{error}"[1:])
        count = len(error.attempts)
        end = "The deadline came before an answer" if isinstance(error, DeadlineExceeded) else "No model answered"
        return Failed(f"{end} ({count} attempt{'' if count == 1 else 's'})", hope)


def _broken(error: StreamInterrupted) -> Failed:
    last = error.attempts[-1]
    told = f"The stream from {last.model} broke after {len(error.text)} characters: {last.summary}"
    return Failed(told, "What came is not the whole answer; ask again")


def described(completion: Completion) -> str:
    """Return who served, and what it took, on one line."""
    attempt = completion.attempts[-1] if completion.attempts else None
    usage = completion.usage or {}
    parts = [clean(completion.model, 256)]
    if completion.provider:
        parts.append(f"by {clean(completion.provider, 100)}")
    for name, what in (("prompt_tokens", "tokens in"), ("completion_tokens", "tokens out")):
        if isinstance(usage.get(name), int):
            parts.append(f"{usage[name]} {what}")
    if isinstance(usage.get("cost"), (int, float)):
        parts.append(f"${usage['cost']:.6f}")
    if attempt is not None:
        if attempt.first_token is not None:
            parts.append(f"first token {attempt.first_token:.2f} s")
        parts.append(f"{attempt.elapsed:.2f} s in all")
    if completion.id:
        parts.append(clean(str(completion.id), 100))
    return ", ".join(parts)
