"""The results as JSON."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compare._faults import FAULTS
from compare._products import PRODUCTS
from compare._trial import LIMIT, Trial

_ALSO = ("langchain-core", "httpx", "urllib3", "sseclient-py", "pluggy")


def _versions() -> dict[str, str]:
    return {each.metadata["Name"].lower(): each.version for each in importlib.metadata.distributions()}


def installed() -> list[str]:
    """Return the products that are here."""
    here = _versions()
    return [name for name, product in PRODUCTS.items() if product.package in {*here, "orfallback"}]


def write(trials: Mapping[tuple[str, str, str], Trial], path: Path) -> None:
    """Write results into a file; what it tells of other trials stays."""
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"trials": {}}
    here = _versions()
    packages = dict.fromkeys([product.package for product in PRODUCTS.values()] + [*_ALSO])
    told["date"] = datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()
    told["limit"] = LIMIT
    told["python"] = f"{platform.python_implementation()} {platform.python_version()}"
    told["system"] = platform.system()
    told["versions"] = {name: here[name] for name in packages if name in here and name != "orfallback"}
    known = told["trials"]
    for (mode, fault, product), trial in trials.items():
        known.setdefault(mode, {}).setdefault(fault, {})[product] = trial._asdict()
    # In the page's order, whatever was measured first.
    told["trials"] = {
        mode: {
            fault: {name: known[mode][fault][name] for name in PRODUCTS if name in known[mode][fault]}
            for fault in FAULTS
            if fault in known[mode]
        }
        for mode in ("whole", "stream")
        if mode in known
    }
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
