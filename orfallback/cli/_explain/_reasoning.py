"""What a chain makes of a recorded reply, and what it would do next: found by letting it do so."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

from orfallback import (
    Call,
    Chain,
    Cooldown,
    FallbackError,
    Outcome,
    Stream,
    Target,
    TargetHealth,
    Verdict,
    default_classifier,
    hookimpl,
)
from orfallback._classify import Row, is_answer, row_for
from orfallback._engine import run
from orfallback._signal import Signal
from orfallback.cli._explain._recording import Recording, good
from orfallback.cli._rehearsal import rehearsal
from orfallback.testing import FakeClock


class Step(NamedTuple):
    """One attempt after the first.

    :ivar model: the model asked.
    :ivar waited: seconds waited before.
    """

    model: str
    waited: float


@dataclass(frozen=True)
class Course:
    """How a call would go.

    :ivar first: the first model asked.
    :ivar verdict: on what it gave; None if that was an answer.
    :ivar row: the row of the table that gave the verdict; None if there is none, or if a plugin decided otherwise.
    :ivar outcome: what was judged.
    :ivar then: the attempts that follow.
    :ivar served: the model that answers in the end, or None.
    :ivar error: what the call raises, or None.
    :ivar rests: what the first model's fault lets rest, and for how long; None if the chain remembers nothing.
    """

    first: str
    verdict: Verdict | None
    row: Row | None
    outcome: Outcome
    then: tuple[Step, ...]
    served: str | None
    error: FallbackError | None
    rests: TargetHealth | None

    @property
    def waited(self) -> float:
        """Seconds waited in all."""
        return sum(step.waited for step in self.then)


def follow(chain: Chain, recording: Recording, *, stream: bool, deadline: float, everyone: bool = False) -> Course:
    """Let a chain make a call in which the first model gives what was recorded. Nothing is sent, and nobody waits.

    :param chain: the chain, whose strategies and plugins decide.
    :param recording: what the first model gives.
    :param stream: whether the call asks for a stream.
    :param deadline: seconds for the whole call.
    :param everyone: whether all models give the same; otherwise all others answer.
    """
    call, clock = rehearsal(stream=stream, deadline=deadline)
    judged = _Judged()

    def send(call: Call, target: Target) -> Outcome:
        given = recording if everyone or not call.attempts else good(call)
        return given.outcome(call, target, clock)

    memory = _fresh(chain, clock)
    rehearsed = chain.replace(cooldown=memory, plugins=[judged])
    hooks = rehearsed.plugin_manager.hooks()
    error: FallbackError | None = None
    try:
        answered = run(call, chain.targets, hooks, send, clock, rounds=1)
        attempts = Stream(answered).read().attempts if stream else answered.finish().attempts
    except FallbackError as raised:
        error, attempts = raised, raised.attempts
    then = tuple(Step(attempt.model, attempt.waited) for attempt in attempts[1:])
    served = attempts[-1].model if attempts and attempts[-1].ok and error is None else None
    first = attempts[0].model if attempts else ""
    rests = None
    if memory is not None and first:
        # What rests runs out while the others are waited for.
        left = next(health for health in rehearsed.health.snapshot() if health.model == first)
        rests = left._replace(resting=left.resting and left.resting + clock.monotonic() - call.started)
    return Course(first, judged.verdict, judged.row, judged.outcome, then, served, error, rests)


def _fresh(chain: Chain, clock: FakeClock) -> Cooldown | None:
    """Return a memory like the chain's, which knows nothing yet and shares nothing; None if the chain has none."""
    memory = chain.plugin_manager.get_plugin("cooldown")
    if not isinstance(memory, Cooldown):
        return None
    return Cooldown(memory.seconds, longest=memory.longest, clock=clock)


class _Judged:
    """Remembers what was judged of the first attempt, and how.

    :ivar call: the call at that time.
    :ivar outcome: the outcome.
    :ivar verdict: the verdict.
    """

    call = Call(id="", payload={})
    outcome = Outcome()
    verdict: Verdict | None = None

    @hookimpl(wrapper=True, tryfirst=True)
    def orfallback_classify(self, call: Call, outcome: Outcome) -> Generator[None, Verdict | None, Verdict | None]:
        """See the outcome and its verdict, which the others give."""
        verdict = yield
        if not call.attempts:
            self.call, self.outcome, self.verdict = call, outcome, verdict
        return verdict

    @property
    def row(self) -> Row | None:
        """The row that gave the verdict; None for an answer, and where a plugin decided otherwise."""
        if is_answer(self.outcome) or default_classifier(self.call, self.outcome) != self.verdict:
            return None
        return row_for(Signal(self.call, self.outcome))
