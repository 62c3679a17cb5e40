"""The Transcript screen: the conversation as a tree, with what each response was made of."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import ClassVar

import numpy as np
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input

from memscope.tui.opened import Opened
from memscope.tui.safe import one_line
from memscope.tui.screens.base import Copied, SessionScreen
from memscope.tui.theme import Palette
from memscope.tui.transcript.nodes import Kind
from memscope.tui.transcript.texts import role_of, text_of
from memscope.tui.widgets.key_bar import KeyBar
from memscope.tui.widgets.line import Line
from memscope.tui.widgets.transcript_view import TranscriptView
from memscope.tui.wording import (
    NO_ENTRIES,
    READ_TRANSCRIPT,
    cell_sentence,
    compact,
    memories_text,
    response_text,
    response_title,
    weight_words,
)

_AT_ONCE = 2000
"""Entries that are searched before keys are looked at again."""


class TranscriptScreen(SessionScreen[None]):
    """Read the conversation, unfold what is of interest, go to the matrix from any of its scores."""

    CSS = """
    TranscriptScreen {
        #head { height: 1; background: $surface; }
        #title { width: 1fr; }
        #follow { width: auto; color: $success; text-style: bold; }
        #follow.-paused { color: $warning; }
        #transcript { height: 1fr; }
        #sentence { color: $foreground 75%; }
        #find { display: none; height: 1; border: none; padding: 0 1; background: $surface; }
    }
    """
    HELP_TEXT: ClassVar[str] = READ_TRANSCRIPT
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "slash",
            "find",
            "Find",
            id="transcript.find",
            key_display="/",
            tooltip="Find words in keys, texts, thinking and calls",
        ),
        Binding(
            "escape",
            "end_find_or_dismiss",
            "End",
            id="transcript.end_find",
            tooltip="End the search; without one, let go of the failures shown",
        ),
    ]

    def __init__(self, opened: Opened) -> None:
        super().__init__(opened)
        self._shown_cell = opened.cell
        """The session's cell when it was last followed, here or there."""
        self._searching = False

    def compose(self) -> ComposeResult:
        """Everything that the first paint shows."""
        with Horizontal(id="head"):
            yield Line(id="title")
            yield Line(id="follow")
        yield TranscriptView(self.view, self.palette, id="transcript")
        yield Line(id="sentence")
        yield Input(placeholder="words in keys, texts, thinking and calls", id="find", compact=True)
        yield self.activity_bar()
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin at the response that the user looks at."""
        self._transcript.focus()
        self.show_state()
        if self.view.matrix.responses:
            self.call_after_refresh(self._show_response, self.opened.cell[1])

    def show_rows(self, memories: frozenset[int], *, order_changed: bool) -> None:
        """Draw the values that have changed."""
        alone = [memory for memory in sorted(memories) if not self.view.is_set(memory)]
        if alone:
            self._transcript.show_rows(alone)
            self._say()

    def show_all(self, palette: Palette) -> None:
        """Draw everything anew."""
        self._transcript.use(palette)
        self._say()

    def show_conversation(self, palette: Palette) -> None:
        """Take in what has come; the view stays where it is, or at the end."""
        self._transcript.show_conversation(palette)
        self.show_state()
        self.refresh_bindings()

    def show_state(self) -> None:
        """Say which conversation this is, and what is going on."""
        opened, conversation = self.opened, self.view.conversation
        parts = [
            one_line(conversation.source.title),
            f"{len(conversation.entries):,} entries",
            f"{conversation.contexts:,} contexts" if conversation.contexts > 1 else "",
            f"{len(conversation.memories):,} memories",
            f"{len(conversation.responses):,} responses",
        ]
        self.line("title").say(
            Content.assemble(("memscope", "bold $primary"), "  ", " · ".join(filter(None, parts)))
        )
        self.line("follow").say(opened.follow_state)
        self.line("follow").display = opened.following is not None
        self.line("follow").set_class(opened.follow_state.startswith("PAUSED"), "-paused")
        self.bar.say(opened.problem or opened.idle)
        self._say()

    def show_cell(self, memory: int, response: int) -> None:
        """Go to a cell that another screen has gone to; otherwise stay."""
        if (memory, response) != self._shown_cell and response < self.view.matrix.shape[1]:
            self._show_response(response)

    def on_transcript_view_moved(self) -> None:
        """The session's cell is what is under the cursor."""
        memory, response = self._transcript.cell
        before = self.opened.cell
        self.opened.cell = self._shown_cell = (
            before[0] if memory is None else memory,
            before[1] if response is None else response,
        )
        self._say()

    def on_transcript_view_chosen(self, message: TranscriptView.Chosen) -> None:
        """Show a cell in the matrix."""
        memory = self.opened.cell[0] if message.memory is None else message.memory
        self._shown_cell = memory, message.response
        self.memscope.show_cell(memory, message.response)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Go to the first that is found from the cursor on."""
        self._close_find_line()
        words = one_line(message.value)
        if words:
            self.run_worker(self._find(words), group="finding", exclusive=True, exit_on_error=False)

    def on_key(self, event: events.Key) -> None:
        """Escape leaves the find line."""
        if event.key == "escape" and isinstance(self.focused, Input):
            event.stop()
            self._close_find_line()

    @property
    def can_copy(self) -> bool:
        """Whether there is an entry under the cursor."""
        return bool(self.view.conversation.entries)

    def copied(self) -> Copied | None:
        """The text under the cursor: of an entry, a thought, a call or a memory; else the line in words."""
        if not self.can_copy:
            return None
        conversation, spot = self.view.conversation, self._transcript.spot
        entry, part = conversation.entries[spot.entry], spot.part
        match part.kind:
            case Kind.ENTRY:
                return f"entry {spot.entry}", partial(response_text, entry)
            case Kind.THINKING | Kind.CALL:
                return f"part of entry {spot.entry}", partial(text_of, entry, part)
            case Kind.MEMORY:
                return "the memory", partial(memories_text, conversation, (part.number,))
        said = self._said_of_line()
        return "the line", lambda: said

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what works now is shown and bound."""
        if action == "find":
            return bool(self.view.conversation.entries)
        if action == "end_find_or_dismiss":
            return self._is_finding or super().check_action("dismiss_failures", ())
        return super().check_action(action, parameters)

    def action_find(self) -> None:
        """Type what to look for."""
        line = self.query_one("#find", Input)
        line.display = True
        self.set_focus(line)

    def action_end_find_or_dismiss(self) -> None:
        """End the search; without one, let go of the failures shown."""
        if self._is_finding:
            self.workers.cancel_group(self, "finding")
            self._searching = False
            self._transcript.find(None)
            self._say()
            self.refresh_bindings()
        else:
            self.action_dismiss_failures()

    async def _find(self, words: str) -> None:
        """Look everywhere, in parts so that keys are answered meanwhile."""
        finder = self._transcript.finder_for(words)
        self._searching = True
        self.refresh_bindings()
        for first in range(0, len(self.view.conversation.entries), _AT_ONCE):
            finder.look(first, first + _AT_ONCE)
            await asyncio.sleep(0)
        self._searching = False
        self._transcript.find(finder)
        self._transcript.show_found(1, here=True)
        self._say()
        self.refresh_bindings()

    @property
    def _transcript(self) -> TranscriptView:
        return self.query_one(TranscriptView)

    @property
    def _is_finding(self) -> bool:
        return self._searching or (self.is_composed and self._transcript.finder is not None)

    def _show_response(self, response: int) -> None:
        self._transcript.go_to(self.view.matrix.responses[response])

    def _close_find_line(self) -> None:
        line = self.query_one("#find", Input)
        line.value, line.display = "", False
        self._transcript.focus()

    def _say(self) -> None:
        self.line("sentence").say(" · ".join(filter(None, [self._said_of_search(), self._said_of_line()])))

    def _said_of_search(self) -> str:
        finder = self._transcript.finder
        if finder is None:
            return ""
        if not finder.found:
            return f"nothing holds “{finder.words}”"
        return f"{finder.place(self._transcript.spot):,} of {len(finder.found):,} with “{finder.words}”"

    def _said_of_line(self) -> str:
        """What is under the cursor, in words."""
        conversation, spot = self.view.conversation, self._transcript.spot
        if not conversation.entries:
            return NO_ENTRIES
        part = spot.part
        if part.kind in (Kind.INFLUENCE, Kind.EFFECT):
            return cell_sentence(self.view, part.number, part.response, max(12, self.size.width // 3))
        memory, response = self._transcript.cell
        entry = conversation.entries[spot.entry]
        said = [f"entry {spot.entry}", role_of(entry), one_line(entry.timestamp or "")]
        if response is not None:
            dependence = self.view.dependence[response]
            said[0] = response_title(self.view, response)
            said.append("" if np.isnan(dependence) else f"dependence {compact(float(dependence))}")
        if memory is not None:
            said.append(weight_words(self.view, memory))
        return " · ".join(filter(None, said))
