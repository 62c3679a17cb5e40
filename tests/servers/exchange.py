"""A request at a test server and its answer."""

import json
import select
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.servers.loopback import Loopback

_POLL = 0.01
"""Seconds between two looks at whether a waiting client has left."""


@dataclass
class Request:
    """A request as it came, and when, by the monotonic clock.

    `scoring` is its number among the scoring requests, from 1, or 0 if it is none; `body` the decoded JSON,
    or None where there is none; `status` what was answered, 0 until then and where no whole answer was sent;
    `left` says that the client had gone before it.
    """

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    body: Any = None
    query: str = ""
    number: int = 0
    scoring: int = 0
    connection: int = 0
    at: float = field(default_factory=time.monotonic)
    status: int = 0
    left: bool = False


@dataclass(frozen=True)
class Answer:
    """What goes back; `headers` come after Content-Type and Content-Length."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    """An answer in JSON; NaN and infinities are written as Python does."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, text.encode("utf-8", "surrogatepass"), headers=named)


class Exchange:
    """A request that waits for its answer."""

    def __init__(self, server: "Loopback", request: Request, connection: socket.socket) -> None:
        self.server = server
        self.request = request
        self.closed = False
        self._connection = connection

    def answer(self) -> Answer:
        """The server's true answer."""
        return self.server.respond(self.request)

    def send(self, answer: Answer) -> None:
        """Send a whole answer."""
        if self.client_left():
            return
        if self.send_raw(head(answer) + answer.body):
            self.request.status = answer.status

    def send_raw(self, data: bytes) -> bool:
        """Send bytes as they are; False where the client has gone."""
        try:
            self._connection.sendall(data)
        except OSError:
            self.request.left = self.closed = True
        return not self.request.left

    def close(self) -> None:
        """End the connection after what was sent."""
        self.closed = True

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        linger = struct.pack("ii", 1, 0)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.closed = True
        self.server.reset(self._connection)

    def client_left(self) -> bool:
        """Whether the client has closed the connection."""
        try:
            if select.select([self._connection], [], [], 0)[0]:
                self.request.left |= not self._connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            self.request.left = True
        self.closed |= self.request.left
        return self.request.left

    def wait(self, seconds: float = float("inf"), until: Callable[[], bool] = lambda: False) -> bool:
        """Wait; False as soon as the client leaves or the server stops."""
        end = time.monotonic() + seconds
        while not until() and (left := end - time.monotonic()) > 0:
            if self.server.stopping.wait(min(left, _POLL)) or self.client_left():
                self.closed = True
                return False
        return True


Effect = Callable[[Exchange], None]
"""Deals with a request instead of the server."""


def head(answer: Answer) -> bytes:
    """The status line and headers of an answer."""
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"content-type: {answer.content_type}", f"content-length: {len(answer.body)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
