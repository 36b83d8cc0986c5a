"""Runs ``orfallback doctor`` for its findings."""

from __future__ import annotations

import json

from conftest import Commands

_STATES = {"ok", "note", "problem", "skipped"}


class Doctor:
    """Runs the doctor for its findings, and makes sure that the key is never told."""

    def __init__(self, command: Commands) -> None:
        self._command = command
        self.status = 0

    def __call__(self, *arguments: str) -> dict[str, list[tuple[str, str, str]]]:
        """Return (state, found, mend) of each finding, by what was looked at."""
        done = self._command("doctor", "--json", *arguments)
        assert "CANARY" not in done.out + done.err
        assert done.err == ""
        told = json.loads(done.out)
        assert set(told) == {"findings", "ok"}
        self.status = done.status
        found: dict[str, list[tuple[str, str, str]]] = {}
        for finding in told["findings"]:
            assert set(finding) == {"state", "subject", "found", "mend"}
            assert finding["state"] in _STATES
            assert finding["mend"] or finding["state"] in ("ok", "skipped")
            found.setdefault(finding["subject"], []).append((finding["state"], finding["found"], finding["mend"]))
        problems = [each for finding in found.values() for each in finding if each[0] == "problem"]
        assert (told["ok"], done.status) == ((False, 1) if problems else (True, 0))
        return found


def states(found: dict[str, list[tuple[str, str, str]]]) -> dict[str, str]:
    """The state of what was looked at once."""
    return {subject: findings[0][0] for subject, findings in found.items()}
