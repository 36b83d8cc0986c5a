"""The recipe for tests of an application, run as its author would run them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recipes import PATIENCE, recipe

FILES = ("testing/assistant.py", "testing/test_assistant.py")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory of its own with both files."""
    for name in FILES:
        shutil.copy(recipe(name), tmp_path)
    return tmp_path


def run_tests(project: Path) -> tuple[int, str]:
    """Run the tests there, and return the exit status with what was written."""
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:langsmith_plugin", "-p", "no:anyio", "-W", "error"]
    ran = subprocess.run(
        command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False
    )
    return ran.returncode, ran.stdout


def test_they_pass(project: Path) -> None:
    """With nothing but the files and the installed library every test passes."""
    code, written = run_tests(project)
    assert code == 0, written
    assert re.search(r"^9 passed in ", written, re.MULTILINE)


def test_they_can_fail(project: Path) -> None:
    """An application that takes a broken stream for a whole one fails the test for that, and no other."""
    path = project / "assistant.py"
    text = path.read_text(encoding="utf-8")
    careless = text.replace("show(BROKEN)\n            return False", "return True")
    assert careless != text
    path.write_text(careless, encoding="utf-8")
    code, written = run_tests(project)
    assert code == 1
    assert re.findall(r"^FAILED test_assistant\.py::(\w+)", written, re.MULTILINE) == ["test_a_stream_breaks"]


OUTSIDE = """
import socket

import pytest
import requests

from orfallback import Chain
from orfallback.testing import Simulator


def test_by_name():
    requests.get("https://openrouter.ai/api/v1")


def test_by_address():
    with socket.socket() as here:
        here.connect(("192.0.2.1", 80))


def test_a_key_is_none(monkeypatch):
    with pytest.raises(Exception, match="no key for OpenRouter"):
        Chain().complete("Hi")


def test_here(orfallback_simulator):
    Chain("a/first", base_url=orfallback_simulator.base_url).complete("Hi")
    Chain("a/first", base_url=orfallback_simulator.base_url.replace("127.0.0.1", "localhost")).complete("Hi")
"""


def test_no_test_leaves_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the fixture in conftest.py a test that connects elsewhere fails, and says where to; others do as before."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-a-real-key-0000")
    shutil.copy(recipe("testing/no_network.py"), tmp_path / "conftest.py")
    (tmp_path / "test_outside.py").write_text(OUTSIDE, encoding="utf-8")
    code, written = run_tests(tmp_path)
    assert code == 1
    assert re.search(r"^2 failed, 2 passed in ", written, re.MULTILINE), written
    assert "this test would connect to 192.0.2.1" in written
    assert "this test would connect to openrouter.ai" in written
