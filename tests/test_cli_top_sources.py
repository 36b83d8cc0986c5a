"""Where ``orfallback top`` looks: a file that is written, rotated, torn; a server that is slow, hostile, gone."""

from __future__ import annotations

import contextlib
import http.server
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tops import Metrics, Reply, record, served, told

from orfallback._record import Try, from_line, to_line
from orfallback._secret import Secret
from orfallback.cli._top import _tail
from orfallback.cli._top._exposition import parse
from orfallback.cli._top._scraping import LARGEST, Page, Unread
from orfallback.cli._top._sources import LogSource, MetricsSource
from orfallback.cli._top._tail import Tail
from orfallback.testing import FakeClock

NOW = 1_700_000_000.0


@pytest.fixture
def clock() -> FakeClock:
    """A clock that tells a time of our days."""
    return FakeClock(NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the call log is."""
    return tmp_path / "calls.jsonl"


def write(path: Path, *texts: str, mode: str = "a") -> None:
    """Write lines, each with its end."""
    with path.open(mode, encoding="utf-8", newline="\n") as file:
        file.writelines(f"{text}\n" for text in texts)


Opens = Callable[[Path], Tail]


@pytest.fixture
def tail() -> Iterator[Opens]:
    """Opens files in which lines that begin with "old" are old."""
    with contextlib.ExitStack() as stack:

        def opened(path: Path) -> Tail:
            return stack.enter_context(contextlib.closing(Tail(path, lambda line: line.startswith(b"old"))))

        yield opened


@pytest.fixture
def log(path: Path, clock: FakeClock) -> Iterator[LogSource]:
    """A source that follows the call log for a minute."""
    with contextlib.closing(LogSource(path, 60, clock)) as source:
        yield source


def call(at: float, model: str = "a/good") -> str:
    """Return the line of a call that ended at an instant."""
    return to_line(record(at, Try(model, elapsed=0.5)))


# -- the file --


def test_lines_come_once(tail: Opens, path: Path) -> None:
    """What is there is told, then what is added, each line once."""
    write(path, "one", "two")
    follower = tail(path)
    assert follower.read() == [b"one", b"two"]
    assert follower.read() == []
    write(path, "three")
    assert follower.read() == [b"three"]


def test_half_a_line_waits_for_its_other_half(tail: Opens, path: Path) -> None:
    """A line that is torn is told when it is whole, and not before."""
    follower = tail(path)
    path.write_bytes(b"one\ntw")
    assert follower.read() == [b"one"]
    with path.open("ab") as file:
        file.write(b"o")
    assert follower.read() == []
    with path.open("ab") as file:
        file.write(b"!\nth")
    assert follower.read() == [b"two!"]


def test_a_file_that_comes_later(tail: Opens, path: Path) -> None:
    """A file that does not exist yet is waited for, and read from its beginning."""
    follower = tail(path)
    with pytest.raises(Unread, match="does not exist yet"):
        follower.read()
    write(path, "one")
    assert follower.read() == [b"one"]


def test_rotation(tail: Opens, path: Path) -> None:
    """After a rename the last words of the old file are told, then all of the new one."""
    write(path, "one")
    follower = tail(path)
    assert follower.read() == [b"one"]
    write(path, "two")
    path.rename(path.with_name("calls.jsonl.1"))
    write(path, "three")
    assert follower.read() == [b"two", b"three"]
    write(path, "four")
    assert follower.read() == [b"four"]


def test_rotation_before_the_new_file_is_there(tail: Opens, path: Path) -> None:
    """Between a rename and the first line of the new file the old one is followed still."""
    write(path, "one")
    follower = tail(path)
    assert follower.read() == [b"one"]
    moved = path.rename(path.with_name("calls.jsonl.1"))
    with pytest.raises(Unread, match="is gone"):
        follower.read()
    write(moved, "two")
    assert follower.read() == [b"two"]
    write(path, "three")
    assert follower.read() == [b"three"]


def test_half_a_line_of_a_file_that_was_rotated(tail: Opens, path: Path) -> None:
    """What a crash tore before the rotation is no beginning of what comes after it."""
    path.write_bytes(b"one\nhalf")
    follower = tail(path)
    assert follower.read() == [b"one"]
    path.rename(path.with_name("calls.jsonl.1"))
    write(path, "two")
    assert follower.read() == [b"half", b"two"]


def test_deletion(tail: Opens, path: Path) -> None:
    """A file that is deleted is told of, and read from its beginning when there is one again."""
    write(path, "one")
    follower = tail(path)
    follower.read()
    path.unlink()
    with pytest.raises(Unread, match="is gone"):
        follower.read()
    write(path, "two")
    assert follower.read() == [b"two"]


def test_truncation(tail: Opens, path: Path) -> None:
    """A file that was emptied is read from its beginning; half a line of before is forgotten."""
    path.write_bytes(b"one\ntwo\nha")
    follower = tail(path)
    follower.read()
    write(path, "three", mode="w")
    assert follower.read() == [b"three"]


def test_what_a_rotation_took_away_is_found(tail: Opens, path: Path) -> None:
    """Where all of the file is young the one that it was rotated from is looked at, too."""
    write(path.with_name("calls.jsonl.1"), "old 1", "young 1")
    write(path, "young 2")
    assert [line for line in tail(path).read() if line.startswith(b"young")] == [b"young 1", b"young 2"]


def test_the_older_file_is_left_alone(tail: Opens, path: Path) -> None:
    """Where the file itself goes back far enough the one before it is not read."""
    write(path.with_name("calls.jsonl.1"), "young 1")
    write(path, "old 2", "young 2")
    assert tail(path).read() == [b"old 2", b"young 2"]


def test_of_a_long_file_the_end_is_read(tail: Opens, path: Path) -> None:
    """Of a file of 20 MB, young at its end alone, the last block is read, and no more."""
    write(path, *(f"old {number:0100}" for number in range(200_000)))
    write(path, "young")
    began = time.perf_counter()
    lines = tail(path).read()
    assert time.perf_counter() - began < 1
    assert lines[-1] == b"young"
    assert len(lines) < 3_000


def test_no_more_than_a_bound_is_read(tail: Opens, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is young, but too much, the end is read, from the start of a line, and it is told; so later on."""
    monkeypatch.setattr(_tail, "MOST", 10_000)
    monkeypatch.setattr(_tail, "_END", 1_000)
    write(path, *(f"young {number:094}" for number in range(1_000)))
    follower = tail(path)
    lines = follower.read()
    assert follower.skipped
    assert len(lines) == 99
    assert all(len(line) == 100 for line in lines)
    write(path, *(f"more {number:094}" for number in range(1_000)))
    assert 97 <= len(follower.read()) <= 99
    assert follower.skipped
    assert follower.read() == []
    assert not follower.skipped


def test_a_line_without_an_end_is_not_kept(tail: Opens, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is too long for a record costs no memory, and what follows it is read."""
    monkeypatch.setattr(_tail, "_LONGEST_LINE", 1_000)
    write(path, "one")
    follower = tail(path)
    assert follower.read() == [b"one"]
    with path.open("ab") as file:
        file.write(b"x" * 5_000)
    assert follower.read() == []
    write(path, "rest", "two")
    assert follower.read() == [b"two"]


def test_what_is_no_file(tail: Opens, tmp_path: Path) -> None:
    """A pipe, of which the other end may never be opened, holds nobody up; nor does a directory."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(Unread, match="no file"):
            tail(tmp_path / name).read()
    (tmp_path / "file").touch()
    with pytest.raises(Unread, match="cannot be read: Not a directory"):
        tail(tmp_path / "file" / "below").read()


def test_nothing_is_left_open(tail: Opens, path: Path) -> None:
    """A hundred rotations leave one file open, and closing none."""
    follower = tail(path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(100):
        write(path, "one")
        assert b"one" in follower.read()
        path.rename(path.with_name("calls.jsonl.1"))
    follower.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# -- the call log --


def test_a_log_is_followed(log: LogSource, path: Path, clock: FakeClock) -> None:
    """Calls that ended within the window count, those before it do not, nor those that it has left."""
    write(path, call(NOW - 100), call(NOW - 50), call(NOW - 10))
    assert log.look().figures.calls == 2
    clock.advance(20)
    write(path, call(clock.time()))
    assert log.look().figures.calls == 2


def test_a_log_through_its_life(log: LogSource, path: Path, clock: FakeClock) -> None:
    """Not there, written, rotated, deleted, back: what is known stays, and what is amiss is told since when."""
    look = log.look()
    assert (look.trouble, look.since) == (f"{path} does not exist yet", NOW)
    clock.advance(5)
    assert log.look().since == NOW
    write(path, call(clock.time()))
    look = log.look()
    assert (look.figures.calls, look.trouble, look.since) == (1, "", 0)
    path.rename(path.with_name("calls.jsonl.1"))
    write(path, call(clock.time()))
    assert log.look().figures.calls == 2
    path.unlink()
    clock.advance(1)
    look = log.look()
    assert (look.figures.calls, look.trouble, look.since) == (2, f"{path} is gone", NOW + 6)
    write(path, call(clock.time()))
    look = log.look()
    assert (look.figures.calls, look.trouble) == (3, "")


def test_lines_that_are_no_records(log: LogSource, path: Path, clock: FakeClock) -> None:
    """Nonsense among records is passed over; a file of nothing else is told of."""
    write(path, "nonsense", "{}", "null", '{"time": 1}', "")
    look = log.look()
    assert (look.figures.calls, look.notes) == (0, ("no line of it is the record of a call",))
    write(path, call(NOW), '{"torn', call(NOW))
    look = log.look()
    assert (look.figures.calls, look.notes) == (2, ())


def test_an_old_log_says_how_old(log: LogSource, path: Path, clock: FakeClock) -> None:
    """Where no call ended within the window it is told when the last one did."""
    write(path, call(NOW - 3 * 3600))
    (note,) = log.look().notes
    assert note.startswith("the last call ended at ")
    assert note.endswith(", 3 h ago")


def test_a_log_that_grows_too_fast(
    log: LogSource, path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where more is written than is read at once the window is shorter, so that rates stay right."""
    monkeypatch.setattr(_tail, "MOST", 2_000)
    for later in (0, 1):
        write(path, *(call(clock.time() - 10 + number / 100) for number in range(1_000)))
        figures = log.look().figures
        assert 10 < figures.calls < 30, later
        assert figures.rate(figures.calls) == pytest.approx(100, rel=0.1)
        clock.advance(10)


def test_words_of_a_record_are_harmless(log: LogSource, path: Path, clock: FakeClock) -> None:
    """What a hostile record holds comes out on one line, bounded, and without what steers a terminal."""
    nasty = "\x1b]0;owned\x07\x1b[2J[bold red]x[/]\u202e\r\n" + "y" * 10_000
    tries = [Try(nasty, reason=nasty, elapsed=1.0), Try(nasty, elapsed=1.0)]
    write(path, to_line(record(NOW, *tries, ending=nasty)))
    figures = log.look().figures
    (ending,), (model,) = figures.endings, figures.models
    for text, most in ((ending, 40), (model.model, 500), (next(iter(model.reasons)), 40)):
        assert text.isprintable()
        assert 0 < len(text) <= most
    assert figures.failures == 1


# -- the page --


@pytest.fixture
def metrics() -> Metrics:
    """An application's counters."""
    metrics = Metrics()
    metrics.calls.labels("stream", "answered").inc(5)
    return metrics


Fetches = Callable[..., Page]


@pytest.fixture
def page() -> Iterator[Fetches]:
    """Makes pages, and closes them in the end."""
    with contextlib.ExitStack() as stack:

        def made(*args: object, **kwargs: object) -> Page:
            return stack.enter_context(contextlib.closing(Page(*args, **kwargs)))  # type: ignore[arg-type]

        yield made


class Told:
    """A page that tells what it is given, one after the other."""

    name = "here"

    def __init__(self, fetch: Callable[[], str]) -> None:
        self.fetch = fetch

    def close(self) -> None:
        """Do nothing."""


def refused(page: Page) -> str:
    """Return why a page cannot be read."""
    with pytest.raises(Unread) as caught:
        page.fetch()
    return str(caught.value)


def test_a_page_is_fetched_over_one_connection(page: Fetches, metrics: Metrics) -> None:
    """Metrics come as text, again and again over the connection that is there."""
    ports = []

    def reply(handler: http.server.BaseHTTPRequestHandler) -> Reply:
        ports.append(handler.client_address[1])
        assert handler.headers["Accept"].startswith("text/plain")
        assert handler.headers["User-Agent"].startswith("orfallback ")
        return told(metrics.text)(handler)

    with served(reply) as url:
        this = page(url)
        assert this.fetch() == this.fetch() == metrics.text()
        assert this.name == url.removeprefix("http://")
    assert len(ports) == 2
    assert len(set(ports)) == 1


def test_a_server_that_was_started_anew(page: Fetches, metrics: Metrics) -> None:
    """A kept connection whose server is another one by now costs no look."""
    with served(told(metrics.text)) as url:
        this = page(url)
        this.fetch()
    assert refused(this) == "cannot be read: connection refused"
    with served(told(metrics.text), int(url.split(":")[2].partition("/")[0])):
        assert this.fetch() == metrics.text()


def test_a_token_is_shown_to_the_server_alone(page: Fetches, metrics: Metrics) -> None:
    """A protected page is fetched with its token; without one it is told what to do."""
    token = "sk-metrics-CANARY-0123456789"

    def reply(handler: http.server.BaseHTTPRequestHandler) -> Reply:
        if handler.headers["Authorization"] != f"Bearer {token}":
            return 401, {}, token.encode()
        return told(metrics.text)(handler)

    with served(reply) as url:
        assert page(url, Secret(token)).fetch() == metrics.text()
        assert refused(page(url)) == "wants a token (401): --token-env names the variable that holds it"


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (404, "serves no metrics at this path (404)"),
        (500, "answers with status 500"),
        (302, "points elsewhere (302): name the address that it points to"),
        (403, "wants a token (403): --token-env names the variable that holds it"),
    ],
)
def test_a_status_that_is_no_good(page: Fetches, status: int, why: str) -> None:
    """Any other status is told; a redirect is not followed, for the token would go along."""
    with served(lambda _: (status, {"Location": "http://127.0.0.1:9/elsewhere"}, b"x" * 100_000)) as url:
        assert refused(page(url)) == why


def dripping(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Send a byte now and then: of headers that never end."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        handler.wfile.write(b"H")
        time.sleep(0.02)


def dripping_body(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Send headers, and then a byte of a long body now and then."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    dripping(handler)


def endless(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Send a body that has no end."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(10 * LARGEST // 65_536):
        handler.wfile.write(b"orfallback_" * (65_536 // 11))


def packed(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Send a little that unpacks to a lot."""
    import gzip

    body = gzip.compress(b"0" * (LARGEST * 4))
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def nonsense(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Send what is no HTTP."""
    handler.wfile.write(b"\x00\x01\x02 nonsense\r\n\r\n")


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (dripping, "no whole answer within 0.3 s"),
        (dripping_body, "no whole answer within 0.3 s"),
        (lambda _: time.sleep(3), "no whole answer within 0.3 s"),
        (nonsense, "the reply is not HTTP"),
    ],
)
def test_a_hostile_server_holds_nobody_up(
    page: Fetches, reply: Callable[[http.server.BaseHTTPRequestHandler], None], why: str
) -> None:
    """However slowly a server talks, or whatever it says, it is told in time."""
    with served(reply) as url:
        began = time.monotonic()
        assert refused(page(url, patience=0.3)) == f"cannot be read: {why}"
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("reply", [endless, packed])
def test_a_page_is_bounded(page: Fetches, reply: Callable[[http.server.BaseHTTPRequestHandler], None]) -> None:
    """No more than 8 MB are read of a page, packed or not."""
    with served(reply) as url:
        assert refused(page(url)) == f"cannot be read: the body is larger than {LARGEST} bytes"


def test_no_proxy_is_asked_for_this_machine(page: Fetches, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is for other hosts: of this machine's address it is not asked."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with served(told(metrics.text)) as url:
        assert page(url).fetch() == metrics.text()
        assert page(url.replace("127.0.0.1", "localhost")).fetch() == metrics.text()


def test_other_hosts_are_asked_through_the_proxy(page: Fetches, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host is reached through the proxy of the environment."""
    asked = []

    def reply(handler: http.server.BaseHTTPRequestHandler) -> Reply:
        asked.append(handler.path)
        return 200, {}, b"through"

    with served(reply) as url:
        monkeypatch.setenv("http_proxy", url.removesuffix("/metrics"))
        assert page("http://metrics.example/metrics").fetch() == "through"
    assert asked == ["http://metrics.example/metrics"]


# -- the metrics --


@pytest.fixture
def source(metrics: Metrics, clock: FakeClock) -> MetricsSource:
    """A source whose page is what the metrics say."""
    return MetricsSource(Told(metrics.text), parse, 60, clock)


def test_metrics_are_followed(source: MetricsSource, metrics: Metrics, clock: FakeClock) -> None:
    """The first look knows no rates, and says so; the second one does."""
    assert source.look().notes == ("the first figures come with the second look",)
    metrics.calls.labels("stream", "answered").inc(20)
    clock.advance(10)
    look = source.look()
    assert (look.figures.rate(look.figures.calls), look.notes, look.trouble) == (2, (), "")


def test_a_server_that_goes_and_comes_back(metrics: Metrics, clock: FakeClock) -> None:
    """While it is gone that is told, with the figures of before; a restart is told, and makes no negative rate."""
    pages: list[str | Exception] = []

    def fetch() -> str:
        page = pages.pop(0)
        if isinstance(page, Exception):
            raise page
        return page

    source = MetricsSource(Told(fetch), parse, 60, clock)
    metrics.calls.labels("stream", "answered").inc(100)
    pages = [metrics.text()]
    source.look()
    metrics.calls.labels("stream", "answered").inc(5)
    clock.advance(1)
    pages = [metrics.text()]
    assert source.look().figures.calls == 5
    for gone in (1, 2):
        clock.advance(1)
        pages = [Unread("cannot be read: connection refused")]
        look = source.look()
        assert (look.trouble, look.since) == ("here cannot be read: connection refused", NOW + 2)
        assert (look.figures.calls, look.at) == (5, NOW + 1 + gone)
    again = Metrics()
    again.calls.labels("stream", "answered").inc(3)
    clock.advance(1)
    pages = [again.text()]
    look = source.look()
    assert (look.figures.calls, look.trouble) == (8, "")
    assert look.notes[0].startswith("the counters began anew at ")


def test_several_processes_behind_one_address(clock: FakeClock) -> None:
    """Counters that go back and forth are those of several processes, and that is told."""
    workers = [Metrics(), Metrics()]
    workers[0].calls.labels("stream", "answered").inc(1_000)
    workers[1].calls.labels("stream", "answered").inc(10)
    turn = iter(workers * 5)
    source = MetricsSource(Told(lambda: next(turn).text()), parse, 60, clock)
    for _ in range(8):
        clock.advance(1)
        look = source.look()
    assert look.notes == ("the counters went back 4 times: do several processes answer here, each for itself?",)


def test_a_page_of_something_else(clock: FakeClock) -> None:
    """A page without a metric of orfallback is told as trouble, not as zeros."""
    source = MetricsSource(Told(lambda: "<html>Not found</html>"), parse, 60, clock)
    assert source.look().trouble == "here serves no metric of orfallback: has its chain the plugin prometheus?"


def test_the_record_of_the_tests_is_one() -> None:
    """The lines written here are what the library writes and reads."""
    assert from_line(call(NOW)) is not None
