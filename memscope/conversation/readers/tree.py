"""Records that name their parents: the path to a leaf is a conversation, every other leaf a branch of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from memscope.conversation.model import Branch, Entry, Role

T = TypeVar("T")
_TITLE = 60
"""Characters of a branch's title."""


@dataclass
class Tree(Generic[T]):
    """Items by id, each with the id of the one before it; parents may come after their children, and an item
    that comes again under its id replaces the one before."""

    _items: dict[str, T] = field(default_factory=dict)
    _parents: dict[str, str | None] = field(default_factory=dict)
    _aliases: dict[str, str] = field(default_factory=dict)

    def add(self, id_: str, parent: str | None, item: T, aliases: tuple[str, ...] = ()) -> None:
        """Take one item; children may also name it by one of its `aliases`."""
        self._items[id_] = item
        self._parents[id_] = parent
        self._aliases |= dict.fromkeys(aliases, id_)

    def path(self, leaf: str) -> list[T]:
        """The items from the root to `leaf`. It begins where a parent is not known, or would come twice."""
        items, seen = [], set()
        at: str | None = self._known(leaf)
        while at is not None and at not in seen:
            seen.add(at)
            items.append(self._items[at])
            at = self._known(self._parents[at])
        return items[::-1]

    def leaves(self) -> list[str]:
        """The ids that no item names as its parent, in the order in which they came first; the last one is
        where the conversation went on."""
        named = {self._known(parent) for id_, parent in self._parents.items() if parent != id_}
        return [id_ for id_ in self._items if id_ not in named] or list(self._items)[-1:]

    def _known(self, id_: str | None) -> str | None:
        if id_ is None or id_ in self._items:
            return id_
        return self._aliases.get(id_)


@dataclass(frozen=True)
class Forked:
    """The `entries` of the branch that was read, its id, and all `branches`; the latter two only where there
    are several."""

    entries: list[Entry]
    branch: str = ""
    branches: tuple[Branch, ...] = ()


def read_branch(
    tree: Tree[T], entries_of: Callable[[Sequence[T]], list[Entry]], branch: str | None
) -> Forked:
    """The branch of that id, else the live one: the last whose path has entries."""
    read = {leaf: found for leaf in tree.leaves() if (found := entries_of(tree.path(leaf)))}
    if not read:
        return Forked([])
    chosen = branch if branch in read else list(read)[-1]
    if len(read) == 1:
        return Forked(read[chosen])
    branches = tuple(Branch(leaf, branch_title(entries), len(entries)) for leaf, entries in read.items())
    return Forked(read[chosen], chosen, branches)


def branch_title(entries: Sequence[Entry]) -> str:
    """What a branch is called: what the user said last in it."""
    asked = next((entry.text for entry in reversed(entries) if entry.role is Role.USER), "")
    return " ".join(asked.split())[:_TITLE]
