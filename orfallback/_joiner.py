"""Joins the chunks of a stream into the reply that the same answer would have been without streaming; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orfallback._reply import choices, has_content, has_reasoning, index_of, part, text_of, text_or_none
from orfallback._types import Json


class Joiner:
    """Joins the chunks of a stream into the reply that the same answer would have been without streaming."""

    __slots__ = ("_choices", "_texts", "_top", "finish_reason", "finished", "spoke")

    def __init__(self) -> None:
        self._top: Json = {}
        self._choices: dict[int, _Choice] = {}
        self._texts: list[str] = []
        #: The finish reason of the first choice that told one.
        self.finish_reason: str | None = None
        #: Whether every choice seen so far told its finish reason.
        self.finished = False
        #: Whether anything that a user asked for came: not reasoning alone.
        self.spoke = False

    def add(self, chunk: Json) -> bool:
        """Take one chunk in.

        :returns: whether it carries content or reasoning: progress, which role deltas and empty ones are not.
        """
        for key, value in chunk.items():
            if key != "choices" and value is not None:
                self._top[key] = value
        progress = False
        for choice in choices(chunk):
            index = index_of(choice)
            joined = self._choices.get(index)
            if joined is None:
                joined = self._choices[index] = _Choice(index)
                self.finished = False
            text = joined.add(choice)
            if text and index == 0:
                self._texts.append(text)
            if choice.get("finish_reason"):
                self.finish_reason = self.finish_reason or joined.finish_reason
                self.finished = all(other.finish_reason for other in self._choices.values())
        if has_content(chunk):
            self.spoke = progress = True
        return progress or has_reasoning(chunk)

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

    __slots__ = ("_arguments", "_message", "_strings", "_tools", "_top")

    def __init__(self, index: int) -> None:
        self._top: Json = {"index": index, "finish_reason": None}
        self._message: Json = {"role": "assistant", "content": None}
        self._strings: dict[str, list[str]] = {}
        self._tools: dict[int, Json] = {}
        self._arguments: dict[int, list[str]] = {}

    @property
    def finish_reason(self) -> str | None:
        return text_or_none(self._top["finish_reason"])

    def add(self, choice: Json) -> str:
        for key, value in choice.items():
            if key not in ("index", "delta", "message") and value not in (None, ""):
                self._top[key] = value
        text = ""
        for key, value in part(choice).items():
            if value is None:
                continue
            if key == "content":
                text = text_of({key: value})
                self._strings.setdefault(key, []).append(text)
            elif key in ("reasoning", "reasoning_content", "refusal") and isinstance(value, str):
                self._strings.setdefault(key, []).append(value)
            elif key == "tool_calls" and isinstance(value, list):
                self._add_tools(value)
            elif isinstance(value, list):
                found = self._message.get(key)
                # A list of our own from the first on, so that joining stays linear.
                self._message[key] = found if isinstance(found, list) else []
                self._message[key].extend(value)
            elif key == "audio" and isinstance(value, dict) and isinstance(self._message.get(key), dict):
                _merge(self._message[key], value, ("data", "transcript"))
            else:
                self._message[key] = dict(value) if isinstance(value, dict) else value
        return text

    def _add_tools(self, calls: Iterable[Any]) -> None:
        for call in calls:
            if not isinstance(call, dict):
                continue
            index = call.get("index")
            index = index if isinstance(index, int) else len(self._tools)
            tool = self._tools.setdefault(index, {})
            function = call.get("function")
            for key, value in function.items() if isinstance(function, dict) else ():
                if key == "arguments" and isinstance(value, str):
                    self._arguments.setdefault(index, []).append(value)
                elif value is not None:
                    tool.setdefault("function", {})[key] = value
            for key, value in call.items():
                if key not in ("index", "function") and value is not None:
                    tool[key] = value

    def body(self) -> Json:
        message = dict(self._message)
        for key, pieces in self._strings.items():
            if any(pieces) or key == "content":
                message[key] = "".join(pieces)
        if self._tools:
            for index, pieces in self._arguments.items():
                self._tools[index].setdefault("function", {})["arguments"] = "".join(pieces)
            message["tool_calls"] = [self._tools[index] for index in sorted(self._tools)]
            message["content"] = message["content"] or None
        return {**self._top, "message": message}


def _merge(into: Json, more: Json, appended: tuple[str, ...]) -> None:
    for key, value in more.items():
        if value is None:
            continue
        if key in appended and isinstance(value, str) and isinstance(into.get(key), str):
            into[key] += value
        else:
            into[key] = value
