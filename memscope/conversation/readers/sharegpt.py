"""ShareGPT: `conversations` with `from` and `value`, as fine-tuning sets have them."""

from typing import Any, ClassVar

import msgspec

from memscope.conversation.model import Entry, Role
from memscope.conversation.readers.base import Draft, Format, JsonObject
from memscope.conversation.thinking import thinking_spans
from memscope.errors import InputError

_ROLES = {
    "system": Role.SYSTEM,
    "human": Role.USER,
    "user": Role.USER,
    "gpt": Role.ASSISTANT,
    "chatgpt": Role.ASSISTANT,
    "assistant": Role.ASSISTANT,
    "model": Role.ASSISTANT,
    "tool": Role.TOOL,
    "observation": Role.TOOL,
}


class _Turn(msgspec.Struct):
    speaker: str = msgspec.field(name="from")
    value: str


class ShareGpt(Format):
    """One conversation of such a set."""

    name: ClassVar[str] = "sharegpt"

    def __init__(self) -> None:
        self._draft = Draft()

    @classmethod
    def claims(cls, record: JsonObject) -> bool:
        """A turn."""
        return isinstance(record.get("from"), str) and "value" in record

    @classmethod
    def unpack(cls, document: Any) -> list[Any] | None:
        """The turns of an object with `conversations`, or of a list that holds one such object."""
        if isinstance(document, list) and len(document) == 1:
            document = document[0]
        turns = document.get("conversations") if isinstance(document, dict) else None
        return turns if isinstance(turns, list) else None

    def add(self, record: JsonObject) -> None:
        """One turn; a record without a speaker is passed over."""
        if "from" not in record:
            return
        turn = msgspec.convert(record, _Turn)
        role = _ROLES.get(turn.speaker)
        if role is None:
            raise InputError(f"field `from` is {turn.speaker[:40]!r}; it must be human, gpt, system or tool.")
        thinking = thinking_spans(turn.value) if role is Role.ASSISTANT else ()
        self._draft.entries.append(Entry(role, turn.value, thinking=thinking))

    def draft(self, branch: str | None = None) -> Draft:
        """All turns."""
        return self._draft
