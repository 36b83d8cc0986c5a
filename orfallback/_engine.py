"""The loop: select, admit, attempt, classify, rule out, wait.

It knows no HTTP and no JSON: ``send`` is handed in, never raises for a fault of the wire, and its value is opaque here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from orfallback import _failure
from orfallback._clock import Clock
from orfallback._delay import LONGEST_WAIT
from orfallback._plugins import Hooks
from orfallback._roster import Roster
from orfallback._types import Attempt, Call, Json, Outcome, Target
from orfallback._verdict import Reason, Scope, Verdict

#: Asks one target once.
Send = Callable[[Call, Target], Outcome]


class Answered:
    """A call that has its answer, and whose hooks are yet to be finished.

    :ivar call: the call with the attempts that failed.
    :ivar attempt: the attempt that answered, as far as it is known; None for a degraded answer.
    :ivar value: what ``send`` brought, opaque; or the degraded answer.
    """

    __slots__ = ("_hooks", "_settled", "attempt", "call", "value")

    def __init__(
        self, hooks: Hooks, call: Call, value: Any, attempt: Attempt | None, settled: Callable[..., Attempt] | None
    ) -> None:
        self._hooks = hooks
        # Gives the attempt as it is at its end, with facts that are known only then.
        self._settled = settled
        self.call = call
        self.attempt = attempt
        self.value = value

    def judge(self, outcome: Outcome) -> Verdict:
        """Return the verdict on a stream that broke. Its reason counts: accepting it cannot make it whole."""
        verdict = _asked(self._hooks, self.call, outcome)
        return Verdict.fallback(Reason.TRUNCATED) if verdict is None or verdict.scope is Scope.NONE else verdict

    def finish(self, **facts: Any) -> Call:
        """Close the record of the attempt, and tell the observers.

        :param facts: fields of the attempt that are known only now.
        :returns: the call with all its attempts.
        """
        if self._settled is not None:
            attempt = self._settled(**facts)
            self.call = replace(self.call, attempts=(*self.call.attempts, attempt))
            try:
                self._hooks.notify("orfallback_attempt_finished", call=self.call, attempt=attempt)
            except BaseException as error:
                self.end(error)
                raise
        return self.call

    def end(self, error: BaseException | None) -> None:
        """Tell the observers that the call is over."""
        self._hooks.notify("orfallback_call_finished", call=self.call, error=error)


def run(call: Call, targets: Sequence[Target], hooks: Hooks, send: Send, clock: Clock, rounds: int) -> Answered:
    """Ask one target after the other until one answers.

    :param call: the call, without attempts.
    :param targets: whom to ask, in order.
    :param hooks: the plugins' and the chain's strategies.
    :param send: asks one target.
    :param clock: for measuring and waiting.
    :param rounds: how often the list is gone through.
    :returns: the answer; its ``finish`` and ``end`` are the caller's to call.
    :raises FallbackError: when no target is left, or the deadline has come.
    """
    this = _Run(call, Roster(targets, rounds), hooks, send, clock)
    try:
        hooks.notify("orfallback_call_started", call=call)
        while True:
            target = this.select()
            waited = None if target is None else this.wait(target)
            if target is None or waited is None:
                return this.give_up(late=target is not None)
            answered = this.attempt(target, waited)
            if answered is not None:
                return answered
    except BaseException as error:
        hooks.notify("orfallback_call_finished", call=this.call, error=error)
        raise


def classify(hooks: Hooks, call: Call, outcome: Outcome) -> Verdict | None:
    """Return the verdict on an outcome; None accepts it.

    :raises TypeError: if a plugin answers something else than a verdict.
    :raises ValueError: if a plugin accepts what holds no answer.
    """
    verdict = _asked(hooks, call, outcome)
    if verdict is not None and verdict.scope is not Scope.NONE:
        return verdict
    if outcome.value is None:
        raise ValueError("the classifier, or a plugin, accepted an outcome that holds no answer")
    return None


def _asked(hooks: Hooks, call: Call, outcome: Outcome) -> Verdict | None:
    verdict = hooks.ask("orfallback_classify", call=call, outcome=outcome)
    if verdict is None or isinstance(verdict, Verdict):
        return verdict
    raise TypeError(f"orfallback_classify answers a Verdict or None, not {type(verdict).__name__}")


class _Run:
    """The steps of the loop, and what they share."""

    def __init__(self, call: Call, roster: Roster, hooks: Hooks, send: Send, clock: Clock) -> None:
        self.call = call
        self._roster = roster
        self._hooks = hooks
        self._send = send
        self._clock = clock
        self._last: Outcome | None = None
        self._unasked: dict[Target, float] = {}

    # -- select, admit --

    def select(self) -> Target | None:
        """Take the next target off the roster; None when nothing is left."""
        roster = self._roster
        while roster.refill(self._clock.monotonic(), self.call.deadline):
            while roster.ready:
                target = self._selected(roster.ready)
                rest = self._rest(target, last_resort=False)
                if rest is None:
                    return target
                roster.pass_over(target, rest)
            for target in roster.resting:
                rest = self._rest(target, last_resort=True)
                if rest is None:
                    return target
                roster.strike(target)
                self._unasked[target] = rest
        return None

    def _selected(self, targets: tuple[Target, ...]) -> Target:
        answer = self._hooks.ask("orfallback_select", call=self.call, targets=targets)
        for target in targets:
            if target == answer:
                return target
        raise ValueError(f"orfallback_select answered {answer!r}, which was not among the targets offered")

    def _rest(self, target: Target, *, last_resort: bool) -> float | None:
        rest = self._hooks.ask("orfallback_admit", call=self.call, target=target, last_resort=last_resort)
        return None if rest is None else _seconds("orfallback_admit", rest)

    # -- wait --

    def wait(self, target: Target) -> float | None:
        """Wait before a target is asked, and return how long (s); None, at once, if that would be past the deadline."""
        now = self._clock.monotonic()
        wait = self._delay(now) if self.call.attempts else 0.0
        if now + wait >= self.call.deadline:
            return None
        if self.call.attempts:
            attempt = self.call.attempts[-1]
            self._hooks.notify("orfallback_falling_back", call=self.call, attempt=attempt, target=target, wait=wait)
        if wait > 0:
            self._clock.sleep(wait)
        # An observer may have taken what was left of the time.
        return wait if self._clock.monotonic() < self.call.deadline else None

    def _delay(self, now: float) -> float:
        attempt = self.call.attempts[-1]
        delay = 0.0
        if attempt.verdict is not None and attempt.verdict.transient:
            answer = self._hooks.ask("orfallback_delay", call=self.call, attempt=attempt)
            delay = _seconds("orfallback_delay", answer)
        return min(max(delay, self._roster.not_before - now), LONGEST_WAIT)

    # -- attempt, classify, rule out --

    def attempt(self, target: Target, waited: float) -> Answered | None:
        """Ask a target, after so many seconds' wait; None if it did not answer."""
        number = len(self.call.attempts) + 1
        started = self._clock.monotonic()
        outcome = Outcome(url=target.base_url)
        try:
            self._hooks.notify("orfallback_attempt_started", call=self.call, target=target, number=number)
            # Neither what observers take is the target's time, nor what judging takes.
            started = self._clock.monotonic()
            if started < self.call.deadline:
                outcome = self._send(self.call, target)
                elapsed = self._clock.monotonic() - started
                verdict = classify(self._hooks, self.call, outcome)
            else:
                outcome = replace(outcome, detail="the call's deadline came before it was asked")
                elapsed, verdict = 0.0, Verdict.fallback(Reason.CANCELLED)
            attempt = outcome.attempt(number, target, verdict, waited, elapsed)
            if verdict is None:
                return self._answered(attempt, outcome.value, started)
            _release(outcome)
        except BaseException:
            elapsed = self._clock.monotonic() - started
            try:
                _release(outcome)
            finally:
                self._record(outcome.attempt(number, target, Verdict.abort(Reason.CANCELLED), waited, elapsed))
            raise
        self._record(attempt)
        self._roster.rule_out(target, verdict, self._clock.monotonic())
        if outcome.status is not None:
            self._last = outcome
        return None

    def _answered(self, attempt: Attempt, value: Any, started: float) -> Answered:
        def settled(**facts: Any) -> Attempt:
            # A whole answer was there before it was judged; a stream is at its end only now.
            if self.call.stream:
                return replace(attempt, elapsed=self._clock.monotonic() - started, **facts)
            return replace(attempt, **facts) if facts else attempt

        if self.call.stream:
            self._hooks.notify("orfallback_committed", call=self.call, attempt=attempt)
        return Answered(self._hooks, self.call, value, attempt, settled)

    def _record(self, attempt: Attempt) -> None:
        self.call = replace(self.call, attempts=(*self.call.attempts, attempt))
        self._hooks.notify("orfallback_attempt_finished", call=self.call, attempt=attempt)

    # -- the end --

    def give_up(self, *, late: bool) -> Answered:
        """Answer with a last resort.

        :param late: whether the deadline is what ends the call.
        :raises FallbackError: if there is none.
        """
        late = late or self._roster.cut_short or self._clock.monotonic() >= self.call.deadline
        if not _failure.rejected(self.call.attempts, self._unasked):
            answer: str | Json | None = self._hooks.ask("orfallback_exhausted", call=self.call)
            if answer is not None:
                if not isinstance(answer, (str, dict)):
                    raise TypeError(f"orfallback_exhausted answers a str, a dict or None, not {type(answer).__name__}")
                return Answered(self._hooks, self.call, answer, None, None)
        raise _failure.give_up(self.call, self._last, late=late, unasked=self._unasked)


def _seconds(hook: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{hook} answers seconds, not {type(value).__name__}")
    if math.isnan(value) or value < 0:
        raise ValueError(f"{hook} answers seconds that are not negative, not {value!r}")
    return float(value)


def _release(outcome: Outcome) -> None:
    if outcome.close is not None:
        outcome.close()
