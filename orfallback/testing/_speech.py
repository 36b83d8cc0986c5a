"""What a fake model says, as the events of a stream or as one JSON answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orfallback.testing._payloads import Generation, Json, sse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HELLO = "Hello from the simulator."


@dataclass(frozen=True)
class Speech:
    """A good answer, before it is put in either form.

    :param pieces: the text, as the stream cuts it.
    :param reasoning: text of the reasoning, or None.
    :param tool_calls: tool calls in OpenAI's form.
    :param refusal: text of a refusal, or None.
    :param finish: the finish_reason.
    :param usage: whether usage is told.
    :param done: whether the stream ends with ``[DONE]``.
    :param role_first: whether the stream begins with an empty delta.
    :param empty_choices_usage: whether the usage chunk has no choice, as plain OpenAI servers send it.
    """

    pieces: Sequence[str]
    reasoning: str | None = None
    tool_calls: Sequence[Json] = ()
    refusal: str | None = None
    finish: str | None = "stop"
    usage: bool = True
    done: bool = True
    role_first: bool = True
    empty_choices_usage: bool = False

    def completion(self, generation: Generation) -> Json:
        """The whole answer as one JSON object."""
        text = "".join(self.pieces)
        # Hosts say null, not "", when the answer lies elsewhere.
        message: Json = {"content": text or (None if self.tool_calls or self.refusal else "")}
        if self.reasoning is not None:
            message["reasoning"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = list(self.tool_calls)
        if self.refusal is not None:
            message["refusal"] = self.refusal
        usage = {"usage": self._usage()} if self.usage else {}
        return generation.completion(message, finish=self.finish, **usage)

    def events(self, generation: Generation, line_end: str = "\n") -> Iterator[bytes]:
        """The whole answer as the events of a stream, one at a time."""
        for chunk in self._chunks(generation):
            yield sse(chunk, line_end)
        if self.done:
            yield sse("[DONE]", line_end)

    def _chunks(self, generation: Generation) -> Iterator[Json]:
        if self.role_first:
            yield generation.chunk()
        for delta in self._deltas():
            yield generation.chunk(delta)
        if self.finish is not None:
            yield generation.chunk(finish=self.finish)
        if self.usage:
            chunk = generation.chunk(finish=self.finish, usage=self._usage())
            yield {**chunk, "choices": []} if self.empty_choices_usage else chunk

    def _deltas(self) -> Iterator[Json]:
        if self.reasoning is not None:
            detail = {"type": "reasoning.text", "text": self.reasoning, "index": 0}
            yield {"reasoning": self.reasoning, "reasoning_details": [detail]}
        for piece in self.pieces:
            yield {"content": piece}
        if self.refusal is not None:
            yield {"refusal": self.refusal}
        for index, call in enumerate(self.tool_calls):
            function = call.get("function", {})
            arguments = function.get("arguments", "")
            half = len(arguments) // 2
            first = {**call, "index": index, "function": {**function, "arguments": arguments[:half]}}
            yield {"tool_calls": [first]}
            yield {"tool_calls": [{"index": index, "function": {"arguments": arguments[half:]}}]}

    def _usage(self) -> Json:
        said = len(self.pieces)
        return {"prompt_tokens": 3, "completion_tokens": said, "total_tokens": 3 + said, "cost": 0.00001}


def words(text: str) -> list[str]:
    """Cut text into words, each with the space after it: joined, they are the text again."""
    return re.findall(r"\S+\s*|\s+", text)
