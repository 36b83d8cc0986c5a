"""A fake OpenRouter on the loopback interface, on raw sockets."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orfallback.testing._answers import answer, reply, status
from orfallback.testing._catalogue import DEFAULT_MODELS, key_told
from orfallback.testing._framing import head
from orfallback.testing._reading import read_request
from orfallback.testing._script import API, listing, parse, route_named
from orfallback.testing._server import Server
from orfallback.testing._steps import Behaviour, End, Received, Step
from orfallback.testing._wire import ClientLeft, Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

_CHAT = ("POST", f"{API}/chat/completions")
_MODELS = ("GET", f"{API}/models")
_KEY = ("GET", f"{API}/key")
_NOT_FOUND = status(404, message="Not Found")


class Simulator:
    """A server that speaks OpenRouter's protocol, and misbehaves as it is told.

    Each model has a script of behaviours, taken in order; the last repeats. Models without one answer.
    All of it may be used from any thread.

    :param port: the port to listen on; 0 for any free one.
    :param models: the models that ``GET /models`` lists, each an id, or a mapping with the ``id`` and members
        to put over what is told of that model; any model may be asked.
    :param ssl_context: a server's context; given, the simulator speaks TLS.
    :param host: the address to listen on.
    :param on_request: told of each request before it is answered, in the thread that serves it, so it may be
        called by several at once. It must not raise: the client would get no answer.
    :param on_reply: told likewise of each reply as it begins, with its status; None if the connection ends without one.
    :param on_left: told likewise of each request that :attr:`left_early` holds. It must not raise.
    :param remember: whether requests are kept for :attr:`requests`, :attr:`models_asked` and
        :attr:`left_early`; a server that runs for days has no use for them.
    :raises ValueError: for models that cannot be listed.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        models: Iterable[str | Mapping[str, Any]] = DEFAULT_MODELS,
        ssl_context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        on_request: Callable[[Received], object] | None = None,
        on_reply: Callable[[Received, int | None], object] | None = None,
        on_left: Callable[[Received], object] | None = None,
        remember: bool = True,
    ) -> None:
        self._on_request = on_request
        self._on_reply = on_reply
        self._on_left = on_left
        self._remember = remember
        self._scheme = "https" if ssl_context else "http"
        self._server = Server((host, port), ssl_context, self._serve)
        # Guards what follows; never held over I/O.
        self._lock = threading.Lock()
        self._default = answer()
        self._built_in = {_MODELS: listing(list(models), "models"), _KEY: reply(key_told())}
        # By model, or by route.
        self._scripts: dict[str | tuple[str, str], _Script] = {}
        self._requests: list[Received] = []
        self._left_early: list[Received] = []

    def __enter__(self) -> Simulator:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Listen. After ``close`` it may be started again, on the same port.

        :raises RuntimeError: when it listens already.
        """
        self._server.start()

    def close(self) -> None:
        """Stop listening, cut every connection and wait for every thread. What was recorded stays."""
        self._server.close()

    def script(self, model: str, *behaviours: Behaviour) -> None:
        """Say what a model or a route does; this replaces what was said before.

        A chat request goes by the script of its model, then by that of ``POST /chat/completions``, then by the
        default; any other request by that of its route.

        :param model: the model as requests name it; or, as models have no space in their names, a route: the
            method, a space, and the path below ``/api/v1``, such as ``"GET /models"``.
        :param behaviours: taken in order, one a request; the last repeats.
        :raises ValueError: without a behaviour, and for a name with a space that is no route.
        :raises TypeError: for what is no behaviour, such as a status code or a text.
        """
        if not behaviours:
            raise ValueError("a script needs a behaviour")
        for behaviour in behaviours:
            _check(behaviour)
        route = route_named(model)
        with self._lock:
            self._scripts[route or model] = _Script(behaviours)

    def load(self, script: Mapping[str, Any]) -> None:
        """Take a script written as JSON; ``docs/reference/simulator.md`` has its grammar.

        It replaces what was said of the models and routes that it names, of the default if it has one, and of
        the models listed if it lists some. A script that is wrong changes nothing.

        :param script: the parsed document.
        :raises ValueError: for anything wrong in it, with its place and what is allowed there.
        """
        said = parse(script)
        for model, behaviours in said.models.items():
            self.script(model, *behaviours)
        if said.default is not None:
            self.default(said.default)
        if said.listed is not None:
            with self._lock:
                self._built_in[_MODELS] = said.listed

    def default(self, behaviour: Behaviour) -> None:
        """Say what models without a script do.

        :param behaviour: taken for each of their requests.
        :raises TypeError: for what is none.
        """
        _check(behaviour)
        with self._lock:
            self._default = behaviour

    @property
    def base_url(self) -> str:
        """The URL to give to a client. It stays known after ``close``.

        :raises RuntimeError: as long as the port is not known, before the start.
        """
        host, port = self._server.address[:2]
        if not port:
            raise RuntimeError("the simulator was not started")
        return f"{self._scheme}://{host}:{port}{API}"

    @property
    def requests(self) -> list[Received]:
        """Every request so far, in order of arrival."""
        with self._lock:
            return list(self._requests)

    @property
    def models_asked(self) -> list[str]:
        """The models of the chat requests so far, in order of arrival."""
        return [got.model for got in self.requests if _route(got) == _CHAT and got.model is not None]

    @property
    def left_early(self) -> list[Received]:
        """The requests whose client closed or reset its connection before their behaviour was through.

        It is noticed while the behaviour pauses, waits or hangs, or when sending fails.
        """
        with self._lock:
            return list(self._left_early)

    @property
    def connections(self) -> int:
        """How many connections were accepted in all."""
        return self._server.accepted

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return self._server.open

    def wait_idle(self, timeout: float = 5.0) -> bool:
        """Wait until no connection is open.

        :param timeout: longest wait in seconds.
        :returns: whether none is.
        """
        return self._server.wait_idle(timeout)

    def _serve(self, wire: Wire) -> End:
        number = 0
        while True:
            number += 1
            try:
                received = read_request(wire, number)
                # A model's name comes back in the answer, and half a character cannot.
                (received.model or "").encode()
            except ValueError:
                wire.send(head(400, "", Content_Length="0", Connection="close"))
                return End.CLOSE
            behaviour = self._arrived(received)
            try:
                end = wire.play(self._told(received, behaviour(received)))
            except ClientLeft:
                self._gone(received)
                raise
            if end is not None or received.headers.get("connection", "").lower() == "close":
                return end or End.CLOSE

    def _told(self, received: Received, steps: Iterator[Step]) -> Iterator[Step]:
        """Yield the steps of a reply, and tell of it when it begins."""
        on_reply = self._on_reply
        for step in steps:
            # Silence is neither a reply nor its end.
            if on_reply is not None and isinstance(step, bytes | End) and step is not End.HANG:
                on_reply(received, _status(step))
                on_reply = None
            yield step

    def _arrived(self, received: Received) -> Behaviour:
        """Record a request, tell of it, and find what answers it."""
        route = _route(received)
        with self._lock:
            if self._remember:
                self._requests.append(received)
            behaviour = self._found(route, received.model or "")
        if self._on_request is not None:
            self._on_request(received)
        return behaviour

    def _found(self, route: tuple[str, str], model: str) -> Behaviour:
        """What answers a request. The caller holds the lock."""
        chat = route == _CHAT
        script = (self._scripts.get(model) if chat else None) or self._scripts.get(route)
        if script is not None:
            return script.take()
        return self._default if chat else self._built_in.get(route, _NOT_FOUND)

    def _gone(self, received: Received) -> None:
        # A connection cut by close() looks the same, and is nobody's leaving.
        if self._server.closing:
            return
        if self._remember:
            with self._lock:
                self._left_early.append(received)
        if self._on_left is not None:
            self._on_left(received)


class _Script:
    """Behaviours taken in order; the last repeats. The caller holds the lock."""

    def __init__(self, behaviours: Sequence[Behaviour]) -> None:
        self._behaviours = behaviours
        self._taken = 0

    def take(self) -> Behaviour:
        behaviour = self._behaviours[min(self._taken, len(self._behaviours) - 1)]
        self._taken += 1
        return behaviour


def _status(step: bytes | End) -> int | None:
    """The status of a reply that begins so; None for what is none."""
    first, _, rest = (b"" if isinstance(step, End) else step[:32]).partition(b" ")
    return int(rest[:3]) if first.startswith(b"HTTP/") and rest[:3].isdigit() else None


def _route(received: Received) -> tuple[str, str]:
    return received.method, urlsplit(received.path).path


def _check(behaviour: object) -> None:
    if not callable(behaviour):
        raise TypeError(f"a behaviour is made by a function such as status(502) or answer('Hi'), not {behaviour!r}")
