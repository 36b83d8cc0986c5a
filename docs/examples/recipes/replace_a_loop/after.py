"""The same two functions, with a chain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orfallback import Chain, Timeouts

MODELS = ["mistralai/mistral-nemo", "mistralai/mistral-small-3.2-24b-instruct"]

chain = Chain.from_env().replace(models=MODELS, timeouts=Timeouts(deadline=90))


def ask(messages: list[dict[str, Any]]) -> str:
    """Return an answer.

    :raises orfallback.FallbackError: a ``requests.RequestException`` that lists what every model said.
    """
    return chain.complete(messages).text


def stream(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Yield an answer while it comes.

    :raises orfallback.StreamInterrupted: from the iterator, when the answer breaks off; ``text`` is what came.
    :raises orfallback.FallbackError: at once, when no model begins to answer.
    """
    return chain.stream(messages).iter_text()
