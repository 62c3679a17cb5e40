"""Records that name their parents: the path to a leaf is a conversation, every other leaf a branch of it."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from memscope.conversation.model import Branch, Entry, Role
from memscope.conversation.readers.base import title_from

T = TypeVar("T")


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

    def tips(self, saying: Container[str]) -> dict[str, str]:
        """Of the ids in `saying` those that none of them comes after, in the order in which they came first,
        each with the leaf below it that came last; without any, the leaves."""
        named = {self._nearest(self._parents[id_], saying) for id_ in self._items if id_ in saying}
        ends = {id_: id_ for id_ in self._items if id_ in saying and id_ not in named}
        for leaf in self.leaves():
            tip = self._nearest(leaf, saying)
            if tip in ends:
                ends[tip] = leaf
        return ends or {leaf: leaf for leaf in self.leaves()}

    def _nearest(self, id_: str | None, saying: Container[str]) -> str | None:
        """The item itself or the nearest one before it that is in `saying`."""
        seen = set()
        at = self._known(id_)
        while at is not None and at not in saying and at not in seen:
            seen.add(at)
            at = self._known(self._parents[at])
        return at if at is not None and at in saying else None

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
    tree: Tree[T],
    entries_of: Callable[[Sequence[T]], list[Entry]],
    branch: str | None,
    saying: Container[str] | None = None,
    aside: Mapping[str, Sequence[T]] | None = None,
) -> Forked:
    """The branch of that id, else the live one: the last whose path has entries.

    Where `saying` names the items that say something, only those end a branch. `aside` are further paths by
    id, side chains, that are branches as well but never live.
    """
    tips = {leaf: leaf for leaf in tree.leaves()} if saying is None else tree.tips(saying)
    read = {tip: found for tip, leaf in tips.items() if (found := entries_of(tree.path(leaf)))}
    if not read:
        return Forked([])
    chosen = next(reversed(read))
    branches = [Branch(tip, branch_title(entries), len(entries)) for tip, entries in read.items()]
    for tip, path in (aside or {}).items():
        if entries := entries_of(path):
            read[tip] = entries
            branches.append(Branch(tip, f"side chain: {branch_title(entries)}", len(entries)))
    chosen = branch if branch in read else chosen
    return Forked(read[chosen], chosen, tuple(branches)) if len(read) > 1 else Forked(read[chosen])


def branch_title(entries: Sequence[Entry]) -> str:
    """What a branch is called: what the user said last in it."""
    said = (entry.text for entry in reversed(entries) if entry.role is Role.USER and entry.memory_key is None)
    return title_from(next(said, ""))
