"""The file of a call log: whole lines, in bounds, whoever writes, and whatever happens to it."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hosting import APPS, found

from orfallback import Attempt, Call
from orfallback._record import from_line
from orfallback.plugins import _lines
from orfallback.plugins.call_log import CallLog
from orfallback.testing import FakeClock

#: The least that a file may be let grow to (bytes).
SMALL = 65_536
BROKEN = "The call log cannot be written, calls go on without it: "
WELL = "The call log is written again: "


def call(name: str = "0123456789abcdef", message: str = "", attempts: int = 1) -> Call:
    """Return a call that is over."""
    made = Attempt(1, "a/good", "http://h/v1", status=200, message=message, elapsed=0.5)
    return Call(name, {"messages": "CANARYPROMPT"}, attempts=(made,) * attempts)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "calls.jsonl"


@pytest.fixture
def log(path: Path, clock: FakeClock) -> CallLog:
    """A log of small files, three of which are kept."""
    return CallLog(path, most_bytes=SMALL, kept=3, clock=clock)


@pytest.fixture(autouse=True)
def _from_info_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "orfallback")


def write(log: CallLog, *names: str, message: str = "") -> None:
    """Write a record for each of some calls."""
    for name in names:
        log.orfallback_call_finished(call(name, message), None)


def ids(path: Path) -> list[str]:
    """Return the ids of the records in a file; what is no record is passed over."""
    records = map(from_line, path.read_bytes().splitlines())
    return [record.id for record in records if record is not None]


def files(path: Path) -> list[Path]:
    """Return the files of a log, the oldest first."""
    numbered = sorted(path.parent.glob(f"{path.name}.*"), key=lambda each: -int(each.suffix[1:]))
    return [*numbered, *([path] if path.exists() else [])]


# -- many writers --


def test_four_processes_with_eight_threads_each(path: Path) -> None:
    """16,000 records of 32 writers over some hundred full files: each is there once, whole, in a file within bounds."""
    with ThreadPoolExecutor(4) as pool:
        names = [f"process{number}" for number in range(4)]
        done = list(
            pool.map(lambda name: found("call_logging.py", "storm", str(path), name, "8", "500", "10000"), names)
        )
    assert [messages for _, messages in done] == [[]] * 4
    print(f"the longest write took {max(longest for longest, _ in done):.3f} s")
    lines = [line for each in files(path) for line in each.read_bytes().splitlines(keepends=True)]
    assert all(line.endswith(b"\n") for line in lines)
    expected = {f"{name}-{thread}-{number}" for name in names for thread in range(8) for number in range(500)}
    assert Counter(json.loads(line)["id"] for line in lines) == Counter(expected)
    sizes = [each.stat().st_size for each in files(path)]
    assert len(sizes) > 100
    assert max(sizes) <= SMALL


def test_the_disk_space_is_bounded_also_with_four_processes(path: Path) -> None:
    """However much four processes write, there are as many files as are kept and one more, none of them too long."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: found("call_logging.py", "storm", str(path), name, "4", "250", "2"), "abcd"))
    assert [each.name for each in files(path)] == ["calls.jsonl.2", "calls.jsonl.1", "calls.jsonl"]
    assert sum(each.stat().st_size for each in files(path)) <= 3 * SMALL
    kept = [name for each in files(path) for name in ids(each)]
    # Those of one thread are in its order, and the last ones of all.
    for thread in {name.rsplit("-", 1)[0] for name in kept}:
        numbers = [int(name.rsplit("-", 1)[1]) for name in kept if name.rsplit("-", 1)[0] == thread]
        assert numbers == list(range(numbers[0], 250))


def test_a_fork_while_another_thread_writes(path: Path) -> None:
    """A child that was forked while a thread held the file holds up nobody, and writes itself."""
    (took, status), messages = found("call_logging.py", "forked", str(path))
    assert (status, messages) == (0, [])
    assert took < 0.5
    assert sorted(ids(path)) == ["child", "other", "parent"]


def test_a_log_made_before_a_change_of_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is of the directory in which the log was made."""
    monkeypatch.chdir(tmp_path)
    log = CallLog("calls.jsonl")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    write(log, "a")
    assert ids(tmp_path / "calls.jsonl") == ["a"]


# -- killed --


def test_a_process_that_is_killed_loses_no_line(path: Path) -> None:
    """Of a writer that is killed at any instant every record is there in order; the next one begins on a new line."""
    for number in range(6):
        command = [sys.executable, str(APPS / "call_logging.py"), "endless", str(path), f"writer{number}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.uniform(0.01, 0.1))
            process.kill()
    names = [name for each in files(path) for name in ids(each)]
    for number in range(6):
        mine = [name for name in names if name.startswith(f"writer{number}-")]
        assert mine == [f"writer{number}-{count}" for count in range(len(mine))]
        assert mine
    torn = [line for each in files(path) for line in each.read_bytes().splitlines() if from_line(line) is None]
    assert len(torn) <= 6


@pytest.mark.parametrize("end", [b'{"time":"2026-01-01T', b"{", b"\x00\x00\x00"], ids=["half", "a brace", "zeros"])
def test_a_torn_line_costs_itself_alone(end: bytes, log: CallLog, path: Path) -> None:
    """After a line that was left unfinished the next one begins on its own; who reads passes over the torn one."""
    write(log, "before")
    with path.open("ab") as file:
        file.write(end)
    write(log, "after")
    assert ids(path) == ["before", "after"]
    assert path.read_bytes().splitlines()[1] == end


# -- bounds --


def test_files_move_on_by_one(log: CallLog, path: Path) -> None:
    """A full file becomes the first of those kept, and the last one goes; none is longer than it may be."""
    write(log, *map(str, range(700)), message="x" * 400)
    kept = files(path)
    assert [each.name for each in kept] == ["calls.jsonl.3", "calls.jsonl.2", "calls.jsonl.1", "calls.jsonl"]
    assert all(SMALL - 600 < each.stat().st_size <= SMALL for each in kept[:-1])
    names = [int(name) for each in kept for name in ids(each)]
    assert names == list(range(names[0], 700))


def test_a_gap_among_the_kept_files(log: CallLog, path: Path) -> None:
    """Where one of the kept files was deleted, those before it move into its place, and none behind it is lost."""
    for number in (1, 3):
        path.with_name(f"calls.jsonl.{number}").write_text(f"{number}\n")
    path.write_text("0\n" + "x" * SMALL)
    write(log, "new")
    assert [each.read_text()[:2] for each in files(path)[:-1]] == ["3\n", "1\n", "0\n"]
    assert ids(path) == ["new"]


def test_none_is_kept(path: Path) -> None:
    """With ``kept=0`` there is one file, which begins anew when it is full."""
    write(CallLog(path, most_bytes=SMALL, kept=0), *map(str, range(300)), message="x" * 400)
    assert [each.name for each in files(path)] == ["calls.jsonl"]
    assert path.stat().st_size <= SMALL
    assert ids(path)[-1] == "299"


def test_the_longest_record_has_room(log: CallLog, path: Path) -> None:
    """A call of very many attempts, each with the longest names and text there are, is one line of a small file."""
    long = "\U0001f600" * 500
    worst = Attempt(1, long, long, long, long, 500, None, long, usage={}, generation_id=long)
    for _ in range(5):
        log.orfallback_call_finished(
            Call("0123456789abcdef", {}, attempts=(worst,) * 500), type("E" * 9_999, (Exception,), {})()
        )
    assert len(files(path)) > 1
    assert all(each.stat().st_size <= SMALL for each in files(path))
    record = from_line(path.read_bytes())
    assert record is not None
    assert len(record.attempts) >= 2
    assert len(record.attempts) + record.left_out == 500


def test_a_record_tells_of_as_many_attempts_as_have_room(log: CallLog, path: Path) -> None:
    """Of a hundred usual attempts all are told; where they are too long for a line, the first and the last."""
    log.orfallback_call_finished(call(attempts=100), None)
    log.orfallback_call_finished(call(attempts=200, message="\U0001f600" * 500), None)
    first, second = map(from_line, path.read_bytes().splitlines())
    assert first is not None
    assert second is not None
    assert (len(first.attempts), first.left_out) == (100, 0)
    assert (len(second.attempts), second.left_out) == (6, 194)


# -- its mode --


def test_it_is_for_its_owner_alone(log: CallLog, path: Path) -> None:
    """The file is made readable and writable for its owner alone, whatever the umask."""
    before = os.umask(0)
    try:
        write(log, "a")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_mode_that_somebody_gave_it_stays(log: CallLog, path: Path) -> None:
    """A file that may be read by a group may be read by it after a rotation, too."""
    path.touch()
    path.chmod(0o640)
    write(log, *map(str, range(300)), message="x" * 400)
    assert [each.stat().st_mode & 0o777 for each in files(path)] == [0o640] * len(files(path))
    assert len(files(path)) > 1


# -- what others do to it --


@pytest.mark.parametrize("how", ["moved", "deleted", "emptied"])
def test_what_a_tool_rotates(how: str, log: CallLog, path: Path) -> None:
    """Where somebody moves, deletes or empties the file, the next record is in a file at the path, whole."""
    write(log, "before")
    away = path.with_name("calls-2026.jsonl")
    if how == "moved":
        path.rename(away)
    elif how == "deleted":
        path.unlink()
    else:
        path.write_bytes(b"")
    write(log, "after")
    assert ids(path) == ["after"]
    assert not away.exists() or ids(away) == ["before"]


def test_it_is_moved_between_opening_and_locking(log: CallLog, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record whose file is moved away as it is about to be written is in the new one."""
    moved: list[Path] = []
    real = _lines.LineFile._lock

    def lock(self: _lines.LineFile, file: Any) -> bool:
        if not moved:
            moved.append(path.rename(path.with_name("moved.jsonl")))
        return real(self, file)

    monkeypatch.setattr(_lines.LineFile, "_lock", lock)
    write(log, "a")
    assert ids(path) == ["a"]
    assert path.with_name("moved.jsonl").read_bytes() == b""


# -- trouble --


def test_a_full_disk(path: Path) -> None:
    """A line that the disk has no room for leaves nothing behind; the log tells it once, and when it works again."""
    left_behind, messages = found("call_logging.py", "full", str(path))
    assert left_behind == 0
    assert messages == [f"{BROKEN}[Errno 27] File too large", f"{WELL}{path}"]
    assert ids(path) == ["before", "after"]


def test_a_file_of_something_else(path: Path, log: CallLog, caplog: pytest.LogCaptureFixture) -> None:
    """A directory, a pipe or a device in its place, or no directory for it, is told of in a sentence, once each."""
    for what in ("directory", "pipe", "device"):
        if what == "directory":
            path.mkdir()
        elif what == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(os.devnull)
        log = CallLog(path)
        caplog.clear()
        write(log, "a", "b")
        (said,) = caplog.messages
        assert said.startswith(BROKEN)
        assert (os.devnull if what == "device" else str(path)) in said
        path.rmdir() if path.is_dir() else path.unlink()
    caplog.clear()
    write(CallLog(path.parent / "none" / "calls.jsonl"), "a", "b")
    (said,) = caplog.messages
    assert said.startswith(f"{BROKEN}[Errno 2] No such file or directory: ")
    assert not path.parent.joinpath("none").exists()


def test_a_directory_in_which_nothing_may_be_made(
    log: CallLog, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may not be opened is told of as a warning of ``orfallback.plugins``."""

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied", "/srv/calls.jsonl")

    # Who runs the tests may be allowed everything.
    monkeypatch.setattr(_lines, "_open", refuse)
    write(log, "a")
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("orfallback.plugins", "WARNING")
    assert record.getMessage() == f"{BROKEN}[Errno 13] Permission denied: '/srv/calls.jsonl'"


def test_trouble_that_comes_and_goes(
    log: CallLog, path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Trouble is told of once a minute at most, and its end only where its beginning was."""
    for _ in range(30):
        path.mkdir()
        write(log, "lost")
        path.rmdir()
        write(log, "well")
        path.unlink()
        clock.advance(10.0)
    assert [said.startswith(BROKEN) for said in caplog.messages] == [True, False] * 5


# -- others that hold it --


def test_somebody_who_holds_the_file_and_is_stopped(
    log: CallLog, path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call waits a second for a file that is held, those after it not; all are written in order when it is free."""
    write(log, "before")
    waits: list[float] = []
    real = time.sleep

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        real(seconds)

    monkeypatch.setattr("time.sleep", sleep)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        started = time.monotonic()
        write(log, "waited")
        assert 1.0 <= time.monotonic() - started < 10.0
        waits.clear()
        write(log, "at once", "too")
        assert waits == []
        clock.advance(5.0)
        monkeypatch.setattr("orfallback.plugins.call_log._PATIENCE", 0.01)
        write(log, "again")
        assert waits
    write(log, "after")
    assert ids(path) == ["before", "waited", "at once", "too", "again", "after"]
    assert caplog.messages == [f"{BROKEN}somebody else holds '{path}' for longer than 1 s", f"{WELL}{path}"]


def test_a_disk_that_stands_still(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """16 threads write while the first one's line takes longer than any waits: none is held up, and no line is lost."""
    monkeypatch.setattr(_lines, "_TURN", 0.05)
    monkeypatch.setattr("orfallback.plugins.call_log._PATIENCE", 0.05)
    log = CallLog(path)
    real, first, moves = _lines._append, threading.Lock(), threading.Event()

    def append(file: Any, size: int, line: bytes) -> None:
        if first.acquire(blocking=False):
            assert moves.wait(60)
        real(file, size, line)

    monkeypatch.setattr(_lines, "_append", append)
    with ThreadPoolExecutor(16) as pool:
        stands = pool.submit(write, log, "0")
        while not first.locked():
            time.sleep(0.001)
        for _ in pool.map(lambda number: write(log, str(number)), range(1, 16), timeout=60):
            assert not stands.done()
        moves.set()
    assert sorted(map(int, ids(path))) == list(range(16))


def test_what_waits_is_bounded(log: CallLog, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a file is held for ever, the last thousand lines wait for it, and no more."""
    monkeypatch.setattr("orfallback.plugins.call_log._PATIENCE", 0.0)
    path.touch()
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write(log, *map(str, range(1_500)))
    write(log, "after")
    kept = [name for each in files(path) for name in ids(each)]
    assert kept[-1] == "after"
    assert 999 <= len(kept) <= 1_000


def test_a_child_does_not_write_what_waits_in_its_parent(log: CallLog, path: Path) -> None:
    """A line that waited at a fork is written once, by the parent."""
    path.touch()
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write(log, "parent")
    child = os.fork()
    if not child:
        write(log, "child")
        os._exit(0)
    os.waitpid(child, 0)
    write(log, "after")
    assert ids(path) == ["child", "parent", "after"]


def test_a_short_wait_loses_nothing(log: CallLog, path: Path) -> None:
    """A record waits until the file is free."""
    path.touch()
    with path.open("ab") as file, ThreadPoolExecutor(1) as pool:
        fcntl.flock(file, fcntl.LOCK_EX)
        writing = pool.submit(write, log, "a")
        time.sleep(0.05)
        assert path.read_bytes() == b""
        fcntl.flock(file, fcntl.LOCK_UN)
        writing.result()
    assert ids(path) == ["a"]


def test_an_interruption_leaves_nothing_held(log: CallLog, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of writing leaves no half line, and the file free for the next one."""

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    write(log, "before")
    with monkeypatch.context() as patch:
        patch.setattr(_lines.LineFile, "_is_ours", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write(log, "interrupted")
    write(log, "after")
    assert ids(path) == ["before", "after"]


# -- Windows --


def test_without_locks_of_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no ``flock`` the threads of a process take turns: each record is there once, within bounds."""
    monkeypatch.setattr(_lines, "_SHARED", False)
    log = CallLog(path, most_bytes=SMALL, kept=1_000)
    monkeypatch.setattr("orfallback.plugins.call_log._PATIENCE", 60.0)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda thread: write(log, *[f"{thread}-{n}" for n in range(50)], message="x" * 400), range(8)))
    names = [name for each in files(path) for name in ids(each)]
    assert Counter(names) == Counter(f"{thread}-{number}" for thread in range(8) for number in range(50))
    assert len(files(path)) > 2
    assert max(each.stat().st_size for each in files(path)) <= SMALL


def test_it_can_be_imported_without_fcntl(path: Path) -> None:
    """A Python without ``fcntl`` imports the plugin, and writes."""
    code = (
        "import sys; sys.modules['fcntl'] = None\n"
        "from orfallback import Call; from orfallback.plugins.call_log import CallLog\n"
        f"CallLog({str(path)!r}).orfallback_call_finished(Call('c0ffee', {{}}), None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stderr, ids(path)) == ("", ["c0ffee"])


def test_what_a_record_costs(path: Path) -> None:
    """A record of two attempts takes some 40 µs; ten times that is the bound here."""
    log = CallLog(path)
    over = call(attempts=2)
    took = []
    for _ in range(200):
        started = time.perf_counter()
        log.orfallback_call_finished(over, None)
        took.append(time.perf_counter() - started)
    print(f"{min(took) * 1e6:.0f} µs at best")
    assert min(took) < 400e-6


def test_a_line_in_the_middle_of_a_line(log: CallLog, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a signal handler, or the garbage collector, ends while its thread writes is written behind it, at once."""
    real, inner = _lines._append, [call("b" * 16)]

    def append(file: Any, size: int, line: bytes) -> None:
        if inner:
            began = time.monotonic()
            log.orfallback_call_finished(inner.pop(), None)
            assert time.monotonic() - began < 0.5
        real(file, size, line)

    monkeypatch.setattr(_lines, "_append", append)
    log.orfallback_call_finished(call(), None)
    assert len(path.read_bytes().splitlines()) == 2


def test_a_turn_that_nobody_ends(log: CallLog, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that was interrupted as its turn began holds nobody up for long, and loses no line of others."""
    monkeypatch.setattr(_lines, "_TURN", 0.05)
    log._file._turn.begin(0)
    for _ in range(3):
        log.orfallback_call_finished(call(), None)
    assert len(path.read_bytes().splitlines()) == 3
    assert not log._file._turn.is_mine()


def test_a_link_to_a_file_elsewhere(tmp_path: Path, clock: FakeClock) -> None:
    """A link is followed: full files stay on the disk where the file is."""
    disk, home = tmp_path / "disk", tmp_path / "home"
    disk.mkdir()
    home.mkdir()
    (home / "calls.jsonl").symlink_to(disk / "real.jsonl")
    log = CallLog(home / "calls.jsonl", most_bytes=SMALL, kept=1, clock=clock)
    write(log, *(f"{number:016x}" for number in range(800)))
    assert {each.name for each in disk.iterdir()} == {"real.jsonl", "real.jsonl.1"}
    assert (home / "calls.jsonl").is_symlink()


def test_the_time_that_a_plugin_takes_is_the_calls(path: Path, clock: FakeClock) -> None:
    """From its start to its end is all of a call, also what no attempt and no wait took."""
    log = CallLog(path, clock=clock)
    log.orfallback_call_started(call())
    clock.advance(7.5)
    log.orfallback_call_finished(call(), None)
    (record,) = (from_line(line) for line in path.read_text().splitlines())
    assert record is not None
    assert record.seconds == 7.5
