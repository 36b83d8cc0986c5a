"""Every row of the table from signal to verdict, over HTTP, in both modes where both make sense."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rows import BOTH, ROWS, Row

import orfallback
from orfallback import CallRejected, Chain, FallbackError, Reason, Scope, Timeouts
from orfallback.testing import FakeClock, Recorder, Simulator, answer, cut, reply, status

KEY = "sk-or-v1-CANARYKEY00000000"
PROMPT = "CANARYPROMPT why is the sky blue?"
SECRETS = ("CANARYKEY", "CANARYPROMPT")
PACKAGE = Path(orfallback.__file__).parent
MODELS = ("first/model:free", "twin/model:free", "last/model")
CASES = [pytest.param(row, mode, id=f"{row.id} [{mode}]") for row in ROWS for mode in row.modes]


@pytest.fixture
def recorder() -> Recorder:
    """A plugin that remembers what it is told."""
    return Recorder()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that anybody logs, at DEBUG."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


def chain_for(sim: Simulator, row: Row, clock: FakeClock, recorder: Recorder) -> Chain:
    """A chain of two free models and one that is not, on a clock that waits for nobody."""
    timeouts = Timeouts(**dict(row.timeouts))
    return Chain(MODELS, api_key=KEY, base_url=sim.base_url, clock=clock, plugins=[recorder], timeouts=timeouts)


def ask(chain: Chain, mode: str) -> Any:
    """Ask in one mode; the prompt is in no variable of this frame."""
    return chain.complete(PROMPT) if mode == "complete" else chain.stream(PROMPT).read()


def expected_order(row: Row) -> list[str]:
    """Whom a chain asks when the first model does what the row says, and all others answer."""
    first, twin, last = MODELS
    if row.again and row.scope is Scope.ENDPOINT:
        return [first, first]
    return {
        Scope.MODEL: [first, twin],
        Scope.FREE_TIER: [first, last],
        Scope.ENDPOINT: [first],
        Scope.CALL: [first],
    }[row.scope]


@pytest.mark.parametrize(("row", "mode"), CASES)
def test_fault_row(
    row: Row, mode: str, sim: Simulator, clock: FakeClock, recorder: Recorder, logged: pytest.LogCaptureFixture
) -> None:
    """The fault is judged as the table says, the right models are asked, and neither a socket nor a secret is left."""
    sim.script(MODELS[0], row.behaviour, answer("Hi from first")) if row.again else sim.script(MODELS[0], row.behaviour)
    sim.default(answer("Hi"))
    order = expected_order(row)
    error: FallbackError | None = None
    with chain_for(sim, row, clock, recorder) as chain:
        if len(order) == 1:
            with pytest.raises(CallRejected) as caught:
                ask(chain, mode)
            error = caught.value
            attempts = error.attempts
        else:
            completion = ask(chain, mode)
            attempts = completion.attempts
            assert completion.text == ("Hi from first" if row.again and row.scope is Scope.ENDPOINT else "Hi")
            assert attempts[-1].ok
            assert completion.requested_model == order[-1]
    first = attempts[0]
    assert first.verdict is not None
    assert (first.verdict.reason, first.verdict.scope, first.verdict.again) == (row.reason, row.scope, row.again)
    assert first.verdict.retry_after == row.hint
    assert first.status == row.status
    assert [attempt.model for attempt in attempts] == order
    assert sim.models_asked == order
    assert sim.wait_idle()
    # A wait follows a transient failure, and nothing else; a hint is waited only by what it was given for.
    wait = (7.0 if row.again and row.scope is Scope.ENDPOINT else 2.0) if row.reason.transient else 0.0
    assert clock.sleeps == ([wait] if wait else [])
    assert recorder.hooks.count("attempt_started") == recorder.hooks.count("attempt_finished") == len(order)
    assert recorder.hooks[0] == "call_started"
    assert recorder.hooks[-1] == "call_finished"
    assert_no_secret(error, recorder, logged)


def assert_no_secret(error: FallbackError | None, recorder: Recorder, logged: pytest.LogCaptureFixture) -> None:
    """Neither key nor prompt stands in an error, a traceback with variables, a pickle, a log record or a hook."""
    places: dict[str, str] = {"hooks": repr(recorder.seen)}
    for seen in recorder.seen:
        if "attempt" in seen.facts:
            places[f"pickle of {seen.hook}"] = repr(pickle.dumps(seen.facts["attempt"]))
    for record in logged.records:
        places[f"log {record.name} {record.levelname}"] = f"{record.getMessage()} {vars(record)!r}"
    if error is not None:
        rendered = traceback.TracebackException.from_exception(error, capture_locals=True)
        # The library's own frames: this test's hold what it looks for.
        ours = [frame for frame in rendered.stack if Path(frame.filename).parent == PACKAGE]
        assert ours
        places["traceback"] = f"{rendered} {[frame.locals for frame in ours]}"
        places["error"] = f"{error} {error!r} {vars(error)!r} {error.args!r}"
        places["pickle"] = repr(pickle.dumps(error))
        assert error.__cause__ is None
        assert error.__context__ is None
    found = [(place, secret) for place, text in places.items() for secret in SECRETS if secret in text]
    assert found == []


def test_the_scan_finds_a_secret(recorder: Recorder, logged: pytest.LogCaptureFixture) -> None:
    """The scan for secrets fails where one is: it is no test that cannot fail."""
    logging.getLogger("anything").debug("sent %s", PROMPT)
    with pytest.raises(AssertionError, match="CANARYPROMPT"):
        assert_no_secret(None, recorder, logged)


@pytest.mark.parametrize("mode", BOTH)
def test_every_error_pickles(mode: str, sim: Simulator, clock: FakeClock) -> None:
    """An error that crosses a process boundary keeps its attempts, its response and its type, and holds no key."""
    sim.default(ROWS[0].behaviour)
    with (
        Chain(MODELS, api_key=KEY, base_url=sim.base_url, clock=clock) as chain,
        pytest.raises(FallbackError) as caught,
    ):
        ask(chain, mode)
    error = caught.value
    copy: FallbackError = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert (copy.attempts, copy.reason, copy.retry_after) == (error.attempts, error.reason, error.retry_after)
    assert copy.response is not None
    assert (copy.response.status_code, copy.response.json()["error"]["code"]) == (502, 502)
    assert vars(copy.response)["request"] is None
    assert len(copy.attempts) == 3


ECHOES = [
    pytest.param(400, {"error": {"message": f"bad input: {PROMPT}", "metadata": {"raw": PROMPT}}}, id="400 prompt"),
    pytest.param(401, {"error": {"message": f"no such key: Authorization: Bearer {KEY}"}}, id="401 key"),
    pytest.param(401, {"error": {"message": f"no such key: {KEY[:22]}"}}, id="401 key cut short"),
    pytest.param(502, f"upstream said: POST / Bearer {KEY} {PROMPT}", id="502 text"),
    pytest.param(200, {"error": {"message": f"{KEY} {PROMPT}", "code": 500}}, id="200 with an error"),
    pytest.param(200, f"echo: {KEY} {PROMPT}", id="200 text"),
]


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(("code", "body"), ECHOES)
def test_an_echo_tells_nothing(
    code: int, body: Any, mode: str, sim: Simulator, clock: FakeClock, recorder: Recorder,
    logged: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """A server that sends the key or the prompt back does not bring them into an error, a pickle or a log."""
    sim.default(status(code, body, content_type="text/plain" if isinstance(body, str) else "application/json"))
    with chain_for(sim, ROWS[0], clock, recorder) as chain, pytest.raises(FallbackError) as caught:
        ask(chain, mode)
    assert_no_secret(caught.value, recorder, logged)


@pytest.mark.parametrize("mode", BOTH)
def test_a_long_error_in_a_good_status_is_read_whole(mode: str, sim: Simulator, clock: FakeClock) -> None:
    """An error inside a 200 counts though its body is longer than what is kept of it."""
    sim.script("a/a", reply({"padding": "x" * 100_000, "error": {"code": 502, "message": "no"}}))
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
        first = ask(chain, mode).attempts[0]
    assert (first.reason, first.message) == (Reason.BUSY, "no")


def test_a_dummy_key_is_not_looked_for(sim: Simulator, clock: FakeClock) -> None:
    """A key of a letter, as for a local server, does not make holes in what the server says."""
    sim.default(status(400, message="This model's maximum context length is 8192 tokens"))
    with Chain("a/a", api_key="x", base_url=sim.base_url, clock=clock) as chain, pytest.raises(FallbackError) as caught:
        chain.complete("hi")
    assert caught.value.reason == "context_length"
    assert caught.value.attempts[0].message == "This model's maximum context length is 8192 tokens"


@pytest.mark.parametrize("mode", BOTH)
def test_half_an_answer_is_not_quoted(
    mode: str, sim: Simulator, clock: FakeClock, recorder: Recorder, logged: pytest.LogCaptureFixture
) -> None:
    """What a model said stands in no message and no log, even where its reply was cut."""
    sim.default(cut("json", framing="close", text="CANARYANSWER"))
    with chain_for(sim, ROWS[0], clock, recorder) as chain, pytest.raises(FallbackError) as caught:
        ask(chain, mode)
    shown = f"{caught.value} {caught.value.attempts!r} {logged.text}"
    assert "CANARYANSWER" not in shown
