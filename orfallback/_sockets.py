"""Connections whose every read runs under the attempt's clock.

urllib3 hands a timeout down as a number that bounds each single read, so one byte now and then keeps a reply alive
for ever. Here the number carries the attempt's :class:`Watch`, and the socket is given what is left of it at each read:
headers, chunk sizes and bodies obey one clock, without a thread.
"""

from __future__ import annotations

import http.client
import queue
import re
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.response import HTTPResponse
from urllib3.util import Timeout

from orfallback._head import Head, plain
from orfallback._socket_reader import FOREVER, Buffered, WatchedReader
from orfallback._watch import Watch

# The size of a chunk, and the end of the one before it.
_FIRST_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
_CHUNK = re.compile(rb"\r\n([0-9a-fA-F]{1,8})\r\n")
# A body of up to this leaves together with its head: one system call and one packet instead of two (bytes).
_LEAVES_AT_ONCE = 64 * 1024


class _Seconds(float):
    """A timeout that carries the watch it was read from, through urllib3, to the connection."""

    watch: Watch

    @classmethod
    def of(cls, seconds: float, watch: Watch) -> _Seconds:
        # Never 0 or less, which sockets take for "do not block".
        value = cls(min(max(seconds, 0.001), FOREVER))
        value.watch = watch
        return value


class Limits(Timeout):
    """urllib3's timeout object over a watch: asked at each step, never copied.

    :param watch: the attempt's.
    """

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def clone(self) -> Timeout:
        return self

    def start_connect(self) -> float:
        return 0.0

    @property
    def connect_timeout(self) -> float:
        return _Seconds.of(self._watch.connecting(), self._watch)

    @property
    def read_timeout(self) -> float:
        return _Seconds.of(self._watch.remaining(), self._watch)


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, watch: Watch, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._request_method = kwargs.get("method")
        self.fp = self.buffered = Buffered(WatchedReader(self.fp.detach(), sock, watch))

    def begin(self) -> None:
        # None, until it has begun.
        begun = self.headers is not None
        if not begun and not self.debuglevel and self._request_method == "POST":
            head = plain(self.buffered.peek())
            if head is not None:
                self._begin_with(head)
                return
        super().begin()
        # http.client reads over 100 alone; 102 and 103 are no replies either (RFC 9110 section 15.2, RFC 8297).
        while self.status in (102, 103):
            self.headers = self.msg = None  # type: ignore[assignment]  # how http.client says "not begun"
            super().begin()
        if self.status == 101:
            # Whatever the connection speaks now, it is not for us.
            self.will_close = True

    def _begin_with(self, head: Head) -> None:
        self.buffered.read(head.size)
        self.code = self.status = head.status
        self.reason, self.version = head.reason, 11
        self.headers = self.msg = head.headers
        self.chunked, self.length = head.chunked, head.length
        if head.chunked:
            self.chunk_left = None
        self.will_close = head.closes

    def read1(self, n: int = -1) -> bytes:
        """Return what has come; of a chunked body not its first chunk alone, but all that were read ahead."""
        pieces: list[bytes] = []
        if self.chunked and not self.chunk_left and not self.isclosed() and self._request_method != "HEAD":
            held = self.buffered.peek()
            if held == b"\r\n" and self.chunk_left == 0:
                # The end of the last chunk comes with it, as a rule, and the next chunk later.
                self.buffered.read(2)
                self.chunk_left = None
                held = self.buffered.peek()
            pieces = self._chunks_in(held, n)
        if not pieces:
            # A chunk that is not all there, the last one, which is empty, and whatever is odd is http.client's.
            first = super().read1(n)
            if not first or not self.chunked or self.chunk_left != 0:
                return first
            pieces = [first, *self._chunks_in(self.buffered.held(), n - len(first))]
        return b"".join(pieces)

    def _chunks_in(self, held: bytes, most: int) -> list[bytes]:
        """Take the chunks that are held whole, so many bytes at most, off what was read ahead, and return them."""
        pieces: list[bytes] = []
        size = taken = 0
        pattern = _FIRST_CHUNK if self.chunk_left is None else _CHUNK
        while found := pattern.match(held, taken):
            start = found.end()
            length = int(found[1], 16)
            size += length
            if not length or start + length > len(held) or size > most:
                break
            taken = start + length
            pieces.append(held[start:taken])
            pattern = _CHUNK
        if pieces:
            # Where the end of its line is there, too, the next chunk begins; else as where http.client has read one.
            whole = held.startswith(b"\r\n", taken)
            self.buffered.read(taken + 2 if whole else taken)
            self.chunk_left = None if whole else 0
        return pieces


def past_urllib3(raw: HTTPResponse, size: int) -> Callable[[], bytes] | None:
    """Return what reads a chunked body straight from its connection; None for one that urllib3 is needed for.

    urllib3 counts the bytes of a body, unpacks them and gives the connection back at the end; a chunked body that is
    not packed needs the last alone, but would pay for all at each of its chunks. What is returned returns the next
    piece, b"" at the end, and raises what urllib3 would raise, or an error that stands for the same fault.

    :param raw: a response of urllib3's, of which nothing has been read, and whose body is not packed.
    :param size: the most bytes of a piece.
    """
    response = raw._original_response
    if not isinstance(response, _Response) or not response.chunked or raw.tell():
        return None

    def read() -> bytes:
        try:
            piece = response.read1(size)
        except BaseException as error:
            raw.close()
            if isinstance(error, (http.client.HTTPException, OSError)):
                raise ProtocolError("the connection broke", error) from error
            raise
        # At its end urllib3 learns of it, and gives the connection back.
        return piece or raw.read1(size)

    return read


def _close_sockets(error: BaseException) -> None:
    """Close what an interruption left open in a connect: urllib3 and ssl do it for errors of the wire alone.

    The sockets are nowhere but in the frames that it passed, and would live as long as its traceback.
    """
    trace = error.__traceback__
    while trace is not None:
        for value in tuple(trace.tb_frame.f_locals.values()):
            if isinstance(value, socket.socket):
                value.close()
        trace = trace.tb_next


class _Watched(HTTPConnection):
    """A connection that obeys the watch, if it is given one, and knows whether it has served before."""

    _served = False
    _buffered: Buffered | None = None
    # The head of a request, held back until its body is there, too; None where it is to come.
    _head: Any = b""

    @property
    def _watch(self) -> Watch | None:
        return getattr(self.timeout, "watch", None)

    def connect(self) -> None:
        self._served = False
        try:
            super().connect()
        except (OSError, HTTPError):
            raise
        except BaseException as error:
            _close_sockets(error)
            raise
        watch = self._watch
        if watch is not None:
            watch.connected = True
            # The limit for connecting is not for sending: a large body over a slow line takes its time.
            watch.start()
            self.timeout = _Seconds.of(watch.remaining(), watch)
            self.sock.settimeout(self.timeout)

    def request(self, *args: Any, **kwargs: Any) -> None:
        watch = self._watch
        if watch is None:
            super().request(*args, **kwargs)
            return
        if self.sock is not None and self._served and self._holds_more():
            self.close()
        watch.reused = self._served and self.sock is not None
        if self.sock is not None:
            watch.connected = True
            # urllib3 sets it on the socket: the limit for connecting would be that for sending.
            self.timeout = _Seconds.of(watch.remaining(), watch)
        try:
            self._head = None
            super().request(*args, **kwargs)
            if self._head:
                self.send(b"")
        finally:
            self._head = b""
        watch.sent = True
        watch.start()

    def send(self, data: Any) -> None:
        if self._head is None:
            self._head = data
            return
        head, self._head = self._head, b""
        if head and not (isinstance(data, bytes) and len(data) <= _LEAVES_AT_ONCE):
            super().send(head)
            head = b""
        super().send(head + data if head else data)

    def _holds_more(self) -> bool:
        """Tell whether more came than the last reply: what follows it would be taken for the next one."""
        # Read ahead already, or held by TLS; on the socket itself urllib3 looks.
        return (self._buffered is not None and self._buffered.beyond) or bool(getattr(self.sock, "pending", int)())

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._served = True
        return response

    def _respond(self, sock: socket.socket, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        if self._watch is None:
            return http.client.HTTPResponse(sock, *args, **kwargs)
        response = _Response(sock, self._watch, *args, **kwargs)
        self._buffered = response.buffered
        return response

    response_class = _respond  # type: ignore[assignment]  # http.client calls it as a class


class _WatchedTLS(_Watched, HTTPSConnection):
    pass


class _Kept:
    """The connections that a pool keeps, the last one given back on top.

    It has no lock: an interruption that strikes inside of ``queue.LifoQueue`` can leave its lock held, and the pool,
    which gives its connection back then, would wait for it for ever.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._connections: deque[Any] = deque()

    def get(self, block: bool = False, timeout: float | None = None) -> Any:
        try:
            return self._connections.pop()
        except IndexError:
            raise queue.Empty from None

    def put(self, item: Any, block: bool = False, timeout: float | None = None) -> None:
        if self.qsize() >= self._maxsize:
            raise queue.Full
        self._connections.append(item)

    def qsize(self) -> int:
        return len(self._connections)


class _Interruptible(HTTPConnectionPool):
    def __init__(self, host: str, port: int | None = None, **kwargs: Any) -> None:
        # One that is told to wait for a connection needs something to wait at.
        if not kwargs.get("block"):
            self.QueueCls = _Kept  # type: ignore[assignment]  # these three methods are all that is asked for
        super().__init__(host, port, **kwargs)


class _Pool(_Interruptible):
    ConnectionCls = _Watched


class _TLSPool(_Interruptible, HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


_POOLS = {"http": _Pool, "https": _TLSPool}


class WatchedAdapter(HTTPAdapter):
    """requests' own adapter, over connections whose every read obeys the chain's limits.

    Mount one on a session of your own that you give to a chain, and its limits hold to the byte:
    ``session.mount("https://", WatchedAdapter())``. For everything else it is an ``HTTPAdapter``.
    """

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool manager, with pools of watched connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make the manager for a proxy likewise; SOCKS proxies bring pools of their own."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """Make the response; a Content-Type that requests cannot read is none."""
        try:
            return super().build_response(req, resp)
        except AttributeError:
            # requests before 2.34 takes ``charset`` without a value for a bool.
            del resp.headers["Content-Type"]
            return super().build_response(req, resp)

    def close(self) -> None:
        """Close every kept connection now; urllib3 would leave that to the collector of garbage."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in tuple(manager.pools.keys()):
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()
