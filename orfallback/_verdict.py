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

    BUSY = "busy"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    SERVER_ERROR = "server_error"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    EMPTY = "empty"
    NOT_FOUND = "not_found"
    CONTEXT_LENGTH = "context_length"
    UNSUPPORTED = "unsupported"
    MODERATED = "moderated"
    UNAUTHORIZED = "unauthorized"
    PAYMENT = "payment"
    INVALID_REQUEST = "invalid_request"
    MISCONFIGURED = "misconfigured"
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
        """Take it as the answer, even if the default classifier would refuse it."""
        return cls(None, Scope.NONE)

    @classmethod
    def retry(cls, reason: Reason, after: float = 0.0, scope: Scope = Scope.MODEL) -> Verdict:
        """Go on; when nothing else is left, ask what the fault reaches again, once.

        :param reason: why it is refused.
        :param after: seconds before it may be asked again.
        :param scope: how far the fault reaches.
        :raises ValueError: for the scope CALL or NONE, which leave nothing to ask again.
        """
        if scope in (Scope.CALL, Scope.NONE):
            raise ValueError(f"Verdict.retry is for a scope that ends somewhere, not {scope.name}")
        return cls(reason, scope, after, again=True)

    @classmethod
    def fallback(cls, reason: Reason, scope: Scope = Scope.MODEL, after: float | None = None) -> Verdict:
        """Go on with what the fault does not reach.

        :param reason: why it is refused.
        :param scope: how far the fault reaches.
        :param after: the server's hint, in seconds, or None.
        """
        return cls(reason, scope, after)

    @classmethod
    def abort(cls, reason: Reason) -> Verdict:
        """Stop: no other target would take this call.

        :param reason: why.
        """
        return cls(reason, Scope.CALL)

    @property
    def transient(self) -> bool:
        """Whether the reason is a transient one."""
        return self.reason is not None and self.reason.transient


class Fault(Label):
    """What went wrong where no verdict can be read from a status: the kind of exception or of broken body."""

    CONNECT = "connect"
    RESET = "reset"
    TIMEOUT = "timeout"
    CERTIFICATE = "certificate"
    PROXY = "proxy"
    BAD_URL = "bad_url"
    NO_KEY = "no_key"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
