"""The settings of a site with a chat; of these, ``ORFALLBACK`` is what you add to yours."""

from __future__ import annotations

import os

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "only-for-trying-it-out")
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "django_chat.urls"

# The options of orfallback.Chain, in any case. Django's error pages show no value whose name has "key" in it.
ORFALLBACK = {
    "api_key": os.environ.get("OPENROUTER_API_KEY"),
    "base_url": os.environ.get("OPENROUTER_BASE_URL", "https://openrouter.ai/api/v1"),
    "models": ["mistralai/mistral-nemo", "mistralai/mistral-small-3.2-24b-instruct"],
    # Shorter than the web server's own limit for a request, so that the visitor gets our answer and not a bare 502.
    "timeouts": {"first_token": 15, "deadline": 50},
}
