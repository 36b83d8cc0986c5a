"""What a call log comes to, for programs."""

from __future__ import annotations

import datetime
from typing import Any

from orfallback.cli._report._spread import Spread
from orfallback.cli._report._summary import Fallback, Model, Summary


def as_json(summary: Summary) -> dict[str, Any]:
    """Return a summary for programs: seconds, US dollars, instants in UTC; None where nothing is known."""
    wasted = summary.wasted
    return {
        "calls": summary.calls,
        "first": _instant(summary.first),
        "last": _instant(summary.last),
        "streams": summary.streams,
        "outcomes": dict(summary.outcomes),
        "fell_back": summary.fell_back,
        "attempts": summary.attempts,
        "seconds": _spread(summary.seconds),
        "first_token": _spread(summary.first_token),
        "waited": round(summary.waited, 6),
        "cost": {"total": summary.cost, "per_1000_calls": summary.per_thousand, "untold": summary.untold},
        "wasted": {**wasted._asdict(), "seconds": round(wasted.seconds, 6)},
        "models": [_model(each) for each in summary.models],
        "fallbacks": [_step(each) for each in summary.fallbacks],
        "slowest": [
            {
                "time": _instant(record.started),
                "id": record.id,
                "ending": record.ending,
                "seconds": record.seconds,
                "attempts": [
                    {"model": each.model, "reason": each.reason, "waited": each.waited, "elapsed": each.elapsed}
                    for each in record.attempts
                ],
                "left_out": record.left_out,
            }
            for record in summary.slowest
        ],
        "timeline": {
            "width": summary.width,
            "buckets": [
                {
                    "time": _instant(each.started),
                    "outcomes": {name: count for name, count in each.outcomes.items() if count},
                    "cost": each.costs,
                }
                for each in summary.buckets
            ],
        },
    }


def _model(model: Model) -> dict[str, Any]:
    figures = model._asdict()
    return {
        "model": figures.pop("name"),
        **figures,
        "failed": model.failed,
        "latency": _spread(model.latency),
        "first_token": _spread(model.first_token),
        "reasons": dict(model.reasons),
    }


def _step(step: Fallback) -> dict[str, Any]:
    return {"from": step.source, "to": step.target, "times": step.times, "reasons": dict(step.reasons)}


def _spread(spread: Spread) -> dict[str, Any]:
    return {name: value if value is None else round(value, 6) for name, value in spread._asdict().items()}


def _instant(seconds: float) -> str | None:
    try:
        at = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
