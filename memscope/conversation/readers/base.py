"""What a format of conversation files is: how it is known, and how its records become entries."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from memscope.conversation.model import Branch, Entry

JsonObject = Mapping[str, Any]
_TITLE = 60
"""Characters of a title that is made of what was said."""


def title_from(text: str) -> str:
    """How a text begins, on one line, as the title of what has none."""
    return " ".join(text[: 8 * _TITLE].split())[:_TITLE]


@dataclass
class Draft:
    """What a file says of a conversation, before memories are looked for in its texts.

    `entries` stand in the order in which the model saw them, context after context (`Entry.context`, rising
    from 0 with each compaction or reset). The system prompt at the front is kept in every context and is not
    repeated; what else a context takes over from the one before is repeated with `kept`.

    `title`, `agent` (the program that wrote the file), `author` (the model that spoke) and `folder` (where
    the agent worked) are empty where the file does not tell; `missing` says in a few words what of the
    model's context the format never holds, such as "the system prompt". `branches` are all of a conversation
    that forks and `branch` the id of the one that `entries` are. `notes` say what was skipped or assumed,
    each a sentence without its full stop.
    """

    entries: list[Entry] = field(default_factory=list)
    title: str = ""
    agent: str = ""
    author: str = ""
    folder: str = ""
    missing: str = ""
    branches: tuple[Branch, ...] = ()
    branch: str = ""
    notes: list[str] = field(default_factory=list)


class Format(ABC):
    """One conversation being read, record by record, in one format; a record is a JSON object.

    The records of a file are its lines or, where a file is one JSON document, what `unpack` makes of it. They
    may come in any order, with unknown fields and of unknown types: those are passed over. Made without
    arguments; `tests/conversation/properties.py` checks what is promised here.
    """

    name: ClassVar[str]
    """The format's name, as the JSON and the screens give it."""

    @property
    def label(self) -> str:
        """The name, where a format has variants that of the one at hand."""
        return self.name

    @classmethod
    @abstractmethod
    def claims(cls, record: JsonObject) -> bool:
        """Whether only this format has such a record. One record that is claimed decides for the file; those
        before it that nobody claims are added once it is. A document that is an object may be claimed as the
        only record, before anybody is asked to unpack it."""

    @classmethod
    def accepts(cls, record: JsonObject) -> bool:
        """Whether a record may stand in a file of this format although another one claims it; those that may
        not are left out and named."""
        return cls.claims(record)

    @classmethod
    def unpack(cls, document: Any) -> list[Any] | None:
        """The records of a JSON document, None if it is not of this format. Where the list itself or the list
        in one of the document's fields is returned, what is wrong with a record is told with its line."""
        return None

    @abstractmethod
    def add(self, record: JsonObject) -> None:
        """Take one more record. Raises InputError, naming the field, if it can't be read, and then leaves
        everything as it was; `msgspec.convert` may be left to raise its own error. Nothing here may take
        longer the more records there were before."""

    @abstractmethod
    def draft(self, branch: str | None = None) -> Draft:
        """The conversation so far: the branch of that id if there is one, else the live branch. Asked several
        times a second while a file grows; what it returned before may change, and `add` may come after it."""
