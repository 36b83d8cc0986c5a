"""The command line's own plugins: one tells what happens, one remembers why."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

from orfallback import Attempt, Fault, Outcome, Reason, Target, Verdict, hookimpl
from orfallback.cli._console import Narrator


class Telling:
    """Tells a narrator what the chain does, one call at a time."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self._committed = False

    def orfallback_call_started(self) -> None:
        """Begin anew."""
        self._committed = False

    def orfallback_attempt_started(self, target: Target) -> None:
        """Tell whom is waited for."""
        self._narrator.begin(f"asking {target.model}")

    def orfallback_call_finished(self) -> None:
        """Wait no more."""
        self._narrator.over()

    def orfallback_falling_back(self, target: Target, wait: float) -> None:
        """Tell of the wait."""
        self._narrator.waits(wait, target.model)

    def orfallback_committed(self, attempt: Attempt) -> None:
        """Tell who answers."""
        self._committed = True
        self._narrator.served(attempt)

    def orfallback_attempt_finished(self, attempt: Attempt) -> None:
        """Tell of an attempt, unless it was told already: one that somebody left is no failure."""
        if self._committed or attempt.reason is Reason.CANCELLED:
            return
        if attempt.ok:
            self._narrator.served(attempt)
        else:
            self._narrator.attempt(attempt)


class Failure(NamedTuple):
    """An attempt that gave no answer, and the kind of fault, which its record does not tell.

    :ivar attempt: the attempt.
    :ivar fault: the fault of the wire, or None.
    """

    attempt: Attempt
    fault: Fault | None


class Witness:
    """Remembers the failures of one call at a time.

    :ivar failures: those of the last call, in order.
    """

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self._fault: Fault | None = None

    def orfallback_call_started(self) -> None:
        """Forget those of the call before."""
        self.failures = []

    @hookimpl(wrapper=True, tryfirst=True)
    def orfallback_classify(self, outcome: Outcome) -> Generator[None, Verdict | None, Verdict | None]:
        """See the outcome, and leave the verdict to the others."""
        self._fault = outcome.fault
        return (yield)

    def orfallback_attempt_finished(self, attempt: Attempt) -> None:
        """Remember an attempt that failed."""
        if not attempt.ok:
            self.failures.append(Failure(attempt, self._fault))
