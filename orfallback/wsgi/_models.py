"""Which chain a request is for."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from orfallback._chain import Chain
from orfallback._config import DEFAULT_MODELS
from orfallback._types import Json, Target

# A chain costs some 0.3 ms to make; clients name few models (chains).
_KEPT = 64


class Models:
    """The chain, and others made of it for requests that name models.

    :param own: the application's chain.
    :param plugin: what watches the gateway's calls alone.
    :ivar own: the application's chain.
    """

    def __init__(self, own: Chain, plugin: object) -> None:
        self.own = own
        self._plugin = plugin
        self._made = functools.lru_cache(_KEPT)(self._make)

    def chain_for(self, first: str | None, only: tuple[str, ...]) -> Chain:
        """Return the chain of a request.

        :param first: the model to ask before the others; None for the chain's own order.
        :param only: the models to ask, and no others; () for the chain's.
        """
        # What was registered on the application's chain since counts from the next call.
        registered = tuple(name for name, plugin in self.own.plugin_manager.list_name_plugin() if plugin is not None)
        return self._made(first, only, registered)

    def _make(self, first: str | None, only: tuple[str, ...], _registered: tuple[str, ...]) -> Chain:
        written = self._written()
        if only:
            models: list[str | Target] = []
            for model in only:
                models += _called(written, model) or [model]
        elif first is not None:
            models = [*(_called(written, first) or [first]), *written]
        else:
            models = [*written]
        return self.own.replace(models=_each_once(models), plugins=(self._plugin,))

    def _written(self) -> Sequence[str | Target]:
        """Return the models as the application wrote them: its targets' keys are with them."""
        written = self.own._options["models"]
        if written is None:
            return DEFAULT_MODELS
        return (written,) if isinstance(written, (str, Target)) else tuple(written)

    def listed(self, since: int) -> Json:
        """Return the chain's models in OpenAI's form.

        :param since: when they came to be there, in seconds of the epoch.
        """
        ids = dict.fromkeys(target.model for target in self.own.targets)
        models = [
            {"id": model, "object": "model", "created": since, "owned_by": model.partition("/")[0] or "orfallback"}
            for model in ids
        ]
        return {"object": "list", "data": models}


def _called(written: Sequence[str | Target], name: str) -> list[str | Target]:
    """Return what is called so: the same model may be at several endpoints."""
    return [each for each in written if name in ((each.model, each.name) if isinstance(each, Target) else (each,))]


def _each_once(models: list[str | Target]) -> list[str | Target]:
    seen: list[str | Target] = []
    for model in models:
        # Not by hash: what a target sets may be anything.
        if not any(model is each or model == each for each in seen):
            seen.append(model)
    return seen
