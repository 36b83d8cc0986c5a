"""Answers from a Flask application: a whole one as JSON, and one while it comes, as server-sent events.

``gunicorn --worker-class gthread --threads 64 "flask_answers:create_app()"``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from flask import Blueprint, Flask, Response, abort, current_app, request
from flask.typing import ResponseReturnValue

from orfallback import CallRejected, Chain, DeadlineExceeded, FallbackError, Stream, StreamInterrupted, Timeouts

_LONGEST_QUESTION = 10_000
# Shorter than any limit of a server or proxy in front, so that the visitor gets our answer and not a bare 502.
TIMEOUTS = Timeouts(first_token=15, answer=45, deadline=50)

answers = Blueprint("answers", __name__)


def create_app(chain: Chain | None = None) -> Flask:
    """Make the application.

    :param chain: whom to ask; by default what the environment says. A test hands in its own.
    """
    app = Flask(__name__)
    app.extensions["orfallback"] = chain or Chain.from_env().replace(timeouts=TIMEOUTS)
    app.register_blueprint(answers)
    app.register_error_handler(FallbackError, failed)
    return app


def chain() -> Chain:
    """The chain of the application that serves this request."""
    found: Chain = current_app.extensions["orfallback"]
    return found


@answers.post("/answer")
def answer() -> ResponseReturnValue:
    """Answer ``question`` as JSON."""
    completion = chain().complete(asked())
    return {"answer": completion.text, "model": completion.model}


@answers.post("/stream")
def stream() -> ResponseReturnValue:
    """Answer ``question`` while the model speaks."""
    # Returns when a model has begun to answer: until then the status is still ours to choose.
    stream = chain().stream(asked())
    response = Response(events(stream), mimetype="text/event-stream")
    # Not left to the generator, which never knows of a visitor who leaves before its first event.
    response.call_on_close(stream.close)
    response.headers["Cache-Control"] = "no-cache"
    # nginx is not to hold the events back.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def events(stream: Stream) -> Iterator[str]:
    """The events of an answer. The last one is ``done`` or ``broken``: the page waits for one of the two."""
    try:
        for text in stream.iter_text():
            yield event("text", text)
    except StreamInterrupted:
        # The status went out long ago. This event is all that tells half an answer from a whole one.
        yield event("broken", "The answer broke off. Please ask again.")
    else:
        yield event("done", stream.finish_reason)


def event(name: str, data: str | None) -> str:
    """An event with JSON in it: a line end in the text would end its line."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def asked() -> str:
    """The visitor's question."""
    question = request.form.get("question", "").strip()
    if not 0 < len(question) <= _LONGEST_QUESTION:
        abort(400, "the question is empty, or too long")
    return question


def failed(error: FallbackError) -> ResponseReturnValue:
    """The response when no model answers. What each one said is for the log, not for the visitor."""
    if isinstance(error, CallRejected):
        # Asking again does not help: our key, our credit, or this very question.
        return {"error": "This cannot be answered."}, 502
    headers = {} if error.retry_after is None else {"Retry-After": str(math.ceil(error.retry_after))}
    status = 504 if isinstance(error, DeadlineExceeded) else 503
    return {"error": "All models are busy. Please try again."}, status, headers
