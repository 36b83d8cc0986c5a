"""Asks the chain, writes the answer on stdout, and what happens on stderr."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orfallback import Completion, DeadlineExceeded, FallbackError, Reason, StreamInterrupted, _reply
from orfallback._usage import cost_of
from orfallback.cli._advice import advise
from orfallback.cli._chat._answer import Answer
from orfallback.cli._console import Narrator, counted, span
from orfallback.cli._exits import Failed, SetupFailed
from orfallback.cli._settings import Settings
from orfallback.cli._shown import shown
from orfallback.cli._watching import Telling, Witness

# What to do about a request that was refused for what it is.
_MENDS = {
    Reason.INVALID_REQUEST: "The request itself was refused: look at -p, and at the prompt",
    Reason.CONTEXT_LENGTH: "The prompt, with what was said before, is too long; shorten it, or ask others with -m",
    Reason.MODERATED: "A filter refused it; another wording, or another model, may pass",
    Reason.UNSUPPORTED: "None of these models takes such a request; ask others with -m, or leave out what -p says",
}


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
            # For people it is laid out, for programs it is one line.
            answer.write(
                json.dumps(_reply.finite(completion.json()), ensure_ascii=False, indent=2 if answer.terminal else None)
            )
        answer.end()
        self._tell(completion)

    def _asked(self, messages: Sequence[Mapping[str, Any]], answer: Answer) -> Completion:
        as_text = not self._manner.as_json
        if not self._manner.stream:
            completion = self._chain.complete(messages, **self._manner.params)
            self.heard = completion.text
            answer.write(completion.text if as_text else "")
            return completion
        with self._chain.stream(messages, **self._manner.params) as stream:
            for text in stream.iter_text():
                self.heard += text
                answer.write(text if as_text else "")
            return stream.read()

    def _tell(self, completion: Completion) -> None:
        if completion.degraded:
            self._narrator.warn("No model answered; this is the last resort of a plugin")
        if completion.finish_reason == "length":
            self._narrator.warn("The answer was cut off at its longest (finish_reason length); see -p max_tokens=...")
        elif completion.finish_reason == "content_filter":
            self._narrator.warn("A filter cut the answer off (finish_reason content_filter)")
        if completion.refusal:
            self._narrator.warn(f"The model refused: {completion.refusal}")
        elif not completion.text.strip() and not self._manner.as_json:
            self._narrator.warn(f"No text came, but {counted(len(completion.tool_calls), 'tool call')}; see --json")
        if self._manner.verbose:
            self._narrator.say(f"  {described(completion)}", "dim")

    def _failed(self, error: FallbackError) -> Failed:
        advice = advise(self._witness.failures, self._settings, self._settings.closest)
        if advice is not None:
            return SetupFailed(*advice)
        hope = "" if error.reason is None else _MENDS.get(error.reason, "")
        if error.retry_after is not None:
            hope = f"Worth another try in {span(error.retry_after)}"
        if self._narrator.quiet:
            # Nothing was told of the attempts: the error tells all.
            return Failed(f"{error}"[:1].upper() + f"{error}"[1:])
        count = len(error.attempts)
        end = "The deadline came before an answer" if isinstance(error, DeadlineExceeded) else "No model answered"
        return Failed(f"{end} ({counted(count, 'attempt')})", hope)


def _broken(error: StreamInterrupted) -> Failed:
    last = error.attempts[-1]
    told = f"The stream from {last.model} broke after {len(error.text)} characters: {last.summary}"
    return Failed(told, "What came is not the whole answer; ask again")


def described(completion: Completion) -> str:
    """Return who served, and what it took, on one line."""
    # A last resort was served by no model: the times of an attempt that failed are not its own.
    attempt = None if completion.degraded else completion.attempts[-1]
    usage = completion.usage or {}
    parts = ["the last resort of a plugin" if attempt is None else shown(completion.model, 256)]
    if completion.provider:
        parts.append(f"by {shown(completion.provider, 100)}")
    for name, way in (("prompt_tokens", "in"), ("completion_tokens", "out")):
        if isinstance(usage.get(name), int):
            parts.append(f"{counted(usage[name], 'token')} {way}")
    cost = cost_of(usage)
    if cost is not None:
        parts.append(f"${cost:.6f}")
    if attempt is not None:
        if attempt.first_token is not None:
            parts.append(f"first token {attempt.first_token:.2f} s")
        parts.append(f"{attempt.elapsed:.2f} s in all")
    if completion.id:
        parts.append(shown(str(completion.id), 100))
    return ", ".join(parts)
