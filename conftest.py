"""Runs the samples of README.md and of docs/ as tests."""

from __future__ import annotations

import logging
import os
from typing import Any

import responses
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

# Tests of an application and of a plugin, which tests of ours run where those are.
collect_ignore = ["docs/examples/recipes/testing", "docs/examples/orfallback-plugin-example/tests"]

_NAMES = ("OPENROUTER_API_KEY", "OPENROUTER_BASE_URL", "ORFALLBACK_MODELS")


def _set_up(namespace: dict[str, Any]) -> None:
    """Give the samples a key, and an OpenRouter that needs no network; what goes to this machine goes there."""
    namespace["_environ"] = {name: os.environ.pop(name, None) for name in _NAMES}
    os.environ["OPENROUTER_API_KEY"] = "sk-or-sample-0000000000"
    namespace["_mock"] = mock = responses.RequestsMock(assert_all_requests_are_fired=False)
    mock.start()
    mock.add_passthru("http://127.0.0.1")
    reply = {"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
    mock.post("https://openrouter.ai/api/v1/chat/completions", json=reply)
    logging.getLogger("orfallback").setLevel(logging.CRITICAL)


def _tear_down(namespace: dict[str, Any]) -> None:
    namespace["_mock"].stop()
    logging.getLogger("orfallback").setLevel(logging.NOTSET)
    for name, value in namespace["_environ"].items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    setup=_set_up,
    teardown=_tear_down,
).pytest()
