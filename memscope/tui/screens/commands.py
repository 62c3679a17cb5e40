"""Textual's palette of commands, made to bear keys that come faster than it is drawn."""

from __future__ import annotations

from textual import on
from textual.command import CommandList, CommandPalette
from textual.message import Message
from textual.widgets import Input, OptionList


class CommandsScreen(CommandPalette):
    """Does one command, once: keys of a slow connection or an impatient user come several at a time."""

    _chosen = False

    @on(OptionList.OptionSelected)
    @on(Input.Submitted)
    def _choose_once(self, event: Message) -> None:
        """What was chosen closes the palette; whatever is chosen before that is seen is left aside."""
        if self._chosen:
            event.stop()
            event.prevent_default()
        self._chosen |= isinstance(event, OptionList.OptionSelected)

    def _action_command_list(self, action: str) -> None:
        """There is nothing to page through before the list is laid out."""
        if self.query_one(CommandList).size or not action.startswith("page"):
            super()._action_command_list(action)
