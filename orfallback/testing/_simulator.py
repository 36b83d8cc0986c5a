"""A fake OpenRouter on the loopback interface, on raw sockets."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orfallback.testing._answers import answer, reply, status
from orfallback.testing._catalogue import DEFAULT_MODELS, key_told, models_listed
from orfallback.testing._framing import head
from orfallback.testing._reading import read_request
from orfallback.testing._server import Server
from orfallback.testing._steps import Behaviour, End, Received
from orfallback.testing._wire import ClientLeft, Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Sequence
    from types import TracebackType

_API = "/api/v1"
_CHAT = ("POST", f"{_API}/chat/completions")
_MODELS = ("GET", f"{_API}/models")
_KEY = ("GET", f"{_API}/key")


class Simulator:
    """A server that speaks OpenRouter's protocol, and misbehaves as it is told.

    Each model has a script of behaviours, taken in order; the last repeats. Models without one answer.
    All of it may be used from any thread.

    :param port: the port to listen on; 0 for any free one.
    :param models: the models that ``GET /models`` lists; any model may be asked.
    :param ssl_context: a server's context; given, the simulator speaks TLS.
    :param host: the address to listen on.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        models: Iterable[str] = DEFAULT_MODELS,
        ssl_context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self._models = tuple(models)
        self._scheme = "https" if ssl_context else "http"
        self._server = Server((host, port), ssl_context, self._serve)
        # Guards what follows; never held over I/O.
        self._lock = threading.Lock()
        self._default = answer()
        self._scripts: dict[str, _Script] = {}
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
        """Say what a model does; this replaces what was said before.

        :param model: the model as requests name it.
        :param behaviours: taken in order, one a request; the last repeats.
        :raises ValueError: without a behaviour.
        :raises TypeError: for what is none, such as a status code or a text.
        """
        if not behaviours:
            raise ValueError("a script needs a behaviour")
        for behaviour in behaviours:
            _check(behaviour)
        with self._lock:
            self._scripts[model] = _Script(behaviours)

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
        return f"{self._scheme}://{host}:{port}{_API}"

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
            except ValueError:
                wire.send(head(400, "", Content_Length="0", Connection="close"))
                return End.CLOSE
            behaviour = self._arrived(received)
            try:
                end = wire.play(behaviour(received))
            except ClientLeft:
                self._gone(received)
                raise
            if end is not None or received.headers.get("connection", "").lower() == "close":
                return end or End.CLOSE

    def _arrived(self, received: Received) -> Behaviour:
        """Record a request and find what answers it."""
        route = _route(received)
        with self._lock:
            self._requests.append(received)
            if route == _CHAT:
                script = self._scripts.get(received.model or "")
                return script.take() if script else self._default
        if route == _MODELS:
            return reply(models_listed(self._models))
        if route == _KEY:
            return reply(key_told())
        return status(404, message="Not Found")

    def _gone(self, received: Received) -> None:
        # A connection cut by close() looks the same, and is nobody's leaving.
        if not self._server.closing:
            with self._lock:
                self._left_early.append(received)


class _Script:
    """Behaviours taken in order; the last repeats. The caller holds the lock."""

    def __init__(self, behaviours: Sequence[Behaviour]) -> None:
        self._behaviours = behaviours
        self._taken = 0

    def take(self) -> Behaviour:
        behaviour = self._behaviours[min(self._taken, len(self._behaviours) - 1)]
        self._taken += 1
        return behaviour


def _route(received: Received) -> tuple[str, str]:
    return received.method, urlsplit(received.path).path


def _check(behaviour: object) -> None:
    if not callable(behaviour):
        raise TypeError(f"a behaviour is made by a function such as status(502) or answer('Hi'), not {behaviour!r}")
