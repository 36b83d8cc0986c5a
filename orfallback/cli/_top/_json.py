"""The view for programs."""

from __future__ import annotations

import math
from typing import Any

from orfallback.cli._top._figures import Figures, Model, Spread
from orfallback.cli._top._sources import Look


def as_json(name: str, look: Look) -> dict[str, Any]:
    """Return what a look brought; seconds, US dollars, shares of 1; None is what is not known.

    :param name: what was looked at.
    :param look: what it brought.
    """
    figures = look.figures
    return {
        "source": name,
        "time": round(look.at, 3),
        "seconds": figures.span,
        "notes": list(look.notes),
        "calls": {
            "ended": figures.calls,
            "per_second": figures.rate(figures.calls),
            "in_progress": figures.in_progress,
            "answered": figures.answered,
            "endings": dict(figures.endings),
            "total": _spread(figures.seconds),
        },
        "fallbacks": _fallbacks(figures),
        "models": [_model(figures, model) for model in figures.models],
    }


def _fallbacks(figures: Figures) -> dict[str, Any]:
    return {
        "count": figures.fallbacks,
        "per_call": figures.per_call(figures.fallbacks),
        "share_of_calls": None if figures.fell_back is None else figures.per_call(figures.fell_back),
        "retries": figures.retries,
        "waited": figures.waited,
        "kinds": [
            {"from": hops.start, "to": hops.goal, "reason": hops.reason, "count": hops.times} for hops in figures.hops
        ],
    }


def _model(figures: Figures, model: Model) -> dict[str, Any]:
    hourly = figures.rate(model.cost)
    return {
        "model": model.model,
        "attempts": model.attempts,
        "attempts_per_second": figures.rate(model.attempts),
        "answered": model.share,
        "reasons": dict(model.reasons),
        "total": _spread(model.seconds),
        "first_token": _spread(model.first_token),
        "tokens_per_second": figures.rate(model.tokens),
        "cost_per_hour": None if hourly is None else hourly * 3600,
        # JSON knows no infinity.
        "rests": None if math.isinf(model.rests) else model.rests,
        "resting": model.rests > 0,
    }


def _spread(spread: Spread) -> dict[str, float | None]:
    return {"p50": spread.p50, "p95": spread.p95}
