"""Chat messages in JSON or JSONL: the native log (a message a line) and OpenAI message lists.

The two differ in nothing but where the messages stand, so one format takes both: a message a line, a list of
messages, or an object with `messages`.
"""

from typing import Any, ClassVar

from memscope.conversation.readers.base import Draft, Format, JsonObject
from memscope.conversation.readers.chat import read_message
from memscope.conversation.readers.json_text import kind
from memscope.errors import InputError


class Messages(Format):
    """What is written a message a line is a native log if it has the native log's own fields."""

    name: ClassVar[str] = "openai"

    def __init__(self) -> None:
        self._draft = Draft()
        self._native = False

    @property
    def label(self) -> str:
        """`native` or `openai`."""
        return "native" if self._native else self.name

    @classmethod
    def claims(cls, record: JsonObject) -> bool:
        """A role and what was said, and nothing that wraps the message."""
        return isinstance(record.get("role"), str)

    @classmethod
    def unpack(cls, document: Any) -> list[Any] | None:
        """A list of messages, or an object with `messages`."""
        messages = document.get("messages") if isinstance(document, dict) else document
        return messages if isinstance(messages, list) else None

    def add(self, record: JsonObject) -> None:
        """One message."""
        if "role" not in record:
            raise InputError(_not_a_message(record))
        self._draft.entries.append(read_message(record))
        self._native = self._native or "memory_key" in record or "timestamp" in record

    def draft(self, branch: str | None = None) -> Draft:
        """All messages: this format has no branches."""
        return self._draft


def _not_a_message(record: JsonObject) -> str:
    messages = record.get("messages")
    if isinstance(messages, list):
        return "a whole conversation on one line among others; put each conversation into a file of its own."
    if "messages" in record:
        return f"field `messages` is {kind(messages)}; it must be a list of messages."
    return "the object has neither `role` nor `messages`."
