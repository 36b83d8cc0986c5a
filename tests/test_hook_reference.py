"""The reference of the hooks says what the code does: each signature, each "how often", each sequence."""

from __future__ import annotations

import contextlib
import inspect
import logging
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from orfallback import (
    Attempt,
    Call,
    Chain,
    ChainExhausted,
    DeadlineExceeded,
    FallbackError,
    StreamInterrupted,
    Target,
    Timeouts,
    Verdict,
    hookspecs,
)
from orfallback.cli import _provenance
from orfallback.hookspecs import DECIDING, WATCHING
from orfallback.testing import Behaviour, FakeClock, Simulator, answer, cut, reset, silence, status

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "hooks.md"
PREFIX = "orfallback_"
HOOKS = [name for name in vars(hookspecs) if name.startswith(PREFIX)]
#: What every section's table has, beside its arguments.
FIRST, LAST = ["when", "how often", "thread"], ["answer", "an exception"]


def text() -> str:
    """Return the page."""
    return PAGE.read_text(encoding="utf-8")


def sections() -> dict[str, str]:
    """Return each hook's section by the hook's name."""
    parts = re.split(r"^## (.+)$", text(), flags=re.MULTILINE)
    return {name: body for name, body in zip(parts[1::2], parts[2::2], strict=True) if name.startswith(PREFIX)}


def rows(hook: str) -> dict[str, str]:
    """Return the table of a hook's section."""
    found = re.findall(r"^\| ([^|]+) \| (.+) \|$", sections()[hook], re.MULTILINE)
    return {name.strip("`"): said for name, said in found}


def arguments(hook: str) -> list[str]:
    """Return the names of a hook's arguments."""
    return [*inspect.signature(getattr(hookspecs, hook)).parameters]


# -- the page as text --


def test_every_hook_has_a_section() -> None:
    """The page has a section, and a line of the table at its top, for every hook, and for nothing else."""
    assert sorted(sections()) == sorted(HOOKS)
    assert re.findall(r"^\| \[`(\w+)`\]\(#\1\)", text(), re.MULTILINE) == [*sections()]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_signature_is_that_of_the_specification(hook: str) -> None:
    """The line of code that begins a section has the arguments and types of the specification."""
    lines = re.findall(r"^```python\n(def .+: \.\.\.)\n```$", sections()[hook], re.MULTILINE)
    assert len(lines) == 1
    namespace: dict[str, Any] = {}
    exec(f"from __future__ import annotations\n{lines[0]}", namespace)
    assert inspect.signature(namespace[hook]) == inspect.signature(getattr(hookspecs, hook))


@pytest.mark.parametrize("hook", HOOKS)
def test_a_section_explains_each_argument(hook: str) -> None:
    """A section tells when, how often and where, each argument in order, the answer, and what an exception does."""
    extra = ["anything else"] if hook in DECIDING else []
    assert [*rows(hook)] == [*FIRST, *arguments(hook), *LAST, *extra]


@pytest.mark.parametrize("hook", HOOKS)
def test_the_kind_of_a_hook(hook: str) -> None:
    """The table at the top has the kind that ``orfallback plugins`` shows; what decides is asked until one answers."""
    kind = re.search(rf"^\| \[`{hook}`\]\(#{hook}\) \| (\w+) \| [^|]+ \| ?(.*) \|$", text(), re.MULTILINE)
    assert kind is not None
    assert kind[1] == _provenance._kind(hook)
    decides = bool(getattr(hookspecs, hook).orfallback_spec["firstresult"])
    assert decides is (hook in DECIDING) is (kind[1] == "decides") is bool(kind[2])
    assert ("**None**" in rows(hook)["answer"]) is decides
    assert rows(hook)["answer"].startswith("none; what is returned is ignored") is not decides


@pytest.mark.parametrize("hook", HOOKS)
def test_a_section_has_an_example(hook: str) -> None:
    """Each section has a sample that implements its hook and checks what comes of it; samples run as tests."""
    samples = re.findall(r"^```python\n(.*?)^```$", sections()[hook], re.MULTILINE | re.DOTALL)[1:]
    assert any(f"    def {hook}(self" in sample and "\nassert " in f"\n{sample}" for sample in samples)


# -- what a plugin with all hooks sees --


class Told(NamedTuple):
    """A call of a hook.

    :ivar hook: its name without the prefix.
    :ivar facts: its arguments.
    :ivar thread: where.
    """

    hook: str
    facts: dict[str, Any]
    thread: int


def everything(told: list[Told], hooks: Sequence[str] = HOOKS) -> object:
    """Return a plugin that has every hook, notes each call of one, and decides nothing."""

    def note(hook: str, facts: dict[str, Any]) -> None:
        told.append(Told(hook, facts, threading.get_ident()))

    namespace: dict[str, Any] = {"note": note}
    for hook in hooks:
        names = ", ".join(arguments(hook))
        facts = ", ".join(f"{name!r}: {name}" for name in arguments(hook))
        exec(f"def {hook}(self, {names}): note({hook.removeprefix(PREFIX)!r}, {{{facts}}})", namespace)
    return type("Everything", (), {hook: namespace[hook] for hook in hooks})()


class Ran(NamedTuple):
    """What came of a scenario.

    :ivar told: what the plugin was told of each call.
    :ivar error: what the last one raised.
    """

    told: list[list[Told]]
    error: BaseException | None


def _left(chain: Chain) -> None:
    chain.stream("Hi").close()


def _dropped(chain: Chain) -> None:
    chain.stream("Hi")


def _twice(chain: Chain) -> None:
    for _ in range(2):
        with contextlib.suppress(FallbackError):
            chain.complete("Hi")


class Scenario(NamedTuple):
    """A chain of two models, and what is done with it.

    :ivar ask: does it.
    :ivar first: what vendor/busy does.
    :ivar second: what vendor/good does.
    :ivar options: those of the chain.
    """

    ask: Callable[[Chain], object]
    first: tuple[Behaviour, ...] = ()
    second: tuple[Behaviour, ...] = ()
    options: Mapping[str, Any] = {}


BUSY = status(502)
ALONE = {"models": ["vendor/busy"]}
#: Those named as the page names them are drawn there.
SCENARIOS = {
    "A good answer": Scenario(lambda chain: chain.complete("Hi")),
    "A fallback": Scenario(lambda chain: chain.complete("Hi"), (BUSY,)),
    "A stream that breaks": Scenario(lambda chain: chain.stream("Hi").read(), (cut("content"),)),
    "A stream that is left": Scenario(_left),
    "Ctrl-C while a model is asked": Scenario(lambda chain: chain.complete("Hi"), (silence("headers"),)),
    "Nobody answers": Scenario(lambda chain: chain.complete("Hi"), (BUSY,), options=ALONE),
    "a stream to its end": Scenario(lambda chain: chain.stream("Hi").read()),
    "a stream that is dropped": Scenario(_dropped),
    "a fallback of a stream": Scenario(lambda chain: chain.stream("Hi").read(), (BUSY,)),
    "one that is gone": Scenario(lambda chain: chain.complete("Hi"), (status(404),)),
    "one that rests": Scenario(_twice, (BUSY,)),
    "a last resort": Scenario(_twice, (BUSY, answer()), options=ALONE),
    "all rest": Scenario(_twice, (BUSY, answer()), (BUSY,)),
    "no connection": Scenario(lambda chain: chain.complete("Hi"), (reset("accept"),)),
    "a bad key": Scenario(lambda chain: chain.complete("Hi"), (status(401),)),
    "no time to wait": Scenario(
        lambda chain: chain.complete("Hi"), (BUSY,), options={"timeouts": Timeouts(deadline=1.0)}
    ),
    "two rounds": Scenario(lambda chain: chain.complete("Hi"), (BUSY, answer()), (BUSY,), {"rounds": 2}),
}


def run(name: str, sim: Simulator, hooks: Sequence[str] = HOOKS) -> Ran:
    """Play a scenario, and return what a plugin with all hooks saw of it."""
    scenario = SCENARIOS[name]
    for model, script in (("vendor/busy", scenario.first), ("vendor/good", scenario.second)):
        if script:
            sim.script(model, *script)
    told: list[Told] = []
    options: dict[str, Any] = {"models": ["vendor/busy", "vendor/good"], "clock": FakeClock(), **scenario.options}
    chain = Chain(api_key="sk-test", base_url=sim.base_url, plugins=[everything(told, hooks)], **options)
    if "Ctrl-C" in name:
        threading.Thread(target=_interrupt, args=(sim, threading.get_ident()), daemon=True).start()
    error: BaseException | None = None
    try:
        scenario.ask(chain)
    except (FallbackError, KeyboardInterrupt) as raised:
        error = raised
    calls: dict[str, list[Told]] = {}
    for each in told:
        if each.hook != "registered":
            calls.setdefault(each.facts["call"].id, []).append(each)
    assert [each.hook for each in told].count("registered") == 1
    return Ran([*calls.values()], error)


def _interrupt(sim: Simulator, thread: int) -> None:
    """Press Ctrl-C when a model has been asked."""
    pause = threading.Event()
    while not sim.requests:
        pause.wait(0.01)
    signal.pthread_kill(thread, signal.SIGINT)


def drawn() -> dict[str, list[str]]:
    """Return the sequences that the page draws: the hooks of each, by its title."""
    page = text().partition("\n## Sequences\n")[2]
    found = re.findall(r"^([A-Z][^\n]*):\n\n```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return {
        title: [word for line in block.splitlines() if not line.startswith(" ") for word in line.split()]
        for title, block in found
    }


def test_the_sequences_are_the_scenarios() -> None:
    """The page draws six sequences, each of which is played."""
    assert [*drawn()] == [*SCENARIOS][:6]


@pytest.mark.parametrize("name", [*SCENARIOS][:6])
def test_a_sequence_is_what_happens(name: str, sim: Simulator) -> None:
    """A plugin with all hooks sees them in the order drawn."""
    ran = run(name, sim)
    assert [[each.hook for each in call] for call in ran.told] == [drawn()[name]]
    kinds = {"A stream that breaks": StreamInterrupted, "Nobody answers": ChainExhausted}
    expected: type[BaseException] | None = KeyboardInterrupt if "Ctrl-C" in name else kinds.get(name)
    assert (None if ran.error is None else type(ran.error)) is expected


# -- how often --


class Seen:
    """A call as a plugin with all hooks saw it.

    :param told: what it was told, in order.
    """

    def __init__(self, told: Sequence[Told]) -> None:
        self.hooks = [each.hook for each in told]
        self.count = Counter(self.hooks)
        self.facts = {hook: [each.facts for each in told if each.hook == hook] for hook in self.hooks}
        last = told[-1].facts
        self.call: Call = last["call"]
        self.error: BaseException | None = last.get("error")
        self.attempts: tuple[Attempt, ...] = self.call.attempts

    def of(self, hook: str) -> list[dict[str, Any]]:
        """Return the facts of each call of a hook."""
        return self.facts.get(hook, [])

    def admitted(self, *, last_resort: bool) -> list[Target]:
        """Return the targets that were weighed."""
        return [facts["target"] for facts in self.of("admit") if facts["last_resort"] is last_resort]


def _selected(seen: Seen) -> bool:
    offered = [facts["targets"] for facts in seen.of("select")]
    return len(offered) == len(seen.admitted(last_resort=False)) and all(offered)


def _weighed(seen: Seen) -> bool:
    at_first, at_last = seen.admitted(last_resort=False), seen.admitted(last_resort=True)
    asked = [facts["target"] for facts in seen.of("attempt_started")]
    passed_over = [target for target in at_first if target not in asked or target in at_last]
    once = len(set(at_last)) == len(at_last)
    return once and len(at_first) == seen.count["select"] and set(at_last) <= set(passed_over)


def _delayed(seen: Seen) -> bool:
    """Each wait was asked for behind the admission of the next target, once for each transient failure."""
    for place, hook in enumerate(seen.hooks):
        if hook == "delay" and seen.hooks[place - 1] != "admit":
            return False
    failed = [facts["attempt"] for facts in seen.of("delay")]
    behind = [facts["attempt"] for facts in seen.of("falling_back")]
    transient = [attempt for attempt in behind if attempt.verdict.transient]
    # Where there is no time to wait there is a delay, and nothing behind it.
    late = isinstance(seen.error, DeadlineExceeded)
    return all(attempt.verdict.transient for attempt in failed) and failed[: len(failed) - late] == transient


#: What the page says of how often a hook is called in a call, and what that means for what was seen.
HOW_OFTEN: dict[str, Callable[[Seen], bool]] = {
    "once, before all others": lambda seen: seen.count["call_started"] == 1 and seen.hooks[0] == "call_started",
    "once for each target that is looked at: asked, or passed over": _selected,
    (
        "once for each target that was selected; once more for each that was passed over, when no other is left"
    ): _weighed,
    "once after a transient failure, when the next target has been chosen and let pass": _delayed,
    "once before each attempt but the first": (
        lambda seen: seen.count["falling_back"] == max(seen.count["attempt_started"] - 1, 0)
    ),
    "once for each attempt": (
        lambda seen: len(seen.attempts)
        == seen.count["attempt_started"]
        == seen.count["prepare"]
        == seen.count["attempt_finished"]
    ),
    (
        "once for each attempt that nothing interrupts, good ones too; for a stream when its first content came, and"
        " once more if it breaks after that"
    ): lambda seen: (
        seen.count["classify"]
        == len(seen.attempts) + isinstance(seen.error, StreamInterrupted) - isinstance(seen.error, KeyboardInterrupt)
    ),
    "once for a stream that begins; never for a whole answer": (
        lambda seen: seen.count["committed"] == (seen.call.stream and not isinstance(seen.error, ChainExhausted))
    ),
    (
        "once where the call would end with `ChainExhausted` or `DeadlineExceeded`; never before `CallRejected`, nor"
        " after a stream began"
    ): lambda seen: seen.count["exhausted"] == (type(seen.error).__name__ in ("ChainExhausted", "DeadlineExceeded")),
    "once, after all others": lambda seen: seen.count["call_finished"] == 1 and seen.hooks[-1] == "call_finished",
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_how_often_a_hook_is_called(name: str, sim: Simulator) -> None:
    """Each hook is called as often as its section says, whatever becomes of the call."""
    for told in run(name, sim).told:
        seen = Seen(told)
        for hook in (*WATCHING, *DECIDING, "orfallback_prepare"):
            assert HOW_OFTEN[rows(hook)["how often"]](seen), (hook, seen.hooks)


def test_every_hook_is_called_in_some_scenario() -> None:
    """The scenarios together call every hook, each more than once, so that a count can be wrong."""
    total: Counter[str] = Counter()
    for name in SCENARIOS:
        with Simulator() as fresh:
            for told in run(name, fresh).told:
                total.update(each.hook for each in told)
    often = {hook for hook, count in total.items() if count > 1}
    assert often == {hook.removeprefix(PREFIX) for hook in HOOKS} - {"registered"}


# -- threads --

OF_THE_CALL = "the call's"
AT_ITS_END = "the call's; for a stream that began, the one in which it ends"
OF_THE_READER = "the call's; for a stream that breaks, its reader's"


def test_threads(sim: Simulator) -> None:
    """What a section says of threads is where its hook runs, where another thread reads the stream that breaks."""
    sim.script("vendor/busy", BUSY)
    sim.script("vendor/good", cut("content"))
    told: list[Told] = []
    models = ["vendor/busy", "vendor/good"]
    chain = Chain(models, api_key="sk-test", base_url=sim.base_url, clock=FakeClock(), plugins=[everything(told)])
    mine = threading.get_ident()
    assert {each.thread for each in told} == {mine}
    assert rows("orfallback_registered")["thread"] == "the one that registers the plugin"
    stream = chain.stream("Hi")
    begun = len(told)

    def read() -> None:
        with pytest.raises(StreamInterrupted):
            stream.read()

    reader = threading.Thread(target=read)
    reader.start()
    reader.join()
    assert {each.thread for each in told[:begun]} == {mine}
    after = [each.hook for each in told[begun:]]
    assert {each.thread for each in told[begun:]} == {reader.ident}
    assert after == ["classify", "attempt_finished", "call_finished"]
    for hook in set(HOOKS) - {"orfallback_registered"}:
        ends = {"classify": OF_THE_READER, "attempt_finished": AT_ITS_END, "call_finished": AT_ITS_END}
        assert rows(hook)["thread"] == ends.get(hook.removeprefix(PREFIX), OF_THE_CALL), hook


# -- exceptions --

LOGGED = "is logged; the call goes on"
ENDS = "ends the call"
REFUSES = "refuses the chain: the plugin is not registered, and whoever registers it sees the exception"


class Oops(Exception):
    """What a plugin raises."""


def raising(hook: str) -> object:
    """Return a plugin that raises in a hook."""

    def fail(self: object) -> None:
        raise Oops(hook)

    return type("Raising", (), {hook: fail})()


@pytest.mark.parametrize("hook", sorted({*WATCHING, *DECIDING, "orfallback_prepare"}))
def test_what_an_exception_does(hook: str, sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """What a hook raises does what its section says, and observers are told of both ends."""
    sim.script("vendor/busy", BUSY)
    sim.script("vendor/good", BUSY if hook == "orfallback_exhausted" else answer())
    told: list[Told] = []
    chain = Chain(
        ["vendor/busy", "vendor/good"], api_key="sk-test", base_url=sim.base_url, clock=FakeClock(),
        plugins=[everything(told), raising(hook)],
    )  # fmt: skip
    caplog.set_level(logging.ERROR, "orfallback.plugins")
    said = rows(hook)["an exception"]
    assert said == (LOGGED if hook in WATCHING else ENDS)
    if said == LOGGED:
        assert chain.stream("Hi").read().model == "vendor/good"
        records = [record for record in caplog.records if record.name == "orfallback.plugins"]
        (message,) = {record.getMessage() for record in records}
        assert message == f"plugin Raising failed in {hook}; the call goes on without it"
        assert all(record.exc_info is not None and record.exc_info[0] is Oops for record in records)
    else:
        with pytest.raises(Oops, match=hook):
            chain.stream("Hi")
        assert told[-1].facts["error"] is not None
        assert caplog.records == []
    count = Counter(each.hook for each in told)
    assert count["call_started"] == count["call_finished"] == 1
    assert count["attempt_started"] == count["attempt_finished"]


def test_an_exception_that_refuses_the_chain(sim: Simulator) -> None:
    """What is raised where a plugin learns of its chain reaches whoever registers it, who goes without the plugin."""
    assert rows("orfallback_registered")["an exception"] == REFUSES
    chain = Chain(["vendor/good"], api_key="sk-test", base_url=sim.base_url)
    plugin = raising("orfallback_registered")
    with pytest.raises(Oops):
        chain.register(plugin)
    assert not chain.plugin_manager.is_registered(plugin)
    assert chain.complete("Hi").text


#: For each hook that decides: an answer that it cannot mean, and what that raises.
NONSENSE: list[tuple[str, Any, type[Exception]]] = [
    ("select", "vendor/good", ValueError),
    ("admit", "5", TypeError),
    ("admit", True, TypeError),
    ("admit", -1.0, ValueError),
    ("admit", float("nan"), ValueError),
    ("delay", "5", TypeError),
    ("delay", -1.0, ValueError),
    ("delay", float("nan"), ValueError),
    ("classify", False, TypeError),
    ("classify", Verdict.accept(), ValueError),
    ("exhausted", 7, TypeError),
]


@pytest.mark.parametrize(("hook", "nonsense", "kind"), NONSENSE)
def test_what_anything_else_does(hook: str, nonsense: object, kind: type[Exception], sim: Simulator) -> None:
    """An answer that is none raises what the section says."""
    assert kind.__name__ in rows(f"{PREFIX}{hook}")["anything else"]
    sim.default(BUSY)
    plugin = type("Nonsense", (), {f"{PREFIX}{hook}": lambda self: nonsense})()
    chain = Chain(["a", "b"], api_key="sk-test", base_url=sim.base_url, clock=FakeClock(), plugins=[plugin])
    with pytest.raises(kind):
        chain.complete("Hi")


def test_every_deciding_hook_is_given_nonsense() -> None:
    """No deciding hook is left out."""
    assert {f"{PREFIX}{hook}" for hook, _, _ in NONSENSE} == set(DECIDING)
