"""What an import costs: CPU and memory of a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from bench._measure import OURS, Cost, Effort, Row, in_turns

#: What an application that speaks to OpenRouter and has plugins imports anyway.
PEER = "import requests, sseclient, pluggy"
_PROGRAM = """
import time
cpu, wall = time.process_time(), time.perf_counter()
{statement}
print(time.process_time() - cpu, time.perf_counter() - wall)
try:
    # ru_maxrss counts what the parent had when it forked.
    print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
except OSError:
    import resource
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def imports(base: str, effort: Effort) -> list[Row]:
    """CPU of the imports, in interpreters that find everything compiled, as an installer leaves it."""
    with tempfile.TemporaryDirectory() as compiled:
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)

        def fresh(statement: str) -> Cost:
            command = [sys.executable, "-c", _PROGRAM.format(statement=statement)]
            told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.split()
            return Cost(float(told[0]) * 1e6, float(told[1]) * 1e6)

        def row(statement: str) -> Row:
            turns = {PEER: lambda: fresh(PEER), OURS: lambda: fresh(statement)}
            return Row(statement, "cpu", "import", PEER, in_turns(turns, effort), must=1.10, aim=1.05)

        return [row("import orfallback"), row("from orfallback import Chain")]


def memory(base: str, effort: Effort) -> list[Row]:
    """Memory of a process after the imports, as MiB in the place of microseconds."""

    def peak(statement: str) -> Cost:
        command = [sys.executable, "-c", _PROGRAM.format(statement=statement)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        mebibytes = int(told[2]) / 1024
        return Cost(mebibytes, mebibytes)

    turns = {PEER: lambda: peak(PEER), OURS: lambda: peak(f"{PEER}\nfrom orfallback import Chain")}
    costs = in_turns(turns, effort)
    return [Row("memory after the import", "cpu", "process", PEER, costs, scale="MiB")]
