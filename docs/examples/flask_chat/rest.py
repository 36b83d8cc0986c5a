"""The REST and SSE routes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from flask_chat import frames
from flask_chat.asking import Chats, parse
from flask_chat.characters import CHARACTERS
from flask_chat.departures import left_of, watching
from flask_chat.problems import Refusal
from flask_chat.turns import Frame


def routes(chats: Chats) -> Blueprint:
    """Return the routes.

    :param chats: what they are about.
    """
    api = Blueprint("api", __name__, url_prefix="/api")

    @api.get("/characters")
    def characters() -> ResponseReturnValue:
        return [{"id": each.id, "name": each.name, "about": each.about} for each in CHARACTERS.values()]

    @api.get("/conversations")
    def conversations() -> ResponseReturnValue:
        return chats.store.conversations()

    @api.post("/conversations")
    def create() -> ResponseReturnValue:
        character = _body().get("character")
        if not isinstance(character, str) or character not in CHARACTERS:
            raise Refusal(400, f"character is one of: {', '.join(CHARACTERS)}.")
        return {"id": chats.store.create(character), "character": character}, 201

    @api.get("/conversations/<conversation>")
    def read(conversation: str) -> ResponseReturnValue:
        found = chats.store.read(conversation)
        who = CHARACTERS[found.character]
        return {**asdict(found), "name": who.name, "about": who.about, "greeting": who.greeting}

    @api.post("/conversations/<conversation>/messages")
    def message(conversation: str) -> ResponseReturnValue:
        return _whole(chats, conversation, {"text": _body().get("text")})

    @api.post("/conversations/<conversation>/regenerate")
    def regenerate(conversation: str) -> ResponseReturnValue:
        return _whole(chats, conversation, {"regenerate": True})

    @api.post("/conversations/<conversation>/stream")
    def stream(conversation: str) -> ResponseReturnValue:
        return _stream(chats, conversation, _body())

    return api


def _body() -> dict[str, Any]:
    # A form of another site cannot send this type; a script of one would have to ask first, and gets no.
    if not request.is_json:
        raise Refusal(415, "The body is application/json.")
    return parse(request.get_data())


def _whole(chats: Chats, conversation: str, asked: dict[str, Any]) -> ResponseReturnValue:
    with chats.begin(conversation, asked) as turn:
        return {"message": asdict(turn.whole())}


def _stream(chats: Chats, conversation: str, asked: dict[str, Any]) -> Response:
    """Stream an answer. It waits for its beginning, so that a failure still has a status of its own."""
    notices: list[Frame] = []
    with ExitStack() as stack:
        turn = stack.enter_context(chats.begin(conversation, asked, notices.append))
        stack.enter_context(watching(left_of(request.environ), turn.stop))
        turn.begin()
        response = Response(_events([*notices], frames.of_answer(turn)), mimetype="text/event-stream")
        # Not in the generator, which would never know of a client that leaves before its first event.
        response.call_on_close(stack.pop_all().close)
    # A proxy that holds a stream back until it ends makes it none.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _events(notices: list[Frame], rest: Iterable[Frame]) -> Iterator[str]:
    for frame in notices:
        yield _event(frame)
    for frame in rest:
        yield _event(frame)


def _event(frame: Frame) -> str:
    return f"data: {json.dumps(frame)}\n\n"
