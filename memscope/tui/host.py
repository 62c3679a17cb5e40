"""The app as every screen may use it: the user's keys and colours, what is kept, copies, notifications."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from textual.app import App
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.theme import Theme, ThemeProvider

from memscope.errors import InputError
from memscope.settings import config_path, configured, setting
from memscope.tui.keymap import read_keymap
from memscope.tui.keys import Command, all_bindings, clashes, commands_of, keys_in_force
from memscope.tui.picture import svg
from memscope.tui.safe import one_line, printable
from memscope.tui.screens.commands import CommandsScreen
from memscope.tui.screens.export import ExportScreen
from memscope.tui.state import State, state_path
from memscope.tui.theme import DARK, LIGHT

_NO_KEY = "(no key)"
"""Named where the user has given all keys to something else."""
_CLIPBOARD = 100_000
"""Characters that are copied at most: many terminals drop what is longer."""
_SEEN, _UNSEEN = 6.0, 600.0
"""Seconds for which a notification stays, and if the terminal has not the focus."""


class Host(App[None]):
    """An app with the user's settings."""

    def __init__(self) -> None:
        """Raises InputError that names the setting which can't be used."""
        super().__init__()
        self.keymap = read_keymap({binding.id or "" for binding in all_bindings()})
        self.set_keymap({id_: ",".join(keys) for id_, keys in self.keymap.items()})
        self._keys = keys_in_force(self.keymap)
        self._bell = configured("bell")
        if self._bell not in (None, True, False):
            raise InputError(f"{config_path()}: `bell` must be true or false.")
        self.state = State(state_path())
        self._told: dict[str, float] = {}
        """When the last notification about something goes."""
        self._clashes: set[str] = set()
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = self._last_theme = self._first_theme()

    def on_mount(self) -> None:
        """Textual calls this beside the `on_mount` of the app itself."""
        self.theme_changed_signal.subscribe(self, self._keep_theme)
        if self.keymap:
            self.screen_change_signal.subscribe(self, self._look_for_clashes)
            self._look_for_clashes(self.screen)

    def commands(self, screen: Screen[Any]) -> list[Command]:
        """What can be done on a screen, with the user's keys."""
        return commands_of(screen, self.keymap)

    def key(self, id_: str) -> str:
        """The key to name in a text, as it is shown, for what has this id."""
        return self._keys.get(id_, _NO_KEY)

    def tell(self, about: str, sentence: str, *, severity: SeverityLevel = "information") -> None:
        """Notify the user, in place of what was last said about the same thing."""
        now = time.monotonic()
        if self._told.get(about, 0.0) > now:
            self.clear_notifications()
        stays = _SEEN if self.app_focus else _UNSEEN
        self._told[about] = now + stays
        self.notify(one_line(sentence), severity=severity, timeout=stays, markup=False)

    def ring(self) -> None:
        """Ring the terminal's bell, if the user wants that."""
        if self._bell:
            self.bell()

    def copy(self, what: str, make: Callable[[], str]) -> None:
        """Copy the text that a thread makes to the clipboard of the terminal, and say what that was."""

        async def copy() -> None:
            text = await asyncio.to_thread(lambda: printable(make()))
            cut = f"the first {_CLIPBOARD:,} of " if len(text) > _CLIPBOARD else ""
            self.copy_to_clipboard(text[:_CLIPBOARD])
            self.tell("copied", f"Copied {what}: {cut}{len(text):,} characters")

        self.run_worker(copy(), group="copy", exclusive=True, exit_on_error=False)

    def ask_for_picture(self) -> None:
        """Ask where to save the screen as SVG."""

        def refuse(path: Path) -> Callable[[], None]:
            raise InputError(f"{path.name}: a picture of the screen ends in .svg.")

        name = Path(f"memscope-{self.current_mode}.svg")
        self.push_screen(ExportScreen("Save a picture", "The screen as SVG.", name, refuse))

    def save_picture(self, path: Path) -> None:
        """Save the screen as SVG, once it is drawn again, and say where."""

        # Only here, because the first paint does not need it.
        from memscope.export import write_file

        async def write(drawing: str) -> None:
            try:
                await asyncio.to_thread(write_file, path, drawing.encode())
            except InputError as error:
                self.tell("picture", str(error), severity="error")
            else:
                self.tell("picture", f"Wrote {path}")

        def draw() -> None:
            self.run_worker(write(svg(self)), group="picture", exit_on_error=False)

        self.call_after_refresh(draw)

    def action_command_palette(self) -> None:
        """Show what can be done."""
        if not isinstance(self.screen, CommandsScreen):
            self.push_screen(CommandsScreen())

    def search_themes(self) -> None:
        """Show the themes."""
        self.push_screen(CommandsScreen([ThemeProvider], placeholder="Search for themes…"))

    def save_state(self) -> None:
        """Write what is kept, if it has changed, without waiting for that."""
        if self.state.changed:
            self.run_worker(self.state.save, group="state", exclusive=True, thread=True, exit_on_error=False)

    def _first_theme(self) -> str:
        """The theme of the settings, else that of the last time, if there is one of that name."""
        asked = setting("theme")
        if asked is not None and asked not in self.available_themes:
            names = ", ".join(sorted(self.available_themes))
            raise InputError(
                f"The theme {one_line(asked)!r} in the settings is unknown; choose one of {names}."
            )
        kept = self.state.text("theme")
        return asked or (kept if kept in self.available_themes else DARK.name)

    def _keep_theme(self, theme: Theme) -> None:
        if theme.name != self._last_theme:
            self._last_theme = theme.name
            self.state.keep("theme", theme.name)
            self.save_state()

    def _look_for_clashes(self, screen: Screen[object]) -> None:
        """Tell once of keys that the user gave to two things."""

        def look() -> None:
            new = set(self._clashing(screen)) - self._clashes
            if new:
                self._clashes |= new
                self.tell("keys", " ".join(sorted(new)), severity="warning")

        self.call_after_refresh(look)

    def _clashing(self, screen: Screen[Any]) -> Iterator[str]:
        if screen.is_attached:
            yield from clashes(screen, self.keymap)
