"""The samples of the documentation that a shell runs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from call_logs import records, write

from orfallback import DEFAULT_MODELS
from orfallback.testing import Simulator, answer, reply, status

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]


def samples() -> Iterator[object]:
    """Yield each page that has samples, with all of them: a sample may use what one before it made."""
    for page in PAGES:
        blocks = re.findall(r"^```console\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        if blocks:
            yield pytest.param("".join(blocks), id=page.relative_to(ROOT).as_posix())


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command with the output that the page shows."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def pattern(output: str) -> str:
    """Return an expression for an output: figures stand for figures, blanks for blanks.

    "…" stands for anything on a line; alone on one, for as many lines as there are.
    """
    lines = []
    for line in output.splitlines():
        if line == "…":
            lines.append(r"(?:.*\n)*?.*?")
            continue
        expression = re.sub(r"(\\ )+", r"\\s+", re.escape(line)).replace("…", ".*?")
        expression = re.sub(r"\d+(\\\.\d+)+", r"[\\d.]+", expression)
        # The speed stands before the cost.
        lines.append(re.sub(r"\d+(\\s\+\\\$)", r"\\d+\1", expression))
    return "".join(f"{line}\\s*?\n" for line in lines)


@pytest.fixture
def weather() -> Iterator[Simulator]:
    """The first model is busy, the second one to be retired, the last one gone."""
    busy, old, good, gone = DEFAULT_MODELS
    with Simulator(models=[busy, {"id": old, "expiration_date": "2099-12-31"}, good]) as sim:
        sim.script(busy, status(502))
        sim.script(gone, status(404))
        key = {"limit": 10, "limit_remaining": 7.5, "usage": 2.5, "limit_reset": "monthly"}
        sim.script("GET /key", reply({"data": key}))
        sim.default(answer("Sunlight is scattered by the air, blue light most of all.", pace=0.03))
        yield sim


@pytest.mark.parametrize("text", list(samples()))
def test_a_page_shows_what_happens(text: str, weather: Simulator, tmp_path: Path) -> None:
    """Every command of a page does what the page shows, figures left aside."""
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OPENROUTER_API_KEY": "sk-or-v1-0123456789abcdef",
        "OPENROUTER_BASE_URL": weather.base_url,
        "PYTHONUTF8": "1",
        "NO_COLOR": "1",
        # As wide as a page is.
        "COLUMNS": "130",
    }
    # The log of which the samples of ``report`` tell.
    write(tmp_path / "calls.jsonl", records(1_200))
    try:
        for command, output in commands(text):
            done = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, encoding="utf-8", timeout=60,
            )  # fmt: skip
            assert re.fullmatch(pattern(output), done.stdout), f"$ {command}\n{done.stdout}\ninstead of\n{output}"
    finally:
        # What a page leaves in the background is ended, whatever went wrong before it came to that.
        for number in tmp_path.glob("*.pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number.read_text()), signal.SIGTERM)


#: Views of what happens now, which no test can bring about again to the letter: ``test_cli_top.py`` draws them.
LIVE = {("docs/reference/command-line.md", "orfallback top calls.jsonl")}
#: Pages whose samples want a file of theirs, by the tests that run them.
ELSEWHERE = {"docs/how-to/classify.md": "test_recipe_classify.py"}


def test_every_sample_of_a_command_is_run() -> None:
    """What a page shows of a command and its output is run here, whatever the page calls it; a live view is not."""
    prompts = re.compile(r"^```(?!console$)\S*$(?:\n(?!```).*)*?\n\$ (.*orfallback.*)$", re.MULTILINE)
    shown: set[tuple[str, str]] = set()
    for page in PAGES:
        if page.relative_to(ROOT).as_posix() in ELSEWHERE:
            continue
        shown.update((page.relative_to(ROOT).as_posix(), found) for found in prompts.findall(page.read_text("utf-8")))
    assert shown == LIVE


def test_the_samples_can_fail() -> None:
    """An output that differs by a word is no match: the test of the samples is none that cannot fail."""
    assert re.fullmatch(pattern("a\n…\n"), "a\nb\nc\n")
    assert not re.fullmatch(pattern("a\n…\n"), "b\nb\nc\n")
    assert re.fullmatch(pattern("a …  c\n"), "a b c\n")
    assert re.fullmatch(pattern("0.35 s  45  $0.10\n"), "1.25 s  9 $0.000001\n")
    assert not re.fullmatch(pattern("429 busy\n"), "430 busy\n")
    assert not re.fullmatch(pattern("a … c\n"), "a b d\n")
    assert not re.fullmatch(pattern("a\n"), "a\nb\n")
