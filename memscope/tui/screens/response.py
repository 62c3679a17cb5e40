"""The Response screen: one response's words coloured by the memory chosen in the list beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content

from memscope.tui.opened import Opened
from memscope.tui.safe import cut, one_line, printable
from memscope.tui.screens.base import SessionScreen
from memscope.tui.theme import Palette
from memscope.tui.widgets.key_bar import KeyBar
from memscope.tui.widgets.line import Line
from memscope.tui.widgets.memory_list import MemoryList
from memscope.tui.widgets.memory_text import MemoryText
from memscope.tui.widgets.token_text import TokenText
from memscope.tui.wording import READ_WORDS, nats, response_text, response_title, state_sentence

if TYPE_CHECKING:
    from memscope.scoring.session import TokenView


class ResponseScreen(SessionScreen[None]):
    """The response of the session's cell, and the memory of it chosen at first."""

    CSS = """
    ResponseScreen {
        #head { height: 1; background: $surface; }
        #title { width: 1fr; }
        #key { width: 60; text-align: right; color: $foreground 60%; }
        #main { height: 1fr; }
        #list { width: 40%; min-width: 24; max-width: 56; }
        #text { height: 1fr; }
        #token { color: $foreground 75%; }
        #memory { height: 35%; min-height: 4; max-height: 14; }
    }
    ResponseScreen.-narrow {
        #key { display: none; }
    }
    """
    HELP_TEXT: ClassVar[str] = READ_WORDS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "up,k", "memory(-1)", "Memory", id="response.memory_up", show=False, tooltip="The memory above"
        ),
        Binding(
            "down,j",
            "memory(1)",
            "Memory",
            id="response.memory_down",
            key_display="↑↓",
            tooltip="Choose the memory that colours the text",
        ),
        Binding(
            "left,h", "token(-1)", "Token", id="response.token_left", show=False, tooltip="The token before"
        ),
        Binding(
            "right,l",
            "token(1)",
            "Token",
            id="response.token_right",
            key_display="←→",
            tooltip="Read one token's log-probability with and without the memory",
        ),
        Binding(
            "n,right_square_bracket",
            "response(1)",
            "Next",
            id="response.next",
            tooltip="The next response",
        ),
        Binding(
            "p,left_square_bracket",
            "response(-1)",
            "Previous",
            id="response.previous",
            tooltip="The response before",
        ),
        Binding(
            "pageup", "scroll_text(-1)", "Up", id="response.page_up", show=False, tooltip="Scroll the text up"
        ),
        Binding(
            "pagedown",
            "scroll_text(1)",
            "Down",
            id="response.page_down",
            show=False,
            tooltip="Scroll the text down",
        ),
        Binding(
            "K",
            "scroll_memory(-1)",
            "Up",
            id="response.memory_text_up",
            show=False,
            tooltip="Scroll the memory's text up",
        ),
        Binding(
            "J",
            "scroll_memory(1)",
            "Down",
            id="response.memory_text_down",
            show=False,
            tooltip="Scroll the memory's text down",
        ),
        Binding(
            "escape,q", "back", "Back", id="response.back", key_display="esc", tooltip="Back to the matrix"
        ),
    ]

    def __init__(self, opened: Opened) -> None:
        super().__init__(opened)
        self._start, self._response = opened.cell
        self._tokens: TokenView | None = None
        self._leaving = False

    def compose(self) -> ComposeResult:
        """The list at the left; the text, one token in words and the memory's text at the right."""
        with Horizontal(id="head"):
            yield Line(id="title")
            yield Line("underlined: less probable without · struck: more probable", id="key")
        with Horizontal(id="main"):
            yield MemoryList(self.view, self.palette, self._response, self._start, id="list")
            with Vertical():
                yield TokenText(self.palette, id="text")
                yield Line(id="token")
                yield MemoryText(self.view, self.palette, id="memory")
        yield self.activity_bar()
        yield KeyBar()

    def on_mount(self) -> None:
        """Show the response."""
        self.show_state()
        self._show_response()

    def show_rows(self, memories: frozenset[int], *, order_changed: bool) -> None:
        """Take in new values; fetch the tokens again if they may be there only now."""
        if self._leave_if_gone():
            return
        self._list.show_response(self._response)
        self._show_title()
        if self._list.memory in memories or self._tokens is None:
            self._read_tokens()

    def show_all(self, palette: Palette) -> None:
        """Draw everything anew."""
        for widget in (self._list, self._text, self.query_one(MemoryText)):
            widget.palette = palette
        if not self._leave_if_gone():
            self._text.rebuild()
            self._show_response()

    def show_conversation(self, palette: Palette) -> None:
        """Stay on the response, if it is still there."""
        if self._leave_if_gone():
            return
        if self._said == self.view.conversation.entries[self.view.matrix.responses[self._response]]:
            self._list.show_response(self._response)
        else:
            self.show_all(palette)

    def show_state(self) -> None:
        """Say what can be done when nothing is going on, or what went wrong."""
        self.bar.say(self.opened.problem or self.opened.idle)

    def show_cell(self, memory: int, response: int) -> None:
        """Show its response, coloured by its memory."""
        if (
            self.is_attached
            and not self._leaving
            and (memory, response) != (self._list.memory, self._response)
        ):
            self._response = response
            self._list.memory = memory
            self._text.forget_choice()
            self._show_response()

    def action_memory(self, down: int) -> None:
        """Choose another memory."""
        self._list.step(down)

    def action_token(self, right: int) -> None:
        """Choose another token."""
        self._text.step(right)

    def action_response(self, step: int) -> None:
        """Go to another response, keeping the memory if it stands before that one too."""
        response = self._response + step
        if 0 <= response < self.view.matrix.shape[1]:
            self._response = response
            self._text.forget_choice()
            self._show_response()

    def action_scroll_text(self, pages: int) -> None:
        """Scroll the response's text by pages."""
        self._text.scroll_relative(y=pages * max(1, self._text.size.height - 1), animate=False)

    def action_scroll_memory(self, lines: int) -> None:
        """Scroll the memory's text by lines."""
        self.query_one(MemoryText).scroll_relative(y=lines, animate=False)

    def action_back(self) -> None:
        """Back to the matrix, with its cursor on what was looked at last."""
        self.dismiss()

    def on_memory_list_chosen(self) -> None:
        """Colour the text by another memory."""
        self._look_at_chosen()
        self._show_memory()
        self._read_tokens()

    def on_token_text_moved(self) -> None:
        """Say another token in words."""
        self._show_token()

    @property
    def _list(self) -> MemoryList:
        return self.query_one(MemoryList)

    @property
    def _text(self) -> TokenText:
        return self.query_one(TokenText)

    def _leave_if_gone(self) -> bool:
        """Back to the matrix if the response or the memory is no longer there; whether that is so."""
        memories, responses = self.view.matrix.shape
        memory = self._start if self._list.memory is None else self._list.memory
        if self._response < responses and memory < memories:
            return False
        if self in self.app.screen_stack and not self._leaving:
            self._leaving = True
            while not self.is_active:
                self.app.pop_screen()
            self.dismiss()
        return True

    def _show_response(self) -> None:
        self._tokens = None
        self._said = self.view.conversation.entries[self.view.matrix.responses[self._response]]
        self._list.show_response(self._response)
        self._look_at_chosen()
        self._show_title()
        self._show_memory()
        self._show_text()
        self._read_tokens()

    def _look_at_chosen(self) -> None:
        memory = self._list.memory
        self.opened.cell = self.opened.cell[0] if memory is None else memory, self._response

    def _show_title(self) -> None:
        matrix = self.view.matrix
        title = response_title(self.view, self._response)
        logprob = matrix.baseline[self._response]
        known = "" if np.isnan(logprob) else f" · log-probability {logprob:.1f} nats"
        self.line("title").say(Content.assemble((title, "bold $primary"), known))

    def _show_memory(self) -> None:
        self.query_one(MemoryText).show_memory(self._list.memory)

    def _read_tokens(self) -> None:
        response, memory = self._response, self._list.memory

        def read(tokens: TokenView | None) -> None:
            if self.is_attached and (response, memory) == (self._response, self._list.memory):
                self._tokens = tokens
                self._show_text()

        self.opened.work.read_tokens(response, memory, read)

    def _show_text(self) -> None:
        tokens = self._tokens
        if tokens is None:
            entry = self.view.conversation.entries[self.view.matrix.responses[self._response]]
            self._text.show_plain(response_text(entry))
        else:
            known = None if tokens.without is None else tokens.with_all - tokens.without
            self._text.show_tokens(tokens.tokens, None if tokens.totals_only else known)
        self.query_one(MemoryText).underline(self._text.coloured_words)
        self._show_token()

    def _show_token(self) -> None:
        self.line("token").say(self._token_sentence())

    def _token_sentence(self) -> str:
        memory, tokens, at = self._list.memory, self._tokens, self._text.token
        if memory is None:
            return "no memory stands before this response"
        key = cut(one_line(self.view.matrix.keys[memory]), 30)
        state = state_sentence(self.view, memory, self._response)
        if tokens is None or at is None:
            return f"{key}: {state}"
        if tokens.totals_only:
            return f"{key}: {state} · this scorer gives totals only, no tokens"
        token = printable(tokens.tokens[at]).replace("\n", "⏎")
        said, where = f"“{token}” {tokens.with_all[at]:.2f} with", f"token {at + 1} of {len(tokens.tokens)}"
        if tokens.without is None:
            return f"{said} · {where} · {key}: {state}"
        drop, without = nats(float(tokens.with_all[at] - tokens.without[at])), tokens.without[at]
        return f"“{token}” {drop} nats: {tokens.with_all[at]:.2f} with, {without:.2f} without · {where}"
