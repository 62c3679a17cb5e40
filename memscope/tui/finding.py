"""Finds memories and responses of a conversation by words in their keys and texts."""

from dataclasses import dataclass

from memscope.tui.view import MatrixView


@dataclass(frozen=True, slots=True)
class Found:
    """A memory (a row of the view) or a response whose text holds what was looked for; the other is None."""

    memory: int | None
    response: int | None


def find(view: MatrixView, words: str) -> list[Found]:
    """Memories that are shown, from the top, by key or text, then responses from the left by text; upper and
    lower case are alike."""
    wanted = words.casefold()
    conversation, matrix = view.conversation, view.matrix
    found = [
        Found(row, None)
        for row in view.order.tolist()
        if wanted in view.keys[row].casefold()
        or any(
            wanted in conversation.memory_text(conversation.memories[memory]).casefold()
            for memory in view.members(row)
        )
    ]
    found += [
        Found(None, response)
        for response in view.columns.tolist()
        if wanted in conversation.entries[matrix.responses[response]].text.casefold()
    ]
    return found
