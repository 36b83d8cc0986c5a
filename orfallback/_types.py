"""The nouns: what strategies and plugins receive. All are frozen, none holds a key.

A **call** is one logical request by the application. Each HTTP try for it is an **attempt**; what came back is the
attempt's **outcome**, and the judgement on that is a **verdict**.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from orfallback._text import clean
from orfallback._verdict import Fault, Reason, Verdict

#: Parsed JSON object, as it came.
Json = dict[str, Any]


class UpstreamError(NamedTuple):
    """An error as the service put it, whatever the shape it came in.

    :ivar code: its numeric code, 100 to 599, or None.
    :ivar kind: the canonical ``error_type``, or a textual code or type; lower case, "" if there is none.
    :ivar message: its text, as it came.
    :ivar metadata: its ``metadata`` object, {} if there is none.
    :ivar availability: its ``availability`` object, {} if there is none.
    """

    code: int | None = None
    kind: str = ""
    message: str = ""
    metadata: Mapping[str, Any] = {}
    availability: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Target:
    """A model at an endpoint.

    What you write may name an endpoint of its own; what plugins, attempts and errors carry is the resolved target,
    which names its endpoint but holds no key.

    :ivar model: the model's id, as the endpoint spells it.
    :ivar base_url: where it is, up to and without ``/chat/completions``; "" is the chain's own endpoint.
    :ivar api_key: its key; None is the chain's key if the origin is the chain's, and no key elsewhere.
    :ivar set: parameters put into the body for this target alone, over the call's own.
    :ivar drop: names of parameters that this target does not take.
    :ivar name: how logs and metrics call it; "" is the model's id.
    :ivar endpoint: set by the chain: origin and a digest of the key, the same for targets that share both.
    :ivar inputs: what it takes, of "text", "image", "audio", "video" and "file"; () is not known.
    :ivar context_length: the most that a prompt and its answer may be, in tokens; None is not known.
    """

    model: str
    base_url: str = ""
    api_key: str | None = field(default=None, repr=False)
    set: Mapping[str, Any] = field(default_factory=dict, hash=False)
    drop: Sequence[str] = ()
    name: str = ""
    endpoint: str = field(default="", repr=False)
    inputs: Sequence[str] = ()
    context_length: int | None = None

    def __post_init__(self) -> None:
        # A list is what people write; a tuple is what can be hashed.
        object.__setattr__(self, "drop", (self.drop,) if isinstance(self.drop, str) else tuple(self.drop))
        object.__setattr__(self, "inputs", (self.inputs,) if isinstance(self.inputs, str) else tuple(self.inputs))

    @property
    def free(self) -> bool:
        """Whether it is one of OpenRouter's ``:free`` variants, which share one rate limit."""
        return self.model.endswith(":free")

    def __reduce__(self) -> str | tuple[Any, ...]:
        if self.api_key is not None:
            raise TypeError("a Target with an api_key does not pickle: the key would go with it")
        told = self.inputs, self.context_length
        return Target, (self.model, self.base_url, None, dict(self.set), self.drop, self.name, self.endpoint, *told)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The limits of a call, in seconds; None lifts one.

    :ivar connect: TCP and TLS of one attempt.
    :ivar first_token: stream: from the request being sent to the first event that carries content.
    :ivar idle: stream: the longest time spent waiting on the socket between two pieces of content. Comments, empty
        deltas and the time that the consumer takes do not count.
    :ivar answer: one whole reply, keep-alive newlines notwithstanding.
    :ivar deadline: the whole call, waits and a stream's body included.
    """

    connect: float | None = 5.0
    first_token: float | None = 30.0
    idle: float | None = 30.0
    answer: float | None = 120.0
    deadline: float | None = 600.0

    def __post_init__(self) -> None:
        for name in ("connect", "first_token", "idle", "answer", "deadline"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"Timeouts.{name} is a number of seconds or None, not {type(value).__name__}")
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"Timeouts.{name} is finite and greater than 0, not {value!r}; None lifts the limit")


@dataclass(frozen=True, slots=True)
class Attempt:
    """The record of one HTTP try: plain data that pickles, never a Target, a response, an exception or a header.

    :ivar number: nth attempt of the call, from 1.
    :ivar model: the model asked.
    :ivar endpoint: the URL asked.
    :ivar served_model: the model that the reply names, or None.
    :ivar provider: the provider that the reply names, or None.
    :ivar status: the HTTP status; where an error came inside a 200, the status that the error names.
    :ivar verdict: None if it answered.
    :ivar message: what the upstream said, cleaned of control characters, at most 500 characters.
    :ivar waited: seconds waited before this attempt.
    :ivar first_token: seconds from the start to the first content of a stream, or None.
    :ivar elapsed: seconds from the start to the end of the attempt.
    :ivar bytes: decoded bytes of the body.
    :ivar events: data events of a stream.
    :ivar usage: the usage object that the service sent, or None.
    :ivar generation_id: OpenRouter's id of the generation, or None.
    :ivar resent: whether a stale connection made the wire send it twice.
    """

    number: int
    model: str
    endpoint: str
    served_model: str | None = None
    provider: str | None = None
    status: int | None = None
    verdict: Verdict | None = None
    message: str = ""
    waited: float = 0.0
    first_token: float | None = None
    elapsed: float = 0.0
    bytes: int = 0
    events: int = 0
    usage: Json | None = None
    generation_id: str | None = None
    resent: bool = False

    @property
    def ok(self) -> bool:
        """Whether it answered."""
        return self.verdict is None

    @property
    def reason(self) -> Reason | None:
        """Why it did not answer; None if it did."""
        return None if self.verdict is None else self.verdict.reason

    @property
    def summary(self) -> str:
        """What became of it in a few words: "502 busy: Provider returned error", or "answered"."""
        if self.verdict is None:
            return "answered"
        status = f"{self.status} " if self.status and self.status // 100 != 2 else ""
        return f"{status}{self.reason}{f': {self.message}' if self.message else ''}"


# Told apart by identity: two of the same fields are still two calls, and each method that a dataclass does not
# generate is a tenth of a millisecond off the import.
@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Call:
    """One logical request by the application.

    :ivar id: 16 hexadecimal digits.
    :ivar payload: ``messages`` and parameters as given; changing it has no effect on what is sent.
    :ivar stream: whether a stream was asked for.
    :ivar context: the host's own mapping: never sent.
    :ivar started: the chain's clock at the start, in seconds.
    :ivar deadline: the instant on that clock by which the call ends; infinity if there is none.
    :ivar attempts: what was tried so far, in order.
    """

    id: str
    payload: Mapping[str, Any]
    stream: bool = False
    context: Mapping[str, Any] = field(default_factory=dict)
    started: float = 0.0
    deadline: float = math.inf
    attempts: tuple[Attempt, ...] = ()

    def __repr__(self) -> str:
        """Show names and sizes, no content: a repr ends up in logs and tracebacks."""
        messages = self.payload.get("messages")
        count = len(messages) if isinstance(messages, (list, tuple)) else 0
        params = ", ".join(sorted(set(self.payload) - {"messages"}))
        return (
            f"<Call {self.id}{' stream' if self.stream else ''}: {count} messages, params [{params}], "
            f"{len(self.attempts)} attempts>"
        )


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Outcome:
    """What one attempt brought back, before it is judged.

    :ivar status: the HTTP status, or None if there was no response.
    :ivar headers: the response's headers, case-insensitive.
    :ivar body: the parsed JSON: a reply, an error body, or the event of a stream that commits or breaks it; None if
        there was none.
    :ivar error: the error that the body holds, or None.
    :ivar content: the head of a body that is not an answer, as received, at most 64 kB.
    :ivar fault: the kind of exception or of broken body, or None.
    :ivar detail: the fault in words of ours.
    :ivar model: the model asked.
    :ivar url: the URL asked.
    :ivar received: wall time of the outcome, in seconds since the epoch; dates in headers are held against it.
    :ivar served_model: the model that the body names, or None.
    :ivar provider: the provider that the body names, or None.
    :ivar usage: the usage object that the body holds, or None.
    :ivar generation_id: OpenRouter's id of the generation, or None.
    :ivar first_token: seconds from the start to the first content of a stream, or None.
    :ivar bytes: decoded bytes read.
    :ivar events: data events read.
    :ivar resent: whether a stale connection made the wire send it twice.
    :ivar value: for the chain alone: the answer, or the open stream; None if this cannot be an answer.
    :ivar close: for the chain alone: gives up an open value; None where nothing is open.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    error: UpstreamError | None = None
    content: bytes = b""
    fault: Fault | None = None
    detail: str = ""
    model: str = ""
    url: str = ""
    received: float = 0.0
    served_model: str | None = None
    provider: str | None = None
    usage: Json | None = None
    generation_id: str | None = None
    first_token: float | None = None
    bytes: int = 0
    events: int = 0
    resent: bool = False
    value: Any = None
    close: Callable[[], None] | None = None

    def __repr__(self) -> str:
        """Show the kind of outcome and its size, no content."""
        return f"<Outcome {self.fault or self.status}: {self.bytes} bytes, {self.events} events>"

    @property
    def effective_status(self) -> int | None:
        """The status that the error in the body names, else HTTP's."""
        return self.status if self.error is None or self.error.code is None else self.error.code

    @property
    def message(self) -> str:
        """What the upstream said of the failure, else the fault in our words; cleaned, at most 500 characters."""
        return clean((self.error.message if self.error is not None else "") or self.detail)

    def attempt(self, number: int, target: Target, verdict: Verdict | None, waited: float, elapsed: float) -> Attempt:
        """Return the record of the attempt that ended so.

        :param number: nth attempt of the call, from 1.
        :param target: the target asked.
        :param verdict: None if it answered.
        :param waited: seconds waited before it.
        :param elapsed: seconds that it took.
        """
        return Attempt(
            number=number,
            model=target.model,
            endpoint=self.url,
            served_model=self.served_model,
            provider=self.provider,
            status=self.effective_status,
            verdict=verdict,
            message="" if verdict is None else self.message,
            waited=waited,
            first_token=self.first_token,
            elapsed=elapsed,
            bytes=self.bytes,
            events=self.events,
            usage=self.usage,
            generation_id=self.generation_id,
            resent=self.resent,
        )
