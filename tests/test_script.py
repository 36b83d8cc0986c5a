"""The grammar of scripts: what JSON says is what the functions do, and what is wrong is told with its place."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orfallback import testing
from orfallback.testing import Behaviour, End, Gate, Received, Simulator
from orfallback.testing._framing import Framing
from orfallback.testing._kinds import Kind, Unfit, kind_of
from orfallback.testing._payloads import Shape
from orfallback.testing._script import BEHAVIOURS, form_of, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "reference" / "simulator.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```json\n(.+?)```", PAGE, re.DOTALL)
#: The cells of the table's rows, by behaviour.
ROWS = {name: cells for name, *cells in re.findall(r"^\| `(\w+)` \| .+ \| (.+) \|(?: (.*))? \|$", PAGE, re.MULTILINE)}


def request(*, stream: bool) -> Received:
    """A chat request as it arrives."""
    return Received(0.0, "POST", "/api/v1/chat/completions", "a/b", stream, {}, False, None, None, b"", 1, 1)


def played(behaviour: Behaviour, *, stream: bool = False) -> list[Any]:
    """The first steps of a behaviour."""
    return [*itertools.islice(behaviour(request(stream=stream)), 300)]


def only(value: Any) -> Behaviour:
    """The behaviour that a value stands for."""
    behaviour = parse({"default": value}).default
    assert behaviour is not None
    return behaviour


def wrong(value: Any) -> str:
    """What is said of a script that is wrong."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # each caller looks at the message
        parse(value)
    return str(caught.value)


class TestGrammar:
    @pytest.mark.parametrize(
        ("written", "made"),
        [
            ("silence", testing.silence()),
            ("answer", testing.answer()),
            ({"answer": None}, testing.answer()),
            ({"answer": "Hello", "pace": 1, "usage": False}, testing.answer("Hello", pace=1.0, usage=False)),
            ({"answer": None, "pieces": ["a", "b"]}, testing.answer(pieces=["a", "b"])),
            ({"answer": "x", "finish_reason": None}, testing.answer("x", finish_reason=None)),
            ({"status": 502}, testing.status(502)),
            (
                {"status": 429, "message": "busy", "headers": {"Retry-After": "7"}, "metadata": {"a": [1]}},
                testing.status(429, message="busy", headers={"Retry-After": "7"}, metadata={"a": [1]}),
            ),
            ({"status": 500, "body": None}, testing.status(500)),
            (
                {"status": 500, "headers": [["A", "1"], ["A", "2"]]},
                testing.status(500, headers=[("A", "1"), ("A", "2")]),
            ),
            ({"reset": "body"}, testing.reset("body")),
            ({"cut": "content", "framing": "close"}, testing.cut("content", framing="close")),
            (
                {"error_in_200": 502, "shape": "choice", "after": "The sky"},
                testing.error_in_200(502, shape="choice", after="The sky"),
            ),
            ({"redirect": 302, "location": "/x"}, testing.redirect(302, "/x")),
            ({"reply": {"any": [None, 1.5, "é"]}}, testing.reply({"any": [None, 1.5, "é"]})),
            ({"reply": None, "leading": "\n"}, testing.reply(None, leading=b"\n")),
            (
                {"events": [{"a": 1}, ": text", 0.5, "[DONE]"], "end": "reset"},
                testing.events({"a": 1}, ": text", 0.5, "[DONE]", end=End.RESET),
            ),
            ("events", testing.events()),
            ({"early_hints": {"status": 502}}, testing.early_hints(testing.status(502))),
            ({"early_hints": "silence"}, testing.early_hints(testing.silence())),
            ({"keep_alive": None, "then": 3}, testing.keep_alive(then=3)),
            ({"empty_deltas": None, "every": 0.1}, testing.empty_deltas(every=0.1)),
            ({"drip": "headers"}, testing.drip("headers")),
            (
                {"raw": ["HTTP/1.1 200 é\r\n\r\n", 0.5], "end": "hang"},
                testing.raw("HTTP/1.1 200 é\r\n\r\n".encode(), 0.5, end=End.HANG),
            ),
            ({"raw": []}, testing.raw()),
        ],
    )
    @pytest.mark.parametrize("stream", [False, True])
    def test_a_behaviour_is_what_its_function_makes(self, written: Any, made: Behaviour, stream: bool) -> None:
        """What JSON describes takes the very steps of what the function makes."""
        assert played(only(written), stream=stream) == played(made, stream=stream)

    def test_every_exported_behaviour_may_be_named(self) -> None:
        """The functions that a script may name are those that the package offers."""
        exported = {name for name in testing.__all__ if inspect.isfunction(getattr(testing, name))}
        assert set(BEHAVIOURS) == exported - {"no_delay"}

    def test_no_argument_is_called_like_a_behaviour(self) -> None:
        """The one member that names the behaviour cannot be taken for an argument."""
        assert {argument for name in BEHAVIOURS for argument in form_of(name).others} & set(BEHAVIOURS) == set()

    def test_every_argument_may_be_written_but_gates(self) -> None:
        """JSON can say every argument of every function, a Gate apart."""
        for name, function in BEHAVIOURS.items():
            assert {*form_of(name).kinds, "gate"} == {*inspect.signature(function).parameters, "gate"}

    def test_models_take_one_behaviour_or_many(self) -> None:
        """A model's value is a behaviour or a list of them; members left out change nothing."""
        script = parse({"models": {"a/a": "silence", "b/b": ["answer", {"status": 502}], "GET /key": "silence"}})
        assert {name: len(behaviours) for name, behaviours in script.models.items()} == {
            "a/a": 1,
            "b/b": 2,
            "GET /key": 1,
        }
        assert (script.default, script.listed) == (None, None)
        assert parse({}) == ({}, None, None)

    def test_the_document_is_copied(self) -> None:
        """Whoever changes the document later changes no behaviour."""
        body = {"a": 1}
        behaviour = only({"status": 500, "body": body})
        body["a"] = 2
        assert b'{"a":1}' in b"".join(step for step in played(behaviour) if isinstance(step, bytes))


class TestWrong:
    @pytest.mark.parametrize(
        ("behaviour", "said"),
        [
            ({"answer": "x", "pcae": 1}, 'answer takes no "pcae"; it takes pace, pieces, '),
            ({"answer": "x", "gate": 1}, 'answer takes no "gate"; it takes '),
            ({"answer": "x", "text": "y"}, 'answer takes no "text"; it takes '),
            ({"answer": "x", "pace": "fast"}, 'answer: pace is a number (0 to 86400), not "fast"'),
            ({"answer": "x", "pace": -1}, "answer: pace is a number (0 to 86400), not -1"),
            ({"answer": "x", "pace": True}, "answer: pace is a number (0 to 86400), not true"),
            ({"answer": "x", "pace": 1e9}, "answer: pace is a number (0 to 86400), not 1000000000.0"),
            ({"answer": "x", "usage": 1}, "answer: usage is true or false, not 1"),
            ({"answer": "x", "comments": 1.0}, "answer: comments is a whole number (0 to 100000), not 1.0"),
            ({"answer": 5}, "answer: text is text, not 5"),
            ({"answer": "x", "pieces": "abc"}, 'answer: pieces is a list (each item text) or null, not "abc"'),
            ({"answer": "x", "framing": "odd"}, 'answer: framing is one of "chunked", "gzip", '),
            ({"answer": "x", "framing": ["gzip"]}, 'answer: framing is one of "chunked", "gzip", '),
            ({"answer": "x", "tool_calls": [{"function": 5}]}, "answer cannot be sent: "),
            ({"status": True}, "status: code is a whole number (0 to 100000), not true"),
            ({"status": None}, "status: code is a whole number (0 to 100000), not null"),
            ("status", "status: code is a whole number"),
            ({"status": 502, "headers": {"A": 7}}, "status: headers is an object (each value text) or a list"),
            ({"status": 502, "headers": [["A"]]}, "status: headers is an object (each value text) or a list"),
            ({"status": 502, "headers": {"A": "€"}}, 'status: a header holds Latin-1 characters alone, not "\\u20ac"'),
            ({"redirect": 302}, 'redirect needs "location", which is text'),
            ({"keep_alive": 3}, "keep_alive takes null, and its arguments beside it, not 3"),
            ({"events": {"a": 1}}, 'events: items is a list, not {"a": 1}'),
            ({"events": ["a", True]}, "events: items[1] is an object or text or a number (0 to 86400), not true"),
            ({"raw": ["x", {}]}, "raw: parts[1] is text or a number (0 to 86400), not {}"),
            ({"raw": [], "end": "stop"}, 'raw: end is one of "close", "reset", "hang" or null, not "stop"'),
            ({"cut": None, "clean": True}, "cut: clean needs a place inside the body, not 'start'"),
            ({"early_hints": {"status": 502, "mesage": ""}}, 'early_hints: then: status takes no "mesage"; it takes'),
            ({"answer": "x" * 99, "pace": "y" * 99}, "..."),
            ({"answer": "x", "status": 502}, "names 2 behaviours, answer and status"),
            ("anwser", 'no behaviour is called "anwser"; did you mean "answer"? there are answer, '),
            ({"message": "x", "statsu": 502}, '"message" or "statsu"; did you mean "status"?'),
            ("xyzzy", 'no behaviour is called "xyzzy"; there are answer, '),
            ({}, "no behaviour is called nothing; there are "),
            (502, "is a behaviour (its name, or an object), not 502"),
            ([["answer"]], 'is a behaviour (its name, or an object), not [["answer"]]'),
        ],
    )
    def test_behaviours(self, behaviour: Any, said: str) -> None:
        """What is wrong with a behaviour is told with its place and what is allowed."""
        message = wrong({"models": {"a/b": ["answer", behaviour]}})
        assert message.startswith('models["a/b"][1]')
        assert said in message

    @pytest.mark.parametrize(
        ("script", "said"),
        [
            ([], "the script is an object, not []"),
            (None, "the script is an object, not null"),
            ([float("nan")], "the script[0] is NaN, which is no JSON"),
            ({"modles": {}}, 'the script takes no "modles"; it takes models, default, listed'),
            ({"models": []}, "models is an object, not []"),
            ({"models": {"a/b": []}}, 'models["a/b"] is an empty list; a script needs a behaviour'),
            ({"models": {"a/b": None}}, 'models["a/b"] is a behaviour'),
            ({"models": {"get /models": "answer"}}, 'models["get /models"]: a route is METHOD /path'),
            ({"models": {"GET /api/v1/models": "answer"}}, "the path below /api/v1"),
            ({"models": {"GET /models?x=1": "answer"}}, "a route is METHOD /path"),
            ({"models": {"a b": "answer"}}, 'such as "GET /models", not "a b"'),
            ({"default": ["answer"]}, "default is a behaviour"),
            ({"default": None}, "default is a behaviour"),
            ({"listed": "a/b"}, 'listed is a list, not "a/b"'),
            ({"listed": ["a/b", 5]}, 'listed[1] is a model\'s id or an object with its "id", not 5'),
            ({"listed": [{"name": "x"}]}, "listed[0] is a model's id"),
            ({"listed": [{"id": None}]}, "listed[0] is a model's id"),
            ({"default": {"answer": "x", "pace": float("nan")}}, 'default["pace"] is NaN, which is no JSON'),
            ({"default": {"reply": [float("inf")]}}, 'default["reply"][0] is Infinity, which is no JSON'),
            ({"default": {"reply": 10**400}}, 'default["reply"] is 1000'),
            ({"default": {"reply": 10**5000}}, 'default["reply"] is int, which is no JSON'),
            ({"default": {"reply": b"x"}}, 'default["reply"] is bytes, which is no JSON'),
            ({"default": {"reply": {5: 1}}}, 'a key of default["reply"] is 5, which is no text'),
            ({"default": {"answer": "\ud800"}}, 'default["answer"] holds half a character: "\\ud800"'),
            ({"models": {"\ud800": "answer"}}, "a key of models holds half a character"),
            ({5: 1}, "a key of the script is 5, which is no text"),
        ],
    )
    def test_documents(self, script: Any, said: str) -> None:
        """What is wrong with a document is told with its place and what is allowed."""
        assert said in wrong(script)

    def test_deep_nesting(self) -> None:
        """What is nested without end is refused, before anything overflows."""
        endless: list[Any] = []
        endless.append(endless)
        assert wrong({"default": {"reply": endless}}) == "nested more than 50 levels deep"
        hints: Any = "answer"
        for _ in range(40):
            hints = {"early_hints": hints}
        assert played(only(hints))

    def test_annotations_that_nobody_has_thought_of(self) -> None:
        """A function whose arguments JSON cannot say is noticed when it is looked at; gates are left out."""
        with pytest.raises(TypeError, match="no JSON stands for"):
            kind_of(complex)
        assert kind_of(Gate) is None
        assert kind_of(Gate | None) is None


ARGUMENTS = sorted({argument for name in BEHAVIOURS for argument in form_of(name).kinds})
WORDS = sorted(
    {word for choices in (Framing, Shape) for word in get_args(choices)} | {"body", "headers", "content", "hang"}
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 600)
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([*WORDS, *BEHAVIOURS])
)
KEYS = st.sampled_from([*BEHAVIOURS, *ARGUMENTS, "models", "default", "listed", "id", "function"]) | st.text(max_size=5)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


PLAUSIBLE: list[Any] = [
    None, True, False, 0, 3, 502, 0.5, "x", "é\n", *WORDS, [], ["a", "b c"], [["A", "1"]], {}, {"A": "1"},
    [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}], "silence", {"status": 502},
]  # fmt: skip


def fitting(kind: Kind) -> list[Any]:
    """Plausible values that are of a kind."""
    found = []
    for value in PLAUSIBLE:
        with contextlib.suppress(Unfit, ValueError):
            kind.take(value, "")
            found.append(value)
    return found


@st.composite
def described(draw: st.DrawFn) -> Any:
    """A behaviour with arguments of its own, most of them of the right kind."""
    name = draw(st.sampled_from([*BEHAVIOURS]))
    form = form_of(name)

    def value(argument: str) -> Any:
        return draw(st.sampled_from(fitting(form.kinds[argument])) if draw(st.integers(0, 9)) else JSON)

    first = None if form.first is None else value(form.first.name)
    many = form.first is not None and form.first.kind is form.first.VAR_POSITIONAL
    others = form.needed + (draw(st.lists(st.sampled_from(form.others), max_size=4)) if form.others else [])
    return {name: [first] if many else first, **{argument: value(argument) for argument in others}}


SCRIPTS = JSON | st.fixed_dictionaries(
    {}, optional={"models": st.dictionaries(st.just("a/b"), described() | JSON), "default": described(), "listed": JSON}
)


def behaviours(document: Any) -> Iterator[Behaviour]:
    """The behaviours of a document that may be wrong, if it is not."""
    try:
        script = parse(document)
    except ValueError:
        return
    yield from itertools.chain(*script.models.values())
    yield from (behaviour for behaviour in (script.default, script.listed) if behaviour is not None)


@given(SCRIPTS)
@settings(deadline=None)
def test_any_json_is_taken_or_refused(document: Any) -> None:
    """Any JSON is a script or a ValueError; what was taken can be played, in both modes."""
    for behaviour in behaviours(document):
        for stream in (False, True):
            assert all(isinstance(step, bytes | float | int | End) for step in played(behaviour, stream=stream))


class TestPage:
    def test_every_sample_loads(self) -> None:
        """The scripts of the page are scripts."""
        assert len(BLOCKS) >= 2
        for block in BLOCKS:
            Simulator().load(json.loads(block))

    def test_the_samples_show_every_behaviour(self) -> None:
        """Each behaviour stands in a sample."""
        assert {name for name in BEHAVIOURS if not any(f'"{name}"' in block for block in BLOCKS)} == set()

    def test_the_table_has_every_behaviour(self) -> None:
        """The page has a row for each behaviour, and for nothing else."""
        assert set(ROWS) == set(BEHAVIOURS)

    @pytest.mark.parametrize("name", sorted(BEHAVIOURS))
    def test_a_row_has_every_argument(self, name: str) -> None:
        """The row of a behaviour names the argument beside the name, the others, and no more."""
        form = form_of(name)
        beside, others = ROWS[name]
        first, *choices = re.findall(r"`(\w+)`", beside)
        assert first == ("null" if form.first is None else form.first.name)
        if choices:
            assert form.kinds[first].said == f"one of {', '.join(map(json.dumps, choices))}"
        assert re.findall(r"`(\w+)`", others) == form.others

    @pytest.mark.parametrize(
        ("name", "choices"),
        [("framing", get_args(Framing)), ("shape", get_args(Shape)), ("end", tuple(end.value for end in End))],
    )
    def test_the_choices_are_listed(self, name: str, choices: tuple[str, ...]) -> None:
        """What several behaviours choose from is listed below the table."""
        (line,) = re.findall(rf"^- `{name}` is .+", PAGE, re.MULTILINE)
        assert tuple(re.findall(r"`(\w+)`", line)[1:]) == choices
