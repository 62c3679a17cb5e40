"""Writes the native log, so that an agent can be watched while it works; needs the standard library alone."""

import json
import logging
import math
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
_PRIVATE = 0o600
"""Permissions of a new log: what is said to an agent is its user's own."""
_KEPT = 16 << 20
"""Bytes of lines kept in memory while they can't be written; of more than that the oldest are lost."""
_DEPTH = 100
"""How deep the arguments of a tool call may be nested before the rest is written as text."""
_LOGGER = logging.getLogger("memscope")


class SessionLog:
    """Appends an agent's messages and the memories it was given to a log that `memscope PATH` follows.

    Each is one whole line when the method returns, whatever other threads and processes write to the same
    log. Nothing is held open in between: a log that was deleted or replaced is begun anew under its path,
    which is where a reader looks. Half a line that a crash left behind is ended, so that it alone is lost.

    What can't be text is written as well as it can be: lone surrogates as U+FFFD, other values as `str` gives
    them. An append never raises: lines that could not be written (a full disk) are written with the next that
    can be; until then `problem` says why, and the logger `memscope` warns once.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Begin the log, or go on with it; only its owner may read a new one. Raises OSError if it can't be
        written."""
        self.path = os.path.abspath(path)
        self.problem: str | None = None
        """Why the last lines are not in the log, if they are not, in one sentence."""
        self._lock = threading.Lock()
        self._unwritten = b""
        _append(self.path, b"")

    def system(self, text: str) -> None:
        """What the agent was told to be."""
        self._add("system", text)

    def user(self, text: str) -> None:
        """What the user said."""
        self._add("user", text)

    def assistant(self, text: str | None, tool_calls: Iterable[Any] | None = None) -> None:
        """What the agent said, None if it only called tools; `tool_calls` as the OpenAI API gives them,
        objects or dicts, or just dicts with `name`, `arguments` and perhaps `id`."""
        self._add("assistant", text, tool_calls=[_call(call) for call in tool_calls or ()] or None)

    def memory(self, key: str, text: str) -> None:
        """A memory that the agent was given here; the same key in several places is the same memory. A blank
        key becomes `unnamed`."""
        key = _text(key)
        self._add("system", text, memory_key=key if key.strip() else "unnamed")

    def tool(self, name: str, text: str, tool_call_id: str | None = None) -> None:
        """What a tool answered."""
        answered = None if tool_call_id is None else _text(tool_call_id)
        self._add("tool", text, name=_text(name), tool_call_id=answered)

    def close(self) -> None:
        """Try once more to write what could not be written. Nothing is open, and more may be appended."""
        with self._lock:
            if self._unwritten:
                self._write(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _add(self, role: str, text: str | None, **more: Any) -> None:
        with self._lock:  # so that the times of one log never go back
            line = {
                "role": role,
                "content": None if text is None else _text(text),
                **{name: value for name, value in more.items() if value is not None},
                "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            }
            self._write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        lines = self._unwritten + line
        try:
            _append(self.path, lines)
        except OSError as error:
            # where this cuts the first line its rest is no JSON, and a reader says that a line was left out
            self._unwritten = lines[-_KEPT:]
            if self.problem is None:
                _LOGGER.warning("%s can't be written: %s", self.path, error.strerror or error)
            self.problem = f"{self.path} can't be written: {error.strerror or error}."
        else:
            self._unwritten, self.problem = b"", None


def _append(path: str, lines: bytes) -> None:
    """Append whole lines, in one write where the system takes them in one. Raises OSError; then some of them
    may be there, the last one cut."""
    file = os.open(path, _FLAGS, _PRIVATE)
    try:
        if not lines:
            return
        with _alone(file):
            if _ends_half_way(file):
                lines = b"\n" + lines
            while lines:
                lines = lines[os.write(file, lines) :]
    finally:
        os.close(file)


def _ends_half_way(file: int) -> bool:
    size = os.fstat(file).st_size
    if not size:
        return False
    os.lseek(file, size - 1, os.SEEK_SET)
    return os.read(file, 1) != b"\n"


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 40
    """A byte behind every log's end: a lock on one that is there would stop its readers."""

    @contextmanager
    def _alone(file: int) -> Iterator[None]:
        """Keep the other writers of a file out; where its file system has no locks, do without."""
        with suppress(OSError):
            os.lseek(file, _FAR, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_LOCK, 1)
        try:
            yield
        finally:
            with suppress(OSError):
                os.lseek(file, _FAR, os.SEEK_SET)
                msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    @contextmanager
    def _alone(file: int) -> Iterator[None]:
        """Keep the other writers of a file out; where its file system has no locks, do without."""
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)


def _text(value: object) -> str:
    """Text that UTF-8 can hold: surrogates that make up a pair are joined, lone ones replaced."""
    try:
        text = str(value)
    except Exception:  # whatever an agent's own object raises must not stop the agent
        text = object.__repr__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _call(call: Any) -> dict[str, Any]:
    """A tool call as the readers want it."""
    plain = _plain(call)
    given = plain if isinstance(plain, dict) else {}
    function = given.get("function", given)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        function = {"name": "unknown", "arguments": plain}
    number = given.get("id")
    return {
        **({} if number is None else {"id": str(number)}),
        "type": "function",
        "function": {"name": function["name"], "arguments": function.get("arguments")},
    }


def _plain(value: Any, depth: int = _DEPTH) -> Any:
    """A value as JSON can hold it."""
    if callable(dump := getattr(value, "model_dump", None)):  # the OpenAI client's objects
        value = dump()
    if depth and isinstance(value, Mapping):
        return {_text(name): _plain(item, depth - 1) for name, item in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_plain(item, depth - 1) for item in value]
    if value is None or isinstance(value, bool) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
        return value
    return _text(value)
