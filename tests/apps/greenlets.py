"""Uses a chain under gevent, and prints as JSON what came of it: ``greenlets.py early|late SITUATION BASE_URL ...``.

Early, gevent patches everything before anything else is imported; late, when a chain has made its first calls.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from gevent import monkey

when, situation, base_url, *more = sys.argv[1:]
if when == "early":
    monkey.patch_all()

import gevent  # noqa: E402 - early is earlier than this
from asking import MODELS, chain_for, wrong  # noqa: E402 - likewise

from orfallback import Chain, Timeouts  # noqa: E402 - likewise
from orfallback.testing import Recorder  # noqa: E402 - likewise

chain = chain_for(base_url)
if when == "late":
    wrong(chain, "before", 1)
    with warnings.catch_warnings():
        # It says that late is too late for TLS.
        warnings.simplefilter("ignore", monkey.MonkeyPatchWarning)
        monkey.patch_all()


def many() -> Any:
    """50 greenlets ask five times each."""
    started = time.monotonic()
    greenlets = [gevent.spawn(_ask_five_times, number) for number in range(50)]
    gevent.joinall(greenlets, raise_error=True)
    return sum(greenlet.value for greenlet in greenlets), time.monotonic() - started


def _ask_five_times(number: int) -> int:
    count = 0
    for call in range(5):
        question = f"greenlet {number} asks {call}."
        got = chain.stream(question).read() if (call + number) % 2 else chain.complete(question)
        count += got.text != question
    return count


def interrupted() -> Any:
    """A timeout of gevent's strikes in every place; it comes out as it is."""
    (full,) = more
    patient = Timeouts(connect=60)

    def iterate(chain: Chain) -> None:
        for _ in chain.stream("begins"):
            pass

    places: dict[str, tuple[str, Any, Callable[[Chain], object]]] = {
        "connect": (full, MODELS, lambda chain: chain.complete("hi")),
        "wait": (base_url, ["a/waits", "b/good"], lambda chain: chain.complete("hi")),
        "headers": (base_url, MODELS, lambda chain: chain.complete("stall")),
        "body": (base_url, "a/half", lambda chain: chain.complete("hi")),
        "commit": (base_url, "a/half", lambda chain: chain.stream("hi")),
        "iteration": (base_url, "a/begins", iterate),
    }  # fmt: skip
    results = {}
    for place, (url, models, act) in places.items():
        recorder = Recorder()
        chain = Chain(models, api_key="sk-test", base_url=url, timeouts=patient, plugins=[recorder], delay=30)
        timeout = gevent.Timeout(0.2)
        timeout.start()
        try:
            act(chain)
        except gevent.Timeout as error:
            same = error is timeout
        finally:
            timeout.close()
        told = recorder.seen[-1].facts["error"] is gevent.Timeout
        results[place] = same, finished(recorder), recorder.hooks[-1], told, recorder.hooks.count("attempt_started")
    return results


def finished(recorder: Recorder) -> list[Any]:
    """Return the reasons of the attempts that the observers were told of."""
    return [seen.facts["attempt"].reason for seen in recorder.seen if seen.hook == "attempt_finished"]


def killed() -> Any:
    """A greenlet is killed in the middle of a call."""
    recorder = Recorder()
    watched = chain.replace(plugins=[recorder])
    greenlet = gevent.spawn(watched.complete, "stall")
    gevent.sleep(0.2)
    greenlet.kill(timeout=10)
    return type(greenlet.value).__name__, finished(recorder), recorder.hooks[-1], wrong(chain, "after", 1)


def closed() -> Any:
    """One greenlet closes the stream that another one reads."""
    stream = Chain("a/begins", api_key="sk-test", base_url=base_url).stream("hi")

    def read() -> str:
        try:
            stream.read()
        except Exception as error:  # noqa: BLE001 - the test judges it
            return type(error).__name__
        return ""

    reader = gevent.spawn(read)
    gevent.sleep(0.2)
    stream.close()
    reader.join(10)
    return reader.value


print(json.dumps(globals()[situation]()))
