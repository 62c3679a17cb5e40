"""All sessions on this machine: found, remembered, counted, searched."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from threading import Event

from memscope.conversation.library.heads import look, read_ends, with_counts
from memscope.conversation.library.index import Index
from memscope.conversation.library.listed import Listed, clean, text_of, valid
from memscope.conversation.library.places import DATABASE, Found, Place, places, walk
from memscope.conversation.library.preview import Preview, preview
from memscope.conversation.library.search import search
from memscope.conversation.library.titles import spoken
from memscope.conversation.readers import read_conversation
from memscope.conversation.readers.hermes import Hermes
from memscope.conversation.readers.hermes_database import list_sessions
from memscope.conversation.rules import PACK, Rule, load_rules
from memscope.database import FILE
from memscope.errors import InputError
from memscope.settings import cache_dir, configured

COUNTABLE = 256_000_000
"""Bytes of the largest file that is read whole to count what is in it."""
_FIRST_BATCH, _BATCH = 50, 250


def open_library(folder: Path) -> "Library":
    """The sessions on this machine, remembered in memscope's database, with memories found by the user's
    rules; `folder` is the current directory. Raises InputError if the settings can't be read."""
    return Library(cache_dir() / FILE, places(folder), folder, load_rules())


class Library:
    """The sessions in some places; every method may be called from any thread, and may take long.

    Session files are only ever read, and one that has not changed since is not opened again.
    """

    def __init__(
        self, index: Path, places: Sequence[Place], folder: Path, rules: Sequence[Rule] = PACK
    ) -> None:
        """`index` is memscope's database, `folder` the current directory; memories are found by `rules`."""
        self._rules = rules
        self.notes: tuple[str, ...] = ()
        """What the last scan could not look at or keep, a sentence each."""
        self._index = Index(index, configured("memory_rules"))
        self._places = tuple(places)
        self._folder = folder
        self._here = {text_of(os.path.normpath(folder)), text_of(os.path.realpath(folder))}

    def scan(self, stop: Event) -> Iterator[list[Listed]]:
        """All sessions in batches, those of the newest files first; no more of them once `stop` is set."""
        notes: list[str] = []
        found = self._find(notes, stop)
        self.notes = tuple(notes)
        changed = False
        at = 0
        while at < len(found) and not stop.is_set():
            batch = found[at : at + (_BATCH if at else _FIRST_BATCH)]
            at += len(batch)
            known, new = self._look_at(batch)
            changed = changed or bool(new)
            if sessions := [
                each for file in batch for each in _shown(file, (new | known).get(file.path, ()))
            ]:
                yield sessions
        if self._index.problem:
            self.notes = (*notes, f"What was found is not remembered: {self._index.problem}.")
        if changed and not stop.is_set():
            self._index.drop_vanished(file.path for file in found)

    def is_here(self, listed: Listed) -> bool:
        """Whether the agent worked in the current directory."""
        return bool(listed.folder) and os.path.normpath(listed.folder) in self._here

    def latest(self, stop: Event) -> Listed:
        """The newest session that an agent had in the current directory.

        Raises InputError, one sentence, if there is none.
        """
        newest: Listed | None = None
        for listed in (each for batch in self.scan(stop) for each in batch):
            # those of a file with many sessions may be older than the file
            if newest is not None and not listed.branch and listed.modified <= newest.modified:
                break
            if self.is_here(listed) and not (listed.subagent or listed.problem):
                newest = max(newest or listed, listed, key=lambda each: each.modified)
        if newest is not None:
            return newest
        where = text_of(str(self._folder))
        raise InputError(f"No session in {where} was found; `memscope sessions` lists those elsewhere.")

    def count(self, listed: Listed) -> Listed:
        """A session with what is in it counted, or with the `problem` that kept it from being; as it is, if
        its file is larger than COUNTABLE. What was counted is remembered until the file changes."""
        if listed.counted or (listed.size > COUNTABLE and not listed.branch):
            return listed
        try:
            seen = self._stamp(listed.path, os.stat(listed.path))
            conversation = read_conversation(listed.path, listed.branch or None, self._rules)
        except (InputError, OSError, ValueError) as error:
            return replace(listed, problem=_problem(listed, error))
        counted = with_counts(listed, conversation)
        self._index.put_counts(counted, seen)
        return counted

    def search(self, text: str, sessions: Iterable[Listed], stop: Event) -> Iterator[Listed]:
        """Those of the `sessions` that hold a text, in their order, as they are found: in the title, the
        folder, the path, or anywhere in the file, whatever the case; no more once `stop` is set."""
        return search(text, sessions, stop)

    def preview(self, listed: Listed, count: int = 5) -> Preview:
        """`count` entries of each end of a session, as far as the first and last bytes of its file hold them.

        Raises InputError, one sentence, if there are none.
        """
        return preview(listed, count)

    def close(self) -> None:
        """Close the index; what is found afterwards is not remembered."""
        self._index.close()

    def _find(self, notes: list[str], stop: Event) -> list[Found]:
        """The files, each once, the newest first."""
        walked: set[tuple[int, int]] = set()
        files: dict[tuple[int, int], Found] = {}
        for place in self._places:
            for file in walk(place, walked, notes, stop):
                files.setdefault((file.status.st_dev, file.status.st_ino), file)
        return sorted(files.values(), key=lambda file: file.status.st_mtime_ns, reverse=True)

    def _look_at(self, batch: Sequence[Found]) -> tuple[dict[str, list[Listed]], dict[str, list[Listed]]]:
        """The sessions in files by path: those known from before, and those looked at now."""
        stamps = {file.path: self._stamp(file.path, file.status) for file in batch}
        known = self._index.get(stamps)
        new: dict[str, list[Listed]] = {}
        passing: dict[str, list[Listed]] = {}
        for file in batch:
            if file.path in known:
                continue
            listed = Listed(file.path, modified=file.status.st_mtime, size=file.status.st_size)
            try:
                new[file.path] = _sessions_in(listed, self._rules)
            except FileNotFoundError:
                continue
            except (InputError, OSError, ValueError) as error:  # may be another time: not remembered
                passing[file.path] = [replace(listed, problem=_problem(listed, error))]
        if new:
            self._index.put(new, stamps)
        return known | passing, new

    def _stamp(self, path: str, status: os.stat_result) -> str:
        """A file's stamp; what a program has not written into its database yet stands in a log beside it."""
        if path.endswith(DATABASE):
            with suppress(OSError):
                log = os.stat(f"{path}-wal")
                return self._index.stamp(status, *([log] if log.st_size else []))
        return self._index.stamp(status)


def _sessions_in(listed: Listed, rules: Sequence[Rule]) -> list[Listed]:
    """The sessions in a file of which nothing is known yet. Raises OSError, for a database InputError."""
    if not listed.path.endswith(DATABASE):
        return [look(listed, read_ends(listed.path), rules)]
    stored = list_sessions(Path(listed.path))
    if not stored:
        return [replace(listed, problem=f"{listed.name} holds no messages.")]
    return [
        replace(
            listed,
            branch=valid(each.id),
            format=Hermes.name,
            title=clean(spoken(each.title)) or clean(each.title),
            folder=valid(each.folder),
            author=clean(each.model),
            modified=each.modified or listed.modified,
        )
        for each in stored
    ]


def _shown(file: Found, sessions: Iterable[Listed]) -> Iterator[Listed]:
    """Sessions as their place has them; those that can't be read only in an agent's own."""
    place = file.place
    for listed in sessions:
        if place.agent or not listed.problem:
            yield replace(
                listed,
                agent=place.agent or listed.agent,
                title=listed.title or os.path.splitext(listed.name)[0],
                folder=listed.folder or ("" if place.agent else text_of(os.path.dirname(listed.path))),
                subagent=bool(place.subagents) and fnmatch(listed.name, place.subagents),
            )


def _problem(listed: Listed, error: Exception) -> str:
    if isinstance(error, InputError):
        return valid(str(error))
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return f"{listed.name} can't be read: {reason}."
