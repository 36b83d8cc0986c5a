"""The recipes for logs: in a process of its own, for they set up logging for all of one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from recipes import DOCS, PATIENCE, recipe

from orfallback.testing import Simulator, status

JSON, STRUCTLOG = "logging_config/json_logs.py", "structlog_logs/structlog_logs.py"
PROGRAM = """
import logging
import sys
from orfallback import Chain, FallbackError

sys.path.insert(0, {folder!r})
import {module} as recipe


class Moody:
    def orfallback_committed(self):
        raise RuntimeError("moody\\nby nature")


recipe.set_up()
with Chain.from_env() as chain:
    chain.register(Moody())
    {prepare}
    chain.stream("CANARYPROMPT").read()
    try:
        chain.replace(models=["a/busy"]).complete("CANARYPROMPT")
    except FallbackError:
        pass
    logging.getLogger("app").warning("two\\nlines", extra={{"time": 7, "what": object}})
    logging.getLogger("app").info("nothing")
"""


@pytest.fixture
def logged(at: Simulator, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Runs a program with a recipe, and returns what it wrote on stderr, each line an object."""
    at.script("a/busy", status(502))
    monkeypatch.setenv("ORFALLBACK_MODELS", "a/busy,b/good")
    monkeypatch.setenv("ORFALLBACK_DELAY", "0")

    def run(name: str, prepare: str = "") -> list[dict[str, Any]]:
        path = recipe(name)
        code = PROGRAM.format(folder=str(path.parent), module=path.stem, prepare=prepare)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True, env=os.environ
        )
        assert "CANARY" not in done.stderr
        return [json.loads(line) for line in done.stderr.splitlines()]

    return run


BUSY = "⏳ Model a/busy is busy, trying next fallback... (502 busy: Provider returned error; next: b/good)"
SAID = [
    ("orfallback", "info", "🔧 OpenRouter fallback system activated"),
    ("orfallback", "warning", BUSY),
    ("orfallback", "info", "Model a/busy rests for 30 s (busy)"),
    ("orfallback", "info", "✅ Successfully connected using model: b/good"),
    ("orfallback.plugins", "error", "plugin Moody failed in orfallback_committed; the call goes on without it"),
    ("orfallback", "error", "❌ No model answered after 1 attempt: a/busy: 502 busy: Provider returned error"),
    ("app", "warning", "two\nlines"),
]  # fmt: skip


def fallback(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the facts of the fallback, less what differs from run to run."""
    record = next(record for record in records if record.get("next_model"))
    assert re.fullmatch("[0-9a-f]{16}", record["call_id"])
    assert record["elapsed"] > 0
    names = ("model", "attempt", "reason", "status", "next_model", "wait")
    return {name: record[name] for name in names}


FACTS = {"model": "a/busy", "attempt": 1, "reason": "busy", "status": 502, "next_model": "b/good", "wait": 0}


def test_the_standard_library(logged: Any) -> None:
    """Each record is a line of JSON with time, level, logger, message, fields, and a plugin's traceback."""
    records = logged(JSON)
    told = [(record["logger"], record["level"].lower(), record["message"]) for record in records]
    assert sorted(told) == sorted(SAID)
    assert fallback(records) == FACTS
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}\+00:00", record["time"]) for record in records)
    (failed,) = [record for record in records if "traceback" in record]
    assert failed["traceback"].endswith("RuntimeError: moody\nby nature")
    assert failed["plugin"] == "Moody"
    # A field of a name that is taken does not take its place; one that is no JSON is shown as text.
    assert records[-1]["what"] == "<class 'object'>"


def test_structlog(logged: Any) -> None:
    """The library's records come in the application's stream, with their fields and what the request is bound to."""
    bind = "import structlog; structlog.contextvars.bind_contextvars(request='r-1')"
    say = "structlog.get_logger('app').warning('asked', size=3); structlog.get_logger('app').debug('nothing')"
    records = logged(STRUCTLOG, prepare=f"{bind}; {say}")
    told = [(record["logger"], record["level"], record["event"]) for record in records]
    assert sorted(told) == sorted([*SAID, ("app", "warning", "asked")])
    assert fallback(records) == FACTS
    assert {record["request"] for record in records} == {"r-1"}
    assert next(record for record in records if record["event"] == "asked")["size"] == 3
    (failed,) = [record for record in records if "exception" in record]
    assert failed["exception"].endswith("RuntimeError: moody\nby nature")
    assert not [name for record in records for name in record if name.startswith("_")]


def test_the_sample_of_the_page(logged: Any) -> None:
    """The line on the page has the fields that a record of a fallback has, in their order."""
    page = (DOCS / "how-to" / "logs.md").read_text(encoding="utf-8")
    (sample,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    record = next(record for record in logged(JSON) if record.get("next_model"))
    assert list(json.loads(sample)) == list(record)
    assert json.loads(sample)["message"].partition(" (")[0] == record["message"].partition(" (")[0].lstrip("⏳ ")
