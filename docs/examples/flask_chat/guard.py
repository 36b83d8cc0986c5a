"""Who may ask, and what browsers may do with the answers."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Response, request

from flask_chat.problems import Refusal

# Scripts, styles and connections of our own alone: what a model says can load nothing, and tell nobody.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def same_origin_only() -> None:
    """Let no page of another site ask in its visitor's name.

    Browsers open WebSockets to any site, send forms to any, and say in ``Origin`` who asks. What is no browser sends no
    ``Origin``, and nobody can be tricked through it.

    :raises Refusal: 403.
    """
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        raise Refusal(403, "Pages of other sites may not use this chat.")


def add_headers(response: Response) -> Response:
    """Add the headers that every answer has."""
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    if not request.path.startswith("/static/"):
        # Conversations are nobody's but those who have them.
        response.headers["Cache-Control"] = "no-store"
    return response
