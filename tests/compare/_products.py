"""The products: each as its own documentation says to fall back between two models, with the limits that it offers.

Every function here is what an application would write. What it imports is looked for when it is called, so that what is
not installed can be left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import requests

from compare._faults import FIRST, SECOND
from orfallback import Chain, Target, Timeouts

KEY = "sk-compare-0000000000"
PROMPT = "Why is the sky blue?"
MESSAGES: Any = [{"role": "user", "content": PROMPT}]


class Where(NamedTuple):
    """Whom to ask, and how long to wait.

    :ivar first: base URL of the first model.
    :ivar second: that of the second.
    :ivar silence: the limit on a connection, on silence and on the wait for the first token, in seconds.
    :ivar answer: that on one whole reply, where there is such a limit.
    :ivar delay: the wait of this library before the next model; None for its default.
    """

    first: str
    second: str
    silence: float = 3.0
    answer: float = 6.0
    delay: float | None = None

    @property
    def both(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The models with their base URLs."""
        return (FIRST, self.first), (SECOND, self.second)


class Client(NamedTuple):
    """The two ways to ask."""

    whole: Callable[[], str]
    stream: Callable[[], Iterator[str]]


class Product(NamedTuple):
    """A way to fall back.

    :ivar package: what is installed for it, as registries call it; empty for what is no package of its own.
    :ivar make: makes a client.
    :ivar of: the product of which this is another way, or empty.
    """

    package: str
    make: Callable[[Where], Client]
    of: str = ""


def _ours(where: Where) -> Client:
    limits = Timeouts(connect=where.silence, first_token=where.silence, idle=where.silence, answer=where.answer)
    models = [Target(model, base_url=base, api_key=KEY) for model, base in where.both]
    chain = Chain(models, timeouts=limits) if where.delay is None else Chain(models, timeouts=limits, delay=where.delay)

    def stream() -> Iterator[str]:
        with chain.stream(PROMPT) as answer:
            yield from answer.iter_text()

    return Client(lambda: chain.complete(PROMPT).text, stream)


class _Loop:
    """A loop as a careful programmer writes it by hand."""

    _trouble = (requests.RequestException, LookupError, ValueError, TypeError)

    def __init__(self, where: Where) -> None:
        self._where = where
        self._session = requests.Session()

    def _ask(self, model: str, base: str, *, stream: bool) -> requests.Response:
        body = {"model": model, "messages": MESSAGES, "stream": stream}
        limits = (self._where.silence, self._where.silence)
        headers = {"Authorization": f"Bearer {KEY}"}
        url = f"{base}/chat/completions"
        response = self._session.post(url, json=body, headers=headers, stream=stream, timeout=limits)
        response.raise_for_status()
        return response

    def whole(self) -> str:
        """Ask one after the other."""
        last: Exception | None = None
        for model, base in self._where.both:
            try:
                return str(self._ask(model, base, stream=False).json()["choices"][0]["message"]["content"] or "")
            except self._trouble as error:  # noqa: PERF203 - it is how such loops are written
                last = error
        raise last or RuntimeError("no models")

    def stream(self) -> Iterator[str]:
        """Ask one after the other, until there is some text."""
        last: Exception | None = None
        for model, base in self._where.both:
            begun = False
            try:
                for text in self._texts(model, base):
                    begun = True
                    yield text
            except self._trouble as error:
                if begun:
                    raise
                last = error
            else:
                return
        raise last or RuntimeError("no models")

    def _texts(self, model: str, base: str) -> Iterator[str]:
        for line in self._ask(model, base, stream=True).iter_lines():
            if line.startswith(b"data: ") and line != b"data: [DONE]":
                chunk = json.loads(line[6:])
                # OpenRouter's documentation says so.
                if "error" in chunk:
                    raise ValueError(chunk["error"])
                text = chunk["choices"][0]["delta"].get("content")
                if text:
                    yield text


def _loop(where: Where) -> Client:
    loop = _Loop(where)
    return Client(loop.whole, loop.stream)


def _litellm(where: Where, provider: str = "openai", **settings: Any) -> Client:
    # Prices would be looked for on the network.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.telemetry = False
    known = [
        {"model_name": model, "litellm_params": {"model": f"{provider}/{model}", "api_key": KEY, "api_base": base}}
        for model, base in where.both
    ]
    limits = {"timeout": where.silence, "stream_timeout": where.silence}
    router = litellm.Router(model_list=known, fallbacks=[{FIRST: [SECOND]}], **limits, **settings)

    def stream() -> Iterator[str]:
        for chunk in router.completion(model=FIRST, messages=MESSAGES, stream=True):
            yield chunk.choices[0].delta.content or "" if chunk.choices else ""

    return Client(lambda: router.completion(model=FIRST, messages=MESSAGES).choices[0].message.content or "", stream)


def _langchain(where: Where) -> Client:
    from langchain_openai import ChatOpenAI

    first, second = (
        ChatOpenAI(model=model, base_url=base, api_key=lambda: KEY, timeout=where.silence, max_retries=0)
        for model, base in where.both
    )
    chat = first.with_fallbacks([second])

    def stream() -> Iterator[str]:
        for chunk in chat.stream(PROMPT):
            yield str(chunk.content)

    return Client(lambda: str(chat.invoke(PROMPT).content), stream)


def _agent(where: Where, kind: str = "fallback model") -> Client:
    from openai import AsyncOpenAI
    from pydantic_ai import Agent
    from pydantic_ai.capabilities import ModelFallback
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.models.openrouter import OpenRouterModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.providers.openrouter import OpenRouterProvider

    limits: Any = {
        "timeout": where.silence, "first_event_timeout": where.silence, "request_timeout": where.answer
    }  # fmt: skip
    models: list[Any] = []
    for model, base in where.both:
        client = AsyncOpenAI(base_url=base, api_key=KEY, max_retries=0)
        if kind == "openrouter":
            models.append(OpenRouterModel(model, provider=OpenRouterProvider(openai_client=client), settings=limits))
        else:
            models.append(OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client), settings=limits))
    if kind == "capability":
        agent = Agent(models[0], capabilities=[ModelFallback(models[1])])
    else:
        agent = Agent(FallbackModel(*models))

    def stream() -> Iterator[str]:
        with agent.run_stream_sync(PROMPT) as answer:
            yield from answer.stream_text(delta=True)

    return Client(lambda: str(agent.run_sync(PROMPT).output), stream)


def _openrouter(where: Where, *, bounded: bool = True) -> Client:
    import openrouter
    from openrouter.utils import BackoffStrategy, RetryConfig

    # The figures are those of its documentation's example.
    settings = {"retry_config": RetryConfig("backoff", BackoffStrategy(1, 50, 1.1, 100), False)} if bounded else {}
    limit = int(where.silence * 1000)
    client = openrouter.OpenRouter(api_key=KEY, server_url=where.first, timeout_ms=limit, **settings)

    def ask(*, stream: bool) -> Any:
        return client.chat.send(model=FIRST, models=[FIRST, SECOND], messages=MESSAGES, stream=stream)

    def stream() -> Iterator[str]:
        with ask(stream=True) as events:
            for event in events:
                # The SDK does not look; OpenRouter's documentation says that its user is to.
                if event.error:
                    raise RuntimeError(event.error.message)
                yield event.choices[0].delta.content or "" if event.choices else ""

    return Client(lambda: str(ask(stream=False).choices[0].message.content or ""), stream)


def _openai(where: Where) -> Client:
    import openai

    client = openai.OpenAI(api_key=KEY, base_url=where.first, timeout=where.silence)

    def whole() -> str:
        return str(client.chat.completions.create(model=FIRST, messages=MESSAGES).choices[0].message.content or "")

    def stream() -> Iterator[str]:
        for chunk in client.chat.completions.create(model=FIRST, messages=MESSAGES, stream=True):
            yield chunk.choices[0].delta.content or "" if chunk.choices else ""

    return Client(whole, stream)


OURS = "orfallback"
#: By name, in the page's order; those that are another way of one come last.
PRODUCTS: dict[str, Product] = {
    OURS: Product("orfallback", _ours),
    "loop": Product("requests", _loop),
    "LiteLLM": Product("litellm", _litellm),
    "LangChain": Product("langchain-openai", _langchain),
    "pydantic-ai": Product("pydantic-ai-slim", _agent),
    "openrouter": Product("openrouter", _openrouter),
    "openai": Product("openai", _openai),
    "LiteLLM, `num_retries=0, allowed_fails=1`": Product(
        "litellm", lambda where: _litellm(where, num_retries=0, allowed_fails=1), "LiteLLM"
    ),
    "LiteLLM, provider `openrouter/`": Product("litellm", lambda where: _litellm(where, "openrouter"), "LiteLLM"),
    "pydantic-ai, `ModelFallback`": Product(
        "pydantic-ai-slim", lambda where: _agent(where, "capability"), "pydantic-ai"
    ),
    "pydantic-ai, `OpenRouterModel`": Product(
        "pydantic-ai-slim", lambda where: _agent(where, "openrouter"), "pydantic-ai"
    ),
    "openrouter, its own retries": Product("openrouter", lambda where: _openrouter(where, bounded=False), "openrouter"),
}
