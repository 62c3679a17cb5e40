"""The SQLite database in which Hermes keeps its sessions, read while Hermes may be writing it."""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import stamina

from memscope.conversation.model import Branch, Conversation
from memscope.conversation.readers.base import title_from
from memscope.conversation.readers.hermes import Hermes
from memscope.conversation.readers.json_text import BrokenError, decode
from memscope.conversation.readers.reading import build_draft
from memscope.conversation.readers.records import LeftOut, add
from memscope.conversation.rules import PACK, Finder, Rule
from memscope.errors import InputError

# stamina logs every retry; with no handler of its own that would be printed over the screen
logging.getLogger("stamina").addHandler(logging.NullHandler())

T = TypeVar("T")
MAGIC = b"SQLite format 3\0"
"""How every SQLite database begins."""
_PATIENCE = 2.0
"""Seconds to wait while Hermes has the database locked."""
_PROMPT = 400
"""Characters of the first prompt that are read for a title."""
_AS_JSON = "\0json:"
"""What stands in front of a content that is not text but JSON."""
_IN_JSON = ("tool_calls",)
"""Columns of a message that hold JSON."""
_LAST_SECOND = 253_402_300_800
"""When the year 9999 ends."""
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True, slots=True)
class StoredSession:
    """What a database tells of a session: `title` is how its first prompt begins where it has none, `started`
    and `modified` are seconds since 1970, None where that is not known, `messages` counts those that the
    model has in front of itself."""

    id: str
    title: str
    model: str
    folder: str
    started: float | None
    modified: float | None
    messages: int


class _Database:
    """The queries on an open database, whatever columns its version of Hermes had."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._sessions = self._columns("sessions")
        self._messages = self._columns("messages")
        if "id" not in self._sessions or not {"session_id", "role"} <= self._messages:
            raise InputError(f"{name} is an SQLite database, but not one of Hermes's; give its state.db.")
        self._active = "active = 1" if "active" in self._messages else "1"

    def sessions(self) -> tuple[StoredSession, ...]:
        """Those with messages, the one that changed last first."""
        # each subquery is answered by Hermes's indexes on a message's session, without the message
        last = "max(timestamp)" if "timestamp" in self._messages else "NULL"
        first = "timestamp, " if "timestamp" in self._messages else ""
        prompt = "content" if "content" in self._messages else "NULL"
        title = self._session("title")
        rows = self._connection.execute(
            f"""SELECT s.id, {title}, {self._session("model")}, {self._session("cwd")},
                {self._session("started_at")}, {self._session("last_activity_at")},
                (SELECT {last} FROM messages WHERE session_id = s.id),
                (SELECT count(*) FROM messages WHERE session_id = s.id AND {self._active}) AS held,
                CASE WHEN coalesce({title}, '') = '' THEN
                    (SELECT substr({prompt}, 1, {_PROMPT}) FROM messages
                     WHERE session_id = s.id AND role = 'user' AND {self._active}
                     ORDER BY {first}rowid LIMIT 1) END
                FROM sessions AS s WHERE held > 0"""
        )
        found = [
            StoredSession(
                id=_text(id_),
                title=title_from(_text(title)) or title_from(_text(prompt)),
                model=_text(model),
                folder=_text(cwd),
                started=_seconds(started),
                modified=max(filter(None, map(_seconds, (started, active, last))), default=None),
                messages=held,
            )
            for id_, title, model, cwd, started, active, last, held, prompt in rows
        ]
        return tuple(sorted(found, key=lambda session: session.modified or 0.0, reverse=True))

    def header(self, session: StoredSession) -> dict[str, Any]:
        """What a session's header says."""
        prompt = self._session("system_prompt")
        if "system_prompt_hash" in self._sessions and "prompt" in self._columns("system_prompts"):
            shared = "(SELECT prompt FROM system_prompts WHERE hash = s.system_prompt_hash)"
            prompt = f"coalesce({shared}, {prompt})"
        row = self._connection.execute(
            f"SELECT {prompt} FROM sessions AS s WHERE s.id = ?", (session.id,)
        ).fetchone()
        return {
            "model": session.model,
            "title": session.title,
            "cwd": session.folder,
            "system_prompt": _text(row[0]) if row else "",
        }

    def messages(self, session: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows that the model has in front of itself, in order, each with its id."""
        cursor = self._connection.execute(
            f"SELECT rowid, * FROM messages WHERE session_id = ? AND {self._active} ORDER BY rowid",
            (session,),
        )
        columns = [column[0] for column in cursor.description]
        for row in cursor:
            yield row[0], dict(zip(columns[1:], row[1:], strict=True))

    def inactive(self, session: str) -> int:
        """How many rows the model has no longer in front of itself."""
        statement = f"SELECT count(*) FROM messages WHERE session_id = ? AND NOT {self._active}"
        return int(self._connection.execute(statement, (session,)).fetchone()[0])

    def _columns(self, table: str) -> set[str]:
        # a view might never end
        rows = self._connection.execute(
            "SELECT c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c"
            " WHERE t.type = 'table' AND t.name = ?",
            (table,),
        )
        return {_text(name) for (name,) in rows}

    def _session(self, column: str) -> str:
        """A column of a session, nothing where this version has no such column."""
        return f"s.{column}" if column in self._sessions else "NULL"


def list_sessions(path: Path) -> tuple[StoredSession, ...]:
    """The sessions of the database at `path` that have messages, the one that changed last first. Of the
    messages no more is read than how the first prompt begins where a session has no title.

    Raises InputError, one sentence, if it is no database of Hermes's, damaged, or locked for long.
    """
    return _ask(path, str(path), _Database.sessions)


def read_database(
    path: Path, name: str, branch: str | None = None, rules: Sequence[Rule] = PACK
) -> Conversation:
    """The session that changed last, or the one with the id `branch`; the sessions are the conversation's
    branches. `name` stands in front of what is wrong; memories are found by `rules`.

    Raises InputError, one sentence, as `list_sessions` does or if there is no such session.
    """
    return _ask(path, name, lambda database: _read(database, name, branch, Finder(rules)))


def _read(database: _Database, name: str, branch: str | None, finder: Finder) -> Conversation:
    sessions = database.sessions()
    if not sessions:
        raise InputError(f"{name} holds no messages; give a file with a conversation.")
    chosen = next((session for session in sessions if session.id == branch), sessions[0])
    form, left_out = Hermes(), LeftOut("row")
    add(form, {"role": "session_meta", **database.header(chosen)})
    for id_, row in database.messages(chosen.id):
        try:
            add(form, _message(row))
        except InputError as error:
            left_out.add(id_, str(error).rstrip("."))
    draft = form.draft()
    draft.branches = tuple(Branch(each.id, each.title, each.messages) for each in sessions)
    draft.branch = chosen.id
    if inactive := database.inactive(chosen.id):
        draft.notes.append(f"messages passed over, as they were taken back or summed up: {inactive:,}")
    return build_draft(draft, form.label, left_out, name, chosen.id, branch, finder)


def _message(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a chat message. Raises InputError if one of its texts can't be read."""
    message = {}
    for column, value in row.items():
        try:
            text = value.decode() if isinstance(value, bytes) else value
            if isinstance(text, str) and (column in _IN_JSON or text.startswith(_AS_JSON)):
                text = decode(text.removeprefix(_AS_JSON).encode()) if text else None
        except UnicodeDecodeError as error:
            raise InputError(f"`{column}`: byte {error.start} is not UTF-8 text.") from error
        except BrokenError as error:
            raise InputError(f"`{column}`: {error}.") from error
        message[column] = text
    return message


def _ask(path: Path, name: str, question: Callable[[_Database], T]) -> T:
    """What the database answers. Raises InputError."""
    try:
        return _asked(path, name, question)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        # the latter where SQLite quotes a damaged schema in what it has to say
        raise InputError(f"{name}: {_reason(error)}.") from error


def _is_passing(error: Exception) -> bool:
    """Whether it is what a reader that may write nothing sees for a moment while another program makes the
    write-ahead log anew."""
    return isinstance(error, sqlite3.Error) and _code(error) == sqlite3.SQLITE_IOERR


@stamina.retry(on=_is_passing, attempts=4, timeout=1.0, wait_initial=0.05, wait_max=0.2)
def _asked(path: Path, name: str, question: Callable[[_Database], T]) -> T:
    # `immutable` would be wrong: Hermes may be writing
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE)
    try:
        # texts are decoded one by one, so that a broken one spoils no other
        connection.text_factory = bytes
        # one transaction: all is read as it stood at one moment
        connection.isolation_level = None
        connection.execute("BEGIN")
        return question(_Database(connection, name))
    finally:
        connection.close()


def _reason(error: Exception) -> str:
    if _code(error) in _LOCKED:
        return "another program keeps the database locked; try again in a moment"
    # what SQLite says may quote what stands in the file
    said = " ".join(str(error).split())
    if _code(error) in _DAMAGED or isinstance(error, UnicodeDecodeError):
        return f"the database is damaged ({said}); give one that is whole"
    return f"the database can't be read ({said}); give a copy in a folder that you may write to"


def _code(error: Exception) -> int:
    """SQLite's code, without what it adds about the circumstances."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _text(value: Any) -> str:
    """A value as text, whatever it is."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def _seconds(value: Any) -> float | None:
    """Seconds since 1970, None for what can be no such time."""
    return float(value) if isinstance(value, int | float) and 0 < value < _LAST_SECOND else None
