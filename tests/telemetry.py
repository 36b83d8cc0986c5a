"""OpenTelemetry's SDK in memory, and what a chain told it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, MutableMapping
from typing import Any, NamedTuple

from opentelemetry import context, propagate, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orfallback.plugins.opentelemetry import OpenTelemetry
from orfallback.testing import Received


class Propagating:
    """Sends the current span's identity along, as instrumented requests do; so a request tells its attempt."""

    def orfallback_prepare(self, headers: MutableMapping[str, str]) -> None:
        """Put it into the headers."""
        propagate.inject(headers)


class Traced(NamedTuple):
    """The span of a call, and those of its attempts in their order."""

    call: ReadableSpan
    attempts: list[ReadableSpan]

    @property
    def told(self) -> list[tuple[str, Any]]:
        """The model and the ``error.type`` of each attempt."""
        return [(facts(each)["gen_ai.request.model"], facts(each).get("error.type")) for each in self.attempts]


class Telemetry:
    """Three signals in memory, and the plugin that gives them.

    :ivar plugin: the plugin.
    """

    def __init__(self, name: str = "orfallback") -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self._logs: Any = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        tracing = TracerProvider()
        tracing.add_span_processor(SimpleSpanProcessor(self._spans))
        logging = LoggerProvider()
        logging.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        #: The application's own.
        self.tracer = tracing.get_tracer("application")
        self.providers: dict[str, Any] = {
            "tracer_provider": tracing,
            "meter_provider": MeterProvider([self._reader]),
            "logger_provider": logging,
        }
        self.plugin = OpenTelemetry(name, **self.providers)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Every span that has ended, by its start."""
        return sorted(self._spans.get_finished_spans(), key=lambda span: span.start_time or 0)

    @property
    def calls(self) -> list[Traced]:
        """Every call with its attempts, by its start."""
        below: dict[int, list[ReadableSpan]] = {}
        for span in self.spans:
            below.setdefault(parent_of(span), []).append(span)
        return [
            Traced(span, below.get(id_of(span), [])) for span in self.spans if span.name.startswith("invoke_workflow ")
        ]

    @property
    def events(self) -> list[Any]:
        """Every log record."""
        return [each.log_record for each in self._logs.get_finished_logs()]

    def metric(self, name: str, *attributes: str) -> Counter[Any]:
        """Return a histogram's counts by the values of some attributes."""
        return Counter({key: count for key, (count, _) in self._points(name, attributes).items()})

    def total(self, name: str, *attributes: str) -> dict[Any, float]:
        """Return a histogram's sums by the values of some attributes."""
        return {key: total for key, (_, total) in self._points(name, attributes).items()}

    @property
    def metrics(self) -> list[Any]:
        """Every metric."""
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
        return [metric for scope in scopes for metric in scope.metrics]

    def _points(self, name: str, attributes: tuple[str, ...]) -> dict[Any, tuple[int, float]]:
        found: dict[Any, tuple[int, float]] = {}
        for metric in self.metrics:
            for point in metric.data.data_points if metric.name == name else ():
                key = tuple(point.attributes.get(each) for each in attributes)
                count, total = found.get(key, (0, 0.0))
                found[key] = count + point.count, total + point.sum
        return found


def facts(span: ReadableSpan) -> Mapping[str, Any]:
    """Return a span's attributes."""
    return span.attributes or {}


def id_of(span: ReadableSpan | trace.Span) -> int:
    """Return a span's identity."""
    told = span.get_span_context()
    assert told is not None
    return told.span_id


def parent_of(span: ReadableSpan) -> int:
    """Return the identity of a span's parent, 0 if it has none."""
    return 0 if span.parent is None else span.parent.span_id


def asked_by(received: Received) -> int:
    """Return the identity of the span that a request came from."""
    return int(received.headers["traceparent"].split("-")[2], 16)


def nothing_is_current() -> bool:
    """Tell whether the application's context is as empty as at its start."""
    return context.get_current() == {} and not trace.get_current_span().get_span_context().is_valid
