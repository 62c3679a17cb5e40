"""A conversation as token ids of which every memory and response owns its own.

The conversation is rendered once with a unique sentinel in place of each content and split there; template
text and contents are tokenized separately and joined. An ablation is the same list without a memory's tokens:
nothing is rendered again, so the baseline and every ablation stay aligned token by token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memscope.conversation.model import Conversation
from memscope.prompt.rendering import render_pieces
from memscope.prompt.sentinels import common_prefix
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
    ids = np.fromiter((id_ for piece in encoded for id_ in piece.ids), np.int32)
    starts = np.cumsum([0, *(len(piece.text) for piece in pieces)])[:-1]
    ends = np.fromiter(
        (start + end for start, piece in zip(starts.tolist(), encoded, strict=True) for end in piece.ends),
        np.int64,
    )
    text = "".join(piece.text for piece in pieces)
    spoken = np.repeat(np.array([piece.response for piece in pieces], np.int32), counts)
    responses = tuple(
        positions[positions > 0]
        for positions in map(np.flatnonzero, (spoken == r for r in conversation.responses))
    )
    length = max((int(positions[-1]) + 1 for positions in responses if positions.size), default=0)
    turn = np.repeat(np.array([piece.turn for piece in pieces], np.int32), counts)
    return Prompt(
        ids=ids[:length],
        memory=np.repeat(np.array([piece.memory for piece in pieces], np.int32), counts)[:length],
        entry=np.repeat(np.array([piece.entry for piece in pieces], np.int32), counts)[:length],
        turn=turn[:length],
        head=np.repeat(np.array([piece.head for piece in pieces], np.bool_), counts)[:length],
        responses=responses,
        text=text,
        ends=ends[:length],
        differing=_differing(ids, ends, text, rendered, tokenizer),
    )


def _encode_each(texts: Sequence[str], tokenizer: ChatTokenizer) -> list[Encoded]:
    """Template text repeats with every turn and is tokenized once."""
    known: dict[str, Encoded] = {}
    for text in texts:
        if text not in known:
            known[text] = tokenizer.encode(text)
    return [known[text] for text in texts]


def _differing(
    ids: TokenIds, ends: NDArray[np.int64], text: str, rendered: str | None, tokenizer: ChatTokenizer
) -> int | None:
    """Tokens that are not where the tokenizer would put them, had it been given the whole prompt."""
    if rendered is None or len(rendered) > _VERIFIED:
        return None
    whole = tokenizer.encode(rendered)
    if rendered == text:
        expected = set(zip(whole.ids, [0, *whole.ends], whole.ends, strict=False))
        ours = zip(ids.tolist(), [0, *ends.tolist()], ends.tolist(), strict=False)
        return sum(token not in expected for token in ours)
    return len(ids) - _common(ids.tolist(), whole.ids)


def _common(ours: list[int], theirs: list[int]) -> int:
    """The length of the two lists' common beginning and common end together."""
    prefix = common_prefix(ours, theirs)
    return prefix + common_prefix(ours[prefix:][::-1], theirs[prefix:][::-1])
