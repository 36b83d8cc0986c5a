"""What a metrics endpoint says, in Prometheus' text format."""

from __future__ import annotations

import math

from prometheus_client.parser import text_string_to_metric_families

from orfallback.cli._shown import shown
from orfallback.cli._top._counters import Scrape, Series
from orfallback.cli._top._metrics import NAMES

#: A gateway tells some 40 values for each of its models.
MOST_VALUES = 20_000
# The parser's time grows with the square of a line's length (characters).
_LONGEST_LINE = 2_048
# The longest model's id, and the most that a value can say (what is larger is nonsense).
_LONGEST_LABEL = 200
_MOST = 1e15


def parse(text: str) -> Scrape:
    """Return the values of orfallback's own metrics, with labels that are fit for a terminal.

    :param text: what came; of other metrics nothing is read.
    :raises ValueError: if it is not the format, holds nothing of orfallback's, or too much; says so in a sentence.
    """
    lines = [line for line in text.split("\n") if line.startswith(_PREFIXES)]
    ours = [line for line in lines if _name(line) in NAMES]
    if not any("orfallback_" in line for line in lines):
        raise ValueError("serves no metric of orfallback: has its chain the plugin prometheus?")
    if len(ours) > MOST_VALUES or any(len(line) > _LONGEST_LINE for line in ours):
        raise ValueError(f"serves more than a gateway has to tell ({MOST_VALUES} values)")
    scrape: dict[Series, float] = {}
    try:
        for family in text_string_to_metric_families("\n".join(ours)):
            for sample in family.samples:
                labels = sorted((name, shown(value, _LONGEST_LABEL)) for name, value in sample.labels.items())
                series = Series(sample.name, tuple(labels))
                value = float(sample.value)
                before = scrape.get(series, 0.0)
                # Two that differ in what no terminal shows are one.
                if series.name.endswith("_timestamp_seconds") and value >= 0:
                    # Of instants the later counts; one beyond all measure never comes.
                    scrape[series] = max(before, value if value < _MOST else math.inf)
                elif abs(value) < _MOST and (value >= 0 or not series.grows):
                    scrape[series] = before + value
    except (ValueError, OverflowError, IndexError):
        raise ValueError("serves what is not Prometheus' text format") from None
    return scrape


_PREFIXES = ("orfallback_", "process_start_time_seconds", "# TYPE orfallback_", "# HELP orfallback_")


def _name(line: str) -> str:
    return line[:_LONGEST_LABEL].partition("{")[0].partition(" ")[0].partition("\t")[0]
