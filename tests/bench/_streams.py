"""Streams: what an event costs, and how soon it is there."""

from __future__ import annotations

import gc
import importlib.util
import json
import socket
import statistics
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import requests
import sseclient
import urllib3

from bench._clients import HEADERS, KEY, MODEL, PROMPT, payload
from bench._measure import OURS, Cost, Effort, Row, in_turns, turn_of
from bench._server import FRAMINGS
from orfallback import Chain

EVENTS = 10_000
FLOOR = "urllib3 stream(65536), split, json.loads"
#: Yields the texts of a stream that is asked for anew.
Texts = Callable[[], Iterable[str]]


def _text(chunk: Any) -> str:
    return str(chunk["choices"][0]["delta"].get("content") or "")


def by_hand(url: str) -> Texts:
    """The least that a Python program can do with urllib3: split at blank lines, and decode."""
    pool = urllib3.PoolManager()
    body = json.dumps(payload(stream=True))

    def texts() -> Iterator[str]:
        response = pool.request("POST", url, body=body, headers=HEADERS, preload_content=False)
        rest = b""
        for piece in response.stream(65536):
            *blocks, rest = (rest + piece).split(b"\n\n")
            for block in blocks:
                if block != b"data: [DONE]":
                    yield _text(json.loads(block[6:]))
        response.release_conn()

    return texts


def by_sseclient(url: str) -> Texts:
    """requests and sseclient-py, as sseclient-py's own page has it."""
    session = requests.Session()

    def texts() -> Iterator[str]:
        with session.post(url, json=payload(stream=True), headers=HEADERS, stream=True) as response:
            for event in sseclient.SSEClient(response).events():  # type: ignore[arg-type]
                if event.data != "[DONE]":
                    yield _text(json.loads(event.data))

    return texts


def by_lines(url: str) -> Texts:
    """requests and ``iter_lines()``, as OpenRouter's page has it."""
    session = requests.Session()

    def texts() -> Iterator[str]:
        with session.post(url, json=payload(stream=True), headers=HEADERS, stream=True) as response:
            for line in response.iter_lines():
                if line.startswith(b"data: ") and line != b"data: [DONE]":
                    yield _text(json.loads(line[6:]))

    return texts


def by_socket(url: str) -> Texts:
    """A bare socket: nothing can be sooner. It reads events that come one by one."""
    parts = urlsplit(url)
    body = json.dumps(payload(stream=True)).encode()
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    def texts() -> Iterator[str]:
        assert parts.hostname is not None
        with closing(socket.create_connection((parts.hostname, parts.port or 80))) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(head + body)
            while piece := sock.recv(65536):
                at = piece.find(b"data: {")
                if at >= 0:
                    yield _text(json.loads(piece[at + 6 : piece.index(b"\n\n", at)]))
                if b"[DONE]" in piece:
                    return

    return texts


def by_openai(url: str) -> Texts:
    """The openai SDK."""
    import openai

    client = openai.OpenAI(api_key=KEY, base_url=url.removesuffix("/chat/completions"))
    messages: Any = payload()["messages"]

    def texts() -> Iterator[str]:
        for chunk in client.chat.completions.create(model=MODEL, messages=messages, stream=True):
            yield chunk.choices[0].delta.content or ""

    return texts


def by_chain(url: str) -> Texts:
    """This library."""
    chain = Chain([MODEL, "meta/llama"], api_key=KEY, base_url=url.removesuffix("/chat/completions"))

    def texts() -> Iterator[str]:
        for chunk in chain.stream(PROMPT):
            yield _text(chunk)

    return texts


def length(texts: Texts) -> int:
    """Read a stream to its end, and return how long its text is."""
    return sum(map(len, texts()))


def events(base: str, effort: Effort) -> list[Row]:
    """CPU for each event of a long stream, in four framings; where there is no time, of a shorter one, and no peer."""
    long = effort.runs > 1
    count = EVENTS if long else EVENTS // 5
    rows = []
    for number, framing in enumerate(FRAMINGS):
        url = f"{base}/stream/{count}/{number}/chat/completions"
        ways = {FLOOR: by_hand(url), "requests + sseclient-py": by_sseclient(url), OURS: by_chain(url)}
        absent: tuple[str, ...] = ()
        if long and not importlib.util.find_spec("openai"):
            absent = ("openai",)
        elif long:
            ways["openai"] = by_openai(url)
        if len({length(texts) for texts in ways.values()}) != 1:
            raise SystemExit("the ways to read a stream do not give the same text")
        turns = {name: turn_of(lambda texts=texts: length(texts), 1, count) for name, texts in ways.items()}  # type: ignore[misc]
        costs = in_turns(turns, effort)
        rows.append(Row(f"stream, {framing}", "cpu", "event", FLOOR, costs, must=1.6, aim=1.35, absent=absent))
    return rows


# -- how soon --


def first_token(base: str, effort: Effort) -> list[Row]:
    """Wall time to the first text of a stream."""
    url = f"{base}/stream/50/0/chat/completions"

    def first(texts: Texts) -> Callable[[], Cost]:
        def turn() -> Cost:
            spent = 0.0
            for _ in range(effort.times):
                started = time.perf_counter()
                running = iter(texts())
                next(running)
                spent += time.perf_counter() - started
                for _ in running:
                    pass
            return Cost(0.0, spent / effort.times * 1e6)

        return turn

    name = "Session.post(stream=True) + iter_lines()"
    turns = {name: first(by_lines(url)), OURS: first(by_chain(url))}
    return [Row("time to the first token", "wall", "stream", name, in_turns(turns, effort), must=1.0, aim=0.8)]


class _Events:
    """The events of a stream as they were read: numbers alone, which leave the collector of garbage nothing to walk.

    :ivar left: when each left the server, in seconds of the monotonic clock.
    :ivar delays: seconds from then until each was in the reader's hands.
    """

    def __init__(self, texts: Texts) -> None:
        self.left = array("d")
        self.delays = array("d")
        for text in texts():
            if text.strip():
                left = float(text)
                self.delays.append(time.monotonic() - left)
                self.left.append(left)


def paced(base: str, effort: Effort) -> list[Row]:
    """How much later than through a bare socket the events of a stream come, of which there is one each 20 ms."""
    rows = []
    count = 50 if effort.runs > 1 else 20
    for chunked, name in ((1, "chunked"), (0, "not chunked")):
        url = f"{base}/paced/{count}/20/{chunked}/chat/completions"
        ways = {"raw socket": by_socket(url), OURS: by_chain(url)}

        def turn(texts: Texts) -> Callable[[], Cost]:
            def delay() -> Cost:
                median = statistics.median(_Events(texts).delays) * 1e6
                return Cost(median, median)

            return delay

        costs = in_turns({way: turn(texts) for way, texts in ways.items()}, effort._replace(rounds=3))
        rows.append(Row(f"delay of an event, p50, {name}", "wall", "event", "raw socket", costs, must=5, aim=2))
    return rows


def many(base: str, effort: Effort, streams: int = 200) -> list[Row]:
    """The delay that one event in a hundred has, of 200 streams at 50 events a second in one process.

    It is told twice: of all events, and of those that left while all streams ran, when nobody connects any more.
    """
    count = 150 if effort.runs > 1 else 50
    url = f"{base}/paced/{count}/20/1/chat/completions"
    started: dict[str, list[Cost]] = {}

    def turn(name: str, texts: Texts) -> Callable[[], Cost]:
        def delay() -> Cost:
            found: list[_Events | None] = [None] * streams

            def read(place: int) -> None:
                found[place] = _Events(texts)

            # Nobody pays for the garbage of those who had their turn before.
            gc.collect()
            cpu = time.process_time()
            together(read, streams)
            cpu = (time.process_time() - cpu) / streams / count * 1e6
            read_all = [events for events in found if events is not None]
            begin, end = max(events.left[0] for events in read_all), min(events.left[-1] for events in read_all)
            everything = [pair for events in read_all for pair in zip(events.left, events.delays, strict=True)]
            started.setdefault(name, []).append(Cost(cpu, _worst([delay for _, delay in everything])))
            return Cost(cpu, _worst([delay for left, delay in everything if begin <= left <= end]))

        return delay

    name = "requests + sseclient-py"
    pool = requests.adapters.HTTPAdapter(pool_maxsize=streams)
    ways = {
        name: by_sseclient_event(url, pool),
        f"{name}, timeout=30": by_sseclient_event(url, pool, timeout=30),
        OURS: by_chain(url),
    }
    costs = in_turns({way: turn(way, texts) for way, texts in ways.items()}, effort._replace(rounds=2))
    # The first turn of each did not count; the others are of runs, two by two.
    whole = {way: [found[place : place + 2] for place in range(1, len(found), 2)] for way, found in started.items()}
    return [
        Row("delay of an event, p99, 200 streams", "wall", "event", name, costs, must=2, aim=1.25),
        Row("delay of an event, p99, 200 streams, with their start", "wall", "event", name, whole, must=2, aim=1.25),
    ]


def _worst(delays: list[float]) -> float:
    """Return the delay that one event in a hundred has (µs)."""
    return statistics.quantiles(delays, n=100)[98] * 1e6


def by_sseclient_event(url: str, adapter: requests.adapters.HTTPAdapter, timeout: float | None = None) -> Texts:
    """requests and sseclient-py, given each piece as it comes: what ``SSEClient(response)`` would hold back.

    :param timeout: of each read, in seconds; with one, Python waits for the socket and then reads it: two system calls.
    """
    session = requests.Session()
    session.mount("http://", adapter)

    def texts() -> Iterator[str]:
        options: dict[str, Any] = {"json": payload(stream=True), "headers": HEADERS, "timeout": timeout}
        with session.post(url, stream=True, **options) as response:
            for event in sseclient.SSEClient(response.raw.stream(None)).events():
                if event.data != "[DONE]":
                    yield _text(json.loads(event.data))

    return texts


def together(work: Callable[[int], None], count: int) -> None:
    """Let so many threads work at the same time, and wait for all."""
    threads = [threading.Thread(target=work, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
