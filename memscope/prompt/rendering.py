"""A rendered conversation split into pieces of text with one owner each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from memscope.conversation.model import Conversation, Role
from memscope.errors import ModelError
from memscope.prompt.sentinels import Rendering, message_of
from memscope.prompt.turns import NOBODY, Turn, stricter, turns_of
from memscope.scorers.base import ChatTokenizer, TemplateRefusedError


@dataclass(frozen=True)
class Piece:
    """Text that is tokenized on its own. `memory` is the one it goes with, `response` the entry index of the
    response it is part of; `head` says that every window keeps it."""

    text: str
    turn: int
    entry: int
    memory: int = NOBODY
    response: int = NOBODY
    head: bool = False


def render_pieces(conversation: Conversation, tokenizer: ChatTokenizer) -> tuple[list[Piece], str | None]:
    """The prompt's pieces in order, and the template's rendering of the real contents to hold them against
    (None if it refuses those).

    Raises ModelError if the template can't be made to take the conversation.
    """
    turns = turns_of(conversation, tokenizer.takes_tool_calls)
    reason = None
    for attempt in (turns, *stricter(turns)):
        try:
            return list(_pieces(Rendering(attempt, tokenizer))), _render_contents(attempt, tokenizer)
        except TemplateRefusedError as error:
            reason = reason or error
    raise ModelError(f"The model's chat template does not take this conversation: {reason}.") from reason


def _pieces(rendering: Rendering) -> Iterator[Piece]:
    """Contents in place of their sentinels, template text between; no piece crosses a turn's end."""
    ends = rendering.turn_ends()
    preamble = rendering.first_turn_start()
    calls = [rendering.call_extent(at, end) for at, end in enumerate(ends)]
    contents = {start: number for number, (start, _) in rendering.spots.items()}
    cuts = {0, preamble, *ends, len(rendering.text)}
    cuts.update(edge for extent in (*rendering.spots.values(), *filter(None, calls)) for edge in extent)
    order = sorted(cuts)
    texts = rendering.trimmed()
    leading = _leading_system_turns(rendering.turns)
    at = 0
    for start, end in pairwise(order):
        while at < len(ends) and ends[at] <= start:
            at += 1
        turn = rendering.turns[at] if start >= preamble and at < len(ends) else None
        head = turn is None or (at < leading and turn.memory == NOBODY)
        if start in contents:
            _, segment = rendering.segments[contents[start]]
            response = segment.entry if segment.scored else NOBODY
            yield Piece(texts[contents[start]], at, segment.entry, segment.memory, response, head)
        elif turn is None:
            yield Piece(rendering.text[start:end], NOBODY, NOBODY, head=head)
        else:
            extent = calls[at]
            called = extent is not None and extent[0] <= start < extent[1]
            response = turn.entry if called else NOBODY
            yield Piece(rendering.text[start:end], at, turn.entry, turn.memory, response, head)


def _leading_system_turns(turns: Sequence[Turn]) -> int:
    """How many turns at the front are the system prompt, or memories injected there."""
    return next((at for at, turn in enumerate(turns) if turn.role is not Role.SYSTEM), len(turns))


def _render_contents(turns: Sequence[Turn], tokenizer: ChatTokenizer) -> str | None:
    contents = ("".join(s.before + s.text + s.after for s in turn.segments) for turn in turns)
    try:
        return tokenizer.render(
            [message_of(turn, content) for turn, content in zip(turns, contents, strict=True)]
        )
    except TemplateRefusedError:
        return None
