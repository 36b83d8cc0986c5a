"""Many threads at once, and how the cost grows with the work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import requests
import urllib3

from bench._calls import BASE
from bench._clients import HEADERS, KEY, payload, text_of
from bench._measure import OURS, Cost, Effort, Row, in_turns, turn_of
from bench._streams import FLOOR, by_chain, by_hand, length, together
from orfallback import Chain

THREADS, CALLS = 64, 50


def threads(base: str, effort: Effort) -> list[Row]:
    """Wall time of 64 threads that make 50 calls each, of a model that takes 100 ms."""
    calls = CALLS if effort.runs > 1 else 5
    url = f"{base}/slow/100"
    pool = urllib3.PoolManager(maxsize=THREADS, block=False)
    chain = Chain(["a", "b"], api_key=KEY, base_url=url)

    def bare() -> str:
        body = json.dumps(payload())
        return text_of(json.loads(pool.request("POST", f"{url}/chat/completions", body=body, headers=HEADERS).data))

    def load(ask: Callable[[], str]) -> Callable[[], Cost]:
        def work(_: int) -> None:
            for _ in range(calls):
                ask()

        def turn() -> Cost:
            started, cpu = time.perf_counter(), time.process_time()
            together(work, THREADS)
            return Cost(
                (time.process_time() - cpu) / calls / THREADS * 1e6, (time.perf_counter() - started) / calls * 1e6
            )

        return turn

    turns = {"urllib3": load(bare), OURS: load(lambda: chain.complete("Why?").text)}
    costs = in_turns(turns, effort._replace(rounds=1))
    return [Row("64 threads, model takes 100 ms", "wall", "round of calls", "urllib3", costs, must=1.10, aim=1.03)]


def growth(base: str, effort: Effort) -> list[Row]:
    """CPU as the work grows: models in the chain, size of the prompt, events of the stream."""
    effort = effort._replace(rounds=max(effort.rounds // 3, 1))
    rows = []
    for models in (1, 4, 16, 64):
        chain = Chain([f"m{number}" for number in range(models)], api_key=KEY, base_url=f"{base}/whole")
        costs = in_turns({OURS: turn_of(lambda chain=chain: chain.complete("Why?"), effort.times)}, effort)  # type: ignore[misc]
        rows.append(Row(f"growth: {models} models", "cpu", "call", OURS, costs))
    chain = Chain("m", api_key=KEY, base_url=f"{base}/whole")
    session, url = requests.Session(), f"{base}/whole/chat/completions"
    for size in (1_000, 10_000, 100_000, 1_000_000, 10_000_000):
        prompt = "x" * size
        times = max(min(effort.times, 20_000_000 // size), 2)
        asks = {
            BASE: lambda prompt=prompt: session.post(url, json=payload(prompt), headers=HEADERS).json(),
            OURS: lambda prompt=prompt: chain.complete(prompt),
        }
        costs = in_turns({name: turn_of(ask, times) for name, ask in asks.items()}, effort)
        rows.append(Row(f"growth: {size} bytes of prompt", "cpu", "call", BASE, costs))
    for count in (10, 100, 1_000, 10_000, 100_000):
        url = f"{base}/stream/{count}/0/chat/completions"
        times = max(min(effort.times, 20_000 // count), 1)
        ways = {FLOOR: by_hand(url), OURS: by_chain(url)}
        turns = {name: turn_of(lambda texts=texts: length(texts), times) for name, texts in ways.items()}  # type: ignore[misc]
        rows.append(Row(f"growth: {count} events", "cpu", "stream", FLOOR, in_turns(turns, effort)))
    return rows
