"""What metrics say, as tests compare it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

#: The labels of a series, by their names.
Labels = tuple[tuple[str, str], ...]


class Figures:
    """The samples of metrics at one instant.

    :param metrics: what was collected, or parsed.
    """

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._samples = [sample for metric in metrics for sample in metric.samples]

    @classmethod
    def of(cls, registry: CollectorRegistry) -> Figures:
        """Read a registry."""
        return cls(registry.collect())

    @classmethod
    def told(cls, text: str) -> Figures:
        """Read what ``/metrics`` shows."""
        return cls(text_string_to_metric_families(text))

    def __call__(self, name: str, *by: str, **where: str) -> Counter[Any]:
        """Return the sums of a metric's samples that are not 0, by the values of some labels.

        :param name: of the sample, without ``orfallback_``.
        :param by: names of labels; for one alone its values are the keys, for none there is one key, "".
        :param where: labels that it has to have.
        """
        sums: Counter[Any] = Counter()
        for sample in self._samples:
            if sample.name == f"orfallback_{name}" and where.items() <= sample.labels.items():
                key = tuple(sample.labels[label] for label in by)
                sums[key if len(by) > 1 else "".join(key)] += sample.value  # type: ignore[assignment]  # a float will do
        return Counter({key: value for key, value in sums.items() if value})

    def total(self, name: str, **where: str) -> float:
        """Return the sum of a metric's samples."""
        return math.fsum(self(name, **where).values())

    @property
    def series(self) -> set[tuple[str, Labels]]:
        """Every series there is, by its name and labels; what tells when one was made is left out."""
        ours = [sample for sample in self._samples if sample.name.startswith("orfallback_")]
        return {
            (sample.name, tuple(sorted(sample.labels.items())))
            for sample in ours
            if not sample.name.endswith("_created")
        }
