"""LangChain, pointed at a gateway."""

from __future__ import annotations

import os
from collections.abc import Iterator

import openai
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

model = ChatOpenAI(
    base_url=os.environ.get("GATEWAY_URL", "http://127.0.0.1:8000/v1"),
    api_key=SecretStr(os.environ.get("GATEWAY_TOKEN", "any")),
    model="orfallback",
)


@tool
def weather(city: str) -> str:
    """Tells the weather in a city."""
    return f"It is 7 degrees in {city}."


def ask(question: str) -> str:
    """Return an answer."""
    return str(model.invoke(question).content)


def stream(question: str) -> Iterator[str]:
    """Yield an answer while it comes; where it breaks off, end with a word of that.

    :raises openai.APIStatusError: when no model begins to answer.
    """
    try:
        for piece in model.stream(question):
            yield str(piece.content)
    except openai.APIStatusError:
        raise
    except openai.APIError:
        yield "\n[The answer broke off here.]"


def tools_called(question: str) -> list[str]:
    """Return what the tools say that the model calls."""
    reply = model.bind_tools([weather]).invoke(question)
    return [str(weather.invoke(call["args"])) for call in reply.tool_calls]
