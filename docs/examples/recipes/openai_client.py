"""The official client of OpenAI, pointed at a gateway: ``python openai_client.py "Why is the sky blue?"``."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import openai

client = openai.OpenAI(
    base_url=os.environ.get("GATEWAY_URL", "http://127.0.0.1:8000/v1"),
    # A gateway without a token takes any. The key of OpenRouter stays with the gateway.
    api_key=os.environ.get("GATEWAY_TOKEN", "any"),
)
# The chain of the gateway, in its own order; the name of a model asks that one first.
MODEL = "orfallback"
# A model that goes on calling tools would go on costing money.
MOST_ROUNDS = 5

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def ask(question: str) -> str:
    """Return an answer."""
    completion = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": question}])
    return completion.choices[0].message.content or ""


def show(question: str) -> bool:
    """Print an answer while it comes, and return whether it is whole."""
    try:
        stream = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": question}], stream=True
        )
        # Leaving the block early closes the connection, and so ends the generation upstream.
        with stream:
            for chunk in stream:
                if chunk.choices:
                    print(chunk.choices[0].delta.content or "", end="", flush=True)
    except openai.APIStatusError as error:
        # No model has begun to answer. The client has not asked again, for the gateway has asked everybody.
        again = error.response.headers.get("Retry-After")
        print(f"no answer: {error.message}" + (f" (try again in {again} s)" if again else ""), file=sys.stderr)
        return False
    except openai.APIError as error:
        print(f"\nbroken off: {error.message}", file=sys.stderr)
        return False
    print(flush=True)
    return True


def ask_with_a_tool(question: str) -> str:
    """Let the model call a function of ours, and return what it makes of the result."""
    messages: list[Any] = [{"role": "user", "content": question}]
    for _ in range(MOST_ROUNDS):
        message = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER]).choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message.to_dict())
        for call in message.tool_calls:
            result = weather(**json.loads(call.function.arguments)) if call.type == "function" else "no such tool"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    raise RuntimeError(f"the model still calls tools after {MOST_ROUNDS} rounds")


def weather(city: str) -> str:
    """A function of the application's own."""
    return f"It is 7 degrees in {city}."


if __name__ == "__main__":
    sys.exit(0 if show(" ".join(sys.argv[1:])) else 1)
