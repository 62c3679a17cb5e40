"""What the transcript has to know of every entry, found in bulk."""

import numpy as np
from numpy.typing import NDArray

from memscope.conversation.model import Conversation


class Contents:
    """Numbers of a conversation's entries [entries], and the memories in them."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        entries = self.entries = conversation.entries
        count = len(entries)
        self.response: NDArray[np.int64] = np.full(count, -1, np.int64)
        """Which response an entry is, -1 if it is none."""
        self.response[list(conversation.responses)] = np.arange(len(conversation.responses))
        self.parts: NDArray[np.int64] = np.fromiter(
            (len(entry.thinking) + len(entry.tool_calls) for entry in entries), np.int64, count
        )
        """How many thoughts and calls an entry has."""
        contexts = np.fromiter((entry.context for entry in entries), np.int64, count)
        self.rule: NDArray[np.bool_] = np.diff(contexts, prepend=contexts[:1]) != 0
        """Whether a context, or the branch, begins with an entry."""
        if count:
            self.rule[0] = conversation.contexts > 1 or len(conversation.source.branches) > 1
        self.whole: dict[int, int] = {}
        """The memory that an entry is as a whole."""
        self.held: dict[int, list[int]] = {}
        """The memories that are part of an entry's text."""
        for memory, found in enumerate(conversation.memories):
            for place in found.places:
                if place.span is None:
                    self.whole[place.entry] = memory
                elif memory not in self.held.setdefault(place.entry, []):
                    self.held[place.entry].append(memory)
