"""The user's own keys: the table `[keys]` of config.toml, from the ids of bindings to keys."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from textual.binding import Binding
from textual.keys import Keys, key_to_character

from memscope.errors import InputError
from memscope.settings import config_path, configured
from memscope.tui.safe import one_line

Keymap = Mapping[str, tuple[str, ...]]
"""The keys of the bindings with these ids, in place of their own."""

_MODIFIERS = frozenset({"ctrl", "alt", "shift", "super", "hyper", "meta"})
_NAMES = frozenset(key.value.rpartition("+")[2] for key in Keys)


def read_keymap(ids: Collection[str]) -> Keymap:
    """The user's keys. Raises InputError that names ids which no binding has, and keys that can't be."""
    table = configured("keys")
    if table is None:
        return {}
    where = f"{config_path()}: `[keys]`"
    if not isinstance(table, dict):
        raise InputError(f'{where} must be a table such as `"session.score" = "s,S"`.')
    keymap: dict[str, tuple[str, ...]] = {}
    for id_, keys in _flat(table):
        if id_ not in ids:
            near = difflib.get_close_matches(id_, ids, 1)
            meant = f"; did you mean {near[0]}?" if near else "; the README lists them all."
            raise InputError(f"{where} names `{one_line(id_)}`, but no key has that id{meant}")
        names = [name.strip() for name in keys.split(",")] if isinstance(keys, str) else []
        wrong = [name for name in names if not _possible(name)]
        if wrong or not names:
            shown = one_line(", ".join(wrong)) if names else "that"
            raise InputError(
                f"{where}, `{id_}`: `{shown}` is no key; write keys such as s, S, f5, ctrl+t or space, "
                "with commas between them."
            )
        keymap[id_] = tuple(dict.fromkeys(_normal(name) for name in names))
    return keymap


def with_keymap(bindings: Iterable[Binding], keymap: Keymap) -> Iterator[Binding]:
    """The bindings of one class, one for each key, with the user's keys in place of their own; a key that the
    user gave away does nothing else there."""
    bindings = list(bindings)
    given = {key for binding in bindings for key in keymap.get(binding.id or "", ())}
    seen: set[str | None] = set()
    for binding in bindings:
        keys = keymap.get(binding.id or "")
        if keys is not None:
            if binding.id not in seen:
                seen.add(binding.id)
                yield from (replace(binding, key=key, key_display=None) for key in keys)
        elif binding.key not in given:
            yield binding


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Also `session.score = "s"` without quotes, which TOML reads as a table in a table."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def _normal(key: str) -> str:
    """The name that Textual gives to a key: `/` is `slash`."""
    return next(iter(Binding.make_bindings([Binding(key, "")]))).key


def _possible(key: str) -> bool:
    *modifiers, name = key.split("+") if len(key) > 1 else [key]
    if not name or not _MODIFIERS.issuperset(modifiers):
        return False
    if len(name) == 1:
        return name.isprintable()
    return name in _NAMES or key_to_character(name) is not None
