"""The results as tables, and as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench._measure import Row

_PACKAGES = (
    "orfallback", "requests", "urllib3", "sseclient-py", "pluggy", "orjson", "httpx", "openai", "langchain-openai",
    "litellm", "pydantic-ai-slim", "openrouter",
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Return rows as tables for a terminal."""
    return "\n".join(_one(row) for row in rows)


def _one(row: Row) -> str:
    wanted = "" if row.must is None else f" (must {row.must:g}, aim {row.aim:g}: {row.verdict})"
    lines = [f"\n{row.name}: {row.kind} for each {row.unit}{wanted}"]
    for name in row.costs:
        middle, least, most = row.ratio(name)
        spread = f"({least:.3f} to {most:.3f})"
        lines.append(f"  {name:44} {row.micros(name):11.1f} {row.scale}  {middle:7.3f} x  {spread}")
    lines += [f"  {name:44} not installed" for name in row.absent]
    return "\n".join(lines)


def as_json(row: Row) -> dict[str, Any]:
    """Return a row as JSON."""
    return {
        "kind": row.kind, "unit": row.unit, "base": row.base, "must": row.must, "aim": row.aim, "verdict": row.verdict,
        "contestants": {
            name: {
                "cpu_us": round(row.micros(name, "cpu"), 3),
                "wall_us": round(row.micros(name, "wall"), 3),
                "ratio": _ratio(row, name),
            }
            for name in row.costs
        },
        "not_installed": list(row.absent),
    }  # fmt: skip


def _ratio(row: Row, name: str) -> dict[str, float]:
    return dict(zip(("median", "least", "most"), (round(each, 4) for each in row.ratio(name)), strict=True))


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the results into a file; what it tells of other rows stays."""
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": {}}
    told["machine"] = machine()
    told["versions"] = versions()
    told["rows"].update({row.name: as_json(row) for row in rows})
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Return what kind of machine this is, and nothing that names it."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else (0.0,)
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "openssl": ssl.OPENSSL_VERSION,
        "load_at_the_end": round(load[0], 1),
    }


def versions() -> dict[str, str | None]:
    """Return the version of everything that was measured; None for what is not installed."""
    here = {each.metadata["Name"].lower(): each.version for each in importlib.metadata.distributions()}
    return {name: here.get(name) for name in _PACKAGES}
