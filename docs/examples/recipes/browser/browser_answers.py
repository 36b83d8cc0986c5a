"""Answers for a page in a browser, with a sign of life while a model is waited for.

``gunicorn --worker-class gthread --threads 64 "browser_answers:create_app()"``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

from flask import Flask, Response, abort, request, send_file
from flask.typing import ResponseReturnValue
from requests.exceptions import StreamConsumedError

from orfallback import Call, Chain, FallbackError, Stream, StreamInterrupted

PAGE = Path(__file__).with_name("browser_answers.html")
# Shorter than the shortest time for which anything on the way lets a connection be silent; nginx: 60 (s).
EVERY = 15.0


def create_app(chain: Chain | None = None, every: float = EVERY) -> Flask:
    """Make the application.

    :param chain: whom to ask; by default what the environment says.
    :param every: seconds of silence after which a ping is sent.
    """
    app = Flask(__name__)
    asked = (chain or Chain.from_env()).replace(plugins=[NobodyWaits()])

    @app.get("/")
    def page() -> ResponseReturnValue:
        return send_file(PAGE)

    @app.route("/stream", methods=["GET", "POST"])
    def stream() -> ResponseReturnValue:
        question = request.values.get("question", "").strip()
        if not question:
            abort(400, "the question is empty")
        running = Running(asked, question, every)
        response = Response(running.events(), mimetype="text/event-stream")
        response.call_on_close(running.leave)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Accel-Buffering"] = "no"
        return response

    return app


class Running:
    """An answer that a thread of its own asks for, so that this one can say that it is still there."""

    def __init__(self, chain: Chain, question: str, every: float) -> None:
        self._chain = chain
        self._question = question
        self._every = every
        self._news: SimpleQueue[str | None] = SimpleQueue()
        self._left = Event()
        self._stream: Stream | None = None

    def events(self) -> Iterator[str]:
        """Yield the events, and a comment whenever there was none for a while."""
        Thread(target=self._ask, daemon=True).start()
        while True:
            try:
                news = self._news.get(timeout=self._every)
            except Empty:
                # A comment: the browser drops it. If the visitor has left, this is where the server notices.
                yield ": ping\n\n"
                continue
            if news is None:
                return
            yield news

    def leave(self) -> None:
        """Stop the model, whoever is ahead: the server calls it when the response is over in whatever way."""
        self._left.set()
        if self._stream is not None:
            self._stream.close()

    def _ask(self) -> None:
        try:
            self._stream = self._chain.stream(self._question, context={"left": self._left})
            if self._left.is_set():
                self._stream.close()
            for text in self._stream.iter_text():
                self._tell("text", text)
            self._tell("done", self._stream.finish_reason)
        except StreamInterrupted as error:
            self._tell("broken", {"retry_after": error.retry_after})
        except FallbackError as error:
            # The status of this response was 200 long before anybody knew.
            self._tell("failed", {"retry_after": error.retry_after})
        except (StreamConsumedError, Gone):
            # leave() was first, and nobody reads what is told.
            pass
        finally:
            self._news.put(None)

    def _tell(self, name: str, data: Any) -> None:
        self._news.put(f"event: {name}\ndata: {json.dumps(data)}\n\n")


class Gone(Exception):
    """Nobody waits for the answer."""


class NobodyWaits:
    """A plugin that asks no further model once the visitor has left."""

    def orfallback_admit(self, call: Call) -> None:
        """Ask nobody for a visitor who has left.

        :raises Gone: if they have.
        """
        left = call.context.get("left")
        if left is not None and left.is_set():
            raise Gone
