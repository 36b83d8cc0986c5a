"""The judgement on an outcome: why it is no answer, and how far the fault reaches."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Label(str, Enum):
    """An enum whose members print as their value on every Python (3.12 changed what ``str`` enums do)."""

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, spec: str) -> str:
        return format(str(self.value), spec)


class Reason(Label):
    """Why an attempt gave no answer. The list is closed; each label knows whether it is transient.

    Only a transient reason is waited after, before the next target, and makes its own target rest.
    """

    #: Overloaded, or down for the moment: 502, 503, 529.
    BUSY = "busy"
    #: Limited: 429, or credit that is reserved by other calls.
    RATE_LIMITED = "rate_limited"
    #: A limit of :class:`Timeouts` was hit, or one of the server's own.
    TIMEOUT = "timeout"
    #: No connection, or one that was reset before an answer began.
    CONNECTION = "connection"
    #: A failure of the server's own: 500, a page of a proxy in front of it.
    SERVER_ERROR = "server_error"
    #: The reply broke off.
    TRUNCATED = "truncated"
    #: What came is no reply: no JSON, garbled, too large.
    MALFORMED = "malformed"
    #: A reply without content.
    EMPTY = "empty"
    #: The endpoint has no such model, or has it no more.
    NOT_FOUND = "not_found"
    #: The prompt is too long for this model.
    CONTEXT_LENGTH = "context_length"
    #: This model cannot take what the call has, or the account allows no provider of it.
    UNSUPPORTED = "unsupported"
    #: Refused for what it says.
    MODERATED = "moderated"
    #: The key is missing, wrong, or not allowed this.
    UNAUTHORIZED = "unauthorized"
    #: No credit, or a budget is spent.
    PAYMENT = "payment"
    #: The request itself is at fault.
    INVALID_REQUEST = "invalid_request"
    #: The set-up is at fault: the address, a certificate, a proxy.
    MISCONFIGURED = "misconfigured"
    #: The application left, or the deadline came first; nobody's fault.
    CANCELLED = "cancelled"

    @property
    def transient(self) -> bool:
        """Whether the same target may well answer a little later."""
        return self in _TRANSIENT


_TRANSIENT = frozenset(
    {Reason.BUSY, Reason.RATE_LIMITED, Reason.TIMEOUT, Reason.CONNECTION, Reason.SERVER_ERROR, Reason.TRUNCATED}
)


class Scope(Enum):
    """How far a failure reaches: every remaining target within reach is ruled out."""

    #: Nothing is ruled out: the outcome is accepted.
    NONE = "none"
    #: This target alone.
    MODEL = "model"
    #: This target and every ``:free`` model of the same endpoint.
    FREE_TIER = "free_tier"
    #: Every target with the same origin and key.
    ENDPOINT = "endpoint"
    #: The call itself: no target would take it.
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement on an outcome; made by the constructors below.

    :ivar reason: why it is refused; None for an accepted answer.
    :ivar scope: how far the fault reaches.
    :ivar retry_after: the server's hint, in seconds, or None.
    :ivar again: whether what the fault reaches may be asked again in this call, after the hint.
    """

    reason: Reason | None
    scope: Scope
    retry_after: float | None = None
    again: bool = False

    @classmethod
    def accept(cls) -> Verdict:
        """Take it as the answer, even if the default classifier would refuse it.

        :returns: the verdict.
        """
        return cls(None, Scope.NONE)

    @classmethod
    def retry(cls, reason: Reason, after: float = 0.0, scope: Scope = Scope.MODEL) -> Verdict:
        """Go on; when nothing else is left, ask what the fault reaches again, once.

        :param reason: why the outcome is no answer.
        :param after: how long to wait before it is asked again, in seconds.
        :param scope: how far the fault reaches.
        :returns: the verdict.
        :raises ValueError: for the scope CALL or NONE, which leave nothing to ask again.
        """
        if scope in (Scope.CALL, Scope.NONE):
            raise ValueError(f"Verdict.retry is for a scope that ends somewhere, not {scope.name}")
        return cls(reason, scope, after, again=True)

    @classmethod
    def fallback(cls, reason: Reason, scope: Scope = Scope.MODEL, after: float | None = None) -> Verdict:
        """Go on with what the fault does not reach.

        :param reason: why the outcome is no answer.
        :param scope: how far the fault reaches.
        :param after: the server's hint, in seconds: how long what is ruled out is to rest.
        :returns: the verdict.
        """
        return cls(reason, scope, after)

    @classmethod
    def abort(cls, reason: Reason) -> Verdict:
        """Stop: no other target would take this call.

        :param reason: why the outcome is no answer.
        :returns: the verdict.
        """
        return cls(reason, Scope.CALL)

    @property
    def transient(self) -> bool:
        """Whether the reason is a transient one."""
        return self.reason is not None and self.reason.transient


class Fault(Label):
    """What went wrong where no verdict can be read from a status: the kind of exception or of broken body."""

    #: No connection came about: no address, refused, not in time.
    CONNECT = "connect"
    #: The connection broke.
    RESET = "reset"
    #: A limit was hit.
    TIMEOUT = "timeout"
    #: TLS failed, or a certificate was refused.
    CERTIFICATE = "certificate"
    #: The proxy failed.
    PROXY = "proxy"
    #: A URL that cannot be asked.
    BAD_URL = "bad_url"
    #: No key for an endpoint that wants one; nothing was sent.
    NO_KEY = "no_key"
    #: What came is no HTTP, or no JSON.
    MALFORMED = "malformed"
    #: The reply ended before its end.
    TRUNCATED = "truncated"
    #: The reply is larger than is read.
    TOO_LARGE = "too_large"
