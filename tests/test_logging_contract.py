"""What is logged is what docs/reference/logging.md says: every message, its level, its fields and their types."""

from __future__ import annotations

import ast
import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
import requests
from gateways import serving

import orfallback
from conftest import KEY
from orfallback import (
    Chain,
    ChainExhausted,
    Cooldown,
    FallbackAdapter,
    FallbackError,
    Fit,
    LoggingPlugin,
    Reason,
    SQLiteStore,
    StreamInterrupted,
    Target,
    _logging,
    _plugins,
)
from orfallback.plugins.call_log import CallLog
from orfallback.testing import FakeClock, Simulator, answer, cut, reset, status
from orfallback.wsgi import Gateway

ROOT = Path(orfallback.__file__).parent
PAGE = (Path(__file__).resolve().parent.parent / "docs" / "reference" / "logging.md").read_text(encoding="utf-8")
_LEVELS = {"debug": "DEBUG", "info": "INFO", "warning": "WARNING", "error": "ERROR", "exception": "ERROR"}
PROMPT = "CANARYPROMPT"
#: A name, or what an upstream says, that would write a line of its own, or steer a terminal.
HOSTILE = "vendor/\x1b[2Jbad\nERROR-forged\u2028\u202e"


class Message(NamedTuple):
    """A message as it is told apart.

    :ivar logger: the logger's name.
    :ivar level: its level.
    :ivar template: the message, with what differs as ``%s``.
    """

    logger: str
    level: str
    template: str


def promised() -> dict[Message, set[str]]:
    """Return the messages of the page, with their fields."""
    found = {}
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE):
        logger = re.search(r"to `(orfallback[\w.]*)`:", section, re.IGNORECASE)
        for template, level, fields in re.findall(r"^\| `([^`]+)` \| ([A-Z]+) \| [^|]+ \| ([^|]*)\|$", section, re.M):
            assert logger is not None, template
            found[Message(logger[1], level, template)] = set(re.findall(r"`(\w+)`", fields))
    return found


PROMISED = promised()


# -- in the source --


class Source:
    """A module, read for what it logs.

    :ivar loggers: the loggers that it has, by variable.
    :ivar messages: what it logs.
    """

    def __init__(self, path: Path) -> None:
        self._tree = ast.parse(path.read_text(encoding="utf-8"))
        self._parents = {child: node for node in ast.walk(self._tree) for child in ast.iter_child_nodes(node)}
        self.loggers: dict[str, str] = {}
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _called(node.value) == "getLogger":
                (name,), (variable,) = node.value.args, node.targets
                assert isinstance(name, ast.Constant)
                assert isinstance(variable, ast.Name)
                self.loggers[variable.id] = str(name.value)
        self.messages = set(self._messages())

    def _messages(self) -> Iterator[Message]:
        for node in ast.walk(self._tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            whose, what = node.func.value, node.func.attr
            if what == "_log" and "logger" in self.loggers:
                # The plugin's own: level, sign, text.
                for sign, text in zip(self._texts(node.args[1]), self._texts(node.args[2]), strict=True):
                    for level in self._levels(node.args[0]):
                        yield Message(self.loggers["logger"], level, f"{sign} {text}")
            elif isinstance(whose, ast.Name) and whose.id in self.loggers and self._function(node).name != "_log":
                logger = self.loggers[whose.id]
                if what in _LEVELS:
                    yield from (Message(logger, _LEVELS[what], text) for text in self._texts(node.args[0]))
                elif what == "log":
                    for level in self._levels(node.args[0]):
                        yield from (Message(logger, level, text) for text in self._texts(node.args[1]))

    def _texts(self, node: ast.expr) -> list[str]:
        return [str(found.value) for found in self._leaves(node) if isinstance(found, ast.Constant)]

    def _levels(self, node: ast.expr) -> list[str]:
        return [found.attr for found in self._leaves(node) if isinstance(found, ast.Attribute)]

    def _leaves(self, node: ast.expr) -> list[ast.expr]:
        """Return what an expression may be; a name is what was assigned to it last before."""
        if isinstance(node, ast.IfExp):
            return [*self._leaves(node.body), *self._leaves(node.orelse)]
        if isinstance(node, ast.Name):
            assigned = [
                each
                for each in ast.walk(self._function(node))
                if isinstance(each, ast.Assign)
                and any(isinstance(target, ast.Name) and target.id == node.id for target in each.targets)
                and each.lineno < node.lineno
            ]
            return self._leaves(max(assigned, key=lambda each: each.lineno).value)
        assert isinstance(node, (ast.Constant, ast.Attribute)), ast.unparse(node)
        return [node]

    def _function(self, node: ast.AST) -> ast.FunctionDef:
        while not isinstance(node, ast.FunctionDef):
            node = self._parents[node]
        return node


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


SOURCES = [Source(path) for path in sorted(ROOT.rglob("*.py"))]


def test_every_message_of_the_source_is_on_the_page() -> None:
    """Whatever the package logs stands on the page with its logger, level and wording, and nothing else does."""
    assert set().union(*(source.messages for source in SOURCES)) == set(PROMISED)


def test_every_logger_is_on_the_page() -> None:
    """The loggers of the package are those of the page; nobody else's is written to."""
    told = re.findall(
        r"^\| `([\w.]+)` \| [^|]+ \|$", PAGE.partition("## Loggers")[2].partition("\n## ")[0], re.MULTILINE
    )
    used = {logger for source in SOURCES for logger in source.loggers.values()}
    assert set(told) == used == {message.logger for message in PROMISED}


def test_the_words_for_what_a_model_did_are_on_the_page() -> None:
    """The page tells what is said of each reason that may pass."""
    told = dict(re.findall(r"^\| `(\w+)` \| `Model … (.*), trying next fallback...` \|$", PAGE, re.MULTILINE))
    assert {Reason(reason): word for reason, word in told.items()} == _logging._FAILED
    assert {reason for reason in Reason if reason.transient} == set(_logging._FAILED)


# -- in the log --


class Moody:
    """A plugin that watches and fails, and one that decides and fails where a model's name says so."""

    def orfallback_attempt_started(self) -> None:
        """Fail at watching."""
        raise RuntimeError("moody")

    def orfallback_classify(self, outcome: Any) -> None:
        """Fail at deciding."""
        if (outcome.model == "vendor/mistake" and outcome.fault is not None) or outcome.model == "vendor/bug":
            raise RuntimeError("moody")


class Nobody:
    """A plugin that lets nobody be asked."""

    def orfallback_admit(self) -> float:
        """Pass over everybody."""
        return 5.0


class Resort:
    """A plugin with a last resort."""

    def orfallback_exhausted(self) -> str:
        """Answer."""
        return "CANARYANSWER"


def chain_of(models: Any, sim: Simulator, *, plain: bool, **options: Any) -> Chain:
    """Return a chain that logs, with signs or without."""
    chain = Chain(models, api_key=KEY, base_url=sim.base_url, **options)
    chain.unregister("logging")
    chain.register(LoggingPlugin(plain=plain), "logging")
    return chain


def storm(sim: Simulator, clock: FakeClock, folder: Path, *, plain: bool) -> None:
    """Let everything happen that the library tells of."""
    sim.default(answer("CANARYANSWER"))
    script = {
        "busy": status(502, message=HOSTILE), "limited": status(429, headers={"Retry-After": "7200"}),
        "gone": status(404),
        "down": status(500), "half": cut("body"), "reset": reset("body"),
        "breaks": cut("content", clean=True, text="CANARYANSWER"),
        "mistake": cut("content", clean=True, text="CANARYANSWER"),
    }  # fmt: skip
    for name, behaviour in script.items():
        sim.script(f"vendor/{name}", behaviour)
    everybody = [f"vendor/{name}" for name in ("busy", "limited", "gone", "down", "half", "reset", "good")]
    with chain_of(everybody, sim, plain=plain, clock=clock, plugins=[Moody()]) as chain:
        chain.complete(PROMPT)
        # What rested answers.
        clock.advance(3_600)
        sim.script("vendor/busy", answer("CANARYANSWER"))
        chain.replace(models=["vendor/busy"]).stream(PROMPT).read()
        with pytest.raises(ChainExhausted):
            chain.replace(models=["vendor/gone", "vendor/down"]).complete(PROMPT)
        with pytest.raises(StreamInterrupted):
            chain.replace(models=["vendor/breaks"]).stream(PROMPT).read()
        with pytest.raises(ChainExhausted):
            chain.replace(models=["vendor/good"], plugins=[Nobody()]).complete(PROMPT)
        resort = chain.replace(models=["vendor/gone"], plugins=[Resort()])
        assert resort.complete(PROMPT).degraded
        assert resort.replace(plugins=[Nobody()]).complete(PROMPT).degraded
        picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,CANARYPROMPT"}}]}
        blind = [Target("vendor/blind", name=HOSTILE, inputs=["text"]), "vendor/good"]
        chain.replace(models=blind, plugins=[Fit(fetch=False)]).complete([picture])
        _gateway(chain)
        # Every hook is slow.
        with mock.patch.object(_plugins, "_SLOW", 0.0):
            chain.replace(models=["vendor/good"]).complete(PROMPT)
    _drop_in(sim, plain=plain)
    _trouble(sim, clock, folder, plain=plain)


def _gateway(chain: Chain) -> None:
    """A request, and a stream, fail in a plugin."""
    gateway = Gateway(chain.replace(models=["vendor/bug", "vendor/mistake"]))
    with serving(gateway) as served:
        assert served.ask(model="vendor/bug").status_code == 500
        assert "error" in served.ask(model="vendor/mistake", stream=True).text


def _drop_in(sim: Simulator, *, plain: bool) -> None:
    """An application asks for a model that nobody knows."""
    with requests.Session() as session, chain_of(None, sim, plain=plain) as chain:
        session.mount(sim.base_url, FallbackAdapter(chain))
        body = {"model": "vendor/unknown", "messages": [{"role": "user", "content": PROMPT}]}
        assert session.post(f"{sim.base_url}/chat/completions", json=body, timeout=60).status_code == 200


def _trouble(sim: Simulator, clock: FakeClock, folder: Path, *, plain: bool) -> None:
    """A store, a call log and its host fail, and work again."""
    there = folder / "there"

    def extra(_: object) -> Any:
        raise RuntimeError("the host's")

    store = SQLiteStore(there / "rests.db", clock=clock)
    log = CallLog(there / "calls.jsonl", extra=extra, clock=clock)
    cooldown = Cooldown(store=store, clock=clock)
    with chain_of("vendor/good", sim, plain=plain, cooldown=cooldown, plugins=[log], clock=clock) as chain:
        chain.complete(PROMPT)
        there.mkdir()
        clock.advance(60)
        chain.complete(PROMPT)
    store.close()


@pytest.fixture
def logged(
    sim: Simulator, clock: FakeClock, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Everything happens; what is logged of it, plain or not."""
    caplog.set_level(logging.DEBUG, "orfallback")
    # What this process has been warned of in other tests.
    monkeypatch.setattr(_logging, "_warned", {})

    def run(*, plain: bool) -> list[logging.LogRecord]:
        storm(sim, clock, tmp_path, plain=plain)
        return [record for record in caplog.records if record.name.partition(".")[0] == "orfallback"]

    return run


#: What every record has.
OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "text or None": (str, type(None)),
    "number": (int, float),
    "whole number": (int,),
    "whole number or None": (int, type(None)),
}


def test_what_is_logged_is_what_the_page_says(logged: Any) -> None:
    """Each message comes at its level, with the fields of the page, of the types of the page, and no others."""
    found: dict[Message, set[frozenset[str]]] = defaultdict(set)
    told = dict(re.findall(r"^\| `(\w+)` \| ([\w ]+) \| [^|]+ \|$", PAGE.partition("## Fields")[2], re.MULTILINE))
    for record in logged(plain=False):
        fields = {name: value for name, value in vars(record).items() if name not in OWN}
        found[Message(record.name, record.levelname, record.msg)].add(frozenset(fields))
        for name, value in fields.items():
            assert isinstance(value, TYPES[told[name]]), (record.msg, name)
            assert not isinstance(value, bool)
    assert dict(found) == {message: {frozenset(fields)} for message, fields in PROMISED.items()}
    assert {name for fields in PROMISED.values() for name in fields} == set(told)


def test_a_traceback_is_where_the_page_says(logged: Any) -> None:
    """The messages that come with a traceback are those of which the page says so."""
    told = set(re.findall(r"^\| `([^`]+)` \| [A-Z]+ \| [^|]*with the traceback[^|]*\|", PAGE, re.MULTILINE))
    assert {record.msg for record in logged(plain=False) if record.exc_info} == told


def test_a_message_is_one_bounded_line_without_secrets(logged: Any) -> None:
    """Whatever a model is called, a message is one line that steers nothing; no prompt, answer or key is in it."""
    records = logged(plain=False)
    for record in records:
        facts = [value for name, value in vars(record).items() if name not in OWN and isinstance(value, str)]
        texts = [record.getMessage(), *facts]
        assert [text for text in texts if not text.isprintable()] == [], record.msg
        assert all(len(argument) <= 2_000 for argument in record.args or () if isinstance(argument, str))
    assert any("ERROR-forged" in record.getMessage() for record in records)
    everything = "".join(f"{vars(record)} {record.getMessage()}" for record in records)
    assert "CANARY" not in everything


def test_every_record_of_a_call_names_it(logged: Any) -> None:
    """Whoever looks for the id of a call that failed finds its fallbacks, its end, and what rested because of it."""
    records = logged(plain=False)
    (last,) = {record.call_id for record in records if record.msg.startswith("❌ No model answered")}
    mine = [record.msg for record in records if getattr(record, "call_id", "") == last]
    assert [text[:1] for text in mine if text[0] in "⏳❌"] == ["⏳", "❌"]
    assert "%s rests for %s (%s)" in mine


def test_plain_messages_are_those_of_the_page_without_their_sign(logged: Any) -> None:
    """With ``plain`` each message is that of the page less the sign and the space before it."""
    plain = {message._replace(template=re.sub(r"^[^ -~]+ ", "", message.template)) for message in PROMISED}
    assert all(message.template.isascii() for message in plain)
    assert {Message(record.name, record.levelname, record.msg) for record in logged(plain=True)} == plain


def test_a_call_that_is_rejected_by_all_is_found_by_its_error(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """The message of a call that failed lists each attempt, as the error does that the caller sees."""
    sim.default(status(404))
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url) as chain, pytest.raises(FallbackError) as caught:
        chain.complete(PROMPT)
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    for attempt in caught.value.attempts:
        assert f"{attempt.model}: {attempt.summary}" in record.getMessage()
