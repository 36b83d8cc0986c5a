"""A Celery application with a chain of its module's own, warm before the worker forks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import whole_files
from asking import chain_for, tell_everything
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from orfallback.testing import Recorder

app = whole_files.use_files(Celery("celery_app"), Path(os.environ["FOLDER"]))
app.conf.update(result_serializer="pickle", result_accept_content=["pickle"], worker_prefetch_multiplier=20)
MADE_IN = os.getpid()
chain = chain_for(os.environ["BASE_URL"])
if os.environ.get("WARM"):
    tell_everything()
    for number in range(2):
        chain.complete(f"warm {number}")


def _ask(question: str) -> tuple[str, int, int]:
    streams = question.endswith(("0", "1", "2", "3", "4"))
    text = chain.stream(question).read().text if streams else chain.complete(question).text
    return text, os.getpid(), MADE_IN


def _stall(mode: str) -> Any:
    """Stall until the soft time limit strikes, and tell how it came out."""
    recorder = Recorder()
    watched = chain.replace(plugins=[recorder])
    error: BaseException
    try:
        if mode == "complete":
            watched.complete("stall")
        else:
            watched.stream("begin").read()
    except SoftTimeLimitExceeded as limit:
        error = limit
    finished = [seen.facts["attempt"].reason for seen in recorder.seen if seen.hook == "attempt_finished"]
    told = recorder.seen[-1].facts["error"]
    return type(error).__name__, [str(reason) for reason in finished], recorder.hooks[-1], told is type(error)


def _stall_out() -> None:
    chain.complete("stall")


def _fail() -> None:
    chain.complete("fail")


ask = app.task(name="ask")(_ask)
stall = app.task(name="stall")(_stall)
stall_out = app.task(name="stall_out")(_stall_out)
fail = app.task(name="fail")(_fail)
