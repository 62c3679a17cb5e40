"""Finds memories and responses of a conversation by words in their keys and texts."""

from dataclasses import dataclass

from memscope.conversation.model import Conversation
from memscope.tui.view import MatrixView


@dataclass(frozen=True, slots=True)
class Found:
    """A memory (a row of the view) or a response whose text holds what was looked for; the other is None."""

    memory: int | None
    response: int | None


@dataclass(frozen=True, slots=True)
class Matches:
    """The memories and responses of a conversation, by their indexes, whose texts hold some words."""

    words: str
    conversation: Conversation
    memories: frozenset[int]
    responses: frozenset[int]

    def shown(self, view: MatrixView) -> list[Found]:
        """Those that a view shows: its rows from the top, then its responses from the left."""
        rows = [Found(row, None) for row in view.order.tolist() if self._holds(view, row)]
        return rows + [Found(None, each) for each in view.columns.tolist() if each in self.responses]

    def _holds(self, view: MatrixView, row: int) -> bool:
        return self.words in view.keys[row].casefold() or not self.memories.isdisjoint(view.members(row))


def find(view: MatrixView, words: str) -> Matches:
    """Look through all keys and texts once; upper and lower case are alike."""
    wanted = words.casefold()
    conversation = view.conversation
    return Matches(
        wanted,
        conversation,
        frozenset(
            at
            for at, memory in enumerate(conversation.memories)
            if wanted in memory.key.casefold() or wanted in conversation.memory_text(memory).casefold()
        ),
        frozenset(
            at
            for at, entry in enumerate(view.matrix.responses)
            if wanted in conversation.entries[entry].text.casefold()
        ),
    )
