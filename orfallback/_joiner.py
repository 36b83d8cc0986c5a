"""Joins the chunks of a stream into the reply that the same answer would have been without streaming; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orfallback._reply import (
    choices,
    delta_of,
    finish_of,
    index_of,
    reasons,
    speaks,
    text_of,
    text_or_none,
    tool_calls_of,
)
from orfallback._types import Json

# Of a choice what is joined, and of a delta which texts are.
_PARTS = frozenset({"index", "delta", "message"})
_TEXTS = frozenset({"reasoning", "reasoning_content", "refusal"})


class Joiner:
    """Joins the chunks of a stream into the reply that the same answer would have been without streaming."""

    __slots__ = ("_choices", "_noted", "_texts", "_top", "began", "finish_reason", "finished", "spoke")

    def __init__(self) -> None:
        self._top: Json = {}
        # The chunk whose top was the last to be taken in.
        self._noted: Json = {}
        self._choices: dict[int, _Choice] = {}
        self._texts: list[str] = []
        #: The finish reason of the first choice that told one.
        self.finish_reason: str | None = None
        #: Whether every choice seen so far told its finish reason.
        self.finished = False
        #: Whether anything that a user asked for came, and whether that or reasoning did.
        self.spoke = False
        self.began = False

    def add(self, chunk: Json) -> bool:
        """Take one chunk in.

        :returns: whether it carries anything, white space included: role deltas and empty ones are no progress.
        """
        self._note_top(chunk)
        progress = False
        for choice in choices(chunk):
            index = index_of(choice)
            joined = self._choices.get(index)
            if joined is None:
                joined = self._choices[index] = _Choice(index)
                self.finished = False
            said = delta_of(choice, spoke=joined.spoke)
            text = joined.add(choice, said)
            if text and index == 0:
                self._texts.append(text)
            progress = progress or bool(text) or speaks(said) or reasons(said)
            self.spoke = self.spoke or speaks(said)
            self.began = self.began or self.spoke or reasons(said)
            if finish_of(choice) is not None:
                self.finish_reason = self.finish_reason or joined.finish_reason
                self.finished = all(other.finish_reason for other in self._choices.values())
        return progress

    def add_text(self, like: Json, text: str) -> bool:
        """Take a chunk in that adds text to choice 0 and tells nothing else, in the middle of an answer.

        :param like: a chunk that is the same but for its text: the same one for many of them, if need be.
        :param text: what :func:`~orfallback._reply.plain_text` says of the chunk.
        :returns: whether it was; if not, :meth:`add` does it.
        """
        joined = self._choices.get(0)
        if not text or joined is None or not (joined.spoke and self.spoke) or self.finished:
            return False
        if like is not self._noted:
            self._note_top(like)
        joined.add_text(text)
        self._texts.append(text)
        return True

    def _note_top(self, chunk: Json) -> None:
        self._noted = chunk
        top = self._top
        for key, value in chunk.items():
            if value is not None and key != "choices":
                top[key] = value

    @property
    def text(self) -> str:
        """The text of choice 0 so far."""
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        return self._texts[0] if self._texts else ""

    @property
    def model(self) -> str | None:
        """The model that the chunks name, or None."""
        return text_or_none(self._top.get("model"))

    @property
    def usage(self) -> Json | None:
        """The usage object, or None."""
        usage = self._top.get("usage")
        return usage if isinstance(usage, dict) else None

    def body(self) -> Json:
        """Return the reply joined so far."""
        joined = [self._choices[index].body() for index in sorted(self._choices)]
        return {**self._top, "object": "chat.completion", "choices": joined}


class _Choice:
    """One choice being joined: strings of the same name are put together, the last of anything else is kept."""

    __slots__ = ("_message", "_strings", "_tools", "_top", "spoke")

    def __init__(self, index: int) -> None:
        self._top: Json = {"index": index, "finish_reason": None}
        self._message: Json = {"role": "assistant", "content": None}
        self._strings: dict[str, list[str]] = {}
        self._tools = _Tools()
        #: Whether it has had text.
        self.spoke = False

    @property
    def finish_reason(self) -> str | None:
        return finish_of(self._top)

    def add(self, choice: Json, said: Mapping[str, Any]) -> str:
        for key, value in choice.items():
            if value is None or key in _PARTS:
                continue
            if key == "logprobs" and isinstance(value, dict):
                known = self._top.get(key)
                self._top[key] = joined = known if isinstance(known, dict) else {}
                _extend(joined, value)
            elif value not in ("", "null"):
                self._top[key] = value
        text = ""
        for key, value in said.items():
            if value is None:
                continue
            if key == "content":
                text = value if isinstance(value, str) else text_of(said)
                self._strings.setdefault(key, []).append(text)
                self.spoke = self.spoke or bool(text)
            else:
                self._add_other(key, value)
        calls = tool_calls_of(said)
        if calls:
            self._tools.add(calls)
        return text

    def add_text(self, text: str) -> None:
        self._strings["content"].append(text)

    def _add_other(self, key: str, value: Any) -> None:
        known = self._message.get(key)
        if isinstance(value, str) and key in _TEXTS:
            self._strings.setdefault(key, []).append(value)
        elif isinstance(value, str) and key != "tool_calls":
            self._message[key] = value
        elif isinstance(value, list) and key != "tool_calls":
            # A list of our own from the first on, so that joining stays linear.
            self._message[key] = known if isinstance(known, list) else []
            self._message[key].extend(value)
        elif key in ("audio", "function_call") and isinstance(value, dict) and isinstance(known, dict):
            _merge(known, value, ("data", "transcript", "arguments"))
        elif key != "tool_calls":
            self._message[key] = dict(value) if isinstance(value, dict) else value

    def body(self) -> Json:
        message = dict(self._message)
        for key, pieces in self._strings.items():
            if any(pieces) or key == "content":
                message[key] = "".join(pieces)
        tools = self._tools.joined()
        if tools:
            message["tool_calls"] = tools
            message["content"] = message["content"] or None
        return {**self._top, "message": message}


class _Tools:
    """Tool calls being joined: a call's pieces are told together by ``index``, or come one after the other."""

    __slots__ = ("_arguments", "_at", "_calls")

    def __init__(self) -> None:
        self._calls: list[Json] = []
        self._arguments: list[list[str]] = []
        # Which call the pieces of an index belong to now.
        self._at: dict[int, int] = {}

    def add(self, pieces: Any) -> None:
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict):
                self._add(piece, self._place(piece))

    def _place(self, piece: Json) -> int:
        index, own = piece.get("index"), piece.get("id")
        function = piece.get("function")
        if not isinstance(index, int):
            named = own or piece.get("name") or (isinstance(function, dict) and function.get("name"))
            return self._begin() if named or not self._calls else len(self._calls) - 1
        place = self._at.get(index)
        # Some bridges give every call the index 0: another id is another call.
        if place is None or (own and self._calls[place].get("id") not in (None, own)):
            place = self._at[index] = self._begin()
        return place

    def _begin(self) -> int:
        self._calls.append({})
        self._arguments.append([])
        return len(self._calls) - 1

    def _add(self, piece: Json, place: int) -> None:
        call, function = self._calls[place], piece.get("function")
        for key, value in function.items() if isinstance(function, dict) else ():
            if key == "arguments" and isinstance(value, str):
                self._arguments[place].append(value)
            elif value is not None:
                call.setdefault("function", {})[key] = value
        for key, value in piece.items():
            if key not in ("index", "function") and value is not None:
                call[key] = value

    def joined(self) -> list[Json]:
        for call, pieces in zip(self._calls, self._arguments, strict=True):
            if pieces:
                call.setdefault("function", {})["arguments"] = "".join(pieces)
        return self._calls


def _extend(into: Json, more: Json) -> None:
    """Put the lists of the same name together; of anything else keep the last."""
    for key, value in more.items():
        if isinstance(value, list) and isinstance(into.get(key), list):
            into[key].extend(value)
        elif value is not None:
            into[key] = list(value) if isinstance(value, list) else value


def _merge(into: Json, more: Json, appended: tuple[str, ...]) -> None:
    for key, value in more.items():
        if value is None:
            continue
        if key in appended and isinstance(value, str) and isinstance(into.get(key), str):
            into[key] += value
        else:
            into[key] = value
