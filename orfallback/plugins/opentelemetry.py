"""The plugin that tells OpenTelemetry: a span for each call, one below it for each attempt, and the GenAI metrics."""

from __future__ import annotations

import contextvars
import functools
import math
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from opentelemetry._logs import LoggerProvider
from opentelemetry.context import Context, attach, get_current, set_value
from opentelemetry.metrics import MeterProvider
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes
from opentelemetry.trace import TracerProvider
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import (
    CLIENT_INFERENCE_CONTEXT_KEY,
    InferenceInvocation,
    WorkflowInvocation,
)
from opentelemetry.util.genai.types import Error

from orfallback._ending import Ending
from orfallback._text import clean
from orfallback._types import Attempt, Call, Target
from orfallback._usage import prompt_tokens_of, tokens_of
from orfallback._verdict import Reason
from orfallback.plugins._common import keep

# Calls under way of which it knows; what goes beyond has a leak elsewhere.
_MOST_CALLS = 10_000
# The longest name of a model or a generation (characters), and how many names of models the metrics tell apart.
_LONGEST_NAME, _MOST_NAMES = 200, 500
# How many reasons the status of a call's span lists.
_MOST_REASONS = 10
_OPENROUTER = "openrouter"
_OTHER = error_attributes.ErrorTypeValues.OTHER.value
# Parameters that are numbers, and what an invocation calls them; no text of the application's is told.
_NUMBERS: Mapping[str, str] = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "seed": "seed",
    "frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty",
    "max_tokens": "max_tokens", "max_completion_tokens": "max_tokens",
}  # fmt: skip


class _Running:
    """What is to be known of a call under way.

    :ivar pid: the process that makes it.
    :ivar scope: where its invocations attach and detach their contexts, so that the application's stays as it is.
    :ivar workflow: the call.
    :ivar attempt: the attempt under way, or None.
    :ivar outside: what was current before a model was asked.
    :ivar inside: what is current while it is asked, or None.
    """

    __slots__ = ("attempt", "inside", "outside", "pid", "scope", "workflow")

    def __init__(self, scope: contextvars.Context, workflow: WorkflowInvocation) -> None:
        self.pid = os.getpid()
        self.scope = scope
        self.workflow = workflow
        self.attempt: InferenceInvocation | None = None
        self.outside: Context | None = None
        self.inside: Context | None = None

    def leave(self) -> None:
        """Make current again what was before the model was asked."""
        inside, self.inside = self.inside, None
        # By value, not by token: a token is of one thread, and lost if an interruption strikes before it is kept.
        if inside is not None and self.outside is not None and get_current() is inside:
            attach(self.outside)


class OpenTelemetry:
    """Tells OpenTelemetry of calls and attempts, through ``opentelemetry-util-genai``; prompts and answers never.

    A call is a span ``invoke_workflow`` below the application's current one, an attempt a span ``chat`` below that of
    its call. While a model is asked the attempt's span is the current one, for whoever traces HTTP; what the
    application does while it reads a stream is not below it. Token counts are told of attempts alone.

    :param name: what the call's span and metric name the workflow; tells chains apart.
    :param tracer_provider: None is the global one, as with the others, and may be set later.
    :param meter_provider: likewise.
    :param logger_provider: likewise.
    """

    def __init__(
        self,
        name: str = "orfallback",
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
    ) -> None:
        providers: dict[str, Any] = {
            "tracer_provider": tracer_provider,
            "meter_provider": meter_provider,
            "logger_provider": logger_provider,
        }
        self._settings = {"name": name, **providers}
        self._name = name
        # It is given no hook for contents, and no invocation is given any, whatever the environment says.
        self._handler = TelemetryHandler(**providers, instrumentation_scope_name=__name__)
        self._running: dict[str, _Running] = {}
        self._names: set[str] = set()

    def orfallback_registered(self, chain: Any) -> None:
        """Learn the models that the metrics always tell apart."""
        self._names.update(_name(target.model) for target in chain.targets)

    def orfallback_call_started(self, call: Call) -> None:
        """Begin the call's span."""
        scope = contextvars.copy_context()
        keep(self._running, call.id, _Running(scope, scope.run(self._handler.workflow, self._name)), _MOST_CALLS)

    def orfallback_attempt_started(self, call: Call, target: Target, number: int) -> None:
        """Begin the attempt's span, and make it current."""
        running = self._running.get(call.id)
        if running is None:
            return
        url = urlsplit(target.base_url)
        host = url.hostname or ""
        ours = host == "openrouter.ai" or host.endswith(".openrouter.ai")
        running.attempt = attempt = running.scope.run(
            self._handler.inference,
            # Of any other endpoint it is known that it talks as OpenAI's does; its address is told beside.
            _OPENROUTER if ours else gen_ai_attributes.GenAiProviderNameValues.OPENAI.value,
            request_model=_name(target.model),
            server_address=host or None,
            server_port=url.port or {"http": 80, "https": 443}.get(url.scheme),
        )
        attempt.metric_attributes[gen_ai_attributes.GEN_AI_REQUEST_MODEL] = self._bounded(_name(target.model))
        attempt.request_stream = True if call.stream else None
        _tell_parameters(attempt, call, target)
        if number > 1:
            attempt.attributes[http_attributes.HTTP_REQUEST_RESEND_COUNT] = number - 1
        running.outside = get_current()
        # A plugin that asks another chain meanwhile makes inferences of its own, not a part of this one.
        running.inside = set_value(CLIENT_INFERENCE_CONTEXT_KEY, None, attempt.context)
        attach(running.inside)

    def orfallback_committed(self, call: Call, attempt: Attempt) -> None:
        """Let the application go on outside of the attempt's span, and tell how long the first content took."""
        running = self._running.get(call.id)
        if running is None:
            return
        running.leave()
        if running.attempt is not None and running.pid == os.getpid():
            self._tell_served(running.attempt, attempt)
            running.attempt.record_stream_chunk()

    def orfallback_attempt_finished(self, call: Call, attempt: Attempt) -> None:
        """End the attempt's span."""
        running = self._running.get(call.id)
        if running is None:
            return
        running.leave()
        invocation, running.attempt = running.attempt, None
        if invocation is None or running.pid != os.getpid():
            return
        self._tell_served(invocation, attempt)
        if attempt.status is not None:
            invocation.attributes[http_attributes.HTTP_RESPONSE_STATUS_CODE] = attempt.status
        _tell_usage(invocation, attempt.usage or {})
        if attempt.reason is None or attempt.reason is Reason.CANCELLED:
            running.scope.run(invocation.stop)
        else:
            status = f"{attempt.status} " if attempt.status is not None else ""
            running.scope.run(invocation.fail, Error(f"{status}{attempt.reason}", str(attempt.reason)))

    def orfallback_call_finished(self, call: Call, error: BaseException | None) -> None:
        """End the call's span: as an error if the caller sees one."""
        running = self._running.pop(call.id, None)
        if running is None:
            return
        running.leave()
        if running.pid != os.getpid():
            return
        if running.attempt is not None:
            running.scope.run(running.attempt.stop)
        workflow = running.workflow
        if error is not None:
            running.scope.run(workflow.fail, Error(_reasons(call) or None, _name(type(error).__name__)))
            return
        if Ending.of(call, error) is Ending.DEGRADED:
            for attributes in (workflow.attributes, workflow.metric_attributes):
                attributes[error_attributes.ERROR_TYPE] = str(Ending.DEGRADED)
        running.scope.run(workflow.stop)

    def _tell_served(self, invocation: InferenceInvocation, attempt: Attempt) -> None:
        """Tell which model served, and what the service calls the generation."""
        if attempt.served_model:
            name = invocation.response_model_name = _name(attempt.served_model)
            invocation.metric_attributes[gen_ai_attributes.GEN_AI_RESPONSE_MODEL] = self._bounded(name)
        if attempt.generation_id:
            invocation.response_id = _name(attempt.generation_id)

    def _bounded(self, name: str) -> str:
        """Return the name of a model for the metrics, which keep each for ever: clients and servers may invent them."""
        if name not in self._names:
            if len(self._names) >= _MOST_NAMES:
                return _OTHER
            self._names.add(name)
        return name

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(OpenTelemetry, **self._settings), ()


def _name(text: str) -> str:
    return clean(text, _LONGEST_NAME)


def _tell_parameters(invocation: InferenceInvocation, call: Call, target: Target) -> None:
    sent = {name: value for name, value in call.payload.items() if name not in target.drop}
    sent.update(target.set)
    for name, attribute in _NUMBERS.items():
        if _is_number(sent.get(name)):
            setattr(invocation, attribute, sent[name])
    if _is_number(sent.get("n")) and sent["n"] != 1:
        invocation.request_choice_count = sent["n"]


def _is_number(value: object) -> bool:
    # An exporter packs an int into 64 bits.
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 2**63
    )


def _tell_usage(invocation: InferenceInvocation, usage: Mapping[str, Any]) -> None:
    invocation.input_tokens = prompt_tokens_of(usage)
    invocation.output_tokens = tokens_of(usage)
    invocation.cache_read_input_tokens = _detail(usage, "prompt_tokens_details", "cached_tokens")
    invocation.thinking_tokens = _detail(usage, "completion_tokens_details", "reasoning_tokens")


def _detail(usage: Mapping[str, Any], part: str, name: str) -> int | None:
    details = usage.get(part)
    return tokens_of({"completion_tokens": details.get(name)}) if isinstance(details, Mapping) else None


def _reasons(call: Call) -> str:
    """Return why each attempt failed. Texts of the upstream's stay in the log: they may quote a prompt."""
    reasons = [str(attempt.reason) for attempt in call.attempts if attempt.reason is not None]
    left_out = ", …" if len(reasons) > _MOST_REASONS else ""
    return ", ".join(reasons[:_MOST_REASONS]) + left_out
