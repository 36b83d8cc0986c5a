"""Fallback by hand, with care: several models, several tries, a timeout, a wait that grows, errors caught."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import requests

URL = os.environ.get("OPENROUTER_BASE_URL", "https://openrouter.ai/api/v1") + "/chat/completions"
HEADERS = {"Authorization": f"Bearer {os.environ['OPENROUTER_API_KEY']}"}
MODELS = ["mistralai/mistral-nemo", "mistralai/mistral-small-3.2-24b-instruct"]
TRIES = 3
TIMEOUT = 60

log = logging.getLogger(__name__)


def ask(messages: list[dict[str, Any]]) -> str:
    """Return an answer."""
    for model in MODELS:
        for attempt in range(TRIES):
            try:
                body = {"model": model, "messages": messages}
                response = requests.post(URL, headers=HEADERS, json=body, timeout=TIMEOUT)
                response.raise_for_status()
                return response.json()["choices"][0]["message"]["content"] or ""
            except (requests.RequestException, KeyError, IndexError) as error:
                log.warning("%s failed: %s", model, error)
                time.sleep(2**attempt)
    raise RuntimeError("all models failed")


def stream(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Yield an answer while it comes."""
    for model in MODELS:
        for attempt in range(TRIES):
            try:
                body = {"model": model, "messages": messages, "stream": True}
                with requests.post(URL, headers=HEADERS, json=body, timeout=TIMEOUT, stream=True) as response:
                    response.raise_for_status()
                    for line in response.iter_lines(chunk_size=1):
                        if not line.startswith(b"data: "):
                            continue
                        data = line.removeprefix(b"data: ")
                        if data == b"[DONE]":
                            return
                        delta = json.loads(data)["choices"][0]["delta"]
                        if delta.get("content"):
                            yield delta["content"]
                return
            except (requests.RequestException, KeyError, IndexError) as error:
                log.warning("%s failed: %s", model, error)
                time.sleep(2**attempt)
    raise RuntimeError("all models failed")
