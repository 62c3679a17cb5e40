"""A small HTTP server on loopback that remembers what it was asked."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.servers.exchange import Answer, Effect, Exchange, Request, as_json

_POLL = 0.01
"""Seconds between two looks at whether something has happened."""


class Loopback:
    """Base of all test servers: `with Server(...) as server: ... server.url`.

    `requests` holds every request, `connections` counts the connections accepted, `peak` is the largest
    number of requests in flight at once. With `key`, others than `Authorization: Bearer KEY` get a 401. Each
    answer waits `delay` seconds first. A fault in the server's own code is raised when the `with` block ends.
    """

    scoring_paths: tuple[str, ...] = ()
    """Where a POST is a scoring request."""

    def __init__(self, *, key: str | None = None, delay: float = 0.0) -> None:
        self.key = key
        self.delay = delay
        self.requests: list[Request] = []
        self.connections = 0
        self.in_flight = 0
        self.peak = 0
        self.errors: list[Exception] = []
        self.stopping = threading.Event()
        self._faults: list[tuple[Callable[[Request], bool], Effect]] = []
        self._lock = threading.Lock()
        self._port = 0
        self._http: _Http | None = None
        self._serving: threading.Thread | None = None

    def respond(self, request: Request) -> Answer:
        """The answer to a request; each kind of server has its own."""
        raise NotImplementedError

    def refused(self, request: Request) -> Answer | None:
        """The answer to a request without the key; None if it may pass."""
        if self.key is None or request.headers.get("authorization") == f"Bearer {self.key}":
            return None
        error = {"message": "Incorrect API key provided.", "type": "invalid_request_error", "param": None}
        return as_json({"error": {**error, "code": "invalid_api_key"}}, 401)

    def on(self, matches: Callable[[Request], bool], effect: Effect) -> None:
        """Let `effect` deal with the requests that match; the effect added last goes first."""
        self._faults.insert(0, (matches, effect))

    def reset(self, connection: socket.socket) -> None:
        """Close a connection at once."""
        if self._http is not None:
            self._http.forget(connection)
        connection.close()

    def wait_for(self, happened: Callable[[], bool], seconds: float = 5.0) -> bool:
        """Wait until something has happened in the server's threads; False if it does not."""
        end = time.monotonic() + seconds
        while not happened() and time.monotonic() < end:
            time.sleep(_POLL)
        return happened()

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return 0 if self._http is None else self._http.open_connections

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def scored(self) -> list[Request]:
        """The scoring requests, in order."""
        return [request for request in self.requests if request.scoring]

    @property
    def left(self) -> list[Request]:
        """The requests whose client left before the answer."""
        return [request for request in self.requests if request.left]

    def start(self) -> None:
        """Listen; after a `stop` on the same port as before."""
        assert self._http is None, "it runs already"
        self.stopping.clear()
        self._http = _Http(self, self._port)
        self._port = self._http.server_address[1]
        self._serving = threading.Thread(target=self._http.serve_forever, args=(_POLL,), daemon=True)
        self._serving.start()

    def stop(self) -> None:
        """Close the port and every connection."""
        if self._http is None or self._serving is None:
            return
        http, self._http = self._http, None
        self.stopping.set()
        http.shutdown()
        http.server_close()
        self._serving.join()
        http.close_connections()

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self.errors and error is None:
            raise self.errors[0]

    def serve(self, request: Request, connection: socket.socket) -> bool:
        """Deal with one request; whether the connection stays open."""
        with self._lock:
            self.requests.append(request)
            request.number = len(self.requests)
            if request.method == "POST" and request.path in self.scoring_paths:
                request.scoring = 1 + sum(1 for earlier in self.requests if earlier.scoring)
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
        exchange = Exchange(self, request, connection)
        try:
            if exchange.wait(self.delay) and not exchange.client_left():
                self._deal(exchange)
        except Exception as error:
            self.errors.append(error)
            exchange.send(as_json({"error": {"message": repr(error)}}, 500))
        finally:
            with self._lock:
                self.in_flight -= 1
        return not exchange.closed

    def _deal(self, exchange: Exchange) -> None:
        refusal = self.refused(exchange.request)
        for matches, effect in self._faults:
            if refusal is None and matches(exchange.request):
                effect(exchange)
                return
        exchange.send(refusal or exchange.answer())


class _Http(ThreadingHTTPServer):
    """The socket side: knows its open connections and their threads, and is silent."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, owner: Loopback, port: int) -> None:
        self.owner = owner
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        with self._lock:
            self._open[request] = thread
            self.owner.connections += 1
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        self.forget(request)
        with contextlib.suppress(OSError):
            super().shutdown_request(request)

    def forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(connection, None)

    @property
    def open_connections(self) -> int:
        with self._lock:
            return len(self._open)

    def close_connections(self) -> None:
        with self._lock:
            opened = dict(self._open)
        for connection in opened:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in opened.values():
            thread.join(10)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def handle_one_request(self) -> None:
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            return
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts.path, headers, raw, query=parts.query)
        request.connection = self.client_address[1]
        with contextlib.suppress(ValueError):
            request.body = json.loads(raw) if raw else None
        wants_more = self.headers.get("connection", "").lower() != "close"
        self.close_connection = not (self.server.owner.serve(request, self.connection) and wants_more)

    def log_message(self, *args: Any) -> None:
        """Silent."""
