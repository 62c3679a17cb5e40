"""Sessions of Hermes: a JSON document or lines, a header and messages as chat APIs have them."""

from typing import Any, ClassVar

from memscope.conversation.model import Entry, Role
from memscope.conversation.readers.base import Draft, Format, JsonObject, title_from
from memscope.conversation.readers.chat import ROLES, read_message

_HEADER = "session_meta"
"""The role of the record that tells of the session; it may come again."""
_TOLD = ("model", "title", "cwd", "system_prompt")
"""The fields of a header that memscope reads."""
_SENT_AS_WRITTEN = ("user", "assistant")
"""The roles whose `api_content` was sent to the model in the place of `content`."""


class Hermes(Format):
    """Messages of roles that are not known are passed over, and what the model thought is not its context."""

    name: ClassVar[str] = "hermes"

    def __init__(self) -> None:
        self._header: dict[str, str] = {}
        self._entries: list[Entry] = []

    @classmethod
    def claims(cls, record: JsonObject) -> bool:
        """The header of a file of lines."""
        return record.get("role") == _HEADER

    @classmethod
    def accepts(cls, record: JsonObject) -> bool:
        """Besides the header, messages."""
        return "role" in record

    @classmethod
    def unpack(cls, document: Any) -> list[Any] | None:
        """An object with the session's id, where it ran or when it began, and messages."""
        if "session_id" not in document or not ({"platform", "session_start"} & document.keys()):
            return None
        messages = document.get("messages")
        return [{**document, "role": _HEADER}, *messages] if isinstance(messages, list) else None

    def add(self, record: JsonObject) -> None:
        """The header or a message."""
        role = record.get("role")
        if role == _HEADER:
            config = record.get("model_config")
            for held in (config if isinstance(config, dict) else {}, record):
                self._header |= {field: held[field] for field in _TOLD if _is_text(held.get(field))}
        elif isinstance(role, str) and role in ROLES:
            sent = record.get("api_content") if role in _SENT_AS_WRITTEN else None
            name = record.get("tool_name") or record.get("name")
            content = sent if _is_text(sent) else record.get("content")
            self._entries.append(read_message({**record, "content": content, "name": name}))

    def draft(self, branch: str | None = None) -> Draft:
        """The messages after the system prompt, unless they begin with it."""
        told, entries = self._header, list(self._entries)
        prompt, front = told.get("system_prompt", ""), next(iter(entries), None)
        begins = front is not None and front.role is Role.SYSTEM
        if front is not None and prompt and not (begins and front.text.strip() == prompt.strip()):
            entries.insert(0, Entry(Role.SYSTEM, prompt))
            begins = True
        asked = next((entry.text for entry in entries if entry.role is Role.USER), "")
        return Draft(
            entries=entries,
            title=told.get("title") or title_from(asked),
            agent="Hermes",
            author=told.get("model", ""),
            folder=told.get("cwd", ""),
            missing="the tools" if begins else "the system prompt and the tools",
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
