"""The application: what it is made of."""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask, render_template
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from flask_chat import guard, rest
from flask_chat.asking import LARGEST, LONGEST, Chats
from flask_chat.characters import CHARACTERS
from flask_chat.notices import Notices
from flask_chat.problems import Refusal, retry_after, sentence, status_of
from flask_chat.sockets import add_socket
from flask_chat.storage import Store
from flask_chat.turns import Stopping
from orfallback import Chain, FallbackError


def create_app(chain: Chain | None = None, database: Path | str | None = None) -> Flask:
    """Make the application.

    :param chain: whom to ask; by default what the environment says, and a simulator if it has no key.
    :param database: the file of the conversations; by default ``CHAT_DATABASE``, or one in Flask's instance folder.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST
    # A page whose host name is turned to this machine's address is of the same origin to its browser (DNS rebinding).
    app.config["TRUSTED_HOSTS"] = os.environ.get("CHAT_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
    path = database or os.environ.get("CHAT_DATABASE") or Path(app.instance_path) / "chat.sqlite3"
    # The plugins are this application's own: whoever else has the chain does not get them.
    asked = (chain or chain_of_the_environment()).replace(plugins=[Notices(), Stopping()])
    chats = Chats(asked, Store(path))

    app.before_request(guard.same_origin_only)
    app.after_request(guard.add_headers)
    app.register_blueprint(rest.routes(chats))
    add_socket(app, chats)
    _add_pages(app)
    _add_errors(app)
    return app


def chain_of_the_environment() -> Chain:
    """Return a chain as the environment has it, or one that asks a simulator if it has no key."""
    if os.environ.get("OPENROUTER_API_KEY") or os.environ.get("OPENROUTER_BASE_URL"):
        return Chain.from_env()
    from flask_chat.rehearsal import rehearsed

    return rehearsed()


def _add_pages(app: Flask) -> None:
    @app.get("/")
    @app.get("/c/<conversation>")
    def page(conversation: str = "") -> ResponseReturnValue:
        return render_template("chat.html", characters=CHARACTERS.values(), conversation=conversation, longest=LONGEST)


def _add_errors(app: Flask) -> None:
    @app.errorhandler(Refusal)
    def refused(error: Refusal) -> ResponseReturnValue:
        return {"error": {"message": error.message}}, error.status

    @app.errorhandler(FallbackError)
    def failed(error: FallbackError) -> ResponseReturnValue:
        app.logger.warning("No answer: %s", error.reason)
        seconds = retry_after(error)
        headers = {} if seconds is None else {"Retry-After": str(seconds)}
        return {"error": {"message": sentence(error), "retry_after": seconds}}, status_of(error), headers

    @app.errorhandler(HTTPException)
    def wrong(error: HTTPException) -> ResponseReturnValue:
        return {"error": {"message": error.description}}, error.code or 500
