"""Errors of vendors that mean something else than their status says: ``--plugin vendor_errors:VendorErrors``."""

from __future__ import annotations

from orfallback import Call, Outcome, Reason, Scope, Verdict


class VendorErrors:
    """Judges what it knows, and leaves all else to the chain."""

    def orfallback_classify(self, call: Call, outcome: Outcome) -> Verdict | None:
        """Judge an error by its own words."""
        error = outcome.error
        if error is None:
            return None
        if error.kind == "insufficient_quota":
            # OpenAI's 429 for an account without money: no wait mends it, and every model there says the same.
            return Verdict.fallback(Reason.PAYMENT, Scope.ENDPOINT)
        if error.kind == "content_filter":
            # Azure's 400 for a prompt that its filter refuses: another model may take it.
            return Verdict.fallback(Reason.MODERATED)
        if outcome.effective_status == 400 and "capacity" in error.message.lower():
            # A vendor's 400 for "busy", which may also come inside a 200: worth a wait, and a rest.
            return Verdict.fallback(Reason.BUSY, after=10)
        return None
