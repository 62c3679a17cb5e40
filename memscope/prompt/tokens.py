"""A conversation as token ids of which every memory and response owns its own.

The conversation is rendered once with a unique sentinel in place of each content and split there; template
text and contents are tokenized separately, each as a whole, and joined. An ablation is the same list without
a memory's tokens: nothing is rendered or tokenized again, so baseline and ablations stay aligned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from memscope.conversation.model import Conversation
from memscope.prompt.rendering import Piece, render_pieces
from memscope.prompt.turns import NOBODY
from memscope.scorers.base import ChatTokenizer, Encoded, TokenIds, common_prefix

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
    context: NDArray[np.int32]
    """[T] the context a token stands in (`Entry.context`); it never falls."""
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
        return list(self.texts(self.responses[response]))

    def texts(self, tokens: NDArray[np.intp]) -> tuple[str, ...]:
        """The text of each of these tokens."""
        starts = np.where(tokens > 0, self.ends[tokens - 1], 0)
        extents = zip(starts.tolist(), self.ends[tokens].tolist(), strict=True)
        return tuple(self.text[start:end] for start, end in extents)


def build_prompt(conversation: Conversation, tokenizer: ChatTokenizer) -> Prompt:
    """Render and tokenize a conversation.

    Raises ModelError if the model's chat template can't be made to take it.
    """
    pieces, rendered = render_pieces(conversation, tokenizer)
    ids, ends = _tokens(pieces, tokenizer)
    owners = _owners(pieces, ends)
    spoken = np.array([piece.response for piece in pieces], np.int32)[owners]
    responses = _positions(spoken, conversation.responses)
    length = max((int(positions[-1]) + 1 for positions in responses if positions.size), default=0)
    owners = owners[:length]
    text = "".join(piece.text for piece in pieces)
    return Prompt(
        ids=ids[:length],
        memory=np.array([piece.memory for piece in pieces], np.int32)[owners],
        entry=np.array([piece.entry for piece in pieces], np.int32)[owners],
        turn=np.array([piece.turn for piece in pieces], np.int32)[owners],
        context=np.maximum.accumulate(np.array([piece.context for piece in pieces], np.int32))[owners],
        head=np.array([piece.head for piece in pieces], np.bool_)[owners],
        responses=responses,
        text=text,
        ends=ends[:length],
        differing=_differing(ids, ends, length, text, rendered, tokenizer),
    )


def _tokens(pieces: Sequence[Piece], tokenizer: ChatTokenizer) -> tuple[TokenIds, NDArray[np.int64]]:
    """The token ids [T] of the pieces, joined ones as one text, and the offsets of their ends [T].

    Template text repeats with every turn and is tokenized once.
    """
    texts: list[str] = []
    for piece in pieces:
        if piece.joined:
            texts[-1] += piece.text
        else:
            texts.append(piece.text)
    known: dict[str, Encoded] = {}
    for text in texts:
        if text not in known:
            known[text] = tokenizer.encode(text)
    encoded = [known[text] for text in texts]
    ids = np.fromiter(chain.from_iterable(one.ids for one in encoded), np.int32)
    ends = np.fromiter(chain.from_iterable(one.ends for one in encoded), np.int64)
    starts = np.cumsum([0, *(len(text) for text in texts)])[:-1]
    ends += np.repeat(starts, [len(one.ids) for one in encoded])
    return ids, ends


def _owners(pieces: Sequence[Piece], ends: NDArray[np.int64]) -> NDArray[np.intp]:
    """For each token [T] the index of the piece that owns it: the one with its last character, but where a
    token begins in a memory and ends after it the memory's, so that leaving it out leaves nothing of it."""
    bounds = np.cumsum([len(piece.text) for piece in pieces])
    last = np.searchsorted(bounds, ends - 1, side="right")
    begins = np.minimum(np.concatenate([[0], ends[:-1]]), ends - 1)
    first = np.searchsorted(bounds, begins, side="right")
    owned = np.array([piece.memory != NOBODY for piece in pieces], np.bool_)
    owners: NDArray[np.intp] = np.where(owned[first] & ~owned[last], first, last)
    return owners


def _positions(spoken: NDArray[np.int32], responses: Sequence[int]) -> tuple[NDArray[np.intp], ...]:
    """For each response the positions of its tokens but the very first one of all; `spoken` [T] is the entry
    of the response that a token is part of."""
    order = np.argsort(spoken, kind="stable")
    order = order[order > 0]
    entries = spoken[order]
    starts, ends = (np.searchsorted(entries, responses, side=side) for side in ("left", "right"))
    return tuple(order[start:end] for start, end in zip(starts, ends, strict=True))


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
    prefix = common_prefix(ids, theirs)
    suffix = common_prefix(ids[prefix:][::-1], theirs[prefix:][::-1])
    return max(0, min(length, len(ids) - suffix) - prefix)
