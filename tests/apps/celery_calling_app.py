"""A Celery application whose task calls an endpoint by itself, and knows of no library but requests."""

from __future__ import annotations

import os
from pathlib import Path

import requests
import whole_files
from celery import Celery

app = whole_files.use_files(Celery("celery_calling_app"), Path(os.environ["FOLDER"]))


def _ask(question: str) -> tuple[str, int]:
    body = {"model": "a/first", "messages": [{"role": "user", "content": question}]}
    answer = requests.post(f"{os.environ['OPENROUTER_BASE_URL']}/chat/completions", json=body, timeout=30)
    answer.raise_for_status()
    return answer.json()["choices"][0]["message"]["content"], os.getpid()


ask = app.task(name="ask")(_ask)

if __name__ == "__main__":
    # Asks until both processes have answered.
    processes: set[int] = set()
    while len(processes) < 2:
        for result in [ask.delay(f"question {number}") for number in range(10)]:
            text, process = result.get(timeout=30, interval=0.02)
            assert text == "Well met"
            processes.add(process)
    app.control.shutdown()
