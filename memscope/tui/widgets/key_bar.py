"""The footer: the keys that work now, the most important first, as many as fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len
from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from memscope.tui.keys import bindings_of

_LAST = ("help", "command_palette")
"""What always stands at the end, by the names of the actions."""
_GAP = 2


class KeyBar(Widget):
    """One line; a click on a key presses it. A screen may name the ids of bindings that come first in a class
    attribute `IMPORTANT`."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    KeyBar {
        dock: bottom;
        height: 1;
        padding: 0 1;
        background: $footer-background;
        color: $footer-description-foreground;
        text-wrap: nowrap;
        text-overflow: clip;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._bindings_shown: tuple[tuple[str, Binding], ...] = ()
        self._places: list[tuple[int, int, Binding]] = []

    def on_mount(self) -> None:
        """Follow what works."""
        self.screen.bindings_updated_signal.subscribe(self, self._follow)

    def render(self) -> Content:
        """Keys from the left; help and commands at the right."""
        last = [each for each in self._bindings_shown if _name(each[1]) in _LAST]
        first = [each for each in self._bindings_shown if _name(each[1]) not in _LAST]
        width = self.size.width
        while last and _width(last) > width:
            last.pop()
        room = width - _width(last) - (_GAP if last else 0)
        fitting: list[tuple[str, Binding]] = []
        for each in first:
            if _width([*fitting, each]) > room:
                break
            fitting.append(each)
        self._places = []
        left = self._drawn(fitting, 0)
        pad = width - _width(last) - left.cell_length
        return left + Content(" " * max(0, pad)) + self._drawn(last, width - _width(last))

    def on_click(self, event: events.Click) -> None:
        """Press the key under the mouse."""
        binding = self._at(event)
        if binding is not None:
            self.app.simulate_key(binding.key)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Tell in full what the key under the mouse does."""
        binding = self._at(event)
        tooltip = None if binding is None else Content(binding.tooltip or binding.description)
        if str(tooltip) != str(self.tooltip):
            self.tooltip = tooltip

    def _at(self, event: events.MouseEvent) -> Binding | None:
        offset = event.get_content_offset(self)
        x = -1 if offset is None else offset.x
        return next((binding for start, end, binding in self._places if start <= x < end), None)

    def _follow(self, screen: Screen[Any]) -> None:
        if screen is not self.screen or not self.is_attached:
            return
        shown: dict[str, tuple[str, Binding]] = {}
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled and binding.action not in shown:
                shown[binding.action] = self.app.get_key_display(binding), binding
        first = [*getattr(screen, "IMPORTANT", ()), *self._own_first(screen)]
        ranks = {id_: rank for rank, id_ in reversed(list(enumerate(first)))}
        ordered = sorted(shown.values(), key=lambda each: ranks.get(each[1].id or "", len(first)))
        ordered.sort(key=lambda each: _LAST.index(_name(each[1])) if _name(each[1]) in _LAST else -1)
        if tuple(ordered) != self._bindings_shown:
            self._bindings_shown = tuple(ordered)
            self.refresh()

    def _own_first(self, screen: Screen[Any]) -> Iterator[str]:
        """Ids from the focus outwards, those of a class before those that it inherits."""
        for node in (screen if screen.focused is None else screen.focused).ancestors_with_self:
            yield from (binding.id or "" for binding in bindings_of(type(node)))

    def _drawn(self, keys: list[tuple[str, Binding]], start: int) -> Content:
        line = Content()
        for key, binding in keys:
            if line.cell_length:
                line += Content(" " * _GAP)
            begin = start + line.cell_length
            line += Content.assemble((key, "bold $footer-key-foreground"), f" {binding.description}")
            self._places.append((begin, start + line.cell_length, binding))
        return line


def _name(binding: Binding) -> str:
    return binding.action.rpartition(".")[2]


def _width(keys: list[tuple[str, Binding]]) -> int:
    widths = [cell_len(f"{key} {binding.description}") for key, binding in keys]
    return sum(widths) + _GAP * max(0, len(widths) - 1)
