"""The keys of memscope's screens and widgets, read from their bindings: what each does, what works now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from textual.actions import parse
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import format_key
from textual.screen import Screen

from memscope.tui.keymap import Keymap, with_keymap

_PROMPTS = "Prompts"
_SUBJECTS = {
    "app": "Everywhere",
    "screen": "Screens",
    "session": "The session",
    "cell": "Moving",
    "list": "Moving",
    "branches": _PROMPTS,
    "export": _PROMPTS,
    "help": _PROMPTS,
}
"""What a binding is about, by the first word of its id; any other word is the name of a screen."""


@dataclass(frozen=True)
class Command:
    """What can be done on a screen: `keys` do `binding`'s action on `node`, if it `works` now. No key is left
    where something nearer to the focus takes them all."""

    node: DOMNode
    binding: Binding
    keys: tuple[str, ...]
    works: bool

    @property
    def subject(self) -> str:
        """What it is about."""
        return subject_of(self.binding)

    async def run(self) -> None:
        """Do it."""
        await self.node.app.run_action(self.binding.action, self.node)


def bindings_of(node: type[DOMNode]) -> Iterator[Binding]:
    """The bindings of a class and of memscope's classes that it inherits from, one for each key; its own
    come first."""
    for owner in node.__mro__:
        if owner.__module__.startswith("memscope."):
            yield from Binding.make_bindings(owner.__dict__.get("BINDINGS", ()))


def commands_of(screen: Screen[Any], keymap: Keymap) -> list[Command]:
    """What can be done on a screen, what is nearest to its focus first, with the user's keys."""
    commands: list[Command] = []
    taken: set[str] = set()
    for node in _chain(screen):
        keys_of: dict[str, tuple[Binding, list[Binding]]] = {}
        here: set[str] = set()
        for binding in with_keymap(bindings_of(type(node)), keymap):
            _, pressed = keys_of.setdefault(binding.action, (binding, []))
            if binding.key not in taken | here:
                pressed.append(binding)
            here.add(binding.key)
        for binding, pressed in keys_of.values():
            works = _works(node, binding.action)
            names = tuple(key_name(each.key) for each in pressed)
            commands.append(Command(node, binding, names, works))
            if works:
                # What does not work now leaves its keys to what is further from the focus.
                taken.update(each.key for each in pressed)
    return commands


def clashes(screen: Screen[Any], keymap: Keymap) -> Iterator[str]:
    """Sentences about keys that the user gave to one thing on a screen and that also do another there."""
    if not keymap:
        return
    outer: tuple[DOMNode, ...] = (screen, screen.app)
    widgets = [node for node in screen.query("*") if node.can_focus]
    for node in (*outer, *widgets):
        mine, mine_before = _keyed(node, keymap), _keyed(node, {})
        for other in (node, *(each for each in outer if each is not node)):
            theirs, theirs_before = _keyed(other, keymap), _keyed(other, {})
            for id_ in sorted(mine.keys() | theirs.keys()):
                for rival in sorted(theirs.keys() - {id_}):
                    if id_ in keymap or rival in keymap:
                        meant = mine_before.get(id_, set()) & theirs_before.get(rival, set())
                        for key in sorted(mine.get(id_, set()) & theirs[rival] - meant):
                            first, second = sorted((id_, rival))
                            yield f"The key {key} is both {first} and {second}: change [keys] in config.toml."


def all_bindings() -> list[Binding]:
    """Every binding of every screen and widget that has been imported, by subject, each with all its keys."""
    found: dict[str, Binding] = {}
    for each in _classes():
        for binding in each.__dict__.get("BINDINGS", ()):
            if isinstance(binding, Binding) and binding.id is not None:
                found.setdefault(binding.id, binding)
    general = [subject for subject in dict.fromkeys(_SUBJECTS.values()) if subject != _PROMPTS]
    ranks = {subject: place for place, subject in enumerate(general)} | {_PROMPTS: 99}
    return sorted(found.values(), key=lambda one: (ranks.get(subject_of(one), 98), subject_of(one)))


def keys_in_force(keymap: Keymap) -> dict[str, str]:
    """By the ids of bindings the key that does each, as it is shown: the first of the user's or of its own.
    What lost its keys to others has none."""
    keys: dict[str, str] = {}
    for each in _classes():
        for binding in with_keymap(Binding.make_bindings(each.__dict__.get("BINDINGS", ())), keymap):
            keys.setdefault(binding.id or "", key_name(binding.key))
    return keys


def _classes() -> list[type[DOMNode]]:
    """Every screen and widget of memscope that has been imported, in the order of their names."""
    classes: list[type[DOMNode]] = []
    todo: list[type[DOMNode]] = [DOMNode]
    for each in todo:
        todo += each.__subclasses__()
        if each.__module__.startswith("memscope.") and each not in classes:
            classes.append(each)
    return sorted(classes, key=lambda one: (one.__module__, one.__name__))


def _keyed(node: DOMNode, keymap: Keymap) -> dict[str, set[str]]:
    """The keys of a node's bindings by their ids."""
    keyed: dict[str, set[str]] = {}
    for binding in bindings_of(type(node)):
        if binding.id is not None:
            keyed.setdefault(binding.id, set()).update(keymap.get(binding.id, (binding.key,)))
    return keyed


def key_name(key: str) -> str:
    """How a key is shown: `^p`, `?`, `pgup`."""
    *modifiers, name = key.split("+")
    shown = format_key(name)
    if "ctrl" in modifiers:
        modifiers.remove("ctrl")
        shown = f"^{shown}"
    return "+".join([*modifiers, shown])


def subject_of(binding: Binding) -> str:
    """What a binding is about, in a word or two."""
    word = (binding.id or "").partition(".")[0]
    return _SUBJECTS.get(word) or word.capitalize()


def _chain(screen: Screen[Any]) -> Iterable[DOMNode]:
    """From the focused widget to the app."""
    return (screen if screen.focused is None else screen.focused).ancestors_with_self


def _works(node: DOMNode, action: str) -> bool:
    namespace, name, parameters = parse(action)
    target = {"app": node.app, "screen": node.screen}.get(namespace, node)
    return bool(target.check_action(name, parameters))
