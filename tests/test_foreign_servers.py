"""What other servers than OpenRouter say, and what their errors are taken for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rows import BOTH

from orfallback import Chain, FallbackError, Reason, Scope
from orfallback.testing import FakeClock, Simulator, status

PAGE = Path(__file__).resolve().parent.parent / "docs" / "how-to" / "endpoints.md"


class Said(NamedTuple):
    """An error of a server.

    :ivar server: whose it is.
    :ivar code: the HTTP status.
    :ivar message: its words.
    :ivar reason: what it is taken for.
    :ivar scope: how far that reaches.
    :ivar body: what it sends; {} for a page of plain text.
    """

    server: str
    code: int
    message: str
    reason: Reason
    scope: Scope
    body: Mapping[str, Any]


def openai(server: str, status: int, message: str, reason: Reason, scope: Scope = Scope.MODEL, /, **more: Any) -> Said:
    """An error in OpenAI's form: an object under ``error``."""
    return Said(server, status, message, reason, scope, {"error": {"message": message, **more}})


def vllm(code: int, message: str, reason: Reason, kind: str) -> list[Said]:
    """An error in both of vLLM's forms: at the top, as it was, and under ``error``, as it is."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return [
        Said("vLLM", code, message, reason, Scope.MODEL, body)
        for body in ({"object": "error", **error}, {"error": error})
    ]


SAID = [
    openai(
        "Ollama", 404, 'model "llama9" not found, try pulling it first', Reason.NOT_FOUND,
        type="not_found_error", param=None, code=None,
    ),
    openai(
        "Ollama", 503, "server busy, please try again.  maximum pending requests exceeded", Reason.BUSY,
        type="api_error",
    ),
    openai(
        "Ollama", 400, "registry.ollama.ai/library/gemma:2b does not support tools", Reason.UNSUPPORTED,
        type="invalid_request_error",
    ),
    Said("Ollama", 404, "404 page not found", Reason.MISCONFIGURED, Scope.ENDPOINT, {}),
    openai("llama.cpp", 503, "Loading model", Reason.BUSY, code=503, type="unavailable_error"),
    openai(
        "llama.cpp", 400, "the request exceeds the available context size, try increasing it", Reason.CONTEXT_LENGTH,
        code=400, type="exceed_context_size_error", n_prompt_tokens=9000, n_ctx=4096,
    ),
    openai(
        "llama.cpp", 401, "Invalid API Key", Reason.UNAUTHORIZED, Scope.ENDPOINT, code=401, type="authentication_error"
    ),
    openai("llama.cpp", 404, "File Not Found", Reason.MISCONFIGURED, Scope.ENDPOINT, code=404, type="not_found_error"),
    *vllm(404, "The model `x` does not exist.", Reason.NOT_FOUND, "NotFoundError"),
    *vllm(400, "This model's maximum context length is 4096 tokens.", Reason.CONTEXT_LENGTH, "BadRequestError"),
    *vllm(
        400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        Reason.INVALID_REQUEST, "BadRequestError",
    ),
    openai(
        "OpenAI", 429, "Rate limit reached for gpt-4.1-mini", Reason.RATE_LIMITED,
        type="tokens", param=None, code="rate_limit_exceeded",
    ),
    openai(
        "OpenAI", 429, "You exceeded your current quota, please check your plan and billing details.",
        Reason.RATE_LIMITED, type="insufficient_quota", param=None, code="insufficient_quota",
    ),
    openai(
        "OpenAI", 400, "Unsupported parameter: 'max_tokens' is not supported with this model.", Reason.INVALID_REQUEST,
        type="invalid_request_error", param="max_tokens", code="unsupported_parameter",
    ),
    openai(
        "OpenAI", 401, "Incorrect API key provided", Reason.UNAUTHORIZED, Scope.ENDPOINT,
        type="invalid_request_error", code="invalid_api_key",
    ),
    openai(
        "Azure", 404, "The API deployment for this resource does not exist.", Reason.NOT_FOUND,
        code="DeploymentNotFound",
    ),
    openai(
        "Azure", 400, "The response was filtered due to the prompt triggering content management policy.",
        Reason.INVALID_REQUEST, type=None, param="prompt", code="content_filter", status=400,
        innererror={"code": "ResponsibleAIPolicyViolation"},
    ),
]  # fmt: skip


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("said", SAID, ids=lambda said: f"{said.server} {said.code} {said.message[:24]}")
def test_an_error_is_taken_for_what_it_is(said: Said, mode: str, sim: Simulator, clock: FakeClock) -> None:
    """An error of another server is taken for what the page on endpoints says, whatever its form."""
    content_type = "application/json" if said.body else "text/plain"
    sim.script("x", status(said.code, said.body or said.message, content_type=content_type))
    with Chain("x", base_url=sim.base_url, clock=clock) as chain, pytest.raises(FallbackError) as caught:
        chain.complete("hi") if mode == "complete" else chain.stream("hi")
    (attempt,) = caught.value.attempts
    assert attempt.verdict is not None
    assert (attempt.verdict.reason, attempt.verdict.scope) == (said.reason, said.scope)
    assert attempt.message == " ".join(said.message.split())


def test_the_page_says_the_same() -> None:
    """Each error stands on the page with its reason, and the page has no other."""
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w.]+) \| (\d{3}) (`+)(.+?)\3 \| .*?`(\w+)`", text, re.MULTILINE)
    shown = [(server, int(code), words, reason) for server, code, _, words, reason in rows]
    assert shown == list(dict.fromkeys((said.server, said.code, said.message, said.reason.value) for said in SAID))
