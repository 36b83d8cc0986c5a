"""What a chain would do with models that are as a check found them: its own loop says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orfallback import Call, Chain, FallbackError, Outcome, Target, TargetHealth, Verdict
from orfallback._engine import run
from orfallback.cli._check._trial import Result
from orfallback.cli._rehearsal import rehearsal


def would_use(chain: Chain, results: Sequence[Result], resting: Sequence[TargetHealth] = ()) -> str | None:
    """Return the model that would answer; None if the chain would end before it came to one.

    Nothing is sent, and nobody waits.

    :param chain: the chain, whose strategies and plugins decide.
    :param results: of all its models.
    :param resting: what it knows of those that rest.
    """
    found = {result.model: result for result in results}
    # A verdict on one model can reach others: all that share a key with one that was refused.
    verdicts = _Found({model: result.verdict for model, result in found.items()})
    rests = _Rests({health.model: health.resting for health in resting})
    own = chain.replace(cooldown=None, plugins=[verdicts, rests])
    call, clock = rehearsal()

    def send(_: Call, target: Target) -> Outcome:
        return Outcome(status=200, model=target.model, value=target.model if found[target.model].usable else None)

    try:
        return str(run(call, own.targets, own.plugin_manager.hooks(), send, clock, rounds=1).value)
    except FallbackError:
        return None


class _Found:
    """Gives the verdicts that were found; registered last, it is asked first."""

    def __init__(self, verdicts: Mapping[str, Verdict | None]) -> None:
        self._verdicts = verdicts

    def orfallback_classify(self, outcome: Outcome) -> Verdict:
        """Give the verdict on the model."""
        return self._verdicts[outcome.model] or Verdict.accept()


class _Rests:
    """Passes over those that rest, as a cooldown would, which is not to learn anything from a rehearsal."""

    def __init__(self, rests: Mapping[str, float]) -> None:
        self._rests = rests

    def orfallback_admit(self, target: Target, last_resort: bool) -> float | None:
        """Give the seconds."""
        return None if last_resort else self._rests.get(target.model)
