"""A rendered conversation split into pieces of text with one owner each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from memscope.conversation.model import Conversation
from memscope.errors import ModelError
from memscope.prompt.sentinels import Extent, Rendering, message_of
from memscope.prompt.turns import NOBODY, Turn, stricter, turns_of
from memscope.scorers.base import ChatTokenizer, TemplateRefusedError


@dataclass(frozen=True)
class Piece:
    """Text with one owner. `memory` is the one it goes with, `response` the entry index of the response it is
    part of, `context` the one it stands in; `head` says that every window keeps it, `joined` that it
    continues the content before it."""

    text: str
    turn: int
    entry: int
    memory: int = NOBODY
    response: int = NOBODY
    head: bool = False
    joined: bool = False
    context: int = 0


def render_pieces(conversation: Conversation, tokenizer: ChatTokenizer) -> tuple[list[Piece], str | None]:
    """The prompt's pieces in order, and the template's rendering of the real contents to hold them against
    (None if it refuses those).

    Raises ModelError if the template can't be made to take the conversation.
    """
    reason = None
    for attempt in _attempts(conversation, tokenizer.takes_tool_calls):
        try:
            return list(_pieces(attempt, tokenizer, conversation)), _render_contents(attempt, tokenizer)
        except TemplateRefusedError as error:
            reason = reason or error
    raise ModelError(f"The model's chat template does not take this conversation: {reason}.") from reason


def _attempts(conversation: Conversation, takes_tool_calls: bool) -> Iterator[Sequence[Turn]]:
    """The turns in ways that ask less and less of a template, tool calls written as text the last resort."""
    turns = turns_of(conversation, takes_tool_calls)
    yield turns
    yield from stricter(turns)
    if any(turn.tool_calls for turn in turns):
        yield from _attempts(conversation, takes_tool_calls=False)


def _pieces(turns: Sequence[Turn], tokenizer: ChatTokenizer, conversation: Conversation) -> Iterator[Piece]:
    """Contents in place of their sentinels, template text between; no piece crosses a turn's end."""
    rendering = Rendering(turns, tokenizer)
    texts = rendering.trimmed()
    ends, calls = rendering.turn_extents()
    opened = rendering.first_turn_start()
    preamble = rendering.contents.get(0, (0, 0))[0] if opened is None else opened
    contents = {start: number for number, (start, _) in rendering.spots.items()}
    prompt = conversation.system_prompt
    heads = [any(segment.entry in prompt for segment in turn.segments) for turn in turns]
    wholes = _whole_contents(rendering)
    cuts = {0, preamble, *ends, len(rendering.text)}
    for extents in (rendering.spots, calls, wholes):
        cuts.update(edge for extent in extents.values() for edge in extent)
    at = 0
    for start, end in pairwise(sorted(cuts)):
        while at < len(ends) and ends[at] <= start:
            at += 1
        whole = wholes.get(at, (0, 0))
        joined = whole[0] < start < whole[1]
        if start < preamble or at == len(ends):
            context = turns[0 if start < preamble else -1].context if turns else 0
            yield Piece(rendering.text[start:end], NOBODY, NOBODY, head=start < preamble, context=context)
        elif start in contents:
            its_turn, segment = rendering.segments[contents[start]]
            response = segment.entry if segment.scored else NOBODY
            head, text = segment.entry in prompt, texts[contents[start]]
            context = turns[its_turn].context
            yield Piece(text, at, segment.entry, segment.memory, response, head, joined, context)
        else:
            turn = turns[at]
            first, last = calls.get(at, (0, 0))
            response = turn.caller if first <= start < last else NOBODY
            # where the preamble can't be told from the first turn's opening, the closing stays with them
            kept = at == 0 and opened is None
            memory = NOBODY if kept else turn.memory
            text = rendering.text[start:end]
            yield Piece(text, at, turn.entry, memory, response, kept or heads[at], joined, turn.context)


def _whole_contents(rendering: Rendering) -> dict[int, Extent]:
    """For each turn the extent of its content, from its first segment to its last with their tags."""
    wholes: dict[int, Extent] = {}
    for number, (start, end) in rendering.spots.items():
        at, segment = rendering.segments[number]
        if rendering.text.endswith(segment.before, 0, start):
            start -= len(segment.before)
        if rendering.text.startswith(segment.after, end):
            end += len(segment.after)
        known = wholes.get(at, (start, end))
        wholes[at] = (min(start, known[0]), max(end, known[1]))
    return wholes


def _render_contents(turns: Sequence[Turn], tokenizer: ChatTokenizer) -> str | None:
    contents = ("".join(s.before + s.text + s.after for s in turn.segments) for turn in turns)
    try:
        return tokenizer.render(
            [message_of(turn, content) for turn, content in zip(turns, contents, strict=True)]
        )
    except TemplateRefusedError:
        return None
