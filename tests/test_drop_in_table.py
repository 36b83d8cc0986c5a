"""The table of how applications call, and what there is to change: each row holds."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest
import requests
import urllib3
from flask import Flask
from gateways import BUSY, GOOD, KEY, PATIENCE, chain_at, serving
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from recipes import DOCS
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

import orfallback
from orfallback import Chain, FallbackAdapter
from orfallback.testing import Simulator, answer, status
from orfallback.wsgi import Gateway

QUESTION = "Why is the sky blue?"
BODY: dict[str, Any] = {"model": BUSY, "messages": [{"role": "user", "content": QUESTION}]}
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
#: Asks at a base URL; returns the answer, or raises if there was none.
Way = Callable[[str], str]


def text_of(body: Any) -> str:
    """Return the answer in a reply."""
    text: str = body["choices"][0]["message"]["content"]
    return text


def by_post(base: str) -> str:
    """As most applications do."""
    reply = requests.post(f"{base}/chat/completions", json=BODY, headers=HEADERS, timeout=PATIENCE)
    reply.raise_for_status()
    return text_of(reply.json())


def by_session(base: str) -> str:
    """With a session of the application's own class."""

    class Client(requests.Session):
        pass

    with Client() as session:
        reply = session.post(f"{base}/chat/completions", json=BODY, headers=HEADERS, timeout=PATIENCE)
        reply.raise_for_status()
        return text_of(reply.json())


def by_mounted(base: str) -> str:
    """With retries."""
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Retry(1, status_forcelist=[502], allowed_methods=None)))
        reply = session.post(f"{base}/chat/completions", json=BODY, headers=HEADERS, timeout=PATIENCE)
        reply.raise_for_status()
        return text_of(reply.json())


def by_view(base: str) -> str:
    """In a view."""
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: by_post(base))
    app.testing = True
    return app.test_client().get("/").text


def by_adapter(base: str) -> str:
    """With a session that has the adapter."""
    with requests.Session() as session, chain_at_base(base) as chain:
        session.mount(base, FallbackAdapter(chain))
        reply = session.post(f"{base}/chat/completions", json=BODY, headers=HEADERS, timeout=PATIENCE)
        reply.raise_for_status()
        return text_of(reply.json())


def by_chain(base: str) -> str:
    """With a chain."""
    with chain_at_base(base) as chain:
        return chain.complete(QUESTION).text


def chain_at_base(base: str) -> Chain:
    """Return a chain that asks there."""
    return Chain([BUSY, GOOD], api_key=KEY, base_url=base, delay=0)


def by_urllib3(base: str) -> str:
    """With urllib3 alone."""
    with urllib3.PoolManager() as pool:
        reply = pool.request("POST", f"{base}/chat/completions", json=BODY, headers=HEADERS, timeout=PATIENCE)
    assert reply.status == 200, reply.status
    return text_of(reply.json())


def by_http_client(base: str) -> str:
    """With http.client."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
    try:
        connection.request("POST", f"{parts.path}/chat/completions", json.dumps(BODY), HEADERS)
        with connection.getresponse() as reply:
            assert reply.status == 200, reply.status
            return text_of(json.load(reply))
    finally:
        connection.close()


def by_urllib(base: str) -> str:
    """With urllib.request."""
    asked = urllib.request.Request(f"{base}/chat/completions", json.dumps(BODY).encode(), HEADERS)
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE) as reply:
            return text_of(json.load(reply))
    except urllib.error.HTTPError as error:
        error.close()
        raise


def by_httpx(base: str) -> str:
    """With httpx."""
    return text_of(httpx.post(f"{base}/chat/completions", json=BODY, headers=HEADERS).raise_for_status().json())


def by_openai(base: str) -> str:
    """With the openai package."""
    with openai.OpenAI(base_url=base, api_key=KEY, max_retries=0) as client:
        return str(client.chat.completions.create(**BODY).choices[0].message.content)


def by_openai_of_the_environment(base: str) -> str:
    """With the openai package, its endpoint named by the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", base)
        patch.setenv("OPENAI_API_KEY", KEY)
        with openai.OpenAI(max_retries=0) as client:
            return str(client.chat.completions.create(**BODY).choices[0].message.content)


def by_langchain(base: str) -> str:
    """With LangChain."""
    return str(ChatOpenAI(base_url=base, api_key=SecretStr(KEY), model=BUSY, max_retries=0).invoke(QUESTION).content)


def by_curl(base: str) -> str:
    """With curl."""
    command = ["curl", "-sS", "--fail", f"{base}/chat/completions", "-d", json.dumps(BODY)]
    for name, value in HEADERS.items():
        command += ["-H", f"{name}: {value}"]
    ran = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE)
    assert ran.returncode == 0, ran.stderr
    return text_of(json.loads(ran.stdout))


#: The first words of each row of the page, and how its code calls.
INSIDE: dict[str, tuple[Way, ...]] = {
    "`requests.post()`": (by_post,),
    "`requests.Session()`": (by_session,),
    "a `Session` with an adapter": (by_mounted,),
    "`requests` in a view": (by_view,),  # tests/test_cli_run.py has gunicorn, too
    "`requests` in a Celery task": (),  # tests/test_cli_run.py
    "`requests`, in a process": (by_post,),
    "`requests`, and one session": (),
    "`requests`, and the call": (),
    "`requests`, in a loop": (),  # tests/test_recipe_loop.py
}
THEMSELVES: dict[str, Way] = {"`requests`, and one session": by_adapter, "`requests`, and the call": by_chain}
BESIDE: dict[str, tuple[Way, ...]] = {
    "`urllib3`": (by_urllib3,),
    "`http.client`": (by_http_client, by_urllib),
    "`httpx`": (by_httpx,),
    "the `openai` package": (by_openai, by_openai_of_the_environment),
    "LangChain's": (by_langchain,),
    "curl, Node": (by_curl,),
}


def rows() -> dict[str, str]:
    """Return the second cell of each row of the page, by its first one."""
    page = (DOCS / "how-to" / "drop-in.md").read_text(encoding="utf-8")
    table = page.partition("|---|---|---|\n")[2].partition("\n\n")[0]
    cells = [re.split(r" \| ", line.strip("| ")) for line in table.splitlines()]
    return {first: second for first, second, _ in cells}


@pytest.fixture
def busy(sim: Simulator) -> Simulator:
    """A simulator whose first model is busy."""
    sim.script(BUSY, status(502))
    sim.script(GOOD, answer("Hello"))
    return sim


def test_every_row_is_shown_here() -> None:
    """Each row of the table begins with words that stand above, and says the gateway where that is what it takes."""
    told = rows()
    ways = {**INSIDE, **BESIDE}
    assert [next(known for known in ways if row.startswith(known)) for row in told] == list(ways)
    assert [row for row, lines in told.items() if lines == "gateway"] == list(told)[len(INSIDE) :]


@pytest.mark.parametrize("way", dict.fromkeys(way for ways in INSIDE.values() for way in ways))
def test_what_is_guarded_as_it_stands(way: Way, busy: Simulator) -> None:
    """With no line of it changed it gets the answer of the second model, and without the library none."""
    with pytest.raises(requests.RequestException):
        way(busy.base_url)
    with chain_at(busy) as chain, orfallback.install(chain):
        assert way(busy.base_url) == "Hello"


@pytest.mark.parametrize("way", THEMSELVES.values())
def test_what_is_changed_itself(way: Way, busy: Simulator) -> None:
    """With two lines or three of its own it gets the answer of the second model."""
    assert way(busy.base_url) == "Hello"


@pytest.mark.parametrize("way", [way for ways in BESIDE.values() for way in ways])
def test_what_goes_through_the_gateway(way: Way, busy: Simulator) -> None:
    """It is not guarded from inside, and gets the answer of the second model at the gateway's address."""
    with chain_at(busy) as chain:
        with orfallback.install(chain), pytest.raises(Exception, match="502"):
            way(busy.base_url)
        with serving(Gateway(chain)) as served:
            assert way(served.url) == "Hello"
