"""Programs that call an endpoint through requests, and hold no word of this library: they fall back, unchanged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from terminal import COMMAND

from orfallback.testing import Behaviour, Gate, Simulator, answer, cut, error_in_200, silence, status

LEGACY = Path(__file__).with_name("legacy")
WHOLE = ["post_json", "post_data", "from_import", "raising", "session_headers", "session_retry", "client_class"]
STREAMS = ["lines", "lines_decoded", "hand_buffer", "sse_client", "re_emitting", "raw_read"]
KEY = "sk-or-v1-theirs-0000000000"
# Longer than any of them takes (s).
_PATIENCE = 60.0

# What no two runs have in common: ports, addresses, ids.
_PASSING = re.compile(r"port=\d+|0x[0-9a-f]+|gen-[\w-]+|127\.0\.0\.1:\d+")

INSTALL = "import sys, runpy, orfallback; orfallback.install(); runpy.run_path(sys.argv[1], run_name='__main__')"
WAYS = {
    "install": [sys.executable, "-c", INSTALL],
    "run": [*COMMAND, "run", "--", sys.executable],
    "as it is": [sys.executable],
}
GUARDED = ["install", "run"]


def environment(sim: Simulator) -> dict[str, str]:
    """The environment of a program that calls the simulator."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OPENROUTER", "ORFALLBACK"))},
        "URL": f"{sim.base_url}/chat/completions",
        "KEY": KEY,
        "OPENROUTER_BASE_URL": sim.base_url,
        "ORFALLBACK_MODELS": "a/first,b/second",
        "ORFALLBACK_DELAY": "0",
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def started(program: str, way: str, sim: Simulator) -> Iterator[subprocess.Popen[str]]:
    """Start a program."""
    command = [*WAYS[way], str(LEGACY / f"{program}.py")]
    with subprocess.Popen(
        command, env=environment(sim), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(program: str, way: str, behaviours: Mapping[str, Behaviour]) -> tuple[str, str, list[str]]:
    """Run a program to its end against models that behave so.

    :returns: what it said, the class of the exception that it ended in, and who was asked.
    """
    with Simulator() as sim:
        for model, behaviour in behaviours.items():
            sim.script(model, behaviour)
        with started(program, way, sim) as process:
            out, err = process.communicate(timeout=_PATIENCE)
        assert len({request.key_digest for request in sim.requests}) == 1
        assert sim.wait_idle()
        complaints = [line for line in err.splitlines() if line and not line.startswith(" ")]
        raised = complaints[-1].partition(":")[0] if process.returncode else ""
        return _PASSING.sub("…", out), raised, sim.models_asked


def all_said(
    programs: Sequence[str], way: str, behaviours: Mapping[str, Behaviour]
) -> dict[str, tuple[str, str, list[str]]]:
    """Run several at once: most of what they do is to wait."""
    with ThreadPoolExecutor(len(programs)) as pool:
        told = pool.map(lambda program: said(program, way, behaviours), programs)
        return dict(zip(programs, told, strict=True))


def test_they_hold_no_word_of_it() -> None:
    """The programs are as somebody would have written them who never heard of this library."""
    programs = sorted(LEGACY.glob("*.py"))
    assert [path.stem for path in programs] == sorted(WHOLE + STREAMS)
    assert [path.name for path in programs if "orfallback" in path.read_text(encoding="utf-8").lower()] == []


FAILING: dict[str, Behaviour] = {
    "status": status(502),
    "200 with an error": error_in_200(),
    "a dead stream": cut("body"),
    "a stall": silence("body"),
}


GOOD = "Well met, stranger"


@pytest.mark.parametrize("failing", FAILING)
@pytest.mark.parametrize("way", GUARDED)
@pytest.mark.parametrize("programs", [WHOLE, STREAMS], ids=["whole", "streams"])
def test_they_get_the_good_answer(programs: list[str], way: str, failing: str) -> None:
    """While the first model fails, each of them gets the answer of the second."""
    behaviours = {"a/first": FAILING[failing], "b/second": answer(GOOD)}
    for program, (out, raised, asked) in all_said(programs, way, behaviours).items():
        assert (program, raised, GOOD in " ".join(out.split())) == (program, "", True)
        assert (program, set(asked)) == (program, {"a/first", "b/second"})


@pytest.mark.parametrize(
    ("failing", "way"), [*((failing, "install") for failing in FAILING), ("silence", "install"), ("status", "run")]
)
@pytest.mark.parametrize("programs", [WHOLE, STREAMS], ids=["whole", "streams"])
def test_with_all_failing_they_see_what_they_saw_before(programs: list[str], failing: str, way: str) -> None:
    """When no model answers, each of them sees the status or exception that it sees without this library."""
    behaviours = dict.fromkeys(["a/first", "b/second"], FAILING.get(failing, silence("headers")))

    def seen(each: str) -> dict[str, tuple[str, str]]:
        return {program: told[:2] for program, told in all_said(programs, each, behaviours).items()}

    with ThreadPoolExecutor(2) as pool:
        before, guarded = pool.map(seen, ["as it is", way])
    assert guarded == before


@pytest.mark.parametrize("way", GUARDED)
@pytest.mark.parametrize("program", STREAMS)
def test_a_stream_arrives_event_by_event(program: str, way: str, sim: Simulator) -> None:
    """Event n is seen before the server is let to send event n + 1."""
    gate = Gate()
    pieces = ["one", "two", "three"]
    sim.script("a/first", status(502))
    sim.script("b/second", answer("".join(pieces), pieces=pieces, gate=gate))
    gate.open()
    with started(program, way, sim) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline()]
        for _ in pieces:
            seen.append(process.stdout.readline())
            gate.open(1 if len(seen) <= len(pieces) else 3)
        _, complaint = process.communicate(timeout=_PATIENCE)
    assert [line.strip() for line in seen] == ["200", *pieces]
    assert (process.returncode, "Traceback" in complaint) == (0, False)
