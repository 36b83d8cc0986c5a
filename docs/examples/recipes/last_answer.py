"""A last resort: the answer that the same question had before, as far as this process remembers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping
from typing import Any

from orfallback import Call, Outcome, Scope, Verdict, hookimpl


class LastAnswer:
    """Keeps the last good answer to each question, and gives it when no model answers; it is marked ``degraded``.

    Two questions are the same if all that is sent is: messages and parameters. It learns from whole answers alone, for
    no hook sees the text of a stream; an application that streams can :meth:`keep` what it has read.

    :param most: how many answers are kept; the oldest go first.
    """

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._answers: dict[bytes, str] = {}

    @hookimpl(wrapper=True)
    def orfallback_classify(self, call: Call, outcome: Outcome) -> Generator[None, Verdict | None, Verdict | None]:
        """Keep what is accepted; the verdict is the others'."""
        verdict = yield
        accepted = verdict is None or verdict.scope is Scope.NONE
        if accepted and not call.stream:
            self.keep(call.payload, _text_of(outcome.body))
        return verdict

    def orfallback_exhausted(self, call: Call) -> str | None:
        """Give what was kept; None, if there is nothing, lets the call end with its error."""
        return self._answers.get(_digest(call.payload))

    def keep(self, payload: Mapping[str, Any], text: str) -> None:
        """Keep an answer.

        :param payload: the messages and parameters that it answers, as in ``{"messages": [...], "temperature": 0}``.
        :param text: the answer; "" is none.
        """
        if not text:
            return
        digest = _digest(payload)
        self._answers.pop(digest, None)
        self._answers[digest] = text
        # Threads share it without a lock: an answer more or less does no harm.
        for oldest in list(self._answers)[: -self._most]:
            self._answers.pop(oldest, None)


def _digest(payload: Mapping[str, Any]) -> bytes:
    """Tell questions apart without keeping them."""
    asked = {name: value for name, value in payload.items() if name != "stream_options"}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()


def _text_of(body: Any) -> str:
    """Return the text of an answer that is nothing but text, and whole; else ""."""
    try:
        choice = body["choices"][0]
        whole = choice["finish_reason"] == "stop" and not choice["message"].get("tool_calls")
        text = choice["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return ""
    return text if whole and isinstance(text, str) else ""
