"""What a service says that an answer took, whatever it says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# More than any answer has, or costs: what is larger is nonsense.
_MOST = 1e12


def cost_of(usage: Mapping[str, Any]) -> float | None:
    """Return the cost in US dollars; None if it is not told, or no amount."""
    return _amount(usage.get("cost"))


def tokens_of(usage: Mapping[str, Any]) -> int | None:
    """Return the tokens of the answer; None if they are not told, or no number of any."""
    told = _amount(usage.get("completion_tokens"))
    return int(told) if told is not None and told >= 1 else None


def prompt_tokens_of(usage: Mapping[str, Any]) -> int | None:
    """Return the tokens of the prompt; None if they are not told, or no number of any."""
    told = _amount(usage.get("prompt_tokens"))
    return int(told) if told is not None and told >= 1 else None


def _amount(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # An int may be longer than a float can be.
    return float(value) if 0 <= value <= _MOST and math.isfinite(value) else None
