"""Takes what is private out of a body that a server sent back; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from orfallback._request import Request
from orfallback._secret import PERSONAL, TELLING

# A shorter key is a dummy, and a shorter message a word, that may stand anywhere (characters).
_SHORTEST = 8
_NONE: Mapping[str, str | bytes] = {}


def scrub(content: bytes, request: Request, headers: Mapping[str, str | bytes] = _NONE) -> bytes:
    """Return an upstream's body without the key and the texts of the messages, where it holds them whole.

    :param content: the body of a refusal, or of a reply that is none.
    :param request: what was sent.
    :param headers: with which it was sent; those that may let somebody in are private, too.
    """
    if request.secret is not None:
        beginning = request.secret.reveal()[:TELLING]
        if len(beginning) == TELLING:
            # Servers quote keys shortened, too.
            content = re.sub(re.escape(beginning.encode()) + rb"[\w.\-]*", b"***", content)
    for private in (*_private(request), *_letting_in(headers)):
        if len(private) < _SHORTEST:
            continue
        # As text, and as JSON with and without escapes.
        for form in {private, json.dumps(private)[1:-1], json.dumps(private, ensure_ascii=False)[1:-1]}:
            content = content.replace(form.encode(errors="replace"), b"***")
    return content


def _private(request: Request) -> Iterator[str]:
    if request.secret is not None:
        yield request.secret.reveal()
    messages = json.loads(request.body).get("messages") if request.body else None
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            yield from _texts(message.get("content"))


def _letting_in(headers: Mapping[str, str | bytes]) -> Iterator[str]:
    for name, value in headers.items():
        if PERSONAL.search(name) and name.lower() != "host":
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            yield text
            # Without the scheme, such as Basic.
            yield text.partition(" ")[2]


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]
