"""``orfallback run``: any program with fallback, by its environment alone."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from hosting import APPS, worker
from terminal import COMMAND

from orfallback.testing import Simulator, answer, status

RUN = [*COMMAND, "run"]
ASK = """\
import os, sys, requests
body = {"model": "a/first", "messages": [{"role": "user", "content": "hi"}]}
answer = requests.post(os.environ["URL"], json=body, timeout=30)
print(answer.status_code, answer.headers.get("X-Orfallback-Model"), *sys.argv[1:])
"""
_PATIENCE = 60.0


@pytest.fixture
def busy(sim: Simulator) -> Simulator:
    """A first model that is busy, and a second one that answers."""
    sim.script("a/first", status(502))
    sim.script("b/second", answer("Well met"))
    return sim


@pytest.fixture
def environ(busy: Simulator) -> dict[str, str]:
    """The environment of who runs a program."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENROUTER", "ORFALLBACK"))}
    return {
        **kept,
        "URL": f"{busy.base_url}/chat/completions",
        "OPENROUTER_BASE_URL": busy.base_url,
        "ORFALLBACK_MODELS": "a/first,b/second",
        "ORFALLBACK_DELAY": "0",
    }


def ran(environ: dict[str, str], *command: str, **options: str) -> tuple[int, str, str]:
    """Run a command, and return its status, stdout and stderr."""
    done = subprocess.run(
        [*RUN, *command],
        env=environ,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
        input=options.get("stdin"),
        cwd=options.get("folder"),
    )
    return done.returncode, done.stdout, done.stderr


FALLEN_BACK = "200 b/second"


def test_a_file(environ: dict[str, str], tmp_path: Path) -> None:
    """A file of Python's is run by this Python, with its arguments, whatever they look like."""
    (tmp_path / "app.py").write_text(ASK)
    status, out, err = ran(environ, "--", "app.py", "-m", "--help", "x y", folder=str(tmp_path))
    assert (status, out, err) == (0, f"{FALLEN_BACK} -m --help x y\n", "")


def test_a_module(environ: dict[str, str], tmp_path: Path) -> None:
    """``-m`` runs a module."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text(ASK)
    assert ran(environ, "--", "-m", "app", "5", folder=str(tmp_path)) == (0, f"{FALLEN_BACK} 5\n", "")


def test_a_process_that_a_process_starts(environ: dict[str, str]) -> None:
    """What the program starts falls back, too."""
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ASK!r}], check=True)"
    assert ran(environ, "--", sys.executable, "-c", code) == (0, f"{FALLEN_BACK}\n", "")


def test_status_and_stdin_are_the_programs(environ: dict[str, str]) -> None:
    """The program has the command's place: its stdin, and its exit status."""
    code = "import sys; print(sys.stdin.read().upper()); sys.exit(7)"
    assert ran(environ, "--", sys.executable, "-c", code, stdin="hi") == (7, "HI\n", "")


def test_options_make_the_chain(busy: Simulator, environ: dict[str, str]) -> None:
    """Models, endpoint and key of the command go before those of the environment."""
    del environ["ORFALLBACK_MODELS"], environ["OPENROUTER_BASE_URL"]
    environ["MY_KEY"] = "sk-or-v1-mine-0000000000"
    options = ["-m", "a/first", "-m", "b/second", "--base-url", busy.base_url, "--key-env", "MY_KEY"]
    assert ran(environ, *options, "--", sys.executable, "-c", ASK)[:2] == (0, f"{FALLEN_BACK}\n")
    assert [request.key_digest is None for request in busy.requests] == [False, False]


@pytest.mark.parametrize("flag", ["-I", "-E", "-S"])
def test_what_it_cannot_cover(flag: str, environ: dict[str, str]) -> None:
    """A Python that is told to leave its environment or its site alone runs as it would without."""
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    status, out, _ = ran(environ, "--", sys.executable, flag, "-c", ASK)
    assert (status, out) == (0, "502 None\n") if flag != "-S" or status == 0 else "No module" in _


def test_who_imports_no_requests_pays_for_one_module(environ: dict[str, str]) -> None:
    """A process that never imports requests has one module more, and a few milliseconds less."""
    code = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    before = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, out, err = ran(environ, "--", sys.executable, "-X", "importtime", "-c", code)
    assert status == 0
    assert set(json.loads(out)) - set(json.loads(before.stdout)) <= {"sitecustomize"}
    (microseconds,) = re.findall(r"\| +(\d+) \| +sitecustomize", err)
    # Ten times what is promised: the machine may be busy.
    assert int(microseconds) < 20_000


def test_a_sitecustomize_of_theirs_is_run_too(environ: dict[str, str], tmp_path: Path) -> None:
    """Python imports one sitecustomize; the one that was there before is handed over to."""
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.theirs = __name__, __file__")
    environ["PYTHONPATH"] = str(tmp_path)
    code = f"import sys; print(theirs == ('sitecustomize', {str(tmp_path / 'sitecustomize.py')!r}))\n{ASK}"
    assert ran(environ, "--", sys.executable, "-c", code) == (0, f"True\n{FALLEN_BACK}\n", "")


@pytest.mark.parametrize(
    "first",
    [
        "from orfallback import Chain",
        "import orfallback.testing, orfallback; orfallback.Chain",
        "from orfallback import Target, FallbackError; import requests; class_ = type('S', (requests.Session,), {})",
    ],
)
def test_a_program_that_imports_the_library_first(first: str, environ: dict[str, str]) -> None:
    """The library imports requests; a program that imports it before requests falls back all the same."""
    assert ran(environ, "--", sys.executable, "-c", f"{first}\n{ASK}") == (0, f"{FALLEN_BACK}\n", "")


def test_a_program_that_installs_a_chain_of_its_own(environ: dict[str, str]) -> None:
    """The chain that a program installs by itself is the one that stays."""
    code = f"""import os
from orfallback import Chain, install
install(Chain(["c/own"], base_url=os.environ["OPENROUTER_BASE_URL"]))
{ASK}"""
    environ["ORFALLBACK_MODELS"] = "d/never"
    assert ran(environ, "--", sys.executable, "-c", code) == (0, "200 c/own\n", "")


def test_threads_that_use_requests_first_at_once(environ: dict[str, str]) -> None:
    """Threads that send at the same moment, before anything was sent, all fall back."""
    code = f"""from orfallback import Chain
from concurrent.futures import ThreadPoolExecutor
import threading
gate = threading.Barrier(8)
def work(_):
    gate.wait()
    exec({ASK!r})
list(ThreadPoolExecutor(8).map(work, range(8)))"""
    status, out, err = ran(environ, "--", sys.executable, "-c", code)
    # What they print is mixed.
    assert (status, err, out.count("200"), out.count("b/second"), out.count("502")) == (0, "", 8, 8, 0)


def test_a_process_that_cannot_be_guarded_says_so(environ: dict[str, str]) -> None:
    """Where a process changes its settings to what makes no chain, it goes on without, and says why, once."""
    code = f"import os; os.environ['ORFALLBACK_DELAY'] = 'soon'\n{ASK}"
    status, out, err = ran(environ, "--", sys.executable, "-c", code)
    assert (status, out) == (0, "502 None\n")
    assert err == "orfallback: not installed in this process: ORFALLBACK_DELAY is a number of seconds, not 'soon'\n"


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (["--", "no-such-program"], 3, "no-such-program cannot be run: No such file or directory"),
        (["--", "/"], 3, "/ cannot be run: Permission denied"),
        ([], 2, "Missing argument"),
        (["--dealy", "1", "--", "python"], 2, "--delay"),
        (["-c", "print()"], 2, "No such option"),
        (["--", "nowhere.py"], 3, "there is no file nowhere.py"),
        (["-m", "", "--", "python"], 2, "a model's id is not empty"),
        (["-m", "a b", "--", "python"], 3, "no spaces"),
        (["--base-url", "ftp://x", "--", "python"], 3, "base_url begins with http"),
    ],
)
def test_mistakes(command: list[str], status: int, words: str, environ: dict[str, str]) -> None:
    """A mistake is told in a sentence, before anything runs."""
    done, out, err = ran(environ, *command)
    assert (done, out, "Traceback" in err) == (status, "", False)
    assert words in " ".join(err.split())


@contextmanager
def gunicorn(environ: dict[str, str], *options: str) -> Iterator[str]:
    """Run gunicorn under the command, and give its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        command = ["gunicorn", "calling_app:application", "--workers", "2", "--log-level", "warning", *options]
        process = subprocess.Popen(
            [*RUN, "--", *command, "--bind", f"fd://{listener.fileno()}"],
            env={**environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])},
            pass_fds=(listener.fileno(),),
            cwd=APPS,
        )
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            process.terminate()
            assert process.wait(_PATIENCE) == 0
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
def test_gunicorn(preload: bool, busy: Simulator, environ: dict[str, str], tmp_path: Path) -> None:
    """Every worker of a host that is run so falls back, also where the application is loaded before the fork."""
    environ["HOME"] = str(tmp_path)
    seen: set[str] = set()
    with gunicorn(environ, *["--preload"] * preload) as url:
        until = time.monotonic() + _PATIENCE
        while len(seen) < 2 and time.monotonic() < until:
            reply = requests.get(f"{url}/?hi", timeout=_PATIENCE)
            assert (reply.status_code, reply.text) == (200, "Well met")
            seen.add(reply.headers["X-Process"])
    assert len(seen) == 2


def test_celery(busy: Simulator, environ: dict[str, str], tmp_path: Path) -> None:
    """Tasks in each process of a Celery worker that is run so fall back."""
    environ |= {"FOLDER": str(tmp_path), "PATH": os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])}
    command = [*RUN, "--", *worker("celery_calling_app")]
    with subprocess.Popen(command, env=environ, cwd=APPS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            tasks = [sys.executable, str(APPS / "celery_calling_app.py")]
            subprocess.run(tasks, env=environ, check=True, timeout=_PATIENCE)
            out, _ = process.communicate(timeout=_PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0, out
    assert set(busy.models_asked) == {"a/first", "b/second"}
