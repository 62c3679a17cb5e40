"""A conversation as token ids of which every memory and response owns its own.

The conversation is rendered once with a unique sentinel in place of each content and split there; template
text and contents are tokenized separately and joined. An ablation is the same list without a memory's tokens:
nothing is rendered again, so the baseline and every ablation stay aligned token by token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from memscope.conversation.model import Conversation
from memscope.prompt.rendering import render_pieces
from memscope.scorers.base import ChatTokenizer, Encoded, TokenIds

_VERIFIED = 2_000_000
"""Characters up to which a prompt is tokenized once more as a whole, to count the tokens that differ."""


@dataclass(frozen=True)
class Prompt:
    """The token ids of a conversation up to the end of its last response, T of them, each with its owner."""

    ids: TokenIds
    memory: NDArray[np.int32]
    """[T] the index of the memory that a token goes with when it is left out, -1 for none."""
    entry: NDArray[np.int32]
    """[T] the index of the entry a token stands in, -1 for what the template puts in front."""
    turn: NDArray[np.int32]
    """[T] the index of the template's turn; entries that a strict template wants merged share one."""
    head: NDArray[np.bool_]
    """[T] which tokens every window keeps: the template's preamble and the system prompt."""
    responses: tuple[NDArray[np.intp], ...]
    """For each response of the conversation, the positions of its tokens; the very first token has none."""
    text: str
    ends: NDArray[np.int64]
    """[T] the offset in `text` of the end of each token."""
    differing: int | None
    """How many tokens differ from tokenizing the rendered prompt as one text; None if that was not tried."""

    def token_texts(self, response: int) -> list[str]:
        """The text of each of a response's tokens."""
        positions = self.responses[response]
        return [self.text[self.ends[p - 1] : self.ends[p]] for p in positions]


def build_prompt(conversation: Conversation, tokenizer: ChatTokenizer) -> Prompt:
    """Render and tokenize a conversation.

    Raises ModelError if the model's chat template can't be made to take it.
    """
    pieces, rendered = render_pieces(conversation, tokenizer)
    encoded = _encode_each([piece.text for piece in pieces], tokenizer)
    counts = [len(piece.ids) for piece in encoded]
    text = "".join(piece.text for piece in pieces)
    starts = np.cumsum([0, *(len(piece.text) for piece in pieces)])[:-1]
    ids = np.fromiter(chain.from_iterable(piece.ids for piece in encoded), np.int32)
    ends = np.fromiter(chain.from_iterable(piece.ends for piece in encoded), np.int64)
    ends += np.repeat(starts, counts)
    spoken = np.repeat(np.array([piece.response for piece in pieces], np.int32), counts)
    responses = tuple(
        positions[positions > 0]
        for positions in map(np.flatnonzero, (spoken == r for r in conversation.responses))
    )
    length = max((int(positions[-1]) + 1 for positions in responses if positions.size), default=0)
    return Prompt(
        ids=ids[:length],
        memory=np.repeat(np.array([piece.memory for piece in pieces], np.int32), counts)[:length],
        entry=np.repeat(np.array([piece.entry for piece in pieces], np.int32), counts)[:length],
        turn=np.repeat(np.array([piece.turn for piece in pieces], np.int32), counts)[:length],
        head=np.repeat(np.array([piece.head for piece in pieces], np.bool_), counts)[:length],
        responses=responses,
        text=text,
        ends=ends[:length],
        differing=_differing(ids, ends, length, text, rendered, tokenizer),
    )


def _encode_each(texts: Sequence[str], tokenizer: ChatTokenizer) -> list[Encoded]:
    """Template text repeats with every turn and is tokenized once."""
    known: dict[str, Encoded] = {}
    for text in texts:
        if text not in known:
            known[text] = tokenizer.encode(text)
    return [known[text] for text in texts]


def _differing(
    ids: TokenIds,
    ends: NDArray[np.int64],
    length: int,
    text: str,
    rendered: str | None,
    tokenizer: ChatTokenizer,
) -> int | None:
    """How many of the first `length` tokens are not where the tokenizer would put them, had it been given the
    whole prompt."""
    if rendered is None or len(rendered) > _VERIFIED:
        return None
    whole = tokenizer.encode(rendered)
    if rendered == text:
        expected = set(zip(whole.ids, [0, *whole.ends], whole.ends, strict=False))
        ours = zip(ids[:length].tolist(), [0, *ends.tolist()], ends.tolist(), strict=False)
        return sum(token not in expected for token in ours)
    theirs = np.array(whole.ids, np.int32)
    prefix = _common_prefix(ids, theirs)
    suffix = _common_prefix(ids[prefix:][::-1], theirs[prefix:][::-1])
    return max(0, min(length, len(ids) - suffix) - prefix)


def _common_prefix(ours: TokenIds, theirs: TokenIds) -> int:
    """The length of the beginning that two rows of tokens share."""
    length = min(len(ours), len(theirs))
    unequal = np.flatnonzero(ours[:length] != theirs[:length])
    return int(unequal[0]) if unequal.size else length
