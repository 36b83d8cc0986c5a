"""Doing the same with many things at once, in threads that nobody has to wait for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

_Thing = TypeVar("_Thing")
_Made = TypeVar("_Made")

# How often the one that waits looks up, so that Ctrl-C is heard everywhere (s).
_GLANCE = 0.5


def together(
    work: Callable[[_Thing], Iterator[_Made]], things: Sequence[_Thing], at_once: int
) -> Iterator[tuple[_Thing, _Made]]:
    """Work on many things at once, and yield each with what is made of it, as it is made.

    Leaving the iteration leaves the threads to themselves: they end with the process.

    :param work: yields what it makes of a thing; runs in a thread.
    :param things: all of them.
    :param at_once: the most threads.
    :raises BaseException: what ``work`` raised.
    """
    todo: queue.SimpleQueue[_Thing] = queue.SimpleQueue()
    for thing in things:
        todo.put(thing)
    made: queue.SimpleQueue[tuple[_Thing, _Made] | BaseException | None] = queue.SimpleQueue()
    workers = min(at_once, len(things))
    for _ in range(workers):
        threading.Thread(target=_labour, args=(work, todo, made), daemon=True).start()
    while workers:
        try:
            each = made.get(timeout=_GLANCE)
        except queue.Empty:
            continue
        if isinstance(each, BaseException):
            raise each
        if each is None:
            workers -= 1
        else:
            yield each


def _labour(
    work: Callable[[_Thing], Iterator[_Made]],
    todo: queue.SimpleQueue[_Thing],
    made: queue.SimpleQueue[tuple[_Thing, _Made] | BaseException | None],
) -> None:
    """Work until nothing is left to do, which None says."""
    try:
        for thing in _taken(todo):
            for each in work(thing):
                made.put((thing, each))
    except BaseException as error:  # noqa: BLE001 - raised above, in the thread that waits
        made.put(error)
        return
    made.put(None)


def _taken(todo: queue.SimpleQueue[_Thing]) -> Iterator[_Thing]:
    """Yield what is left to do; the other threads take of it, too."""
    while True:
        try:
            thing = todo.get_nowait()
        except queue.Empty:
            return
        yield thing
