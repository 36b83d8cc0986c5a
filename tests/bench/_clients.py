"""The ways to ask a model: floors, this library and its peers, each as a function that returns what was answered."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from orfallback import Chain, FallbackAdapter

KEY = "sk-bench-0000000000"
MODEL = "mistralai/mistral-nemo"
PROMPT = "Why is the sky blue?"
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
#: Asks once, and returns the text of the answer.
Ask = Callable[[], str]


def payload(prompt: str = PROMPT, *, stream: bool = False) -> dict[str, Any]:
    """Return the body of a request."""
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **({"stream": True} if stream else {})}


def text_of(reply: Any) -> str:
    """Return the text of a reply."""
    return str(reply["choices"][0]["message"]["content"])


def raw_socket(base: str) -> Ask:
    """A socket and the bytes of one request, written out once: nothing can take less."""
    parts = urlsplit(base)
    assert parts.hostname is not None
    sock = socket.create_connection((parts.hostname, parts.port or 80))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = json.dumps(payload()).encode()
    head = f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body

    def ask() -> str:
        sock.sendall(request)
        return text_of(json.loads(sock.recv(65536).partition(b"\r\n\r\n")[2]))

    return ask


def bare_urllib3(base: str) -> Ask:
    """urllib3, which requests is made of."""
    pool = urllib3.PoolManager()
    url = f"{base}/chat/completions"
    return lambda: text_of(json.loads(pool.request("POST", url, body=json.dumps(payload()), headers=HEADERS).data))


def prepared(base: str) -> Ask:
    """A request that is prepared once and copied for each call."""
    session = requests.Session()
    adapter = session.get_adapter(base)
    url = f"{base}/chat/completions"
    once = session.prepare_request(requests.Request("POST", url, json=payload(), headers=HEADERS))

    def ask() -> str:
        request = once.copy()
        request.body = json.dumps(payload()).encode()
        return text_of(adapter.send(request).json())

    return ask


def bare_session(base: str) -> Ask:
    """What an application writes: ``Session.post(json=).json()``."""
    session, url = requests.Session(), f"{base}/chat/completions"
    return lambda: text_of(session.post(url, json=payload(), headers=HEADERS).json())


def ours(base: str) -> Ask:
    """This library."""
    chain = Chain([MODEL, "meta/llama"], api_key=KEY, base_url=base)
    return lambda: chain.complete(PROMPT).text


def adapted(base: str) -> Ask:
    """The application's own call, through this library's adapter."""
    session, url = requests.Session(), f"{base}/chat/completions"
    session.mount(base, FallbackAdapter(Chain([MODEL, "meta/llama"], api_key=KEY, base_url=base)))
    return lambda: text_of(session.post(url, json=payload(), headers=HEADERS).json())


# -- peers --


def _httpx(base: str) -> Ask:
    import httpx

    client, url = httpx.Client(), f"{base}/chat/completions"
    return lambda: text_of(client.post(url, json=payload(), headers=HEADERS).json())


def _openai(base: str) -> Ask:
    import openai

    client = openai.OpenAI(api_key=KEY, base_url=base)
    messages: Any = payload()["messages"]
    return lambda: str(client.chat.completions.create(model=MODEL, messages=messages).choices[0].message.content)


def _langchain(base: str) -> Ask:
    import langchain_openai

    def model(name: str) -> langchain_openai.ChatOpenAI:
        return langchain_openai.ChatOpenAI(model=name, api_key=lambda: KEY, base_url=base)

    chat = model(MODEL).with_fallbacks([model("b")])
    return lambda: str(chat.invoke(PROMPT).content)


def _litellm(base: str) -> Ask:
    # It would look for prices on the network.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    known = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_key": KEY, "api_base": base}}
        for name in (MODEL, "b")
    ]
    router = litellm.Router(model_list=known, fallbacks=[{MODEL: ["b"]}])
    messages = payload()["messages"]
    return lambda: str(router.completion(model=MODEL, messages=messages).choices[0].message.content)


def _pydantic_ai(base: str) -> Ask:
    from pydantic_ai import Agent
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=base, api_key=KEY)
    agent = Agent(FallbackModel(*(OpenAIChatModel(name, provider=provider) for name in (MODEL, "b"))))
    return lambda: str(agent.run_sync(PROMPT).output)


def _openrouter(base: str) -> Ask:
    import openrouter

    client = openrouter.OpenRouter(api_key=KEY, server_url=base)
    messages: Any = payload()["messages"]
    return lambda: str(client.chat.send(model=MODEL, messages=messages).choices[0].message.content)


FLOORS: dict[str, Callable[[str], Ask]] = {
    "raw socket": raw_socket,
    "urllib3": bare_urllib3,
    "prepared request": prepared,
}
#: By the name that people know: the package to look for, and what asks with it.
PEERS: dict[str, tuple[str, Callable[[str], Ask]]] = {
    "httpx": ("httpx", _httpx),
    "openai": ("openai", _openai),
    "LangChain with fallbacks": ("langchain_openai", _langchain),
    "LiteLLM Router": ("litellm", _litellm),
    "pydantic-ai FallbackModel": ("pydantic_ai", _pydantic_ai),
    "openrouter": ("openrouter", _openrouter),
}


def peers(base: str) -> tuple[dict[str, Ask], tuple[str, ...]]:
    """Return the peers that are installed, and the names of those that are not."""
    here = {name: make(base) for name, (package, make) in PEERS.items() if importlib.util.find_spec(package)}
    return here, tuple(name for name in PEERS if name not in here)
