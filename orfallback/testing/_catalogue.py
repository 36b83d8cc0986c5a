"""What the simulator says of its models and of the key, in OpenRouter's form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orfallback.testing._payloads import Json


@dataclass(frozen=True)
class _Facts:
    context: int = 32_768
    prompt: str = "0.0000001"
    completion: str = "0.0000001"
    images: bool = False


_KNOWN = {
    "mistralai/mistral-nemo": _Facts(131_072, "0.00000015", "0.00000015"),
    "mistralai/mistral-small-3.2-24b-instruct": _Facts(128_000, "0.0000001", "0.0000003", images=True),
    "mistralai/mistral-small-24b-instruct-2501": _Facts(32_768, "0.00000005", "0.00000008"),
    "mistralai/pixtral-12b": _Facts(32_768, "0.0000001", "0.0000001", images=True),
}

DEFAULT_MODELS = tuple(_KNOWN)


def models_listed(models: Iterable[str]) -> Json:
    """The answer to ``GET /models``.

    :param models: the models served; of those not known by name a small text model is told.
    """
    return {"data": [_listed(model, _KNOWN.get(model, _Facts())) for model in models]}


def key_told() -> Json:
    """The answer to ``GET /key``."""
    limits = {"limit": None, "limit_remaining": None, "limit_reset": None, "expires_at": None}
    usage = {"usage": 0.0, "usage_daily": 0.0, "usage_weekly": 0.0, "usage_monthly": 0.0}
    free = {"limit": 50, "used": 0, "remaining": 50}
    told = {"label": "sk-or-v1-...", "is_free_tier": False, "free_model_daily_requests": free}
    return {"data": {**told, **limits, **usage}}


def _listed(model: str, facts: _Facts) -> Json:
    inputs = ["text", "image"] if facts.images else ["text"]
    top = {"context_length": facts.context, "max_completion_tokens": None, "is_moderated": False}
    return {
        "id": model,
        "canonical_slug": model,
        "name": model.rpartition("/")[2],
        "created": 1_767_225_600,
        "context_length": facts.context,
        "architecture": {
            "modality": f"{'+'.join(inputs)}->text",
            "input_modalities": inputs,
            "output_modalities": ["text"],
            "tokenizer": "Mistral",
        },
        "pricing": {"prompt": facts.prompt, "completion": facts.completion, "request": "0", "image": "0"},
        "top_provider": top,
        "supported_parameters": ["max_tokens", "response_format", "stop", "temperature", "tools", "top_p"],
        "per_request_limits": None,
        "expiration_date": None,
    }
