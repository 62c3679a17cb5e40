"""Faults for any test server: `fail(server, effect, 2, 3)` makes the second and third scoring request fail.

A match says which requests, an effect what becomes of them; `server.on(match, effect)` takes any pair.
"""

import json
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from tests.servers.entries import Entries, entries_of
from tests.servers.exchange import Answer, Effect, Exchange, Request, as_json, head
from tests.servers.loopback import Loopback

Match = Callable[[Request], bool]


def fail(server: Loopback, effect: Effect, *numbers: int) -> None:
    """Apply an effect to the scoring requests of these numbers, counted from 1; to all if none are given."""
    server.on(numbered(*numbers) if numbers else since(1), effect)


def numbered(*numbers: int) -> Match:
    """The scoring requests of these numbers, counted from 1."""
    return lambda request: request.scoring in numbers


def since(number: int) -> Match:
    """The scoring requests from this number on."""
    return lambda request: bool(request.scoring) and request.scoring >= number


def asking(matches: Callable[[Any], bool], times: int | None = None) -> Match:
    """The scoring requests whose body matches, or only the first `times` of them."""
    seen: list[int] = []

    def match(request: Request) -> bool:
        if not request.scoring or not matches(request.body) or (times is not None and len(seen) >= times):
            return False
        seen.append(request.number)
        return True

    return match


def reading(path: str) -> Match:
    """The requests of this path, scoring or not."""
    return lambda request: request.path == path


def sends(answer: Answer) -> Effect:
    """This answer instead of the true one."""
    return lambda exchange: exchange.send(answer)


def status(code: int, message: str = "it went wrong", **headers: str) -> Effect:
    """An error in OpenAI's shape; `retry_after="2"` and the like become headers."""
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    return sends(as_json({"error": error}, code, **headers))


def too_many(seconds: float = 1.0, *, date: bool = False) -> Effect:
    """429 with Retry-After in seconds, or as the date that is so far ahead when the request comes."""

    def effect(exchange: Exchange) -> None:
        after = formatdate(time.time() + seconds, usegmt=True) if date else f"{seconds:g}"
        status(429, "Rate limit reached", retry_after=after)(exchange)

    return effect


def half_body(exchange: Exchange) -> None:
    """The true answer's first half, then the end of the connection."""
    answer = exchange.answer()
    exchange.send_raw(head(answer) + answer.body[: len(answer.body) // 2])
    exchange.close()


def closed(exchange: Exchange) -> None:
    """The end of the connection without an answer."""
    exchange.close()


def reset(exchange: Exchange) -> None:
    """A TCP reset instead of an answer."""
    exchange.reset()


def not_json(exchange: Exchange) -> None:
    exchange.send(Answer(body=b'{"choices": [{"tex'))


def wrong_shape(value: Any = None) -> Effect:
    """Valid JSON that is no answer."""
    return sends(as_json({"result": "ok"} if value is None else value))


def changed(change: Callable[[Any], Any]) -> Effect:
    """The true answer after `change`, which changes the decoded JSON in place or returns another."""

    def effect(exchange: Exchange) -> None:
        answer = exchange.answer()
        if answer.status == 200:
            value = json.loads(answer.body)
            result = change(value)
            answer = as_json(value if result is None else result)
        exchange.send(answer)

    return effect


def entries(change: Callable[[Entries], None], prompt: int = 0) -> Effect:
    """The true answer after `change` of the entries of one of its prompts."""
    return changed(lambda value: change(entries_of(value)[prompt]))


def logprob(value: float | None, at: int = -1, prompt: int = 0) -> Effect:
    """One log-probability, the last of the prompt unless `at` says otherwise, becomes this."""
    return entries(lambda row: row.set(at, value), prompt)


def null_inside(prompt: int = 0) -> Effect:
    """A null in the middle of a prompt."""
    return entries(lambda row: row.set(len(row) // 2, None), prompt)


def too_few(prompt: int = 0) -> Effect:
    """The last entry of a prompt is missing."""
    return entries(lambda row: row.drop(-1), prompt)


def other_token(at: int = -1, prompt: int = 0) -> Effect:
    """One token comes back as another than was sent."""
    return entries(lambda row: row.rename(at), prompt)


def without_logprobs(prompt: int = 0) -> Effect:
    """200 and everything but the log-probabilities of a prompt."""
    return entries(lambda row: row.remove(), prompt)


def answers_as(model: str) -> Effect:
    """The true answer in the name of another model."""
    return changed(lambda value: value.update(model=model))


def becomes(**attributes: Any) -> Effect:
    """Change the server's attributes (`model`, `root`, `oracle`...) for good, then answer."""

    def effect(exchange: Exchange) -> None:
        for name, value in attributes.items():
            assert hasattr(exchange.server, name), name
            setattr(exchange.server, name, value)
        exchange.send(exchange.answer())

    return effect


def redirect(url: str, code: int = 307) -> Effect:
    """Send the client to the same path of another server."""
    return lambda exchange: exchange.send(
        as_json({"detail": "elsewhere"}, code, location=url + exchange.request.path)
    )


def tells_key(code: int = 401) -> Effect:
    """An error that repeats the Authorization header it got."""
    return lambda exchange: status(code, f"Bad credentials: {exchange.request.headers.get('authorization')}")(
        exchange
    )


def drip(seconds: float = 0.02, size: int = 1) -> Effect:
    """The true answer, a few bytes at a time with so many seconds between them."""

    def effect(exchange: Exchange) -> None:
        answer = exchange.answer()
        data = head(answer) + answer.body
        for start in range(0, len(data), size):
            if not exchange.send_raw(data[start : start + size]) or not exchange.wait(seconds):
                return
        exchange.request.status = answer.status

    return effect


class Hang:
    """Waits until `release`, then answers truly; `waiting` is set once a request hangs."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self._released = threading.Event()

    def release(self) -> None:
        self._released.set()

    def __call__(self, exchange: Exchange) -> None:
        self.waiting.set()
        if exchange.wait(until=self._released.is_set):
            exchange.send(exchange.answer())
