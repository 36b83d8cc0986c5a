"""A WSGI application that calls an endpoint by itself, and knows of no library but requests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import requests


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Ask, and hand the answer on."""
    body = {"model": "a/first", "messages": [{"role": "user", "content": environ["QUERY_STRING"]}]}
    answer = requests.post(f"{os.environ['OPENROUTER_BASE_URL']}/chat/completions", json=body, timeout=30)
    start_response(f"{answer.status_code} X", [("Content-Type", "text/plain"), ("X-Process", str(os.getpid()))])
    return [answer.json()["choices"][0]["message"]["content"].encode() if answer.ok else b""]
