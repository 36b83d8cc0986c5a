"""Programs of ``tests/apps`` in processes of their own, and models that say what they were asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orfallback.testing import Behaviour, Received, Step, answer, silence, status

APPS = Path(__file__).with_name("apps")
#: The models of the programs: the first is busy for every question with an even number, so that they fall back.
BUSY, GOOD = "a/busy", "b/good"
# Longer than any program takes; one that hangs is ended, and its test fails (s).
_PATIENCE = 60.0


def asked(received: Received) -> str:
    """Return what a request asks."""
    text = received.body["messages"][-1]["content"]
    assert isinstance(text, str)
    return text


def echo(received: Received) -> Iterator[Step]:
    """Say what was asked; to ``stall`` say nothing."""
    question = asked(received)
    # Without a last chunk to wait for, whoever has read a stream has read it to its end, however slow this machine is.
    return silence()(received) if question == "stall" else answer(question, framing="length")(received)


def half_busy(received: Received) -> Iterator[Step]:
    """Be busy for every question that ends in an even digit."""
    return status(502)(received) if asked(received)[-1:] in tuple("02468") else echo(received)


def slowly(seconds: float) -> Behaviour:
    """Say what was asked after some time."""

    def behave(received: Received) -> Iterator[Step]:
        yield seconds
        yield from echo(received)

    return behave


def run(
    program: str, *arguments: str, flags: Sequence[str] = (), timeout: float = _PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    command = [sys.executable, *flags, str(APPS / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def found(program: str, *arguments: str, flags: Sequence[str] = ()) -> Any:
    """Run a program that has nothing to complain of, and return what it prints as JSON."""
    ran = run(program, *arguments, flags=flags)
    assert (ran.returncode, ran.stderr) == (0, "")
    return json.loads(ran.stdout)


def worker(application: str, processes: int = 2) -> list[str]:
    """Return the command of a Celery worker."""
    command = ["celery", "--app", application, "--quiet", "worker", "--pool", "prefork", f"--concurrency={processes}"]
    return [*command, "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR"]


@contextmanager
def host(log: Path, *command: str, descriptors: tuple[int, ...] = (), **environment: str) -> Iterator[None]:
    """Run a host, which ends in good order when it is told to, and has nothing to complain of."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=descriptors,
            cwd=APPS,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )
        try:
            yield
            process.terminate()
            assert process.wait(_PATIENCE) == 0
        except BaseException:
            print(log.read_text())
            raise
        finally:
            process.kill()
            process.wait()
