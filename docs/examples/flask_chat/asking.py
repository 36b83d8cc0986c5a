"""What clients ask, checked before anything is stored or paid for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask_chat.characters import CHARACTERS
from flask_chat.problems import Refusal
from flask_chat.prompts import prompt
from flask_chat.storage import Store
from flask_chat.turns import Frame, Turn
from orfallback import Chain

#: The longest message (characters).
LONGEST = 8_000
#: The largest body of a request, and the largest WebSocket message (bytes): the longest message, escaped as JSON.
LARGEST = 128 * 1024


class Chats:
    """Begins answers: where the database and the chain meet.

    :param chain: whom to ask.
    :param store: the conversations.
    """

    def __init__(self, chain: Chain, store: Store) -> None:
        self._chain = chain
        self.store = store

    def begin(self, conversation: str, asked: dict[str, Any], tell: Callable[[Frame], object] | None = None) -> Turn:
        """Begin the answer to a message, or another one to the last.

        :param conversation: its id.
        :param asked: ``{"text": ...}``, or ``{"regenerate": true}``.
        :param tell: called with the notices; None if nobody can be told.
        :raises Refusal: 400, 404, 409 or 413.
        """
        # First, for once an answer has begun nothing may fail until there is a turn, which ends it.
        character = CHARACTERS[self.store.read(conversation).character]
        if asked.get("regenerate") is True:
            begun = self.store.again(conversation)
        else:
            begun = self.store.ask(conversation, message_in(asked))
        return Turn(self._chain, self.store, begun.answer, prompt(character, begun.history), tell or _nobody)


def _nobody(frame: Frame) -> None:
    """Tell nobody."""


def message_in(asked: dict[str, Any]) -> str:
    """Return the message that a client sends.

    :raises Refusal: 400 or 413.
    """
    text = asked.get("text")
    if not isinstance(text, str) or not text.strip():
        raise Refusal(400, "A message has some text.")
    if len(text) > LONGEST:
        raise Refusal(413, f"A message has at most {LONGEST:,} characters.")
    try:
        text.encode()
    except UnicodeEncodeError:
        # JSON can spell half a character, which neither a database nor a model takes.
        raise Refusal(400, "The message is no text.") from None
    return text


def parse(raw: str | bytes | None) -> dict[str, Any]:
    """Return the JSON object that a client sends.

    :raises Refusal: 400.
    """
    try:
        value = json.loads(raw or "")
    except (ValueError, RecursionError):
        raise Refusal(400, "This is no JSON.") from None
    if not isinstance(value, dict):
        raise Refusal(400, "This is no JSON object.")
    return value
