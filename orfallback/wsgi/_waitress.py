"""The gateway on waitress: ``orfallback serve``. The one file that imports it."""

from __future__ import annotations

import threading
import time
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask

from orfallback.wsgi import Gateway
from orfallback.wsgi._body import LIMIT
from orfallback.wsgi._errors import Problem
from orfallback.wsgi._guard import own_names_only
from orfallback.wsgi._listening import bound

# Beside those that are answered, so many connections wait for a thread (connections).
_WAITING = 256
# A client that says nothing for so long is hung up on (s).
_SILENCE = 60
# How long the end waits for answers that are about to be through; nobody waits for a model that thinks (s).
_GRACE = 0.5


class _Refusal(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """Answers what waitress itself refuses in the form in which the gateway answers everything."""

    def execute(self) -> None:
        error = self.request.error
        answer = Problem(error.code, f"{error.reason}: {error.body}").answer()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.extend(answer.headers)
        self.set_close_on_finish()
        body = b"".join(answer.body)
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):  # type: ignore[misc]  # likewise
    error_task_class = _Refusal


class Server:
    """A gateway that listens.

    :param gateway: what answers.
    :param host: the address to listen on.
    :param port: the port; 0 for any free one.
    :param threads: how many requests, streams among them, are answered at a time; more wait.
    :param names: the host names that it answers to, beside those of the loopback interface; None for any.
    :raises OSError: if it cannot listen there.
    """

    def __init__(
        self, gateway: Gateway, host: str, port: int, *, threads: int, names: tuple[str, ...] | None = None
    ) -> None:
        self._gateway = gateway
        listener = bound(host, port)
        self._map: dict[int, Any] = {}
        # Guards what follows.
        self._lock = threading.Lock()
        self._stopped = self._ended = False
        try:
            self._server = create_server(
                gateway if names is None else own_names_only(gateway, names),
                self._map,
                sockets=[listener],
                threads=threads,
                connection_limit=threads + _WAITING,
                channel_timeout=_SILENCE,
                # One that is too large by less than that again is read, so that its client gets to read the refusal.
                max_request_body_size=2 * LIMIT,
                # What makes it notice that a client leaves in the middle of an answer.
                channel_request_lookahead=1,
                # A select() takes no descriptor beyond 1023.
                asyncore_use_poll=True,
                ident=None,
            )
        except BaseException:
            listener.close()
            raise
        self._server.channel_class = _Channel
        self.address: tuple[str, int] = listener.getsockname()[:2]

    @property
    def base_url(self) -> str:
        """The URL to give to a client."""
        host, port = self.address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"

    def run(self) -> None:
        """Answer until :meth:`stop` is called, in another thread; or Ctrl-C struck, in this one."""
        try:
            while not self._stopped:
                wasyncore.loop(timeout=1.0, use_poll=True, map=self._map, count=1)
        finally:
            self._gateway.close()
            self._end()

    def _end(self) -> None:
        with self._lock:
            self._ended = True
        dispatcher = self._server.task_dispatcher
        dispatcher.set_thread_count(0)
        until = time.monotonic() + _GRACE
        while dispatcher.threads and time.monotonic() < until:
            time.sleep(0.01)
        trigger = self._server.trigger
        for each in [*self._map.values()]:
            # A thread that still waits for a model may pull it, and would write into whatever has its number by then.
            if each is not trigger or not dispatcher.threads:
                each.close()

    def stop(self) -> None:
        """Let :meth:`run` return, and cut every connection."""
        with self._lock:
            self._stopped = True
            if not self._ended:
                self._server.pull_trigger()
