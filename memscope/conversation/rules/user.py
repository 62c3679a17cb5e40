"""The user's own memory rules, from `[[memory_rules]]` in the configuration file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec
import regex

from memscope.conversation.model import Role, Span
from memscope.conversation.rules.base import Found, Passage, given_key, text_key, trimmed
from memscope.conversation.rules.json_spans import Path, documents, left_out, parse_path, select
from memscope.errors import InputError


class _PatternTable(msgspec.Struct, forbid_unknown_fields=True):
    """A rule as it stands in the file: a pattern for texts."""

    name: str
    pattern: str
    roles: list[Literal["system", "user", "tool"]] = msgspec.field(
        default_factory=lambda: ["system", "user", "tool"]
    )


class _ToolTable(msgspec.Struct, forbid_unknown_fields=True):
    """A rule as it stands in the file: paths into a tool's JSON results."""

    name: str
    tool: str
    items: str = ""
    key: str | None = None
    text: str = ""


@dataclass(frozen=True)
class PatternRule:
    """Every match of a pattern is a memory: its group `text`, known by the group `key` if that matched."""

    name: str
    pattern: "regex.Pattern[str]"
    roles: frozenset[Role]

    def find(self, passage: Passage, seconds: float) -> Iterator[Found]:
        """The matches. Raises TimeoutError: a pattern can take time exponential in a text's length."""
        if passage.role not in self.roles:
            return
        for match in self.pattern.finditer(passage.text, timeout=seconds):
            inner = Span(*match.span("text"))
            said = match["text"]
            if said and said.strip():
                key = (match.groupdict().get("key") or "").strip()
                yield Found(key or text_key(self.name, said.strip()), inner, Span(*match.span()), self.name)


@dataclass(frozen=True)
class ToolRule:
    """Values in the JSON that a tool gives; a path that leads nowhere finds nothing."""

    name: str
    tool: str
    items: Path
    key: Path | None
    text: Path

    def find(self, passage: Passage, seconds: float) -> Iterator[Found]:
        """The items that say something."""
        if passage.role is not Role.TOOL or not fnmatchcase(passage.tool, self.tool):
            return
        text, position = passage.text, 0
        for node in documents(text):
            for item in select(text, node, self.items):
                said = next(select(text, item, self.text), None)
                inner = trimmed(text, said.inside.start, said.inside.end) if said else Span(0, 0)
                if said is None or said.value in (None, [], {}) or inner.start == inner.end:
                    continue
                named = None if self.key is None else next(select(text, item, self.key), None)
                key = given_key(named.value) if named else ""
                span = left_out(item, position)
                position = span.end
                yield Found(key or text_key(self.name, text[inner.start : inner.end]), inner, span, self.name)


def read_rules(tables: Any, where: str) -> tuple[PatternRule | ToolRule, ...]:
    """The rules that the configuration `where` holds as `memory_rules`, in their order.

    Raises InputError, one sentence that names the file and the rule.
    """
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError(f"{where}: `memory_rules` must be tables, each begun by [[memory_rules]].")
    return tuple(
        _rule(table, f"{where}: memory rule {_title(table, n)}") for n, table in enumerate(tables, 1)
    )


def _title(table: Mapping[str, Any], number: int) -> str:
    name = table.get("name")
    return repr(name) if isinstance(name, str) and name.strip() else str(number)


def _rule(table: Mapping[str, Any], where: str) -> PatternRule | ToolRule:
    if ("pattern" in table) == ("tool" in table):
        raise InputError(f"{where} must have either a `pattern` or a `tool`.")
    try:
        if "pattern" in table:
            return _pattern_rule(msgspec.convert(table, _PatternTable), where)
        return _tool_rule(msgspec.convert(table, _ToolTable), where)
    except msgspec.ValidationError as error:
        raise InputError(f"{where} can't be used: {error}.") from error


def _pattern_rule(table: _PatternTable, where: str) -> PatternRule:
    try:
        pattern = regex.compile(table.pattern)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        raise InputError(f"{where} has a `pattern` that can't be compiled: {error}.") from error
    if "text" not in pattern.groupindex:
        raise InputError(f"{where} has a `pattern` without the group (?P<text>...), which says the memory.")
    return PatternRule(_named(table.name, where), pattern, frozenset(Role(role) for role in table.roles))


def _tool_rule(table: _ToolTable, where: str) -> ToolRule:
    def path(name: str, given: str) -> Path:
        steps = parse_path(given)
        if steps is None:
            raise InputError(f"{where}: `{name}` is {given!r}; it must be a path such as a.b[*].c or [0].")
        return steps

    key = None if table.key is None else path("key", table.key)
    name = _named(table.name, where)
    return ToolRule(name, table.tool, path("items", table.items), key, path("text", table.text))


def _named(name: str, where: str) -> str:
    if not name.strip():
        raise InputError(f"{where} needs a `name`.")
    return name
