"""Where memories stand inside an entry's text: what programs write around them, and the user's own rules."""

from collections.abc import Iterable

from memscope.conversation.model import Entry, Memory
from memscope.conversation.rules.base import Found, Passage, Rule
from memscope.conversation.rules.blocks import Blocks
from memscope.conversation.rules.finder import Finder
from memscope.conversation.rules.tools import ToolResults
from memscope.settings import config_path, configured

__all__ = [
    "HOW_TO_MARK",
    "PACK",
    "Finder",
    "Found",
    "Passage",
    "Rule",
    "find_memories",
    "load_rules",
]

PACK: tuple[Rule, ...] = (Blocks(), ToolResults())
"""The rules that memscope brings."""

HOW_TO_MARK = (
    "A memory is what the agent was reminded of: a line with a `memory_key` in the log, or "
    '<memory key="...">...</memory> in a system message or at the start of a user or tool message, or what '
    "[[memory_rules]] in the configuration find."
)
"""What to tell someone whose conversation holds none."""


def load_rules() -> tuple[Rule, ...]:
    """The user's own rules, then those that memscope brings. Raises InputError for a rule that can't be."""
    tables = configured("memory_rules")
    if tables is None:
        return PACK
    from memscope.conversation.rules.user import read_rules  # its pattern library takes time to import

    return (*read_rules(tables, str(config_path())), *PACK)


def find_memories(entries: Iterable[Entry], rules: tuple[Rule, ...] = PACK) -> tuple[Memory, ...]:
    """The memories of a conversation: entries that are one, and spans inside other entries."""
    return Finder(rules).find(entries)
