"""Quantiles of what was counted in the buckets of a histogram; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from orfallback.cli._top._figures import Spread


def spread(buckets: Mapping[float, float]) -> Spread:
    """Return the median and the 95th percentile of a histogram.

    :param buckets: by their upper bound how many values do not exceed it; the last bound is infinity.
    """
    return Spread(histogram_quantile(0.5, buckets), histogram_quantile(0.95, buckets))


def histogram_quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """Return the value that a share of all values do not exceed, as Prometheus' ``histogram_quantile`` does.

    Values are taken to be spread evenly over their bucket. One beyond the last finite bound is told as that bound.

    :param share: 0 to 1.
    :param buckets: as for :func:`spread`.
    :returns: None if there are no values, or no bounds between which they could be.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or bounds[-1] != math.inf:
        return None
    counts: list[float] = []
    for bound in bounds:
        # Buckets that were read while others counted may decrease.
        counts.append(max(buckets[bound], counts[-1] if counts else 0.0))
    rank = share * counts[-1]
    if counts[-1] <= 0:
        return None
    place = next(index for index, count in enumerate(counts) if count >= rank and count > 0)
    if place == len(bounds) - 1:
        return bounds[-2]
    if place == 0 and bounds[0] <= 0:
        return bounds[0]
    below, lower = (counts[place - 1], bounds[place - 1]) if place else (0.0, 0.0)
    return lower + (bounds[place] - lower) * (rank - below) / (counts[place] - below)
