"""The three observers that count, side by side on one chain, and what each of them says in the same words."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from orfallback.plugins.call_log import CallLog
from orfallback.plugins.opentelemetry import OpenTelemetry
from orfallback.plugins.prometheus import Prometheus

#: What a span calls an attempt without an error: it answered, or nobody waited for it any more.
NO_ERROR = "no error"


@dataclass
class Told:
    """What was counted, whoever counted.

    :ivar calls: calls, by mode and ending.
    :ivar attempts: attempts, by model, mode, and reason or "answered".
    :ivar tokens: tokens, by model and kind.
    :ivar fallbacks: fallbacks, by the models and the reason.
    """

    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    attempts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    tokens: Counter[tuple[str, str]] = field(default_factory=Counter)
    fallbacks: Counter[tuple[str, str, str]] = field(default_factory=Counter)


class Observers:
    """Prometheus, OpenTelemetry and the call log.

    :param folder: where the call log is.
    """

    def __init__(self, folder: Path) -> None:
        self._registry = CollectorRegistry()
        self._spans = InMemorySpanExporter()
        tracing = TracerProvider()
        tracing.add_span_processor(SimpleSpanProcessor(self._spans))
        self._file = folder / "calls.jsonl"
        telemetry = OpenTelemetry(tracer_provider=tracing, meter_provider=MeterProvider())
        self.plugins = [Prometheus(self._registry), telemetry, CallLog(self._file)]

    def prometheus(self) -> Told:
        """What a scrape says; series that are 0 are left out."""
        told = Told()
        for metric in self._registry.collect():
            for sample in metric.samples:
                labels, value = sample.labels, int(sample.value)
                if not value:
                    continue
                if sample.name == "orfallback_calls_total":
                    told.calls[labels["mode"], labels["ending"]] += value
                elif sample.name == "orfallback_attempts_total":
                    told.attempts[labels["model"], labels["mode"], labels["outcome"]] += value
                elif sample.name == "orfallback_tokens_total":
                    told.tokens[labels["model"], labels["kind"]] += value
                elif sample.name == "orfallback_fallbacks_total":
                    told.fallbacks[labels["from_model"], labels["to_model"], labels["reason"]] += value
        return told

    def records(self) -> Told:
        """What the lines of the call log say."""
        told = Told()
        for line in self._file.read_text(encoding="ascii").splitlines():
            record = json.loads(line)
            told.calls[record["mode"], record["ending"]] += 1
            for attempt in record["attempts"]:
                told.attempts[attempt["model"], record["mode"], attempt.get("reason", "answered")] += 1
                for kind in ("prompt", "completion"):
                    if f"{kind}_tokens" in attempt:
                        told.tokens[attempt["model"], kind] += attempt[f"{kind}_tokens"]
            for failed, then in zip(record["attempts"], record["attempts"][1:], strict=False):
                told.fallbacks[failed["model"], then["model"], failed["reason"]] += 1
        return told

    def spans(self) -> Told:
        """What the finished spans say; a call by the error that its caller saw, an attempt by its reason."""
        told = Told()
        spans = self._spans.get_finished_spans()
        calls = {_id(span): span for span in spans if span.parent is None}
        modes: dict[int, str] = {}
        for span in spans:
            if span.parent is None:
                continue
            assert span.parent.span_id in calls, "an attempt is the child of its call"
            facts = span.attributes or {}
            mode = modes[span.parent.span_id] = "stream" if facts.get("gen_ai.request.stream") else "complete"
            told.attempts[str(facts["gen_ai.request.model"]), mode, str(facts.get("error.type", NO_ERROR))] += 1
            for kind, name in (("prompt", "gen_ai.usage.input_tokens"), ("completion", "gen_ai.usage.output_tokens")):
                if name in facts:
                    told.tokens[str(facts["gen_ai.request.model"]), kind] += int(str(facts[name]))
        for number, span in calls.items():
            told.calls[modes[number], str((span.attributes or {}).get("error.type", NO_ERROR))] += 1
        return told


def _id(span: ReadableSpan) -> int:
    assert span.context is not None
    number: int = span.context.span_id
    return number
