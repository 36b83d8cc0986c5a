"""Which calls of a log are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from orfallback._record import Record

# So many names of models are remembered, to say which there are.
_REMEMBERED = 100


class Wanted:
    """Which calls are wanted.

    :param since: begun from then on.
    :param until: begun before that.
    :param models: that asked one of these; empty for any.
    :ivar first: when the first of all that were looked at began.
    :ivar last: when the last of them began.
    :ivar named: the models of those of that time that are not wanted, each once.
    """

    def __init__(self, since: float | None, until: float | None, models: Sequence[str]) -> None:
        self._since = float("-inf") if since is None else since
        self._until = float("inf") if until is None else until
        self.models = frozenset(models)
        self.first, self.last = float("inf"), float("-inf")
        self.named: dict[str, None] = {}

    def among(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield those that are wanted."""
        for record in records:
            self.first, self.last = min(self.first, record.started), max(self.last, record.started)
            if self._since <= record.started < self._until:
                if not self.models or any(each.model in self.models for each in record.attempts):
                    yield record
                elif len(self.named) < _REMEMBERED:
                    self.named.update(dict.fromkeys(each.model for each in record.attempts))
