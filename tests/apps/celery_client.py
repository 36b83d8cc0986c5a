"""Gives a Celery worker its tasks, and prints as JSON what came of them."""

from __future__ import annotations

import json
from typing import Any

from asking import PROMPT
from celery import Celery
from celery_app import app, ask, chain, fail, stall, stall_out

_PATIENCE = 30
_INTERVAL = 0.02


def got(result: Any) -> Any:
    """Return what came of a task."""
    return result.get(timeout=_PATIENCE, interval=_INTERVAL)


def raised(result: Any) -> Any:
    """Return the error that came of a task, as data."""
    try:
        got(result)
    except Exception as error:  # noqa: BLE001 - the test judges it
        attempts = [(attempt.model, str(attempt.reason)) for attempt in getattr(error, "attempts", ())]
        return type(error).__name__, str(error), attempts
    return None


LIMITED = ((stall, "complete"), (stall, "stream"), (stall_out,))


def stored_as_json() -> Any:
    """Return what the result backend makes of an error as JSON, Celery's own choice."""
    other = Celery("other", backend=app.conf.result_backend)
    try:
        chain.complete("fail")
    except Exception as error:  # noqa: BLE001 - any will do
        other.backend.mark_as_failure("task", error)
    return raised(other.AsyncResult("task"))


questions = [f"{PROMPT} {number}" for number in range(40)]
results = [ask.delay(question) for question in questions]
answers = [got(result) for result in results]
limited = [task.apply_async(arguments, soft_time_limit=1) for task, *arguments in LIMITED]
found = {
    "wrong": sum(text != question for question, (text, _, _) in zip(questions, answers, strict=True)),
    "processes": sorted({process for _, process, _ in answers}),
    "made in": sorted({made_in for _, _, made_in in answers}),
    "limited": [got(result) for result in limited[:2]],
    "limit": raised(limited[2]),
    "failed": raised(fail.delay()),
    "as JSON": stored_as_json(),
    # The workers go on.
    "after": got(ask.delay("after 7"))[0],
}
# A signal would be heeded when the worker's loop next wakes, which takes seconds.
app.control.shutdown()
print(json.dumps(found))
