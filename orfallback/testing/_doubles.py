"""Stand-ins for tests: a clock that waits for nobody, and a plugin that remembers."""

from __future__ import annotations

from typing import Any, NamedTuple


class FakeClock:
    """A clock on which waiting takes no time: it moves on by what is slept, and by :meth:`advance`.

    :param now: where it begins, in seconds.
    :ivar sleeps: every wait, in seconds, in order.
    """

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        """Return the fake instant, in seconds."""
        return self.now

    def time(self) -> float:
        """Return the fake instant as wall time, in seconds since the epoch."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Remember the wait, and move on by it."""
        self.sleeps.append(seconds)
        self.now += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass.

        :param seconds: how much.
        """
        self.now += seconds


class Seen(NamedTuple):
    """One call of a hook.

    :ivar hook: its name without the prefix.
    :ivar facts: its arguments.
    """

    hook: str
    facts: dict[str, Any]


class Recorder:
    """A plugin that watches everything and remembers it.

    :ivar seen: every watching hook that was told, in order.
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    @property
    def hooks(self) -> list[str]:
        """The names of the hooks told, in order, without the prefix."""
        return [seen.hook for seen in self.seen]

    def orfallback_call_started(self, call: Any) -> None:
        """Remember it."""
        self.seen.append(Seen("call_started", {"call": call}))

    def orfallback_attempt_started(self, call: Any, target: Any, number: int) -> None:
        """Remember it."""
        self.seen.append(Seen("attempt_started", {"call": call, "target": target, "number": number}))

    def orfallback_committed(self, call: Any, attempt: Any) -> None:
        """Remember it."""
        self.seen.append(Seen("committed", {"call": call, "attempt": attempt}))

    def orfallback_attempt_finished(self, call: Any, attempt: Any) -> None:
        """Remember it."""
        self.seen.append(Seen("attempt_finished", {"call": call, "attempt": attempt}))

    def orfallback_falling_back(self, call: Any, attempt: Any, target: Any, wait: float) -> None:
        """Remember it."""
        facts = {"call": call, "attempt": attempt, "target": target, "wait": wait}
        self.seen.append(Seen("falling_back", facts))

    def orfallback_call_finished(self, call: Any, error: BaseException | None) -> None:
        """Remember it, and of the error its type alone: its traceback holds the frames of the call."""
        self.seen.append(Seen("call_finished", {"call": call, "error": None if error is None else type(error)}))


def no_delay(call: Any, attempt: Any, /) -> float:
    """Wait for nothing between attempts: ``Chain(delay=no_delay)``.

    :param call: the call, which does not matter.
    :param attempt: the attempt that failed, which does not matter, either.
    """
    return 0.0
