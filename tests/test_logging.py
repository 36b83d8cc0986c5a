"""The logging plugin: what it says, at which level, with which facts."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from rows import delta
from test_engine import BUSY, GONE, A, B, Step, World, target

from orfallback import (
    CallRejected,
    Chain,
    ChainExhausted,
    DeadlineExceeded,
    LoggingPlugin,
    Outcome,
    Reason,
    Scope,
    StreamInterrupted,
    UpstreamError,
    Verdict,
)
from orfallback.testing import Simulator, answer, cut, events, status

ACTIVE = (logging.INFO, "🔧 OpenRouter fallback system activated")
FACTS = ("call_id", "model", "attempt", "reason", "status", "elapsed", "next_model", "wait")


@pytest.fixture(autouse=True)
def _from_info_on(caplog: pytest.LogCaptureFixture) -> None:
    """Record what the logger says from INFO on."""
    caplog.set_level(logging.INFO, "orfallback")


def refused(verdict: Verdict, message: str = "", code: int = 502) -> Outcome:
    """Return an outcome with an upstream's error message."""
    return Outcome(status=code, error=UpstreamError(code, "", message), body=verdict)


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Return level and message of every record."""
    return [(record.levelno, record.getMessage()) for record in caplog.records]


def facts(record: logging.LogRecord) -> dict[str, Any]:
    """Return the facts that a record carries."""
    return {name: getattr(record, name) for name in FACTS if hasattr(record, name)}


def test_a_fallback_is_told_from_beginning_to_end(caplog: pytest.LogCaptureFixture) -> None:
    """A busy model, the next one and the success are each one record, with their facts."""
    World((A, B), {"a": refused(BUSY, "upstream down")}, LoggingPlugin(), took=0.5).complete()
    assert said(caplog) == [
        ACTIVE,
        (logging.WARNING, "⏳ Model a is busy, trying next fallback... (502 busy: upstream down; next: b, in 2 s)"),
        (logging.INFO, "✅ Successfully connected using model: b"),
    ]
    assert {record.name for record in caplog.records} == {"orfallback"}
    failed = {"call_id": "c0ffee", "model": "a", "attempt": 1, "reason": "busy", "status": 502, "elapsed": 0.5}
    succeeded = {"call_id": "c0ffee", "model": "b", "attempt": 2, "reason": None, "status": 200, "elapsed": 0.5}
    assert [facts(record) for record in caplog.records] == [
        {"call_id": "c0ffee"},
        {**failed, "next_model": "b", "wait": 2.0},
        succeeded,
    ]


@pytest.mark.parametrize(
    ("script", "text"),
    [
        pytest.param({"a": refused(BUSY)}, "is busy, trying next fallback... (502 busy; next: b, in 2 s)", id="silent"),
        pytest.param(
            {"a": refused(GONE, "No endpoints", 404)},
            "failed (not_found), trying next fallback... (404 not_found: No endpoints; next: b)",
            id="gone",
        ),
        pytest.param(
            {"a": Outcome(status=200, body=Verdict.fallback(Reason.EMPTY))},
            "failed (empty), trying next fallback... (empty; next: b)",
            id="empty",
        ),
        pytest.param(
            {"a": Outcome(detail="no connection within 5 s", body=Verdict.fallback(Reason.TIMEOUT))},
            "took too long, trying next fallback... (timeout: no connection within 5 s; next: b, in 2 s)",
            id="no response",
        ),
    ],
)
def test_a_failure_says_why_and_what_is_next(
    caplog: pytest.LogCaptureFixture, script: Mapping[str, Step], text: str
) -> None:
    """A failure is told by a word of its own; the wait is told where there is one."""
    World((A, B), script, LoggingPlugin()).complete()
    assert said(caplog)[1] == (logging.WARNING, f"⏳ Model a {text}")


WORDS = {
    Reason.BUSY: "is busy",
    Reason.RATE_LIMITED: "is busy",
    Reason.TIMEOUT: "took too long",
    Reason.CONNECTION: "is unreachable",
    Reason.SERVER_ERROR: "had a server error",
    Reason.TRUNCATED: "broke off",
}


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.CANCELLED], ids=str)
def test_only_what_is_busy_is_called_busy(reason: Reason, caplog: pytest.LogCaptureFixture) -> None:
    """An operator reads of a model that was silent, down or cut off what it was, and not that it was busy."""
    World((A, B), {"a": refused(Verdict.fallback(reason))}, LoggingPlugin()).complete()
    word = WORDS.get(reason, f"failed ({reason})")
    assert said(caplog)[1][1].startswith(f"⏳ Model a {word}, trying next fallback... (502 {reason}; next: b")
    assert (reason in WORDS) == reason.transient


def test_the_same_target_again_is_no_fallback(caplog: pytest.LogCaptureFixture) -> None:
    """A retry of the same target is called one."""
    World((A,), {"a": [Verdict.retry(Reason.RATE_LIMITED, 7.0), None]}, LoggingPlugin()).complete()
    text = "⏳ Model a is busy, trying it again... (503 rate_limited; next: a, in 7 s)"
    assert said(caplog)[1] == (logging.WARNING, text)


def test_the_same_model_elsewhere_is_a_fallback(caplog: pytest.LogCaptureFixture) -> None:
    """The same model at another endpoint is another target, so it is not called a retry."""
    verdict = Verdict.fallback(Reason.BUSY, Scope.ENDPOINT)
    there = "https://one.test/v1/chat/completions"
    script = {"a": [Outcome(status=503, url=there, body=verdict), None]}
    World((A, target("a", "two")), script, LoggingPlugin()).complete()
    text = "⏳ Model a is busy, trying next fallback... (503 busy; next: a, in 2 s)"
    assert said(caplog)[1] == (logging.WARNING, text)


def test_the_activation_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A chain says that it is at work with its first call, and not again."""
    world = World((A,), {}, LoggingPlugin())
    world.complete()
    world.complete()
    assert [text for _, text in said(caplog)] == [ACTIVE[1], *["✅ Successfully connected using model: a"] * 2]


def test_a_stream_connects_at_its_commit(caplog: pytest.LogCaptureFixture) -> None:
    """The success of a stream is told when it is committed, and not again at its end."""
    answered = World((A,), {}, LoggingPlugin(), stream=True).run()
    connected = [ACTIVE, (logging.INFO, "✅ Successfully connected using model: a")]
    assert said(caplog) == connected
    answered.finish(bytes=5)
    answered.end(None)
    assert said(caplog) == connected


@pytest.mark.parametrize(
    ("seconds", "targets", "script", "kind", "text"),
    [
        pytest.param(
            99.0,
            (A, B),
            {"a": refused(BUSY, "down"), "b": refused(GONE, "", 404)},
            ChainExhausted,
            "No model answered after 2 attempts: a: 502 busy: down; b: 404 not_found",
            id="exhausted",
        ),
        pytest.param(
            99.0,
            (A, B),
            {"a": refused(Verdict.fallback(Reason.UNAUTHORIZED, Scope.ENDPOINT), "No auth", 401)},
            CallRejected,
            "No model answered after 1 attempt: a: 401 unauthorized: No auth",
            id="rejected",
        ),
        pytest.param(
            0.0,
            (A,),
            {},
            DeadlineExceeded,
            "No model was asked: the call's deadline came: no attempt was made",
            id="too late",
        ),
    ],
)
def test_a_call_without_an_answer_is_an_error(
    caplog: pytest.LogCaptureFixture,
    seconds: float,
    targets: Sequence[Any],
    script: Mapping[str, Step],
    kind: type[Exception],
    text: str,
) -> None:
    """The end of a call that failed is one ERROR that lists every attempt."""
    with pytest.raises(kind):
        World(targets, script, LoggingPlugin(), seconds=seconds).complete()
    assert said(caplog)[-1] == (logging.ERROR, f"❌ {text}")
    assert [level for level, _ in said(caplog)].count(logging.ERROR) == 1


def test_an_interruption_is_no_error_of_the_models(caplog: pytest.LogCaptureFixture) -> None:
    """A call that the application broke off leaves nothing behind but its activation."""
    with pytest.raises(KeyboardInterrupt):
        World((A,), {"a": KeyboardInterrupt()}, LoggingPlugin()).complete()
    assert said(caplog) == [ACTIVE]


def test_an_interrupted_stream_is_an_error(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """A stream that breaks after its first content is told as broken, with the attempt's facts."""
    sim.script("a", cut("content", clean=True))
    with Chain("a", api_key="sk-test", base_url=sim.base_url) as chain, pytest.raises(StreamInterrupted):
        chain.stream("hi").read()
    assert said(caplog)[3:] == [
        (logging.ERROR, "❌ The stream from a broke: truncated: the stream ended before the answer did")
    ]
    record = facts(caplog.records[-1])
    assert (record["model"], record["attempt"], record["reason"], record["status"]) == ("a", 1, "truncated", 200)


def test_plain_messages_hold_no_emoji(caplog: pytest.LogCaptureFixture) -> None:
    """Every plain message is the usual one without its sign, in ASCII."""
    script = {"a": refused(BUSY, "down"), "b": refused(GONE, "", 404)}
    for plain in (False, True):
        with pytest.raises(ChainExhausted):
            World((A, B), script, LoggingPlugin(plain=plain)).complete()
        World((A,), {}, LoggingPlugin(plain=plain)).complete()
    texts = [text for _, text in said(caplog)]
    usual, plain_ones = texts[: len(texts) // 2], texts[len(texts) // 2 :]
    assert plain_ones == [text.split(" ", 1)[1] for text in usual]
    assert all(text.isascii() for text in plain_ones)
    assert len(plain_ones) == 5


@pytest.mark.parametrize(
    ("nasty", "clean"),
    [
        ("two\r\nlines", "two lines"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("100 %s %d %(model)s", "100 %s %d %(model)s"),
        ("{model} {0} {", "{model} {0} {"),
        ("abc\u202edef\u2066g", "abc def g"),
        ("next\u2028line\x85on", "next line on"),
        ("half \ud800 a pair", "half a pair"),
    ],
    ids=["newlines", "escapes", "percent", "braces", "bidi", "separators", "surrogate"],
)
def test_what_an_upstream_says_stays_on_one_clean_line(
    nasty: str, clean: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Text from outside can neither break a record in two, nor steer a terminal, nor format anything."""
    with pytest.raises(ChainExhausted):
        World((target(f"m{nasty}"), B), {f"m{nasty}": refused(GONE, nasty), "b": GONE}, LoggingPlugin()).complete()
    model = f"m{clean}" if clean[0] not in "[" else f"m {clean}"
    assert [text for _, text in said(caplog)[1:]] == [
        f"⏳ Model {model} failed (not_found), trying next fallback... (502 not_found: {clean}; next: b)",
        f"❌ No model answered after 2 attempts: {model}: 502 not_found: {clean}; b: 503 not_found",
    ]
    assert caplog.records[1].__dict__["model"] == model


def test_a_prompt_an_answer_or_a_key_is_never_logged(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """No record, at any level and with any fact, holds the prompt, the answer or the key."""
    caplog.set_level(logging.DEBUG)
    sim.script("a", status(400))
    sim.script("b", answer("canary-answer"))
    chain = Chain(["a", "b"], api_key="sk-canary-key", base_url=sim.base_url)
    with chain:
        assert chain.complete("canary-prompt").text == "canary-answer"
    records = [record for record in caplog.records if record.name.startswith("orfallback")]
    assert len(records) == 3
    assert "canary" not in "".join(f"{record.__dict__} {record.getMessage()}" for record in records)


def test_the_library_adds_a_null_handler_alone() -> None:
    """Importing and using a chain sets up no logging: no level, one NullHandler, nothing on stderr."""
    code = (
        "import logging, orfallback; orfallback.Chain(api_key='sk-test'); logger = logging.getLogger('orfallback');"
        "print([type(each).__name__ for each in logger.handlers], logger.level, logging.root.handlers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("['NullHandler'] 0 []", "")


def test_the_plugin_is_removable_by_name(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """A chain whose plugin ``logging`` was unregistered says nothing."""
    with Chain("a", api_key="sk-test", base_url=sim.base_url) as chain:
        assert isinstance(chain.plugin_manager.get_plugin("logging"), LoggingPlugin)
        chain.plugin_manager.unregister(name="logging")
        chain.complete("hi")
    assert said(caplog) == []


def test_disabled_logging_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """With logging switched off the call goes as ever."""
    logging.disable(logging.CRITICAL)
    try:
        assert World((A, B), {"a": BUSY}, LoggingPlugin()).complete() == "b says hello"
    finally:
        logging.disable(logging.NOTSET)
    assert said(caplog) == []


class _BadHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("disk full")


@pytest.mark.parametrize("where", ["orfallback", "root"])
def test_a_handler_that_raises_breaks_no_call(where: str) -> None:
    """A handler of the application's that fails costs the record, and neither the call nor the other plugins."""
    logger = logging.getLogger(None if where == "root" else where)
    handler = _BadHandler()
    logger.addHandler(handler)
    try:
        world = World((A, B), {"a": BUSY}, LoggingPlugin())
        assert world.complete() == "b says hello"
    finally:
        logger.removeHandler(handler)
    assert world.balanced()


def test_an_application_that_configures_its_logging(sim: Simulator) -> None:
    """What sseclient-py logs of a server's events stays out of the log, also where all loggers are enabled."""
    sim.script("a/a", events(b"CANARYFIELD: x\n\n", delta(content="Hi"), "[DONE]"))
    code = f"""
import logging, logging.config, sys
from orfallback import Chain
chain = Chain(["a/a"], api_key="sk-test", base_url={sim.base_url!r})
chain.stream("Hi").read()
console = {{"class": "logging.StreamHandler", "stream": sys.stdout}}
root = {{"level": "DEBUG", "handlers": ["console"]}}
logging.config.dictConfig(
    {{"version": 1, "disable_existing_loggers": False, "handlers": {{"console": console}}, "root": root}}
)
chain.stream("Hi").read()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "Successfully connected" in done.stdout
    assert "SSE" not in done.stdout
    assert "Dispatching" not in done.stdout
    assert "CANARYFIELD" not in done.stdout
