"""docs/troubleshooting.md quotes what is really said: each text is provoked, or found where it is written.

``python tests/test_troubleshooting.py`` prints the index at the top of the page.
"""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.util
import json
import logging
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
import requests
from gateways import serving
from places import full_backlog, hanging_up, no_name, plain_port, refusing, unknown_certificate

import orfallback
from conftest import KEY, Commands
from orfallback import (
    Chain,
    Cooldown,
    FallbackError,
    RedisStore,
    SQLiteStore,
    StreamInterrupted,
    Timeouts,
    _faults,
    _watch,
)
from orfallback.plugins.call_log import CallLog
from orfallback.testing import (
    Behaviour,
    FakeClock,
    Simulator,
    answer,
    cut,
    error_in_200,
    reply,
    reset,
    silence,
    status,
)
from orfallback.wsgi import Gateway

SOURCE = Path(orfallback.__file__).parent
PAGE = Path(__file__).resolve().parent.parent / "docs" / "troubleshooting.md"
TEXT = PAGE.read_text(encoding="utf-8")
#: Said by programs of which the tests have no certain version, or which they do not have.
ELSEWHERE = {
    "error: externally-managed-environment",  # pip from 23
    "No matching distribution found for orfallback",  # pip
    "ERROR: Package 'orfallback' requires a different Python: … not in '>=3.10'",  # pip
    "ERROR: Directory '.[cli]' is not installable. Neither 'setup.py' nor 'pyproject.toml' found.",  # pip
    "ImportError: cannot import name 'Chain' from partially initialized module 'orfallback'",  # Python up to 3.12
    "ensurepip is not available",  # Debian's venv
    "zsh: no matches found: orfallback[cli]",
    "orfallback: command not found",  # bash, zsh
}
# So many characters of its own make a text one (characters).
_ENOUGH = 12
#: Of OpenRouter no more can be shown than what the chain makes of it.
SERVICE = "What OpenRouter says"


class Entry(NamedTuple):
    """A section of the page.

    :ivar part: the part that it stands in.
    :ivar title: its heading, as it is written.
    :ivar body: its text.
    """

    part: str
    title: str
    body: str


def entries() -> list[Entry]:
    """Return the sections of the page, in order."""
    found = []
    for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        name, _, rest = part.partition("\n")
        for section in re.split(r"^### ", rest, flags=re.MULTILINE)[1:]:
            title, _, body = section.partition("\n")
            found.append(Entry(name, title, body))
    return found


def spans(text: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def quoted(entry: Entry) -> list[str]:
    """Return the texts that lead to a section: those of its heading, and of its line that begins with "Also"."""
    also = re.search(r"^Also(?:, [^`]*)? (`.*)$", entry.body, re.MULTILINE)
    named = spans(entry.title) + (spans(also[1]) if also else [])
    return [] if entry.title in UNQUOTED else named


#: Headings whose words in backticks are no text that is seen.
UNQUOTED = {"`ValueError` and `TypeError` before anything is sent"}


def tabled() -> list[str]:
    """Return the texts of the library that stand in tables, in the columns called "text"."""
    found = []
    for table in re.findall(r"^\| text \|.*\n\|[-| ]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE):
        found += [spans(row)[0] for row in table.splitlines()]
    return found


def expression(text: str) -> re.Pattern[str]:
    """Return what matches a quoted text: "…" stands for anything."""
    return re.compile(".*".join(map(re.escape, text.split("…"))), re.DOTALL)


# -- the index --


def slug(title: str) -> str:
    """Return the anchor of a heading, as MyST and GitHub make it."""
    plain = title.replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.strip().lower().replace(" ", "-"))


def index() -> str:
    """Return the table that says where a text is seen."""
    parts: dict[str, list[str]] = {}
    for entry in entries():
        link = f"[{entry.title}](#{slug(entry.title)})"
        if quoted(entry) or entry.title in UNQUOTED:
            parts.setdefault(entry.part, []).append(link)
    rows = [f"| [{part}](#{slug(part)}) | {'<br>'.join(links)} |\n" for part, links in parts.items()]
    return "| where you see it | what you see |\n|---|---|\n" + "".join(rows)


def test_the_index_lists_every_text() -> None:
    """The table at the top leads to every section that has a text, by where it is seen."""
    _, _, rest = TEXT.partition("## Where do you see it?\n\n")
    assert rest.startswith(index()), "print it by: python tests/test_troubleshooting.py"


def test_anchors_are_told_apart() -> None:
    """No two headings have the same anchor."""
    found = [slug(entry.title) for entry in entries()]
    assert sorted(found) == sorted(set(found))


def test_links_within_the_page_lead_somewhere() -> None:
    """Each link of the page to itself names one of its headings."""
    headings = {slug(title) for title in re.findall(r"^##+ (.+)$", TEXT, re.MULTILINE)}
    assert {*re.findall(r"\]\(#([^)]+)\)", TEXT)} <= headings


# -- what the source says --


@functools.cache
def written() -> tuple[str, ...]:
    """Return every text of the library's source, with "…" for what is put in."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%(?:\.\d)?[srd]", "…", node.value))
            elif isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append("".join(map(str, parts)))
    return tuple(found)


@pytest.mark.parametrize("text", sorted(set(tabled())))
def test_a_text_in_a_table_is_in_the_source(text: str) -> None:
    """Each text of a table stands so in the source, word for word."""
    meanings = {f"{meaning} … s" for meaning in _watch._MEANING.values()}
    assert text in meanings or any(_is_of(text, one) for one in written()), text


def _is_of(text: str, one: str) -> bool:
    """Tell whether a quoted text is a text of the source, or a part of it."""
    if expression(text).search(one):
        return True
    # What is put in may be told: ``Target.set`` where the source has a name in its place.
    return len(one.replace("…", "")) > _ENOUGH and expression(one).fullmatch(text) is not None


def test_every_fault_of_the_wire_is_explained() -> None:
    """The table of what an attempt says has each text for a fault that no server told."""
    said = {words for _, _, words in _faults._TABLE if isinstance(words, str)} | {_watch.OUT_OF_TIME}
    said |= {f"{meaning} … s" for meaning in _watch._MEANING.values()}
    assert said <= set(tabled())


# -- what is provoked --


@dataclass
class Here:
    """What a text is provoked with.

    :ivar sim: a simulator.
    :ivar command: runs a command; the environment names the simulator, and a key.
    :ivar monkeypatch: changes the environment.
    :ivar tmp_path: a directory.
    :ivar caplog: what was logged.
    """

    sim: Simulator
    command: Commands
    monkeypatch: pytest.MonkeyPatch
    tmp_path: Path
    caplog: pytest.LogCaptureFixture

    def post(self, behaviour: Behaviour, *, stream: bool = False, timeout: float = 5.0) -> requests.Response:
        """Ask as an application does that knows nothing of this library."""
        self.sim.default(behaviour)
        body = {"model": "a/a", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
        return requests.post(f"{self.sim.base_url}/chat/completions", json=body, stream=stream, timeout=timeout)

    def chain(self, **options: Any) -> Chain:
        """Return a chain of two models that waits for nobody."""
        given = {"api_key": KEY, "base_url": self.sim.base_url, "clock": FakeClock(), **options}
        return Chain(["a/a", "b/b"], **given)

    def logged(self) -> str:
        """Return what was logged."""
        return "\n".join(record.getMessage() for record in self.caplog.records)


@pytest.fixture
def here(
    at: Simulator,
    command: Commands,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> Here:
    """What a text is provoked with."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ORFALLBACK_DELAY", "0")
    return Here(at, command, monkeypatch, tmp_path, caplog)


Provoke = Callable[[Here], str]
SAID: dict[str, Provoke] = {}


def says(*texts: str) -> Callable[[Provoke], Provoke]:
    """Note what provokes some texts: it returns what is seen."""

    def note(provoke: Provoke) -> Provoke:
        SAID.update(dict.fromkeys(texts, provoke))
        return provoke

    return note


def raised(act: Callable[[], object]) -> str:
    """Return the last line of the traceback, without the module's name."""
    try:
        act()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return f"{type(error).__name__}: {error}"
    raise AssertionError("nothing was raised")


def content(response: requests.Response) -> Any:
    """Return the text of an answer as most code reads it."""
    return response.json()["choices"][0]["message"]["content"]


def lines(response: requests.Response) -> list[Any]:
    """Read a stream as most code reads it."""
    return [json.loads(line.removeprefix(b"data: ")) for line in response.iter_lines() if line]


@says("KeyError: 'choices'")
def _(here: Here) -> str:
    return raised(lambda: content(here.post(error_in_200(shape="bare"))))


@says("TypeError: 'NoneType' object is not subscriptable")
def _(here: Here) -> str:
    return raised(lambda: content(here.post(error_in_200(shape="null_choices"))))


@says("IndexError: list index out of range")
def _(here: Here) -> str:
    return raised(lambda: content(here.post(error_in_200(shape="empty_choices"))))


@says("AttributeError: 'NoneType' object has no attribute 'strip'")
def _(here: Here) -> str:
    null = {"choices": [{"message": {"role": "assistant", "content": None}, "finish_reason": "stop"}]}
    return raised(lambda: content(here.post(reply(null))).strip())


@says("JSONDecodeError: Expecting value: line 1 column 1 (char 0)")
def _(here: Here) -> str:
    page = reply("<html>502 Bad Gateway</html>", content_type="text/html")
    seen = {raised(lambda: content(here.post(page)))}
    seen.add(raised(lambda: lines(here.post(answer(comments=1), stream=True))))
    assert len(seen) == 1
    return seen.pop()


@says("JSONDecodeError: Expecting value: line 1 column 2 (char 1)")
def _(here: Here) -> str:
    return raised(lambda: lines(here.post(answer(), stream=True)))


@says("ChunkedEncodingError: Response ended prematurely")
def _(here: Here) -> str:
    return raised(lambda: here.post(cut("content"), stream=True).content)


@says("IncompleteRead(… bytes read, … more expected)")
def _(here: Here) -> str:
    return raised(lambda: here.post(cut("content", framing="length")))


@says("ConnectionResetError(104, 'Connection reset by peer')")
def _(here: Here) -> str:
    return raised(lambda: here.post(reset("content"), stream=True).content)


@says("ReadTimeout: … Read timed out. (read timeout=…)")
def _(here: Here) -> str:
    return raised(lambda: here.post(silence(), timeout=0.2))


@says("ConnectionError: … Read timed out.")
def _(here: Here) -> str:
    return raised(lambda: here.post(silence("content"), stream=True, timeout=0.2).content)


@says("RemoteDisconnected('Remote end closed connection without response')")
def _(here: Here) -> str:
    return raised(lambda: here.post(cut("start")))


def asked(place: Callable[[], AbstractContextManager[str]]) -> str:
    """Return what requests says of a place at which no endpoint answers."""
    with place() as url:
        return raised(lambda: requests.post(url, json={}, timeout=0.3))


@says("Max retries exceeded with url: …")
def _(here: Here) -> str:
    said = asked(refusing)
    assert "Failed to establish a new connection: [Errno 111] Connection refused" in said
    assert "Failed to resolve 'nowhere.invalid'" in asked(no_name)
    assert expression("Connection to … timed out. (connect timeout=…)").search(asked(full_backlog))
    return said


@says("CERTIFICATE_VERIFY_FAILED")
def _(here: Here) -> str:
    return asked(unknown_certificate)


@says("[SSL: WRONG_VERSION_NUMBER]", "[SSL: RECORD_LAYER_FAILURE]")
def _(here: Here) -> str:
    # Which of them depends on the version of OpenSSL.
    one, other = "[SSL: WRONG_VERSION_NUMBER]", "[SSL: RECORD_LAYER_FAILURE]"
    assert (one in (said := asked(plain_port))) is not (other in said)
    return f"{one} {other}"


@says("[SSL: UNEXPECTED_EOF_WHILE_READING]")
def _(here: Here) -> str:
    return asked(hanging_up)


@says("ProxyError('Unable to connect to proxy'…")
def _(here: Here) -> str:
    with refusing() as url:
        here.monkeypatch.setenv("HTTPS_PROXY", url.removesuffix("/v1"))
        return raised(lambda: requests.get("https://model.example/", timeout=0.3))


@says("Missing dependencies for SOCKS support.")
def _(here: Here) -> str:
    here.monkeypatch.setattr("requests.adapters.SOCKSProxyManager", _no_socks())
    here.monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    return raised(lambda: requests.get("http://model.example/", timeout=0.3))


def _no_socks() -> Callable[..., object]:
    """Return what stands in requests where PySocks is not installed."""
    source = Path(requests.adapters.__file__).read_text(encoding="utf-8")
    (stub,) = re.findall(r"^    def SOCKSProxyManager\(.*?(?=^\S)", source, re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = {"InvalidSchema": requests.exceptions.InvalidSchema, "typing": None, "Any": Any}
    exec("from __future__ import annotations\nif True:\n" + stub, found)
    return found["SOCKSProxyManager"]  # type: ignore[no-any-return]


@says("SyntaxError: invalid syntax", "IndentationError: unexpected indent")
def _(here: Here) -> str:
    pasted = "for one in ():\n    pass\nprint()\n    print()\n"
    prompt = [sys.executable, "-i", "-q"]
    return subprocess.run(prompt, input=pasted, capture_output=True, text=True, timeout=30, check=True).stderr


@says("MissingSchema: Invalid URL '…': No scheme supplied.")
def _(here: Here) -> str:
    return raised(lambda: requests.post("openrouter.ai/api/v1/chat/completions", json={}, timeout=1))


@says("InvalidSchema: No connection adapters were found for '…'")
def _(here: Here) -> str:
    return raised(lambda: requests.post("localhost:11434/v1/chat/completions", json={}, timeout=1))


@says("UnicodeDecodeError: 'utf-8' codec can't decode byte … unexpected end of data")
def _(here: Here) -> str:
    return raised(lambda: [piece.decode() for piece in here.post(answer("é"), stream=True).iter_content(1)])


@says("Ã©", "â€™")
def _(here: Here) -> str:
    response = here.post(answer("Café’"), stream=True)
    seen = "".join(response.iter_lines(decode_unicode=True))
    response = here.post(answer("Café’"), stream=True)
    response.encoding = "utf-8"
    assert "Café’" in "".join(response.iter_lines(decode_unicode=True))
    # A browser or an editor takes the C1 controls of Latin-1 for what Windows has there.
    return seen.encode("latin-1").decode("cp1252")


@says("HTTPError: 429 Client Error: Too Many Requests for url: …")
def _(here: Here) -> str:
    return raised(here.post(status(429)).raise_for_status)


@says("HTTPError: 502 Server Error: Bad Gateway for url: …")
def _(here: Here) -> str:
    return raised(here.post(status(502)).raise_for_status)


@says("SoftTimeLimitExceeded()")
def _(here: Here) -> str:
    from celery.exceptions import SoftTimeLimitExceeded

    return repr(SoftTimeLimitExceeded())


@says("WORKER TIMEOUT (pid:…)")
def _(here: Here) -> str:
    spec = importlib.util.find_spec("gunicorn")
    assert spec is not None
    assert spec.origin is not None
    arbiter = (Path(spec.origin).parent / "arbiter.py").read_text(encoding="utf-8")
    return "".join(re.findall(r'"(WORKER TIMEOUT .*)"', arbiter)) % 1


# -- from orfallback --


def failed(here: Here, behaviour: Behaviour, **options: Any) -> str:
    """Return the text of the error of a call whose models all do the same."""
    here.sim.default(behaviour)
    with here.chain(**options) as chain, pytest.raises(FallbackError) as caught:
        chain.complete("Hi")
    return str(caught.value)


@says("no model answered: …")
def _(here: Here) -> str:
    return failed(here, status(503))


@says("the call was rejected: …")
def _(here: Here) -> str:
    return failed(here, status(401))


@says("the call's deadline came: …")
def _(here: Here) -> str:
    return failed(here, silence(), clock=None, timeouts=Timeouts(deadline=0.2))


@says("the stream broke after … characters: …")
def _(here: Here) -> str:
    here.sim.default(cut("content"))
    with here.chain() as chain, pytest.raises(StreamInterrupted) as caught:
        chain.stream("Hi").read()
    return str(caught.value)


@says("no key for OpenRouter: pass api_key, or set OPENROUTER_API_KEY…")
def _(here: Here) -> str:
    here.monkeypatch.delenv("OPENROUTER_API_KEY")
    return raised(lambda: Chain().complete("Hi"))


class Nobody:
    """Passes over every model."""

    def orfallback_admit(self) -> float:
        """Pass over it."""
        return 60.0


@says("no attempt was made", "No model was asked: …")
def _(here: Here) -> str:
    return failed(here, answer(), plugins=[Nobody()]) + here.logged()


@says("Not asked, since they rest: …")
def _(here: Here) -> str:
    clock = FakeClock()
    memory = Cooldown(clock=clock)
    for _ in range(20):
        said = failed(here, status(503), cooldown=memory, clock=clock)
    return said


@says("Model … is busy, trying next fallback...")
def _(here: Here) -> str:
    failed(here, status(502))
    return here.logged()


@says("… rests for … (…)")
def _(here: Here) -> str:
    failed(here, status(429, headers={"Retry-After": "3600"}))
    assert {record.levelname for record in here.caplog.records if " rests for " in record.getMessage()} == {"WARNING"}
    return here.logged()


@says(
    "No models are named that may stand in for …: set ORFALLBACK_MODELS, or give the chain its models",
)
def _(here: Here) -> str:
    here.monkeypatch.setattr("orfallback._logging._warned", {})
    with orfallback.install():
        here.post(answer())
    return here.logged()


@says("The store of the cooldown is down, each process remembers for itself meanwhile: …", "database is locked")
def _(here: Here) -> str:
    path = here.tmp_path / "rests.db"
    store = SQLiteStore(path)
    store.rest("somebody", 1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        failed(here, status(503), cooldown=Cooldown(store=store))
    finally:
        other.close()
        store.close()
    return here.logged()


@says("No such file or directory")
def _(here: Here) -> str:
    store = SQLiteStore(here.tmp_path / "nowhere" / "rests.db")
    failed(here, status(503), cooldown=Cooldown(store=store))
    return here.logged()


@says("Error 111 connecting to … Connection refused.")
def _(here: Here) -> str:
    with refusing() as url:
        store = RedisStore(url.replace("http:", "redis:").replace("/v1", "/0"))
        failed(here, status(503), cooldown=Cooldown(store=store))
    return here.logged()


class Slow:
    """Takes a second."""

    def orfallback_call_started(self) -> None:
        """Take it."""
        time.sleep(0.001)


@says("plugin … took … s in …; the call waited for it")
def _(here: Here) -> str:
    here.monkeypatch.setattr("orfallback._plugins._SLOW", 0.001)
    failed(here, status(503), plugins=[Slow()])
    return here.logged()


class Careless:
    """Fails."""

    def orfallback_call_started(self) -> None:
        """Fail."""
        raise KeyError("usage")


@says("plugin … failed in …; the call goes on without it")
def _(here: Here) -> str:
    failed(here, status(503), plugins=[Careless()])
    return here.logged()


@says("The call log cannot be written, calls go on without it: …")
def _(here: Here) -> str:
    failed(here, status(503), plugins=[CallLog(here.tmp_path / "nowhere" / "calls.jsonl")])
    return here.logged()


@says("StreamConsumedError: a stream is iterated once; this one is over")
def _(here: Here) -> str:
    here.sim.default(answer())
    with here.chain() as chain:
        stream = chain.stream("Hi")
        list(stream)
        return raised(lambda: list(stream))


# -- on the command line, in the gateway --


@says('The command line needs click: pip install "orfallback[cli]"')
def _(here: Here) -> str:
    code = (
        "import sys; sys.modules['click'] = None; sys.argv = ['orfallback', 'demo']\n"
        "from orfallback.__main__ import main; main()"
    )
    return ran("-c", code)


def ran(*arguments: str, cwd: Path | None = None) -> str:
    """Return what a Python says on stderr."""
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60)
    return done.stderr


def told(here: Here, *arguments: str) -> str:
    """Return what a command says on stderr."""
    done = here.command(*arguments)
    assert done.status != 0
    return done.err


@says("There is no key for OpenRouter")
def _(here: Here) -> str:
    here.monkeypatch.delenv("OPENROUTER_API_KEY")
    here.monkeypatch.delenv("OPENROUTER_BASE_URL")
    return told(here, "chat", "Hi")


@says("… refused the key … of …")
def _(here: Here) -> str:
    here.sim.default(status(401))
    return told(here, "chat", "Hi")


@says("… wants a key, and none was sent")
def _(here: Here) -> str:
    here.sim.default(status(401))
    return told(here, "chat", "Hi", "--base-url", here.sim.base_url.replace("127.0.0.1", "localhost"))


@says("… cannot be reached: …")
def _(here: Here) -> str:
    with refusing() as url:
        return told(here, "chat", "Hi", "--base-url", url)


@says("cannot listen on …, port …: Address already in use")
def _(here: Here) -> str:
    port = here.sim.base_url.split(":")[2].split("/")[0]
    simulated = told(here, "simulate", "--port", port)
    assert expression("cannot listen on …, port …: Address already in use").search(simulated)
    return told(here, "serve", "--port", port)


@says("other machines could reach … and spend your credit")
def _(here: Here) -> str:
    return told(here, "serve", "--host", "0.0.0.0")


@says("serve needs waitress")
def _(here: Here) -> str:
    here.monkeypatch.setitem(sys.modules, "waitress", None)
    here.monkeypatch.delitem(sys.modules, "orfallback.wsgi._waitress", raising=False)
    return told(here, "serve", "--port", "0")


@says("openai.APIConnectionError: Connection error.")
def _(here: Here) -> str:
    with refusing() as url:
        return "openai." + asked_by_openai(url)


@says("openai.InternalServerError: Error code: 503")
def _(here: Here) -> str:
    here.sim.default(status(503))
    with here.chain() as chain, serving(Gateway(chain)) as served:
        return "openai." + asked_by_openai(served.url)


def asked_by_openai(url: str) -> str:
    """Return what openai's client says."""
    with openai.OpenAI(base_url=url, api_key="any", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "Hi"}]
        return raised(lambda: client.chat.completions.create(model="orfallback", messages=messages))


# -- at installation --


@says("ModuleNotFoundError: No module named 'orfallback'")
def _(here: Here) -> str:
    return ran("-I", "-S", "-c", "import orfallback")


@says("ImportError: cannot import name 'Chain' from 'orfallback'")
def _(here: Here) -> str:
    (here.tmp_path / "orfallback.py").write_text("")
    (here.tmp_path / "app.py").write_text("from orfallback import Chain")
    return ran("app.py", cwd=here.tmp_path)


@says("No module named …")
def _(here: Here) -> str:
    here.monkeypatch.setitem(sys.modules, "redis", None)
    assert "RedisStore needs redis-py" in raised(lambda: RedisStore("redis://localhost"))
    here.monkeypatch.setitem(sys.modules, "prometheus_client", None)
    here.monkeypatch.delitem(sys.modules, "orfallback.plugins.prometheus", raising=False)
    here.monkeypatch.delitem(sys.modules, "orfallback.plugins._series", raising=False)
    here.monkeypatch.setenv("ORFALLBACK_PLUGINS", "prometheus")
    seen = raised(Chain.from_env)
    assert seen.endswith("pip install 'orfallback[prometheus]'")
    return seen.replace("import of prometheus_client halted; None in sys.modules", "No module named …")


@pytest.mark.parametrize("text", SAID)
def test_a_text_is_seen(text: str, here: Here) -> None:
    """What the page quotes is said in the situation that it describes."""
    assert expression(text).search(SAID[text](here))


def of_the_service() -> Iterator[object]:
    """Yield each text of OpenRouter with its status, and what the page says that it is taken for."""
    for entry in entries():
        if entry.part == SERVICE:
            found = re.match(r"\nStatus (\d+), taken for `(\w+)`, (\w+): (.*)\.\n", entry.body)
            assert found, entry.title
            for text in quoted(entry):
                code = 503 if text == "No backends available" else int(found[1])
                yield pytest.param(code, text, *found.groups()[1:], id=text)


@pytest.mark.parametrize(("code", "text", "reason", "scope", "then"), list(of_the_service()))
def test_what_the_service_says(
    code: int, text: str, reason: str, scope: str, then: str, sim: Simulator, clock: FakeClock
) -> None:
    """What the page says that a text is taken for is what the chain makes of it, and who is asked next likewise."""
    # Of a prompt that is flagged the service says why.
    metadata = {"reasons": ["violence"], "flagged_input": "Hi"} if reason == "moderated" else None
    sim.script("a/a:free", status(code, message=text.replace("…", "a/a"), metadata=metadata))
    with Chain(["a/a:free", "b/b:free", "c/c"], api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
        try:
            attempts = chain.complete("Hi").attempts
        except FallbackError as error:
            attempts = error.attempts
        rests = chain.health.snapshot()[0].resting
    verdict = attempts[0].verdict
    assert verdict is not None
    assert (str(verdict.reason), verdict.scope.name) == (reason, scope)
    models = [attempt.model for attempt in attempts[1:]]
    if then.startswith("the next model"):
        assert models == ["b/b:free"]
        assert (clock.sleeps == []) is ("after the delay" not in then)
        if "rests" in then:
            assert rests == pytest.approx(300 if "five minutes" in then else 28, abs=2)
    elif then.startswith("no `:free` model"):
        assert models == ["c/c"]
    else:
        assert then in ("no model is asked any more", "nobody is asked any more at this endpoint with this key")
        assert models == []


def test_every_text_is_accounted_for() -> None:
    """No heading quotes a text that nothing here shows; nothing here shows one that the page lacks."""
    found = [text for entry in entries() if entry.part != SERVICE for text in quoted(entry)]
    assert sorted(found) == sorted({*SAID, *ELSEWHERE})


def test_the_extras_are_those_of_the_package() -> None:
    """The table of modules names the extra that brings each."""
    table = re.findall(r"^\| (`.*`) \| `pip install \"orfallback\[(\w+)\]\"` \|$", TEXT, re.MULTILINE)
    needs = importlib.metadata.requires("orfallback") or []
    for modules, extra in table:
        packages = " ".join(need for need in needs if f'extra == "{extra}"' in need)
        for module in spans(modules):
            assert module.replace("_", "-") in packages
    assert len(table) == 5


if __name__ == "__main__":
    sys.stdout.write(index())
