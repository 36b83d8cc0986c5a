"""Asking one model on its own, and what came of it."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from orfallback import Attempt, Chain, Completion, FallbackError, Reason, Timeouts, Verdict, hookimpl
from orfallback._usage import cost_of, tokens_of
from orfallback.cli import _mends
from orfallback.cli._exits import Failed
from orfallback.cli._watching import Failure, Witness

# What came all at once has no speed (s).
_SHORTEST_SPAN = 0.05


class State(Enum):
    """What a model was found to be, in a word."""

    OK = "ok"
    #: Overloaded: it may answer a little later.
    BUSY = "busy"
    #: Its rate limit, or the account's, is used up.
    LIMITED = "limited"
    #: Nobody serves it, or nobody ever did.
    GONE = "gone"
    #: Refused: the key, the credit, a policy.
    DENIED = "denied"
    #: It did not answer in time.
    SLOW = "slow"
    #: What came was no whole answer, or nothing came at all.
    BROKEN = "broken"


_STATES = {
    Reason.BUSY: State.BUSY,
    Reason.RATE_LIMITED: State.LIMITED,
    Reason.NOT_FOUND: State.GONE,
    Reason.UNAUTHORIZED: State.DENIED,
    Reason.PAYMENT: State.DENIED,
    Reason.MODERATED: State.DENIED,
    Reason.UNSUPPORTED: State.DENIED,
    Reason.TIMEOUT: State.SLOW,
}


@dataclass(frozen=True, slots=True)
class Trial:
    """One question to one model.

    :ivar attempt: the record of it.
    :ivar failure: why there was no answer, or None.
    :ivar tokens: tokens of the answer, or None.
    :ivar counted: whether the service told them; otherwise they are the pieces that came.
    :ivar remark: what is to be said of the answer.
    """

    attempt: Attempt
    failure: Failure | None = None
    tokens: int | None = None
    counted: bool = True
    remark: str = ""

    @property
    def state(self) -> State:
        """What the model was found to be."""
        reason = self.attempt.reason
        return State.OK if reason is None else _STATES.get(reason, State.BROKEN)

    @property
    def tokens_per_second(self) -> float | None:
        """The speed, counted from the first token of a stream on; None if it cannot be told."""
        if not self.tokens or self.failure is not None:
            return None
        span = self.attempt.elapsed - (self.attempt.first_token or 0.0)
        return self.tokens / span if span >= _SHORTEST_SPAN else None

    @property
    def cost(self) -> float | None:
        """What the service says it cost, in US dollars, or None."""
        return cost_of(self.attempt.usage or {})


@dataclass(frozen=True, slots=True)
class Result:
    """What came of all questions to one model.

    :ivar model: its id.
    :ivar trials: at least one.
    """

    model: str
    trials: Sequence[Trial]

    @property
    def state(self) -> State:
        """What it was found to be most often; of two as frequent, the worse one."""
        counts = Counter(trial.state for trial in self.trials)
        return max(counts, key=lambda state: (counts[state], state is not State.OK))

    @property
    def usable(self) -> bool:
        """Whether a chain can use it."""
        return self.state is State.OK

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on it; None if it is usable."""
        return next(trial.attempt.verdict for trial in self.trials if trial.state is self.state)

    @property
    def answered(self) -> int:
        """How many of the questions it answered."""
        return sum(trial.state is State.OK for trial in self.trials)

    @property
    def failures(self) -> list[Failure]:
        """The attempts that failed."""
        return [trial.failure for trial in self.trials if trial.failure is not None]

    def first_token(self, share: float) -> float | None:
        """Return seconds to the first token within which a share of the answers came; None if there were none."""
        return percentile([t.attempt.first_token for t in self.trials if t.state is State.OK], share)

    def total(self, share: float) -> float | None:
        """Return seconds to the end within which a share of the answers came; None if there were none."""
        return percentile([t.attempt.elapsed for t in self.trials if t.state is State.OK], share)

    @property
    def tokens_per_second(self) -> float | None:
        """The median speed, or None."""
        return percentile([trial.tokens_per_second for trial in self.trials], 0.5)

    @property
    def cost(self) -> float | None:
        """The sum of what the service says it cost, in US dollars, or None."""
        costs = [trial.cost for trial in self.trials if trial.cost is not None]
        return math.fsum(costs) if costs else None

    @property
    def note(self) -> str:
        """Why it failed, or who served."""
        failed = [trial for trial in self.trials if trial.state is not State.OK]
        if not failed:
            return self.trials[-1].remark
        last = _why(failed[-1])
        return last if len(self.trials) == 1 else f"{self.answered} of {len(self.trials)} answered; {last}"


def _remark(completion: Completion) -> str:
    """Say who served, and what is odd about the answer."""
    remarks = [f"by {completion.provider}"] if completion.provider else []
    if completion.refusal:
        remarks.append("it refused")
    elif not completion.text.strip():
        remarks.append("no text")
    if completion.finish_reason not in ("stop", None):
        remarks.append(f"finish_reason {completion.finish_reason}")
    return ", ".join(remarks)


def _why(trial: Trial) -> str:
    attempt = trial.attempt
    if trial.state is not State.SLOW or attempt.status not in (None, 200):
        return attempt.summary
    if attempt.first_token is not None:
        return f"answers after {attempt.first_token:.2f} s, but was not done after {attempt.elapsed:.1f} s"
    return f"no answer within {attempt.elapsed:.1f} s"


def percentile(values: Sequence[float | None], share: float) -> float | None:
    """Return the smallest value that a share of all values do not exceed (nearest rank); for 0.5 the median."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    if share == 0.5:
        return statistics.median(known)
    return known[math.ceil(share * len(known)) - 1]


class _Once:
    """Lets nothing be asked again: a check wants the first word, and does not wait for a better one."""

    @hookimpl(wrapper=True, tryfirst=True)
    def orfallback_classify(self) -> Generator[None, Verdict | None, Verdict | None]:
        """Take the leave to ask again out of a verdict."""
        verdict = yield
        return verdict if verdict is None else replace(verdict, again=False)


class Asker:
    """Asks one model on its own.

    :param chain: the chain, whose settings and plugins hold.
    :param model: the model's id.
    :param seconds: the longest that an answer may take.
    """

    def __init__(self, chain: Chain, model: str, seconds: float) -> None:
        limits = Timeouts(min(5.0, seconds), seconds, seconds, seconds, seconds)
        self._witness = Witness()
        self._chain = chain.replace(
            models=[model], timeouts=limits, rounds=1, cooldown=None, plugins=[self._witness, _Once()]
        )

    def ask(self, prompt: str, params: Mapping[str, Any], *, stream: bool) -> Trial:
        """Ask once.

        :param prompt: the question.
        :param params: parameters of the call.
        :param stream: whether as a stream, which tells the time to the first token.
        """
        pieces = 0
        try:
            if stream:
                with self._chain.stream(prompt, **params) as answer:
                    pieces = sum(1 for _ in answer.iter_text())
                    completion = answer.read()
            else:
                completion = self._chain.complete(prompt, **params)
        except FallbackError:
            return self._failed()
        if completion.degraded:
            return self._failed()
        told = tokens_of(completion.usage or {})
        return Trial(completion.attempts[-1], None, told or pieces or None, told is not None, _remark(completion))

    def _failed(self) -> Trial:
        if not self._witness.failures:
            raise Failed(*_mends.NOBODY)
        failure = self._witness.failures[-1]
        return Trial(failure.attempt, failure)
