"""What is known of the calls of a window: counts, and what follows from them; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from orfallback import Ending

#: Into so many pieces the window is cut, to draw its course.
PIECES = 60
# Endings that are nobody's fault say nothing of the models.
_NOBODYS = (Ending.LEFT.value, Ending.ABORTED.value)


class Spread(NamedTuple):
    """How long something took.

    :ivar p50: half of them took no longer, in seconds; None if there are none.
    :ivar p95: likewise 95 of 100.
    """

    p50: float | None = None
    p95: float | None = None


class Model(NamedTuple):
    """What became of the attempts at one model in the window.

    :ivar model: its id, fit for a terminal.
    :ivar answered: attempts that answered.
    :ivar left: attempts that the application left.
    :ivar reasons: attempts that failed, by reason, the most frequent first.
    :ivar seconds: of whole attempts.
    :ivar first_token: from the start of an attempt to the first content.
    :ivar tokens: of the answers.
    :ivar cost: US dollars.
    :ivar rests: seconds for which it still rests; 0 if it does not, infinity if nobody knows until when.
    """

    model: str
    answered: float = 0.0
    left: float = 0.0
    reasons: Mapping[str, float] = {}
    seconds: Spread = Spread()
    first_token: Spread = Spread()
    tokens: float = 0.0
    cost: float = 0.0
    rests: float = 0.0

    @property
    def attempts(self) -> float:
        """All of them."""
        return self.answered + self.left + sum(self.reasons.values())

    @property
    def share(self) -> float | None:
        """How many of 1 answered; those that were left do not count. None if there are none."""
        return _share(self.answered, self.attempts - self.left)


class Hops(NamedTuple):
    """Fallbacks of one kind.

    :ivar start: the model that failed.
    :ivar goal: the model asked next.
    :ivar reason: why it failed.
    :ivar times: how many.
    """

    start: str
    goal: str
    reason: str
    times: float


class Fallback(NamedTuple):
    """One fallback.

    :ivar at: when the model had failed, in seconds since the epoch.
    :ivar start: the model that failed.
    :ivar goal: the model asked next.
    :ivar reason: why it failed.
    :ivar wait: seconds waited in between.
    """

    at: float
    start: str
    goal: str
    reason: str
    wait: float


class Piece(NamedTuple):
    """A piece of the window.

    :ivar calls: that ended in it.
    :ivar failures: those among them that got no whole answer of a model.
    """

    calls: float = 0.0
    failures: float = 0.0


class Figures(NamedTuple):
    """What is known of the window.

    :ivar span: how long it is, in seconds; 0 if nothing is known yet.
    :ivar endings: calls, by how they ended.
    :ivar in_progress: calls under way; None if that is not known.
    :ivar seconds: of whole calls.
    :ivar waited: seconds that calls waited between attempts, in all.
    :ivar fell_back: calls with a fallback; None if that is not known.
    :ivar hops: fallbacks by kind, the most frequent first.
    :ivar retries: how often a model was asked again.
    :ivar latest: the last fallbacks, the youngest first; () where only :attr:`hops` are known.
    :ivar models: in the order of their names.
    :ivar course: the window in :data:`PIECES` pieces, the oldest first; they stand still while time moves on.
    :ivar place: which piece the last one is, counted from the beginning of time.
    """

    span: float = 0.0
    endings: Mapping[str, float] = {}
    in_progress: float | None = None
    seconds: Spread = Spread()
    waited: float = 0.0
    fell_back: float | None = None
    hops: tuple[Hops, ...] = ()
    retries: float = 0.0
    latest: tuple[Fallback, ...] = ()
    models: tuple[Model, ...] = ()
    course: tuple[Piece, ...] = (Piece(),) * PIECES
    place: int = 0

    @property
    def calls(self) -> float:
        """Calls that ended."""
        return sum(self.endings.values())

    @property
    def failures(self) -> float:
        """Calls that got no whole answer of a model, and were not left."""
        return sum(count for ending, count in self.endings.items() if failed(ending))

    @property
    def answered(self) -> float | None:
        """How many calls of 1 were answered; those that were left or aborted do not count. None if there are none."""
        good = self.endings.get(Ending.ANSWERED.value, 0.0)
        return _share(good, good + self.failures)

    @property
    def fallbacks(self) -> float:
        """How often another model was asked."""
        return sum(hops.times for hops in self.hops)

    def rate(self, count: float) -> float | None:
        """Return how many that is a second; None if it is not known yet."""
        return count / self.span if self.span > 0 else None

    def per_call(self, amount: float) -> float | None:
        """Return how much that is for each call; None if there are none."""
        return _share(amount, self.calls)


def failed(ending: str) -> bool:
    """Tell whether a call that ended so counts as a failure."""
    return ending != Ending.ANSWERED.value and ending not in _NOBODYS


def ranked(counts: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return what was counted at all, the most frequent first; of the same number in the order of the names."""
    return dict(sorted(((name, count) for name, count in counts if count > 0), key=lambda each: (-each[1], each[0])))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
