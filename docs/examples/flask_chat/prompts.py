"""What a model is sent of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask_chat.characters import Character
from flask_chat.storage import Message

# Older messages are left out: each one is paid for with every question.
_LATEST = 40
# Put where an answer was cut off.
_CUT = " […]"
_ABOUT_CUTS = "An answer of yours that ends in […] was cut off there, and the user has seen no more of it."


def prompt(character: Character, history: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the messages to send.

    Answers that were cut off are sent as what they are, for the user has read them, too, and may ask about them. What a
    plugin said as a last resort is not: no model said it. Questions that got no answer are joined with the next one, as
    some models take questions and answers in turn alone.

    :param character: who is to speak.
    :param history: the conversation; the question is its last message.
    """
    turns: list[dict[str, Any]] = []
    cut = False
    for message in history[-_LATEST:]:
        text = message.text
        if message.role == "assistant":
            if not text.strip() or message.state == "degraded":
                continue
            if message.state != "complete":
                cut, text = True, text + _CUT
        if turns and turns[-1]["role"] == message.role:
            turns[-1]["content"] += f"\n\n{text}"
        elif turns or message.role == "user":
            turns.append({"role": message.role, "content": text})
    system = f"{character.prompt} {_ABOUT_CUTS}" if cut else character.prompt
    return [{"role": "system", "content": system}, *turns]
