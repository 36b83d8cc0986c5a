"""A chat in Flask that survives a busy model: ``flask --app chat run``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Response, current_app, request, send_file
from flask.typing import ResponseReturnValue

from orfallback import Chain, FallbackError, Stream, StreamInterrupted

SYSTEM = {"role": "system", "content": "Be brief."}
#: The whole conversations, by the id that the page chose. They are gone when the process ends.
CONVERSATIONS: dict[str, list[dict[str, Any]]] = {}


def create_app(chain: Chain | None = None) -> Flask:
    """Make the application.

    :param chain: whom to ask; by default OpenRouter, with the key of the environment.
    """
    app = Flask(__name__)
    app.extensions["orfallback"] = chain or Chain.from_env()
    app.register_error_handler(FallbackError, nobody_answered)
    app.get("/")(page)
    app.post("/talk")(talk)
    return app


def page() -> ResponseReturnValue:
    """Show the page."""
    return send_file(Path(__file__).with_name("page.html").resolve())


def talk() -> ResponseReturnValue:
    """Answer the next message of a conversation, while the model speaks."""
    history = CONVERSATIONS.setdefault(request.form["conversation"], [SYSTEM])
    asked = [*history, {"role": "user", "content": request.form["text"]}]

    def keep(answer: str) -> None:
        history[:] = [*asked, {"role": "assistant", "content": answer}]

    stream = current_app.extensions["orfallback"].stream(asked)
    response = Response(events(stream, keep), mimetype="text/event-stream")
    response.call_on_close(stream.close)
    return response


def events(stream: Stream, keep: Callable[[str], None]) -> Iterator[str]:
    """Yield the events of an answer, and keep it when it is whole."""
    try:
        for text in stream.iter_text():
            yield event("text", text)
    except StreamInterrupted:
        yield event("broken", "The answer broke off. Please ask again.")
    else:
        keep(stream.text)
        yield event("done", stream.model)


def event(name: str, data: str) -> str:
    """Return a server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def nobody_answered(error: FallbackError) -> ResponseReturnValue:
    """Return what a visitor gets when no model answers."""
    if error.retry_after is None:
        return {"error": "This cannot be answered."}, 502
    return {"error": "All models are busy."}, 503, {"Retry-After": str(math.ceil(error.retry_after))}
