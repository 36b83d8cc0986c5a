"""Writes a call log in a certain situation, and prints as JSON what came of it: ``call_logging.py SITUATION FILE``."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import threading
import time
import warnings
from itertools import count
from pathlib import Path
from typing import Any

from orfallback import Attempt, Call
from orfallback.plugins import call_log
from orfallback.plugins._lines import LineFile
from orfallback.plugins.call_log import CallLog

# Python 3.12 warns of a fork among threads, which is what one of the situations is about.
warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
#: The least that a file may be let grow to.
SMALL = 65_536
# So that few records fill a file (characters).
_MESSAGE = "x" * 400
_PATIENCE = 20


def call(name: str) -> Call:
    """Return a call of that id."""
    return Call(name, {}, attempts=(Attempt(1, "a/good", "http://h/v1", status=200, message=_MESSAGE, elapsed=0.5),))


class Heard(logging.Handler):
    """Keeps what the log says."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.messages.append(record.getMessage())


def storm(path: str, name: str, threads: str, records: str, kept: str) -> Any:
    """Many threads write; tell how long the one took that took longest."""
    # What is shown is that nothing is lost while everybody has patience, on a machine that is as busy as may be.
    call_log._PATIENCE = 60.0
    log = CallLog(path, most_bytes=SMALL, kept=int(kept))
    longest = [0.0]

    def write(thread: int) -> None:
        for number in range(int(records)):
            started = time.perf_counter()
            log.orfallback_call_finished(call(f"{name}-{thread}-{number}"), None)
            longest.append(time.perf_counter() - started)

    writers = [threading.Thread(target=write, args=(thread,)) for thread in range(int(threads))]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return max(longest)


def endless(path: str, name: str) -> Any:
    """Write until killed."""
    log = CallLog(path, most_bytes=SMALL, kept=1_000)
    for number in count():
        log.orfallback_call_finished(call(f"{name}-{number}"), None)
        if not number:
            print("writes", flush=True)


def forked(path: str) -> Any:
    """Fork while another thread writes; the child lives on, with a copy of the other's descriptor."""
    inside, go = threading.Event(), threading.Event()

    class Slow(LineFile):
        def _lock(self, file: Any) -> bool:
            held = super()._lock(file)
            if threading.current_thread() is not threading.main_thread():
                inside.set()
                go.wait(_PATIENCE)
            return held

    log = CallLog(path)
    log._file = Slow(Path(path), SMALL, 1)
    writer = threading.Thread(target=log.orfallback_call_finished, args=(call("other"), None))
    writer.start()
    inside.wait(_PATIENCE)
    reader, ready = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(_PATIENCE)
        os.close(ready)
        # It ends when its parent has written.
        os.read(reader, 1)
        log.orfallback_call_finished(call("child"), None)
        os._exit(0)
    os.close(reader)
    go.set()
    writer.join()
    started = time.perf_counter()
    log.orfallback_call_finished(call("parent"), None)
    took = time.perf_counter() - started
    os.close(ready)
    return took, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def full(path: str) -> Any:
    """The disk is full in the middle of a line, and later no longer."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    log = CallLog(path)
    log.orfallback_call_finished(call("before"), None)
    size = Path(path).stat().st_size
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, most))
    log.orfallback_call_finished(call("lost"), None)
    log.orfallback_call_finished(call("lost"), None)
    sizes = Path(path).stat().st_size - size
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    log.orfallback_call_finished(call("after"), None)
    return sizes


if __name__ == "__main__":
    heard = Heard()
    logging.getLogger("orfallback").addHandler(heard)
    logging.getLogger("orfallback").setLevel(logging.INFO)
    found = globals()[sys.argv[1]](*sys.argv[2:])
    print(json.dumps([found, heard.messages]))
