"""A call log as a busy day would leave it: four models, an outage, limits, waits, streams, cost. The same each time.

``python tests/call_logs.py 1200 > calls.jsonl`` writes one to look at.
"""

from __future__ import annotations

import datetime
import math
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orfallback._record import Record, Try, to_line
from orfallback.cli._report._summary import Summary
from orfallback.cli._report._tally import summarise

#: When the day begins (seconds since the epoch).
BEGINS = datetime.datetime(2026, 11, 22, tzinfo=datetime.timezone.utc).timestamp()
_DAY = 86_400.0
_URL = "https://openrouter.ai/api/v1/chat/completions"
# What a call may wait and try in all (s).
_DEADLINE = 60.0


class _Kind(NamedTuple):
    """How a model is.

    :ivar name: its id.
    :ivar provider: who serves it.
    :ivar first: median seconds to the first token.
    :ivar speed: tokens a second.
    :ivar price: US dollars a million tokens.
    :ivar faults: how it fails, and how likely that is on a good day.
    """

    name: str
    provider: str
    first: float
    speed: float
    price: float
    faults: tuple[tuple[str, int | None, float], ...]


_KINDS = (
    _Kind("mistralai/mistral-nemo", "DeepInfra", 0.32, 95, 0.04, (("busy", 502, 0.03), ("rate_limited", 429, 0.02))),
    _Kind("mistralai/mistral-small-3.2-24b-instruct", "Mistral", 0.45, 80, 0.12,
          (("busy", 503, 0.02), ("timeout", None, 0.03), ("truncated", 200, 0.01))),
    _Kind("mistralai/mistral-small-24b-instruct-2501", "Together", 0.7, 60, 0.15,
          (("connection", None, 0.02), ("empty", 200, 0.02))),
    _Kind("mistralai/pixtral-12b", "Hyperbolic", 1.3, 35, 0.1, (("server_error", 500, 0.04), ("not_found", 404, 0.02))),
)  # fmt: skip
#: The models, in the order of the chain.
MODELS = tuple(kind.name for kind in _KINDS)
_SAID = {
    "busy": "Provider returned error", "rate_limited": "Rate limit exceeded, try again in 20 s",
    "timeout": "no first token within 30 s", "connection": "connection reset", "empty": "an answer without text",
    "server_error": "Internal Server Error", "not_found": "No endpoints found", "truncated": "the stream broke off",
}  # fmt: skip


def records(count: int, seed: int = 7, days: float = 1.0) -> Iterator[Record]:
    """Yield calls, in the order in which they ended.

    :param count: how many.
    :param seed: of what is random.
    :param days: over how many days they are spread.
    """
    chance = random.Random(seed)
    for number in range(count):
        share = (number + chance.random()) / count
        # More by day than by night.
        share += 0.1 * math.sin(2 * math.pi * share * max(round(days), 1)) / max(round(days), 1)
        yield _call(chance, BEGINS + share * days * _DAY, share * days % 1)


def _call(chance: random.Random, started: float, hour: float) -> Record:
    stream = chance.random() < 0.6
    tries: list[Try] = []
    # Between two and five in the afternoon the first model is out; a cooldown spares most calls its failure.
    out = 14 / 24 < hour < 17 / 24
    # And for half an hour in the evening hardly anybody answers.
    storm = 20.5 / 24 < hour < 21 / 24
    kinds = _KINDS[1:] if out and chance.random() < 0.8 else _KINDS
    ending = "failed"
    error: str | None = "ChainExhausted"
    for kind in kinds:
        tried = _try(chance, kind, stream, waited=2.0 if tries and _passing(tries[-1]) else 0.0, out=out, storm=storm)
        tries.append(tried)
        if tried.reason is None:
            ending, error = "answered", None
            if stream and chance.random() < 0.02:
                ending, tries[-1] = "left", tried._replace(reason="cancelled", message="", elapsed=tried.elapsed / 2)
            break
        if tried.first_token is not None:
            ending, error = "broken", "StreamInterrupted"
            break
        if sum(each.waited + each.elapsed for each in tries) > _DEADLINE:
            error = "DeadlineExceeded"
            break
    else:
        if chance.random() < 0.5:
            ending, error = "degraded", None
    return Record(
        started=round(started, 3), id=f"{chance.getrandbits(64):016x}", mode="stream" if stream else "complete",
        ending=ending, error=error, seconds=round(sum(each.waited + each.elapsed for each in tries), 6),
        attempts=tuple(tries),
    )  # fmt: skip


def _passing(tried: Try) -> bool:
    return tried.reason not in ("not_found", "empty")


def _try(chance: random.Random, kind: _Kind, stream: bool, *, waited: float, out: bool, storm: bool) -> Try:
    asked = Try(kind.name, _URL, waited=waited)
    faults = (("busy", 502, 0.97),) if out and kind is _KINDS[0] else kind.faults
    if storm:
        faults = (("rate_limited", 429, 0.5), ("timeout", None, 0.3), ("server_error", 500, 0.4))
    for reason, code, likely in faults:
        if chance.random() < likely and (stream or reason != "truncated"):
            return _failed(chance, asked, reason, code, kind)
    first = round(kind.first * chance.lognormvariate(0, 0.5), 6)
    tokens = max(1, int(chance.lognormvariate(4.8, 0.7)))
    prompt = max(1, int(chance.lognormvariate(5.5, 0.8)))
    return asked._replace(
        served_model=kind.name, provider=kind.provider, status=200, first_token=first if stream else None,
        elapsed=round(first + tokens / kind.speed, 6), bytes=tokens * (180 if stream else 5), events=tokens * stream,
        prompt_tokens=prompt, completion_tokens=tokens, cost=(prompt + tokens) * kind.price / 1e6,
        generation_id=f"gen-{chance.getrandbits(40):x}",
    )  # fmt: skip


def _failed(chance: random.Random, asked: Try, reason: str, code: int | None, kind: _Kind) -> Try:
    failed = asked._replace(status=code, reason=reason, message=_SAID[reason])
    if reason == "timeout":
        return failed._replace(elapsed=30.0)
    if reason == "truncated":
        # Half an answer, which is paid for.
        return failed._replace(
            first_token=kind.first, elapsed=2.5, prompt_tokens=300, completion_tokens=90, cost=390 * kind.price / 1e6
        )
    return failed._replace(elapsed=round(chance.lognormvariate(-1.2, 0.6), 6))


def lines(calls: Iterable[Record]) -> Iterator[str]:
    """Yield calls as lines of a log, with their ends."""
    for call in calls:
        yield to_line(call) + "\n"


def write(path: Path, calls: Iterable[Record]) -> Path:
    """Write a log, and return where it is."""
    with path.open("w", encoding="utf-8") as log:
        log.writelines(lines(calls))
    return path


# -- calls by hand --


def answered(model: str = MODELS[0], seconds: float = 1.0, **more: Any) -> Try:
    """An attempt with an answer."""
    return Try(model, _URL, status=200, elapsed=seconds, **more)


def failed(model: str = MODELS[0], reason: str = "busy", seconds: float = 0.5, **more: Any) -> Try:
    """An attempt without one."""
    return Try(model, _URL, status=502, reason=reason, elapsed=seconds, **more)


def call(*tries: Try, at: float = 0.0, ending: str = "answered", **more: Any) -> Record:
    """A call, so many seconds after the day began."""
    seconds = sum(each.waited + each.elapsed for each in tries)
    return Record(BEGINS + at, "00ff", "stream", ending, None, seconds, tries, **more)


def summed(*records: Record) -> Summary:
    """Return what calls come to."""
    summary = summarise(records)
    assert summary is not None
    return summary


#: A text that means harm to terminals and pages.
NASTY = "\x1b[2Jowned\x07 \u202e[red]x[/] [link=http://x]y[/link] :smile: </script><img src=x onerror=alert(1)>\r\n"


def nasty(text: str) -> Record:
    """A call in which every text is one that means harm."""
    tries = (failed(text, text, message=text)._replace(endpoint=text), answered(f"{text}2"))
    return call(*tries)._replace(id=text, mode=text, error=text, extra={text: text})


def main(arguments: Sequence[str]) -> None:
    """Write a log on stdout: COUNT [SEED [DAYS]]."""
    count, seed, days = (*arguments, *("1200", "7", "1")[len(arguments) :])
    sys.stdout.writelines(lines(records(int(count), int(seed), float(days))))


if __name__ == "__main__":
    main(sys.argv[1:])
