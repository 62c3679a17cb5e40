"""Reads a conversation from a file or from standard input, whatever its format."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from memscope.conversation.model import STANDARD_INPUT, Conversation
from memscope.conversation.readers.base import Format
from memscope.conversation.readers.branches import Branches
from memscope.conversation.readers.claude_code import ClaudeCode
from memscope.conversation.readers.codex import Codex
from memscope.conversation.readers.files import open_file
from memscope.conversation.readers.gemini import Gemini
from memscope.conversation.readers.hermes import Hermes
from memscope.conversation.readers.hermes_database import MAGIC, read_database
from memscope.conversation.readers.langchain import LangChain
from memscope.conversation.readers.letta import Letta
from memscope.conversation.readers.messages import Messages
from memscope.conversation.readers.otel import Otel
from memscope.conversation.readers.pi import Pi
from memscope.conversation.readers.reading import Reading, build_conversation
from memscope.conversation.readers.sharegpt import ShareGpt
from memscope.conversation.rules import PACK, Rule
from memscope.errors import InputError

__all__ = [
    "FORMATS",
    "Reading",
    "build_conversation",
    "is_database",
    "parse_conversation",
    "read_conversation",
]

FORMATS: tuple[type[Format], ...] = (
    ClaudeCode,
    Codex,
    Gemini,
    Pi,
    Hermes,
    Letta,
    Otel,
    LangChain,
    Branches,
    ShareGpt,
    Messages,
)
"""Every format, in the order in which they are asked whether a record or a document is theirs. A new format
is added here, and nowhere else; `Messages` stays the last, for it takes what no other claims."""

_PORTION = 1 << 20
"""Bytes that are read of a file at once."""


def read_conversation(path: str, branch: str | None = None, rules: Sequence[Rule] = PACK) -> Conversation:
    """Read the file `path`, or standard input for `-`; the file is only ever read. Of a conversation that
    forks the live branch, or the one with the id `branch`; memories are found
    by `rules`. An SQLite database can only be read by its path.

    Raises InputError, one sentence that says where it broke.
    """
    name = STANDARD_INPUT if path == "-" else os.fsencode(path).decode("utf-8", "replace")
    reading = Reading(FORMATS, name, STANDARD_INPUT if path == "-" else Path(name).stem, rules)
    try:
        if path == "-":
            _feed(reading, sys.stdin.buffer)
        elif is_database(path):
            return read_database(Path(path), name, branch, rules)
        else:
            with open_file(path) as file:
                _feed(reading, file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{name}: {reason}; give the path of a conversation file.") from error
    reading.finish()
    return reading.conversation(branch)


def parse_conversation(
    data: bytes, name: str, title: str, branch: str | None = None, rules: Sequence[Rule] = PACK
) -> Conversation:
    """Build a conversation from a file's bytes; `name` stands in front of what is wrong with them.

    Raises InputError.
    """
    reading = Reading(FORMATS, name, title, rules)
    reading.feed(data)
    reading.finish()
    return reading.conversation(branch)


def _feed(reading: Reading, file: BinaryIO) -> None:
    while data := file.read(_PORTION):
        reading.feed(data)


def is_database(path: str) -> bool:
    """Whether a file is an SQLite database. Raises OSError."""
    with open_file(path) as file:
        return file.read(len(MAGIC)) == MAGIC
