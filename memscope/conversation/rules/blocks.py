"""Memories in tags and under headings, as the programs write them that put memories into a prompt."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from memscope.conversation.model import Role, Span
from memscope.conversation.rules.base import Found, Passage, says_something, text_key, trimmed
from memscope.conversation.rules.items import (
    Item,
    Split,
    split_files,
    split_labelled,
    split_list,
    split_sections,
)
from memscope.conversation.rules.markdown import FENCE, TICKS, Code

# Texts come from strangers: possessive quantifiers keep the time linear in their length.
_ATTRIBUTE = re.compile(
    r"""(?<![\w:.-])(?P<name>[\w:.-]++)\s*+=\s*+(?:"(?P<double>[^"]*+)"|'(?P<single>[^']*+)'|(?P<bare>[^\s"']++))"""
)
_TAGS: dict[str, Split] = {
    "mem0-relevant-memories": split_list,
    "relevant-memories": split_list,
    "relevant_memories": split_list,
    "active_memory_plugin": split_list,
    "memory_blocks": split_labelled,
    "loaded_context": split_files,
}
_HERMES = {"MEMORY (your personal notes)": "MEMORY.md", "USER PROFILE": "USER.md"}
"""Headings of Hermes, and the files whose entries stand under them."""

_OPENINGS = (
    "<memory",
    "<mem0-relevant-memories",
    "<relevant-memories",
    "<relevant_memories",
    "<active_memory_plugin",
    "<loaded_context",
    *_HERMES,
    "User Context:",
    "MEMORY_SUMMARY BEGINS",
    "# AGENTS.md instructions",
)
"""One of these is in every text that holds a block: looking for them is far quicker than for the pattern."""
_OPENING = re.compile(
    rf"""<memory(?=\s)(?P<attributes>(?:[^<>=]++|=\s*+(?:"[^"]*+"|'[^']*+')?)*+)>
    | (?:^(?:Untrusted\ context\ \([^()\n]{{0,200}}\)|Context):\s*+(?=<active_memory_plugin))?
      <(?P<tag>{"|".join(_TAGS)})(?:\s[^<>]*+)?>
    | ^[═=]{{8,}}+[ \t\r]*+\n
      (?P<hermes>{"|".join(map(re.escape, _HERMES))})(?P<usage>[^\n]*+)\n
      [═=]{{8,}}+[ \t\r]*+\n
    | ^(?:\#{{1,6}}\ )?(?P<context>User\ Context:)
    | ^=++\ (?P<summary>MEMORY_SUMMARY)\ BEGINS\ =++[ \t\r]*+$
    | ^\#\ (?P<agents>AGENTS\.md)\ instructions(?:\ for\ (?P<folder>[^\n]*+))?\s*+<INSTRUCTIONS>
    | {FENCE} | {TICKS}""",
    re.VERBOSE | re.MULTILINE,
)
_USAGE = re.compile(r"— (?P<characters>[\d,]{1,12})/[\d,]{1,12} chars")
_HERMES_END = re.compile(r"\n(?:[ \t\r]*+\n(?=#{1,3} |<)|(?=[═=]{8}))")
_CONTEXT_END = re.compile(r"(?<=\S)[ \t\r]*+\n[ \t\r]*+\n|\n(?=#{1,6} |<)")
_SUMMARY_END = re.compile(r"^=++ MEMORY_SUMMARY ENDS =++[ \t\r]*+$", re.MULTILINE)
_SPACE = re.compile(r"\s*+")
_PREAMBLE = re.compile(r"<(environment_context|recommended_plugins|session_context)>")
"""What programs put before memories at the start of a user's turn."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A block in a text: its name in keys, the rule that it was found by, what is inside, and its extent."""

    name: str
    rule: str
    body: Span
    span: Span
    split: Split = split_list
    key: str = ""
    """Of a block that is one memory with a key of its own."""


class Blocks:
    """Tags and headings: anywhere in what the program wrote, save in Markdown code; else only at the start,
    one after the other. A block reaches to the first closing tag, whatever other openings stand between."""

    name = "tags and headings"

    def find(self, passage: Passage, seconds: float) -> Iterator[Found]:
        """The items of every block. A block with one item or none is left out as a whole."""
        text = passage.text
        for block in _blocks(passage):
            if block.key:
                yield Found(block.key, block.body, block.span, block.rule)
                continue
            items: list[Item] = block.split(text, block.body, block.name)
            inner = items[0][1] if items else trimmed(text, block.body.start, block.body.end)
            said = text[inner.start : inner.end]
            if len(items) > 1:
                yield from (Found(key, inner, span, block.rule) for key, inner, span in items)
            elif items:
                yield Found(items[0][0], inner, block.span, block.rule)
            elif says_something(said):
                yield Found(text_key(block.name, said), inner, block.span, block.rule)


def _blocks(passage: Passage) -> Iterator[_Block]:
    text = passage.text
    if passage.written_by_program:
        if any(opening in text for opening in _OPENINGS):
            yield from _anywhere(text)
    elif passage.role in (Role.USER, Role.TOOL):
        yield from _at_the_start(text)


def _anywhere(text: str) -> Iterator[_Block]:
    ends, code, position = _Ends(text), Code(text), 0
    while match := _OPENING.search(text, position):
        if match["fence"] or match["ticks"]:
            position = code.end(match)
        elif block := ends.block(match):
            position = max(block.span.end, match.end())
            yield block
        else:
            position = match.end()


def _at_the_start(text: str) -> Iterator[_Block]:
    ends, position = _Ends(text), 0
    while True:
        position = _after_space(text, position)
        if match := _OPENING.match(text, position):
            block = ends.block(match)
            if block is None:
                return
            position = max(block.span.end, match.end())
            yield block
        elif match := _PREAMBLE.match(text, position):
            close = ends.after(f"</{match[1]}>", match.end())
            if close is None:
                return
            position = close[1]
        else:
            return


class _Ends:
    """Where blocks of one text end. An ending that is not there is looked for only once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._absent: set[str] = set()

    def block(self, opening: re.Match[str]) -> _Block | None:
        """The block that begins here, if it ends anywhere."""
        if opening["attributes"] is not None:
            key = _key(opening["attributes"])
            return self._enclosed(opening, "memory", "memory tag", "</memory>", key=key) if key else None
        if tag := opening["tag"]:
            return self._enclosed(opening, tag, f"{tag} tag", f"</{tag}>", _TAGS[tag])
        if opening["hermes"]:
            return self._open_ended(
                opening, _HERMES[opening["hermes"]], "Hermes memory", self._hermes_end(opening)
            )
        if opening["context"]:
            return self._context(opening)
        if opening["summary"]:
            return self._summary(opening)
        if opening["agents"]:
            folder = (opening["folder"] or "").strip()
            key = f"{folder.rstrip('/')}/AGENTS.md" if folder else "AGENTS.md"
            return self._enclosed(opening, key, "AGENTS.md", "</INSTRUCTIONS>", key=key)
        return None

    def after(self, closing: str, position: int) -> tuple[int, int] | None:
        """Where the next `closing` begins and ends."""
        if closing in self._absent:
            return None
        start = self._text.find(closing, position)
        if start < 0:
            self._absent.add(closing)
            return None
        return start, start + len(closing)

    def _enclosed(
        self,
        opening: re.Match[str],
        name: str,
        rule: str,
        closing: str,
        split: Split = split_list,
        key: str = "",
    ) -> _Block | None:
        close = self.after(closing, opening.end())
        if close is None:
            return None
        body, span = Span(opening.end(), close[0]), Span(opening.start(), close[1])
        return _Block(name, rule, body, span, split, key)

    def _open_ended(self, opening: re.Match[str], name: str, rule: str, end: int | None) -> _Block:
        end = len(self._text) if end is None else end
        return _Block(name, rule, Span(opening.end(), end), Span(opening.start(), end))

    def _context(self, opening: re.Match[str]) -> _Block | None:
        """Up to a blank line, another heading or a tag."""
        start = _after_space(self._text, opening.end())
        if self._text.startswith("<", start):
            return None
        end = _CONTEXT_END.search(self._text, start)
        return self._open_ended(opening, "User Context", "User Context", end.start() if end else None)

    def _summary(self, opening: re.Match[str]) -> _Block | None:
        if "summary" in self._absent:
            return None
        end = _SUMMARY_END.search(self._text, opening.end())
        if end is None:
            self._absent.add("summary")
            return None
        body, span = Span(opening.end(), end.start()), Span(opening.start(), end.end())
        return _Block("memory_summary", "memory summary", body, span, split_sections)

    def _hermes_end(self, opening: re.Match[str]) -> int | None:
        """The heading says how many characters follow; where that can't be, up to what looks like another
        part of the prompt."""
        if usage := _USAGE.search(opening["usage"]):
            end = opening.end() + int(usage["characters"].replace(",", "") or 0)
            if self._text[end : end + 1] in ("\n", "") and opening.end() < end <= len(self._text):
                return end
        found = _HERMES_END.search(self._text, opening.end())
        return found.start() if found else None


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _key(attributes: str) -> str:
    """The value of the attribute `key`; empty if there is none or it is blank."""
    for attribute in _ATTRIBUTE.finditer(attributes):
        if attribute["name"] == "key":
            value = attribute["double"] or attribute["single"] or attribute["bare"] or ""
            return value if value.strip() else ""
    return ""
