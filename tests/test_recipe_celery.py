"""The recipe for Celery: what a task does by itself, and with a real worker."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from celery.exceptions import Retry
from celery.signals import task_retry
from hosting import asked, found, host, worker
from recipes import load

from orfallback import CallRejected, ChainExhausted, DeadlineExceeded, FallbackError, Timeouts
from orfallback.testing import Behaviour, Received, Simulator, Step, answer, silence, status

FILE = "celery_answers.py"
BUSY, GOOD = "a/busy", "b/good"
QUESTION = "CANARYPROMPT of a task"


@pytest.fixture(autouse=True)
def _environment(at: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first model is busy, and the chain does not wait."""
    monkeypatch.setenv("ORFALLBACK_MODELS", f"{BUSY},{GOOD}")
    monkeypatch.setenv("ORFALLBACK_DELAY", "0")
    # Here a task is run again at once, when nobody has rested.
    monkeypatch.setenv("ORFALLBACK_COOLDOWN", "none")
    at.script(BUSY, status(503))


@pytest.fixture
def recipe(_environment: None) -> Iterator[Any]:
    """The recipe, its chain closed in the end."""
    module = load(FILE)
    yield module
    module.chain.close()


@pytest.fixture
def countdowns() -> Iterator[list[float]]:
    """The countdown of each retry; in this process nobody waits for it."""
    waits: list[float] = []

    def note(reason: Retry, **_: Any) -> None:
        waits.append(reason.when)

    task_retry.connect(note, weak=False)
    yield waits
    task_retry.disconnect(note)


def test_a_busy_model_is_no_retry(recipe: Any, at: Simulator, countdowns: list[float]) -> None:
    """While the first model is busy the second one answers, in the same run of the task."""
    assert recipe.answer.apply((QUESTION,)).get() == "Hello from the simulator."
    assert at.models_asked == [BUSY, GOOD]
    assert countdowns == []


def test_a_retry_waits_for_the_soonest_hint(recipe: Any, at: Simulator, countdowns: list[float]) -> None:
    """The task is run again when a model says that it will be there, or somewhat later, and then answers."""
    hints = [status(503, headers={"Retry-After": seconds}) for seconds in ("90", "100")]
    at.script(BUSY, *hints, answer("At last."))
    at.script(GOOD, status(503, headers={"Retry-After": "40"}), *hints[1:])
    assert recipe.answer.apply((QUESTION,)).get() == "At last."
    assert [wait // 10 * 10 for wait in countdowns] in ([[a, b] for a in (40, 50) for b in range(100, 150, 10)])
    assert at.models_asked == [BUSY, GOOD] * 2 + [BUSY]


def test_countdowns_grow_spread_and_end(recipe: Any) -> None:
    """Each countdown lies between the wait and half as much again, differs from task to task, and has a bound."""
    assert all(7 <= recipe.countdown(7.0, 0) <= 10.5 for _ in range(100))
    assert all(40 <= recipe.countdown(7.0, 3) <= 60 for _ in range(100))
    assert all(600 <= recipe.countdown(7.0, 50) <= 900 for _ in range(100))
    assert len({recipe.countdown(7.0, 0) for _ in range(100)}) > 90


def test_the_requests_of_a_task_are_bounded(recipe: Any, at: Simulator, countdowns: list[float]) -> None:
    """When everybody is down a task asks each model five times, and ends in the error that lists what was tried."""
    at.script(GOOD, status(502))
    result = recipe.answer.apply((QUESTION,))
    with pytest.raises(ChainExhausted) as caught:
        result.get()
    assert at.models_asked == [BUSY, GOOD] * 5
    assert len(countdowns) == 4
    packed = pickle.dumps(caught.value)
    assert b"CANARY" not in packed
    assert [attempt.model for attempt in pickle.loads(packed).attempts] == [BUSY, GOOD]


@pytest.mark.parametrize(
    ("behaviour", "kind", "models"),
    [
        (status(401), CallRejected, [BUSY]),
        (status(404), ChainExhausted, [BUSY, GOOD]),
        (status(429, headers={"Retry-After": "86000"}), ChainExhausted, [BUSY, GOOD]),
    ],
    ids=["rejected", "gone", "tomorrow"],
)
def test_what_no_retry_helps_is_not_retried(
    behaviour: Behaviour,
    kind: type[FallbackError],
    models: list[str],
    recipe: Any,
    at: Simulator,
    countdowns: list[float],
) -> None:
    """A rejected call, models that are gone, and a hint that is too far off end the task at once."""
    for model in (BUSY, GOOD):
        at.script(model, behaviour)
    with pytest.raises(kind):
        recipe.answer.apply((QUESTION,)).get()
    assert at.models_asked == models
    assert countdowns == []


def test_a_rejected_call_under_autoretry(recipe: Any, at: Simulator) -> None:
    """With ``autoretry_for`` alone a wrong key is asked with five times; with the recipe's option once."""
    at.script(BUSY, status(401))
    options = {"autoretry_for": (requests.RequestException,), "max_retries": recipe.MAX_RETRIES, "retry_backoff": True}

    def ask() -> str:
        return str(recipe.chain.complete(QUESTION).text)

    storm = recipe.app.task(name="storm", **options)(ask)
    with pytest.raises(CallRejected):
        storm.apply().get()
    assert at.models_asked == [BUSY] * 5
    with pytest.raises(CallRejected):
        recipe.answer_by_options.apply((QUESTION,)).get()
    assert at.models_asked == [BUSY] * 6


def test_autoretry_helps_where_it_helps(recipe: Any, at: Simulator, countdowns: list[float]) -> None:
    """The recipe's options run a task again when nobody answered."""
    at.script(GOOD, status(502), answer("At last."))
    assert recipe.answer_by_options.apply((QUESTION,)).get() == "At last."
    assert len(countdowns) == 1


def test_the_deadline_comes_before_the_limits(recipe: Any, at: Simulator, countdowns: list[float]) -> None:
    """The chain's deadline is the shortest limit; its error says who was silent, and is worth a retry."""
    assert recipe.DEADLINE < recipe.SOFT_LIMIT < recipe.HARD_LIMIT
    for task in (recipe.answer, recipe.answer_by_options):
        assert (task.soft_time_limit, task.time_limit) == (recipe.SOFT_LIMIT, recipe.HARD_LIMIT)
    at.script(BUSY, silence(), answer("At last."))
    recipe.chain = recipe.chain.replace(timeouts=Timeouts(deadline=0.4))
    assert recipe.answer.apply((QUESTION,)).get() == "At last."
    assert len(countdowns) == 1
    at.script(BUSY, silence())
    with pytest.raises(DeadlineExceeded, match=BUSY):
        recipe.chain.complete(QUESTION)


def test_a_worker(at: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real worker runs a task again after the hint; a soft limit closes the connection; errors come back by class."""
    turns = {"later": iter([status(503, headers={"Retry-After": "0.3"})])}

    def behave(received: Received) -> Iterator[Step]:
        told = {"stall": silence(), "rejected": status(401)}.get(asked(received))
        return (told or next(turns[asked(received)], answer("At last.")))(received)

    at.script(BUSY, behave)
    at.script(GOOD, status(404))
    monkeypatch.setenv("FOLDER", str(tmp_path))
    # Both the worker and its client load the recipe with the help of a module of the tests.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    with host(tmp_path / "log", *worker("celery_recipe", processes=1)):
        told = found("celery_recipe.py")
    assert told["later"][0] == "At last."
    assert told["later"][1] >= 0.3
    assert told["limited"][0] == "SoftTimeLimitExceeded"
    kind, text = told["rejected"]
    assert kind == "CallRejected"
    assert f"{BUSY}: 401 unauthorized" in text
    assert at.wait_idle()
    assert [asked(received) for received in at.left_early] == ["stall"]
    assert at.models_asked == [BUSY, GOOD, BUSY, BUSY, BUSY]
