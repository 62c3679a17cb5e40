"""Reads a conversation from a file or from standard input, whatever its format."""

import os
import sys
from pathlib import Path

from memscope.conversation.model import Conversation, Entry, Source
from memscope.conversation.readers.messages import read_messages
from memscope.conversation.rules import find_memories
from memscope.errors import InputError


def read_conversation(path: str) -> Conversation:
    """Read the file `path`, or standard input for `-`; the file is only ever read.

    Raises InputError, one sentence that says where it broke.
    """
    name = "standard input" if path == "-" else os.fsencode(path).decode("utf-8", "replace")
    try:
        data = sys.stdin.buffer.read() if path == "-" else _read_file(Path(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{name}: {reason}; give the path of a conversation file.") from error
    return parse_conversation(data, name, title="standard input" if path == "-" else Path(name).stem)


def parse_conversation(data: bytes, name: str, title: str) -> Conversation:
    """Build a conversation from a file's bytes; `name` stands in front of what is wrong with them.

    Raises InputError.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise InputError(f"{name} is empty; give a file with a conversation.")
    try:
        entries, format_name, notes = read_messages(data)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    if not entries:
        raise InputError(f"{name} holds no messages; give a file with a conversation.")
    return build_conversation(entries, Source(name, format_name, title, tuple(notes)))


def build_conversation(entries: list[Entry], source: Source) -> Conversation:
    """Entries with the memories that are found in them."""
    return Conversation(tuple(entries), find_memories(entries), source)


def _read_file(path: Path) -> bytes:
    if path.is_dir():
        raise IsADirectoryError(0, "it is a folder")
    if path.exists() and not path.is_file():
        raise OSError(0, "it is not an ordinary file")
    return path.read_bytes()
