"""The items of a block of memories: of lists, sections, labelled blocks and files; and their keys."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator

from memscope.conversation.model import Span
from memscope.conversation.rules.base import text_key, trimmed

Item = tuple[str, Span, Span]
"""A key, the characters that say the memory, and those that are left out with it."""
Split = Callable[[str, Span, str], list[Item]]
"""From a text, the part of it inside a block, and the block's name to the block's items."""

# Texts come from strangers: every pattern here is linear, by possessive quantifiers where that is needed.
_SIGN = re.compile(r"^[ \t]*+§[ \t\r]*+$", re.MULTILINE)
_MARK = re.compile(r"^(?P<indent>[ \t]*+)(?P<kind>\d{1,9}\.|-|##)[ \t]", re.MULTILINE)
_SECTION = re.compile(r"^(?P<indent>)(?P<kind>##)[ \t]", re.MULTILINE)
_ID = re.compile(
    r"""[\[(]\s*+(?:id|mem\w{0,20})\s*+[:=]\s*+(?P<labelled>[^\s()\[\]]++)\s*+[\])]
    | \[(?P<bare>mem(?:ory)?[_-][\w-]++)\]
    | \[(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\]
    | (?<!\S)id=(?P<assigned>[\w.:/-]++)""",
    re.VERBOSE | re.IGNORECASE,
)
_FILE = re.compile(r"(?:[\w@.+~-]++/)++[\w@.+~-]*\.\w{1,8}(?:#\S*+)?|[\w.+-]+\.(?:md|txt|json)", re.ASCII)
_FIRST_LINE = 1000
"""Characters of an item in which its id or path is looked for."""
_LABEL = re.compile(r"<(?P<name>[A-Za-z_][\w.:-]*+)(?:\s[^<>]*+)?>")
_LABEL_END = re.compile(r"</(?P<name>[A-Za-z_][\w.:-]*+)>")
_FILE_START = re.compile(r"^[ \t]*+--- Context from: (?P<name>\S[^\n]*+)$", re.MULTILINE)
_FILE_END = re.compile(r"^[ \t]*+--- End of Context from: (?P<name>\S[^\n]*+)$", re.MULTILINE)


def split_list(text: str, body: Span, block: str) -> list[Item]:
    """Items set apart by lines with a section sign, else begun by the mark of the first marked line: a
    number, a dash or a heading. What stands before that line introduces the items, and is none."""
    part = text[body.start : body.end]
    signs = list(_SIGN.finditer(part))
    if signs:
        starts, ends = [0, *(sign.end() for sign in signs)], [*(sign.start() for sign in signs), len(part)]
        cut = zip(starts, starts, ends, [*starts[1:], len(part)], strict=True)
        return list(_items(text, body.start, cut, block))
    return _split_marked(text, body, block, _MARK)


def split_sections(text: str, body: Span, block: str) -> list[Item]:
    """Items that begin with second-level headings."""
    return _split_marked(text, body, block, _SECTION)


def split_labelled(text: str, body: Span, block: str) -> list[Item]:
    """Blocks in tags named by their labels, as Letta renders them, of which `<value>` is the memory; a list
    if there are none."""
    items = []
    for label, inner, span in _enclosed(text, body, _LABEL, _LABEL_END):
        start, end = inner.start, inner.end
        value, closing = text.find("<value>", start, end), text.rfind("</value>", start, end)
        if 0 <= value < closing:
            start, end = value + len("<value>"), closing
        if text[start:end].strip():
            items.append((label, trimmed(text, start, end), span))
    return items or split_list(text, body, block)


def split_files(text: str, body: Span, block: str) -> list[Item]:
    """Files between the lines that Gemini CLI puts around them, known by their paths; a list if there are
    none."""
    items = []
    for line, inner, span in _enclosed(text, body, _FILE_START, _FILE_END):
        path = line.rstrip().removesuffix("---").strip()
        if path and text[inner.start : inner.end].strip():
            items.append((path, trimmed(text, inner.start, inner.end), span))
    return items or split_list(text, body, block)


def explicit_key(item: str) -> str:
    """The id or the path that an item gives on its first line; empty if it gives none."""
    line = item[:_FIRST_LINE].lstrip().partition("\n")[0]
    if found := _ID.search(line):
        return found["labelled"] or found["bare"] or found["uuid"] or found["assigned"]
    first = line.partition(" ")[0].strip("`*[]()<>\"':,")
    if "://" in first:
        return ""
    absolute = first.startswith(("/", "~/", "./", "../")) and len(first.strip("./~")) > 1
    return first if absolute or _FILE.fullmatch(first) else ""


def _split_marked(text: str, body: Span, block: str, pattern: re.Pattern[str]) -> list[Item]:
    part = text[body.start : body.end]
    marks = list(pattern.finditer(part))
    if marks:
        marks = [mark for mark in marks if _alike(mark, marks[0])]
    ends = [*(mark.start() for mark in marks[1:]), len(part)]
    cut = ((mark.start(), mark.end(), end, end) for mark, end in zip(marks, ends, strict=False))
    return list(_items(text, body.start, cut, block))


def _alike(mark: re.Match[str], first: re.Match[str]) -> bool:
    """Whether two marks are of one list: those indented otherwise are of a list inside an item."""
    return mark["indent"] == first["indent"] and mark["kind"][-1] == first["kind"][-1]


def _items(text: str, offset: int, cut: Iterator[tuple[int, int, int, int]], block: str) -> Iterator[Item]:
    """From where items begin, where their texts begin and end, and how far they reach."""
    for start, inner_start, inner_end, reach in cut:
        inner = trimmed(text, offset + inner_start, offset + inner_end)
        said = text[inner.start : inner.end]
        if said:
            yield explicit_key(said) or text_key(block, said), inner, Span(offset + start, offset + reach)


def _enclosed(
    text: str, body: Span, opening: re.Pattern[str], closing: re.Pattern[str]
) -> Iterator[tuple[str, Span, Span]]:
    """Name, inside and extent (with its line end) of what stands between an opening and the next closing of
    the same name, whatever other openings stand between. The closings are looked up: a search for each
    opening would be quadratic."""
    ends: dict[str, list[tuple[int, int]]] = {}
    for end in closing.finditer(text, body.start, body.end):
        ends.setdefault(end["name"].rstrip(), []).append(end.span())
    position = body.start
    for begun in opening.finditer(text, body.start, body.end):
        closings = ends.get(begun["name"].rstrip(), [])
        at = bisect_left(closings, (begun.end(), 0))
        if begun.start() < position or at == len(closings):
            continue
        start, position = closings[at]
        if text[position : min(position + 1, body.end)] == "\n":
            position += 1
        yield begun["name"].rstrip(), Span(begun.end(), start), Span(begun.start(), position)
