"""A conversation file that is read on as it grows, and read again when it is no longer the same file."""

import gc
import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from memscope.conversation.model import Conversation
from memscope.conversation.readers import FORMATS, Reading, is_database
from memscope.conversation.readers.files import open_file
from memscope.conversation.readers.hermes_database import read_database
from memscope.conversation.rules import PACK, Rule
from memscope.errors import InputError

_PORTION = 1 << 20
"""Bytes that are read at once."""
_FRONT = 4 << 20
_END = 4096
"""Bytes at the front and at the end of what was read, by which a file is known again."""
_PATIENCE = 1.0
"""Seconds for which a file that can't be read is taken to be in the middle of being rewritten."""


@dataclass(frozen=True)
class _Mark:
    """What a look costs nothing to compare: the file's identity, size in bytes and time of change in ns."""

    device: int
    inode: int
    size: int
    modified: int

    def same_file(self, other: "_Mark | None") -> bool:
        """Whether these are of one file, as far as the file system tells."""
        return other is not None and (self.device, self.inode) == (other.device, other.inode)


class Follower:
    """Looks at one file again and again; every look is a call from one thread at a time.

    Lines are read once; a database is asked again whenever it or its log has changed. A file that was
    truncated, replaced, or rewritten in place is read from its start; one that was deleted keeps its
    conversation. Beyond its first 4 MB a file is taken to be only added to, unless the last 4 kB that were
    read differ.
    """

    def __init__(self, path: str, branch: str | None = None, rules: Sequence[Rule] = PACK) -> None:
        """`branch` is the id of the branch to follow, None the live one, whichever that is at each look;
        memories are found by `rules`."""
        self.path = path
        self.branch = branch
        self._rules = rules
        self.problem = ""
        """Why the file can't be read just now, one sentence; empty if it can."""
        self._name = os.fsencode(path).decode("utf-8", "replace")
        self._stop = threading.Event()
        self._mark: _Mark | None = None
        self._log: _Mark | None = None
        """That of what a program has not written into its database yet."""
        self._database = False
        self._since: float | None = None
        """When the file began to be unreadable, on the monotonic clock."""
        self._begin()

    def open(self) -> Conversation:
        """The conversation as it stands. Raises InputError, one sentence."""
        with _without_collecting():
            try:
                self._read()
            except OSError as error:
                reason = error.strerror or str(error)
                raise InputError(f"{self._name}: {reason}; give the path of a conversation file.") from error
            return self._conversation()

    def look(self) -> Conversation | None:
        """What the conversation has become; None if it is as it was, or can't be read (see `problem`)."""
        try:
            if not self._read():
                self._settle_problem()
                return None
            found = self._conversation()
        except FileNotFoundError:
            self._mark = None
            self._fail(f"{self._name} was deleted; what was read of it stays.", at_once=True)
        except OSError as error:
            self._mark = None
            self._fail(f"{self._name}: {error.strerror or error}; what was read of it stays.")
        except InputError as error:
            if self._database:  # which another program may let go of without changing it
                self._mark = None
            self._fail(str(error))
        else:
            self.problem, self._waiting, self._since = "", "", None
            return found
        return None

    def stop(self) -> None:
        """End a look that is under way in another thread soon; nothing more is read."""
        self._stop.set()

    def _begin(self) -> None:
        """Read the file from its start."""
        self._reading = Reading(FORMATS, self._name, Path(self._name).stem, self._rules)
        self._offset = 0
        self._front = hashlib.blake2b()
        self._end = b""
        self._waiting = ""
        """What is wrong, until it has been so for long enough to say."""

    def _read(self) -> bool:
        """Read on, or anew; whether anything has changed. Raises OSError."""
        mark, log = _mark(os.stat(self.path)), self._log_mark()
        if (mark, log) == (self._mark, self._log):
            return False
        self._log = log
        self._database = is_database(self.path)
        if self._database:
            self._mark = mark
            return True
        with open_file(self.path) as file:
            mark = _mark(os.fstat(file.fileno()))
            if not self._goes_on(file, mark):
                self._begin()
            file.seek(self._offset)
            while not self._stop.is_set() and (data := file.read(_PORTION)):
                self._take(data)
        self._reading.settle()
        self._mark = mark
        return True

    def _goes_on(self, file: BinaryIO, mark: _Mark) -> bool:
        """Whether the file is the one that was read, and begins with what was read of it."""
        if not self._offset:
            return True
        if self._mark is not None and not mark.same_file(self._mark):
            return False
        if mark.size < self._offset:
            return False
        front = hashlib.blake2b(file.read(min(_FRONT, self._offset)))
        file.seek(self._offset - len(self._end))
        return front.digest() == self._front.digest() and file.read(len(self._end)) == self._end

    def _take(self, data: bytes) -> None:
        self._front.update(data[: max(0, _FRONT - self._offset)])
        self._end = (self._end + data[-_END:])[-_END:]
        self._offset += len(data)
        self._reading.feed(data)

    def _log_mark(self) -> _Mark | None:
        try:
            return _mark(os.stat(f"{self.path}-wal")) if self._database else None
        except OSError:
            return None

    def _conversation(self) -> Conversation:
        """A database's newest session stays the one that is followed, whichever is the newest later."""
        if not self._database:
            return self._reading.conversation(self.branch)
        found = read_database(Path(self.path), self._name, self.branch, self._rules)
        self.branch = found.source.branch
        return found

    def _fail(self, sentence: str, *, at_once: bool = False) -> None:
        self._since = time.monotonic() if self._since is None else self._since
        self._waiting = sentence
        self._settle_problem(at_once=at_once)

    def _settle_problem(self, *, at_once: bool = False) -> None:
        """Say what is wrong once it has been so for a while: a program may be half-way in rewriting."""
        long = self._since is not None and time.monotonic() - self._since >= _PATIENCE
        if self._waiting and (at_once or long):
            self.problem = self._waiting


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Nothing that reading a file makes is garbage, and the collector would look at all of it again and
    again: a fifth of the time for a file of 200 MB."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _mark(status: os.stat_result) -> _Mark:
    return _Mark(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
