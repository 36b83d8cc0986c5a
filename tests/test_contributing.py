"""CONTRIBUTING.md names what there is."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import orfallback

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path(orfallback.__file__).parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_file_that_it_names_exists() -> None:
    """Each path in backticks, of the repository or of the package, is there."""
    named = {span for span in re.findall(r"`([\w./-]+)`", TEXT) if "/" in span or span.endswith((".py", ".cfg", ".md"))}
    named -= {"orfallback/cli/_name.py"}
    assert len(named) > 10
    for name in named:
        # The tests may run against the installed package, without its source.
        inside = name.removeprefix("orfallback/")
        assert (SOURCE / inside if inside != name else ROOT / name).exists(), name


def test_the_checks_are_those_of_ci() -> None:
    """What it says to run before a commit is what CI runs."""
    for command in ("ruff check .", "ruff format --check orfallback docs/examples", "mypy"):
        assert f"`{command}`" in TEXT
        assert f"/bin/{command}\n" in CI.replace('"', ""), command
    for program in re.findall(r"command -v (\w[\w-]+)", CI):
        assert f"`{program}`" in TEXT


def test_the_extras_exist() -> None:
    """What it says to install is what setup.cfg offers."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', TEXT)
    assert {*extras.split(",")} <= {*config["options.extras_require"]}
