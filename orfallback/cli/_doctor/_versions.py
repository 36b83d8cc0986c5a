"""Examines what is installed."""

from __future__ import annotations

import importlib.metadata
import operator
import platform
import re
from collections.abc import Callable

from orfallback.cli._doctor._finding import Finding

_SUBJECT = "versions"
_SHOWN = ("requests", "urllib3", "sseclient-py", "pluggy")
_MENDED = {"urllib3": "; older ones unpack a gzip bomb into memory"}
_OPERATORS: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


def versions() -> list[Finding]:
    """Look at the versions of Python and of what the library needs."""
    try:
        required = importlib.metadata.requires("orfallback") or []
    except importlib.metadata.PackageNotFoundError:
        return [
            Finding("note", _SUBJECT, "orfallback runs from a directory, not installed", "Install it: pip install .")
        ]
    # What stands behind a semicolon is for an extra.
    problems = [_unmet(requirement) for requirement in required if ";" not in requirement]
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}".rstrip()
    told = [f"{name} {version_of(name)}" for name in ("orfallback", *_SHOWN)]
    told.insert(1, python)
    return [finding for finding in problems if finding] or [Finding("ok", _SUBJECT, ", ".join(told))]


def version_of(name: str) -> str:
    """Return the version of a distribution; "missing" if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def meets(version: str, demands: str) -> bool:
    """Tell whether a version meets demands such as ``>=2.6.3,<3``; what is not understood is met.

    :param version: of its parts the numbers count: a release candidate counts as the release.
    :param demands: with a comma between them.
    """
    for sign, demanded in re.findall(r"([<>=!]=|[<>])\s*([\w.]+)", demands):
        if not _OPERATORS[sign](*_aligned(version, demanded)):
            return False
    return True


def _unmet(requirement: str) -> Finding | None:
    name = re.split(r"[\s(<>=!~\[]", requirement.strip(), maxsplit=1)[0]
    demands = requirement.strip().removeprefix(name).strip()
    version = version_of(name)
    if version != "missing" and meets(version, demands):
        return None
    mend = f'Install it anew: pip install "{requirement}"{_MENDED.get(name, "")}'
    return Finding("problem", _SUBJECT, f"{name} {version} is not what orfallback demands ({demands})", mend)


def _aligned(first: str, second: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    numbers = [[int(number) for number in re.findall(r"\d+", re.split(r"[^\d.]", each)[0])] for each in (first, second)]
    length = max(map(len, numbers))
    left, right = (tuple(each + [0] * (length - len(each))) for each in numbers)
    return left, right
