"""Random prompts: turns of several entries, memories whole and inside, responses with gaps."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from memscope.prompt import Prompt


@dataclass(frozen=True)
class Stretch:
    """Some tokens of one turn with one owner."""

    tokens: int
    memory: int = -1
    response: bool = False


Turn = Sequence[Stretch]


def prompt_of(preamble: int, system: Turn, turns: Sequence[Turn], cuts: Collection[int] = ()) -> Prompt:
    """A prompt up to its last response's end; the system prompt is turn and entry 0. Ids are all different
    from their neighbours. A context begins with each of the turns (indexes) `cuts`."""
    memory: list[int] = [-1] * preamble
    entry = [-1] * preamble
    turn = [-1] * preamble
    context = [0] * preamble
    head = [True] * preamble
    responses = []
    for number, stretches in enumerate((system, *turns)):
        spoken: list[int] = []
        for stretch in stretches:
            if stretch.response:
                spoken += range(len(memory), len(memory) + stretch.tokens)
            memory += [stretch.memory] * stretch.tokens
            entry += [number] * stretch.tokens
            turn += [number] * stretch.tokens
            context += [sum(cut < number for cut in cuts)] * stretch.tokens
            head += [number == 0] * stretch.tokens
        if any(stretch.response for stretch in stretches):
            responses.append(np.array([at for at in spoken if at > 0], np.intp))
    length = max((int(span[-1]) + 1 for span in responses if span.size), default=0)
    return Prompt(
        ids=np.arange(100, 100 + length, dtype=np.int32),
        memory=np.array(memory, np.int32)[:length],
        entry=np.array(entry, np.int32)[:length],
        turn=np.array(turn, np.int32)[:length],
        context=np.array(context, np.int32)[:length],
        head=np.array(head, np.bool_)[:length],
        responses=tuple(responses),
        text="x" * length,
        ends=np.arange(1, length + 1),
        differing=0,
    )


def stretches(memories: int) -> st.SearchStrategy[Stretch]:
    """Text of nobody or of a memory."""
    return st.builds(Stretch, st.integers(1, 4), st.integers(-1, memories - 1))


@st.composite
def prompts(draw: st.DrawFn, memories: int = 4, longest: int = 12, contexts: bool = False) -> Prompt:
    """Prompts of a few dozen tokens with `memories` keys, of which some may not occur; in one context, or
    with `contexts` in several."""
    said = st.builds(Stretch, st.integers(1, 6), response=st.just(True))
    header = Stretch(draw(st.integers(1, 2)))
    talk = st.lists(stretches(memories), min_size=1, max_size=3)
    response = st.builds(
        lambda first, gap, rest: [header, first, *([Stretch(gap), rest] if gap else [])],
        said,
        st.integers(0, 2),
        said,
    )
    injected = st.builds(
        lambda tokens, memory: [Stretch(tokens, memory)], st.integers(1, 5), st.integers(0, memories - 1)
    )
    turns = draw(st.lists(st.one_of(talk, response, response, injected), min_size=1, max_size=longest))
    cuts = draw(st.sets(st.integers(0, len(turns) - 1), min_size=1, max_size=4)) if contexts else ()
    return prompt_of(draw(st.integers(0, 2)), draw(talk), turns, cuts)
