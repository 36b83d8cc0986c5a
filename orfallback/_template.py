"""A chunk that differs from an earlier one in nothing but its text is not decoded anew; pure.

Nearly all chunks of a stream are such ones, and decoding is most of what an event costs. It is exact, since JSON is
read from left to right (RFC 8259 section 7): up to the end of a template's head two chunks are the same, and a string
is open there. A text without a quote, a backslash or a control character leaves it open, and the tail begins with the
quote that closes it.
"""

from __future__ import annotations

import re

from orfallback import _reply
from orfallback._types import Json

# Compiled (and kept by ``re``) when first used.
_CONTENT = r'"content"\s*:\s*"'
_SCALARS = (str, int, float, type(None))


class Template:
    """A chunk that adds text, and where in its JSON the text is.

    :ivar chunk: such a chunk, which nobody else has.
    """

    __slots__ = ("_choice", "_delta", "_head", "_tail", "chunk")

    def __init__(self, chunk: Json, head: str, tail: str) -> None:
        self.chunk = chunk
        self._head = head
        self._tail = tail
        self._choice: Json = chunk["choices"][0]
        self._delta: Json = self._choice["delta"]

    @classmethod
    def of(cls, data: str, chunk: Json, text: str) -> Template | None:
        """Return the template that a chunk is; None if it would not be exact, or not be worth it.

        :param data: the chunk's JSON.
        :param chunk: what that is when it is decoded.
        :param text: what :func:`~orfallback._reply.plain_text` says of it.
        """
        place = re.search(_CONTENT, data)
        if not text or place is None or not data.startswith(f'{text}"', place.end()):
            return None
        choice = chunk["choices"][0]
        # What a chunk shares with the template is to be nothing that its reader can change.
        rest = [chunk[key] for key in chunk if key != "choices"] + [choice[key] for key in choice if key != "delta"]
        if not all(isinstance(value, _SCALARS) for value in rest):
            return None
        head, tail = data[: place.end()], data[place.end() + len(text) :]
        # There may be several "content", and keys can be spelt with escapes: it has to be the one that counts.
        probe = f"{text}x"
        own = _reply.decode(f"{head}{probe}{tail}")
        return cls(own, head, tail) if _reply.plain_text(own) == probe else None

    def text_in(self, data: str) -> str:
        """Return the text of a chunk's JSON, if it differs from this one in nothing else; "" if it may."""
        head, tail = self._head, self._tail
        if not (data.startswith(head) and data.endswith(tail)):
            return ""
        text = data[len(head) : len(data) - len(tail)]
        if '"' in text or "\\" in text or not text.isprintable() or text.isspace():
            return ""
        return text

    def with_text(self, text: str) -> Json:
        """Return a chunk like this one with another text."""
        return {**self.chunk, "choices": [{**self._choice, "delta": {**self._delta, "content": text}}]}
