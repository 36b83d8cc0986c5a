"""The recipe for Celery, its queue in files; as a program it gives a worker tasks, and prints what came of them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import requests
import whole_files
from celery.exceptions import SoftTimeLimitExceeded
from recipes import load

_PATIENCE = 30

recipe: Any = load("celery_answers.py")
# A worker that waits for seconds waits for the test, too.
recipe.SOONEST = 0.3
app = whole_files.use_files(recipe.app, Path(os.environ["FOLDER"]))
app.conf.worker_timer_precision = 0.05


def got(question: str, **options: Any) -> Any:
    """Return what comes of a task, and how long it takes."""
    began = time.monotonic()
    try:
        text = recipe.answer.apply_async((question,), **options).get(timeout=_PATIENCE, interval=0.02)
    except requests.RequestException as error:
        return type(error).__name__, str(error)
    except SoftTimeLimitExceeded as error:
        return type(error).__name__, ""
    return text, time.monotonic() - began


if __name__ == "__main__":
    told = {"later": got("later"), "limited": got("stall", soft_time_limit=1), "rejected": got("rejected")}
    app.control.shutdown()
    print(json.dumps(told))
