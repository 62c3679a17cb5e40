"""Memories in the results of tools that search and load them."""

import re
from collections.abc import Iterator, Sequence

from memscope.conversation.model import Role, Span
from memscope.conversation.rules.base import Found, Passage, given_key, says_something, text_key, trimmed
from memscope.conversation.rules.items import split_list
from memscope.conversation.rules.json_spans import Node, documents, elements, left_out, member

_TOOL = re.compile(
    r"(?<![a-z])(?:search|recall|get|load)_?memor(?!(?:y|ies)_?(?:usage|info|stats|size|limit))"
    r"|(?<![a-z])memory_(?:search|get|load|render)|archival_memory_search|conversation_search",
    re.IGNORECASE,
)
_NO_RESULT = re.compile(
    r"""\W*+(?:error|exception|traceback|failed|failure|tool_use_error|timed\ out|could\ not|cannot|can't
    | nothing|none|null|not\ found|no\ (?:\w+\ ){0,3}?(?:memor|result|match|record|passage|message|entr)\w*+
    )(?!\w)""",
    re.VERBOSE | re.IGNORECASE,
)
_SHORT = 300
"""Characters of the longest result that is read as telling that there is none."""
_LISTS = (
    "results", "memories", "items", "data", "matches", "documents", "records", "passages", "facts", "entries",
    "messages", "result", "response",
)  # fmt: skip
_TEXTS = (
    "memory",
    "content",
    "text",
    "value",
    "snippet",
    "fact",
    "summary",
    "page_content",
    "body",
    "document",
)
_IDS = ("id", "memory_id", "uuid", "key", "path", "file")
_DEPTH = 3
"""How many objects deep the list of items may stand."""


class ToolResults:
    """The items of the JSON that a tool gives, those of a list in its text, or all of that as one memory. An
    error holds none, nor does an empty list."""

    name = "tool result"

    def find(self, passage: Passage, seconds: float) -> Iterator[Found]:
        """The memories of the result, if the tool's name says that it is about memories."""
        if passage.role is not Role.TOOL or not _TOOL.search(passage.tool) or not passage.text.strip():
            return
        block = passage.tool.rsplit("__", 1)[-1]
        nodes = documents(passage.text)
        if nodes and all(isinstance(node.value, dict | list) for node in nodes):
            yield from self._from_json(passage.text, nodes, block)
        elif len(passage.text) > _SHORT or not _NO_RESULT.match(passage.text):
            yield from self._from_text(passage.text, block)

    def _from_json(self, text: str, nodes: Sequence[Node], block: str) -> Iterator[Found]:
        position = 0
        for node in nodes:
            for item in _items(text, node, _DEPTH):
                said = _said(text, item)
                if said is not None:
                    inner = trimmed(text, said.inside.start, said.inside.end)
                    key = _key(item) or text_key(block, text[inner.start : inner.end])
                    span = left_out(item, position)
                    position = span.end
                    yield Found(key, inner, span, self.name)

    def _from_text(self, text: str, block: str) -> Iterator[Found]:
        items = split_list(text, Span(0, len(text)), block)
        if items:
            yield from (Found(key, inner, span, self.name) for key, inner, span in items)
        elif says_something(text):
            inner = trimmed(text, 0, len(text))
            yield Found(text_key(block, text[inner.start : inner.end]), inner, Span(0, len(text)), self.name)


def _items(text: str, node: Node, depth: int) -> Sequence[Node]:
    """The items of a list, or of the list that an object holds; an object without one may be an item."""
    if isinstance(node.value, list):
        return elements(text, node)
    if not isinstance(node.value, dict) or not depth or _failed(node.value):
        return []
    for name in _LISTS:
        held = node.value.get(name)
        if isinstance(held, list | dict):
            inside = member(text, node, name)
            return _items(text, inside, depth - 1) if inside else []
    return [node]


def _failed(value: dict[str, object]) -> bool:
    return bool(value.get("error") or value.get("isError")) or value.get("success") is False


def _said(text: str, item: Node) -> Node | None:
    """The part of an item that says the memory."""
    if isinstance(item.value, str):
        return item if item.value.strip() else None
    if isinstance(item.value, dict):
        for name in _TEXTS:
            value = item.value.get(name)
            if (isinstance(value, str) and value.strip()) or (isinstance(value, dict | list) and value):
                return member(text, item, name)
    return None


def _key(item: Node) -> str:
    """The id that an item gives: of LangMem's the namespace too, of a path the lines shown."""
    if not isinstance(item.value, dict):
        return ""
    name, key = next(((name, key) for name in _IDS if (key := given_key(item.value.get(name)))), ("", ""))
    namespace, first, last = (item.value.get(part) for part in ("namespace", "startLine", "endLine"))
    if name == "key" and isinstance(namespace, list):
        return "/".join([*map(given_key, namespace), key])
    if name == "path" and type(first) is type(last) is int:
        return f"{key}#L{first}-L{last}"
    return key
