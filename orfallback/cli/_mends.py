"""What more than one message says to do."""

from __future__ import annotations

from orfallback._config import DEFAULT_BASE_URL

#: Where OpenRouter's keys are made and listed.
KEYS = "https://openrouter.ai/settings/keys"
#: Where credit is bought.
CREDITS = "https://openrouter.ai/settings/credits"
#: What a base URL is.
BASE_URL = f"Write it like OpenRouter's, {DEFAULT_BASE_URL}: up to and without /chat/completions"


#: What to do about a SOCKS proxy that requests cannot use yet.
SOCKS = 'Install what it needs: pip install "requests[socks]"'

#: What to say, and to do, where a plugin passes over every model.
NOBODY = ("A plugin lets nobody be asked", "orfallback plugins shows who answers orfallback_admit")


def no_key(variable: str) -> tuple[str, str]:
    """Return what to say where there is no key for OpenRouter, and what to do.

    :param variable: the variable that is read.
    """
    mend = f"Set {variable}; keys are made at {KEYS}. To see a fallback without one: orfallback demo"
    return "There is no key for OpenRouter", mend
