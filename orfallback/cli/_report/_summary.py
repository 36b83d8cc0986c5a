"""What a call log comes to: values that the terminal, the page and the JSON are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from orfallback._ending import Ending
from orfallback._record import Record
from orfallback.cli._report._spread import Spread
from orfallback.cli._report._timeline import Bucket

#: What stands for names beyond the most that are told apart.
OTHERS = "others"
#: An answer, but not of the model that was asked first.
FELL_BACK = "answered after a fallback"
#: An ending that this version does not know.
OTHER = "other"
#: How calls go, the best first.
OUTCOMES = (
    str(Ending.ANSWERED), FELL_BACK, str(Ending.DEGRADED), str(Ending.LEFT), str(Ending.BROKEN), str(Ending.FAILED),
    str(Ending.ABORTED), OTHER,
)  # fmt: skip


def unanswered(outcomes: Mapping[str, int]) -> int:
    """Return how many calls had no whole answer of a model, those left aside that their caller left."""
    aside = (Ending.ANSWERED, FELL_BACK, Ending.LEFT)
    return sum(count for outcome, count in outcomes.items() if outcome not in aside)


class Model(NamedTuple):
    """What a model did.

    :ivar name: its id, as in the chain.
    :ivar asked: attempts.
    :ivar answered: those with a whole answer.
    :ivar cancelled: those that the caller left, or that something else ended.
    :ivar served: calls whose answer, whole or not, came from it.
    :ivar latency: seconds of the attempts with a whole answer.
    :ivar first_token: seconds to the first content, of the attempts that had any.
    :ivar reasons: why others failed, and how often: the most frequent first.
    :ivar cost: US dollars; None if no reply told any.
    :ivar prompt_tokens: tokens of prompts, where told.
    :ivar completion_tokens: tokens of answers, where told.
    """

    name: str
    asked: int
    answered: int
    cancelled: int
    served: int
    latency: Spread
    first_token: Spread
    reasons: Mapping[str, int]
    cost: float | None
    prompt_tokens: int
    completion_tokens: int

    @property
    def failed(self) -> int:
        """Attempts that failed."""
        return self.asked - self.answered - self.cancelled


class Fallback(NamedTuple):
    """A step from one model to another.

    :ivar source: the model that failed.
    :ivar target: the model asked next.
    :ivar reasons: why, and how often: the most frequent first.
    """

    source: str
    target: str
    reasons: Mapping[str, int]

    @property
    def times(self) -> int:
        """How often."""
        return sum(self.reasons.values())


class Wasted(NamedTuple):
    """What attempts that failed took.

    :ivar attempts: how many there were.
    :ivar seconds: how long they took in all.
    :ivar cost: what they cost in US dollars, where told.
    :ivar tokens: tokens of prompts and answers, where told.
    """

    attempts: int
    seconds: float
    cost: float
    tokens: int


class Summary(NamedTuple):
    """What some calls come to.

    :ivar calls: how many there are.
    :ivar first: when the first of them began, in seconds since the epoch.
    :ivar last: when the last of them began.
    :ivar streams: how many asked for streams.
    :ivar outcomes: how many went how, by ``OUTCOMES``.
    :ivar fell_back: in how many another model was asked after the first.
    :ivar attempts: of all calls.
    :ivar seconds: of the calls that were answered, from start to end.
    :ivar first_token: seconds from a call's start to the first content that its caller got.
    :ivar waited: seconds waited between attempts, in all.
    :ivar models: those asked, by how many calls they served.
    :ivar fallbacks: the most frequent first.
    :ivar slowest: the calls that took longest, the slowest first.
    :ivar cost: US dollars; None if no reply told any.
    :ivar untold: attempts with a whole answer whose cost is not known.
    :ivar wasted: what failed attempts took.
    :ivar width: how many seconds a bucket is long.
    :ivar buckets: what happened when, without a gap.
    """

    calls: int
    first: float
    last: float
    streams: int
    outcomes: Mapping[str, int]
    fell_back: int
    attempts: int
    seconds: Spread
    first_token: Spread
    waited: float
    models: tuple[Model, ...]
    fallbacks: tuple[Fallback, ...]
    slowest: tuple[Record, ...]
    cost: float | None
    untold: int
    wasted: Wasted
    width: int
    buckets: tuple[Bucket, ...]

    @property
    def answered(self) -> int:
        """Calls with a whole answer of a model."""
        return self.outcomes[Ending.ANSWERED] + self.outcomes[FELL_BACK]

    @property
    def unanswered(self) -> int:
        """Calls without one, those left aside that their caller left."""
        return unanswered(self.outcomes)

    @property
    def per_thousand(self) -> float | None:
        """US dollars for a thousand calls; None if no reply told any."""
        return None if self.cost is None else 1000 * self.cost / self.calls
