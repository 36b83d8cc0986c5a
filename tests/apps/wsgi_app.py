"""A WSGI application with a chain of its module's own, warm before any fork: ``/complete?...``, ``/stream?...``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_plus

from asking import chain_for, tell_everything

tell_everything()
chain = chain_for(os.environ["BASE_URL"])
MADE_IN = os.getpid()
for number in range(2):
    chain.complete(f"warm {number}")


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer, whole or while it comes."""
    question = unquote_plus(environ["QUERY_STRING"])
    headers = [("Content-Type", "text/plain"), ("X-Process", str(os.getpid())), ("X-Made-In", str(MADE_IN))]
    if environ["PATH_INFO"] == "/complete":
        body: Iterable[bytes] = [chain.complete(question).text.encode()]
    else:
        body = map(str.encode, chain.stream(question).iter_text())
    start_response("200 OK", headers)
    return body
