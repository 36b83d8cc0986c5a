"""Examines where chains share what they learn, and what they know."""

from __future__ import annotations

from orfallback._config import STORE_VARIABLE
from orfallback.cli._doctor._finding import Finding
from orfallback.cli._exits import SetupFailed
from orfallback.cli._resting import told
from orfallback.cli._settings import Settings
from orfallback.stores import StoreError, store_from_url

_SUBJECT = "memory"


def memory(settings: Settings) -> list[Finding]:
    """Look whether the shared store answers, and which targets rest; nothing where none is shared."""
    url = settings.environ.get(STORE_VARIABLE, "").strip()
    if not url:
        return []
    try:
        store = store_from_url(url)
        with settings.chain() as chain:
            known = chain.health.snapshot()
        store.resting(["doctor"])
    except ImportError as error:
        return [Finding("problem", _SUBJECT, f"{STORE_VARIABLE}: {error}", "Install what it needs")]
    except StoreError as error:
        mend = "Until it answers each process remembers for itself; no call fails for it"
        return [Finding("note", _SUBJECT, f"the store of {STORE_VARIABLE} cannot be reached: {error}", mend)]
    except (ValueError, SetupFailed):
        # What is wrong with a variable, or a plugin, is told where they are looked at.
        return []
    mend = "Until then it is asked after the others; chain.health.release() lets it be asked at once"
    resting = [Finding("note", _SUBJECT, told(health), mend) for health in known if health.resting]
    return resting or [Finding("ok", _SUBJECT, "the shared store answers; none of the models rests")]
