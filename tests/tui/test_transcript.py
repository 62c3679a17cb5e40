"""The transcript's tree: folding, where lines stand, what is under what; without a widget."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memscope.conversation.model import (
    Branch,
    Conversation,
    Entry,
    Memory,
    Place,
    Role,
    Source,
    Span,
    ToolCall,
)
from memscope.scoring.matrix import CellState, Metric, ScoreMatrix
from memscope.tui.transcript.find import Finder
from memscope.tui.transcript.nodes import HEAD, RULE, Kind, Line, Part, Spot
from memscope.tui.transcript.tree import Transcript
from memscope.tui.view import MatrixView
from tests.tui.fake import conversation, fake_session, score_now
from tests.tui.test_view import score

LONG = "A long text of many words that does not fit into one line of the transcript. " * 4
MORE = Part(Kind.MORE)


def view_over(talk: Conversation) -> MatrixView:
    """Nothing is scored; every cell is possible whose memory stands before the response."""
    first = np.array([memory.entries[0] for memory in talk.memories], np.int64).reshape(-1, 1)
    possible = first < np.array(talk.responses, np.int64).reshape(1, -1)
    matrix = ScoreMatrix([memory.key for memory in talk.memories], talk.responses, possible)
    return MatrixView(talk, matrix, Metric.SIGNED)


def small(values: list[float | None]) -> MatrixView:
    """Memories m0, m1... in front of one question and one response with these divergences."""
    entries = [Entry(Role.SYSTEM, f"memory {n}", memory_key=f"m{n}") for n in range(len(values))]
    memories = [Memory(f"m{n}", (Place(n, Span(0, 8)),)) for n in range(len(values))]
    entries += [Entry(Role.USER, "What?"), Entry(Role.ASSISTANT, "That.")]
    view = view_over(Conversation(tuple(entries), tuple(memories), Source("", "native", "")))
    view.matrix.noise[:] = 0.0001
    for memory, value in enumerate(values):
        if value is not None:
            score(view.matrix, memory, 0, value)
    view.recompute()
    return view


def everything(transcript: Transcript) -> list[Line]:
    return transcript.lines(Spot(0, RULE), 10**6) if len(transcript) else []


def parts_of(transcript: Transcript, entry: int) -> list[Part]:
    found = (line.node.part for line in everything(transcript) if line.entry == entry)
    return list(dict.fromkeys(found))


# What is under what


def test_each_entry_is_one_line_and_only_responses_show_what_they_were_made_of() -> None:
    transcript = Transcript(small([2.0, 0.5]))
    lines = [(line.entry, line.node.part.kind) for line in everything(transcript)]
    assert lines == [
        (0, Kind.ENTRY),
        (1, Kind.ENTRY),
        (2, Kind.ENTRY),
        (3, Kind.ENTRY),
        (3, Kind.INFLUENCE),
        (3, Kind.INFLUENCE),
    ]


def test_important_memories_come_first_then_those_against_and_the_rest_behind_one_node() -> None:
    transcript = Transcript(small([0.5, -3.0, 2.0, 0.001, None, -0.2]))
    names = [(part.kind, part.number) for part in parts_of(transcript, 7)]
    assert names == [
        (Kind.ENTRY, -1),
        (Kind.INFLUENCE, 2),
        (Kind.INFLUENCE, 0),
        (Kind.INFLUENCE, 1),
        (Kind.INFLUENCE, 5),
        (Kind.MORE, -1),
    ]
    rest = transcript.node(Spot(7, MORE)).rest
    assert [(cell.memory, cell.state) for cell in rest] == [(3, CellState.SCORED), (4, CellState.PENDING)]
    transcript.unfold(Spot(7, MORE))
    assert [part.number for part in parts_of(transcript, 7)[-2:]] == [3, 4]


def test_a_memory_unfolds_to_the_responses_where_it_mattered_strongest_first() -> None:
    view = view_over(conversation(2, 4))
    view.matrix.noise[:] = 0.0001
    for response, value in enumerate([0.5, 3.0, 0.0, -1.0]):
        score(view.matrix, 0, response, value)
    view.recompute()
    transcript = Transcript(view)
    transcript.unfold(Spot(0, HEAD))
    parts = parts_of(transcript, 0)
    assert [(part.kind, part.response) for part in parts] == [
        (Kind.ENTRY, -1),
        (Kind.EFFECT, 1),
        (Kind.EFFECT, 0),
        (Kind.EFFECT, 3),
        (Kind.MORE, -1),
    ]


def test_memories_inside_an_entry_stand_under_it_each_with_its_effects() -> None:
    text = "<memory key='a'>Likes tea.</memory> <memory key='b'>Lives in Lyon.</memory>"
    places = [Place(0, Span(16, 26), Span(0, 35)), Place(0, Span(52, 66), Span(36, 75))]
    memories = tuple(Memory(key, (place,)) for key, place in zip("ab", places, strict=True))
    talk = Conversation(
        (Entry(Role.USER, text), Entry(Role.ASSISTANT, "Tea.")), memories, Source("", "native", "")
    )
    view = view_over(talk)
    score(view.matrix, 0, 0, 2.0)
    view.recompute()
    transcript = Transcript(view, 100)
    transcript.unfold(Spot(0, HEAD))
    assert [part.kind for part in parts_of(transcript, 0)] == [Kind.ENTRY, Kind.MEMORY, Kind.MEMORY]
    transcript.unfold(Spot(0, Part(Kind.MEMORY, 0)))
    assert parts_of(transcript, 0)[1:3] == [Part(Kind.MEMORY, 0), Part(Kind.EFFECT, 0, 0)]
    assert transcript.parent(Spot(0, Part(Kind.EFFECT, 0, 0))) == Spot(0, Part(Kind.MEMORY, 0))


def test_contexts_and_branches_are_rules_between_entries() -> None:
    entries = tuple(Entry(Role.USER, "Hi", context=context) for context in (0, 0, 1, 1, 2))
    talk = Conversation(entries, (), Source("", "native", ""))
    rules = [line.entry for line in everything(Transcript(view_over(talk))) if line.node.part == RULE]
    assert rules == [0, 2, 4]
    branches = (Branch("a", "first", 1), Branch("b", "second", 1))
    talk = Conversation(entries[:1], (), Source("", "native", "", branches=branches, branch="b"))
    assert [line.node.part for line in everything(Transcript(view_over(talk)))] == [RULE, HEAD]


# Folding


def thinker() -> Transcript:
    text = f"<think>{LONG}</think>\n{LONG}"
    entry = Entry(
        Role.ASSISTANT,
        text,
        tool_calls=(ToolCall("search", '{"query": "trains", "most": 3}'), ToolCall("stop", "not json")),
        thinking=(Span(0, len(LONG) + 16),),
    )
    talk = Conversation((Entry(Role.USER, "Go"), entry), (), Source("", "native", ""))
    return Transcript(view_over(talk), 60)


def test_a_long_text_unfolds_to_its_lines_and_shows_thinking_and_calls_folded() -> None:
    transcript = thinker()
    assert transcript.height == 2
    transcript.unfold(Spot(1, HEAD))
    assert parts_of(transcript, 1) == [HEAD, Part(Kind.THINKING, 0), Part(Kind.CALL, 0), Part(Kind.CALL, 1)]
    assert transcript.node(Spot(1, HEAD)).height == len(transcript.text(1, HEAD)[1]) > 4
    assert transcript.node(Spot(1, Part(Kind.THINKING, 0))).height == 1


def test_thinking_and_calls_unfold_to_their_own_lines() -> None:
    transcript = thinker()
    transcript.unfold(Spot(1, HEAD))
    for part in (Part(Kind.THINKING, 0), Part(Kind.CALL, 0)):
        transcript.unfold(Spot(1, part))
        assert transcript.node(Spot(1, part)).height == 1 + len(transcript.text(1, part)[1])
    assert "think>" not in transcript.text(1, Part(Kind.THINKING, 0))[0]
    assert transcript.text(1, Part(Kind.CALL, 0))[0] == "query: trains\nmost: 3"
    assert transcript.text(1, Part(Kind.CALL, 1))[0] == "not json"


def test_folding_in_the_middle_of_a_text_leads_to_its_head_and_further_to_the_parent() -> None:
    transcript = thinker()
    transcript.unfold(Spot(1, HEAD))
    thinking = Part(Kind.THINKING, 0)
    transcript.unfold(Spot(1, thinking))
    assert transcript.fold(Spot(1, thinking, 2)) == Spot(1, thinking)
    assert transcript.fold(Spot(1, thinking)) == Spot(1, HEAD)
    assert transcript.fold(Spot(1, HEAD, 3)) == Spot(1, HEAD)
    assert transcript.height == 2
    assert transcript.fold(Spot(1, HEAD)) == Spot(1, HEAD)


def test_a_response_unfolds_by_steps_its_memories_then_its_text_then_leads_to_the_first_child() -> None:
    talk = conversation(2, 1, said=LONG)
    view = view_over(talk)
    transcript = Transcript(view, 60)
    entry = talk.responses[0]
    transcript.fold(Spot(entry, HEAD))
    assert transcript.node(Spot(entry, HEAD)).height == len(parts_of(transcript, entry)) == 1
    transcript.unfold(Spot(entry, HEAD))
    assert parts_of(transcript, entry) == [HEAD, MORE]
    transcript.unfold(Spot(entry, HEAD))
    assert transcript.node(Spot(entry, HEAD)).height > 4
    assert transcript.unfold(Spot(entry, HEAD)) == Spot(entry, MORE)


def test_space_unfolds_the_text_at_once_and_folds_it_again() -> None:
    transcript = thinker()
    assert transcript.toggle(Spot(1, HEAD)) == Spot(1, HEAD)
    assert transcript.height > 4
    assert transcript.toggle(Spot(1, HEAD, 3)) == Spot(1, HEAD)
    assert transcript.height == 2


def test_everything_unfolds_and_folds_by_steps() -> None:
    transcript = thinker()
    heights = [transcript.height]
    for _ in range(4):
        transcript.unfold_all()
        heights.append(len(everything(transcript)))
    assert heights[1] < heights[2] < heights[3] == heights[4]
    for _ in range(4):
        transcript.fold_all()
    assert transcript.height == 2


def test_short_entries_and_those_without_memories_fold_nothing() -> None:
    transcript = thinker()
    for change in (transcript.unfold, transcript.fold, transcript.toggle):
        assert change(Spot(0, HEAD)) == Spot(0, HEAD)
        assert transcript.height == 2


def test_what_is_shown_of_a_line_folded_away_is_what_it_is_folded_into() -> None:
    view = small([0.001, 0.001])
    transcript = Transcript(view)
    hidden = Spot(3, Part(Kind.INFLUENCE, 0, 0))
    assert transcript.shown(hidden) == Spot(3, MORE)
    transcript.fold(Spot(3, HEAD))
    assert transcript.shown(hidden) == Spot(3, HEAD)
    assert transcript.reveal(3, hidden.part) == hidden


# Growing and changing


def test_a_longer_conversation_keeps_what_was_unfolded() -> None:
    talk = conversation(3, 4, said=LONG)
    view = view_over(replace(talk, entries=talk.entries[:-2]))
    transcript = Transcript(view, 60)
    transcript.unfold(Spot(talk.responses[0], HEAD))
    before = everything(transcript)
    longer = view_over(talk)
    view.adopt(longer.conversation, longer.matrix)
    assert transcript.adopt() == len(talk.entries) - 2
    after = everything(transcript)
    assert [line.spot for line in after[: len(before)]] == [line.spot for line in before]
    assert len(after) > len(before)


def test_an_entry_that_has_become_another_is_folded_again() -> None:
    talk = conversation(1, 2, said=LONG)
    view = view_over(talk)
    transcript = Transcript(view, 60)
    transcript.unfold(Spot(talk.responses[-1], HEAD))
    other = replace(talk, entries=(*talk.entries[:-1], Entry(Role.ASSISTANT, "Short.")))
    view.adopt(other, view_over(other).matrix)
    assert transcript.adopt() == len(talk.entries) - 1
    assert transcript.node(Spot(talk.responses[-1], HEAD)).height == 1


def test_an_empty_conversation_has_no_lines() -> None:
    transcript = Transcript(view_over(Conversation((), (), Source("", "native", ""))))
    transcript.unfold_all()
    transcript.fold_all()
    assert transcript.height == len(transcript) == 0


def test_a_value_that_comes_in_moves_its_memory_out_of_the_rest() -> None:
    view = small([None, None])
    transcript = Transcript(view)
    assert parts_of(transcript, 3) == [HEAD, MORE]
    score(view.matrix, 1, 0, 2.0)
    view.update([1])
    transcript.update([1])
    assert parts_of(transcript, 3) == [HEAD, Part(Kind.INFLUENCE, 1, 0), MORE]
    assert transcript.height == 6


# Whatever is done


texts = st.one_of(
    st.sampled_from(["", "Short.", LONG, "a\n\nb\n", "日本語" * 30, "x" * 200]), st.text(max_size=40)
)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Entries of every kind, some of them memories as a whole or in part."""
    entries: list[Entry] = []
    places: dict[str, list[Place]] = {}
    context = 0
    for number in range(draw(st.integers(1, 7))):
        context += draw(st.sampled_from([0, 0, 0, 1]))
        said = draw(texts)
        kind = draw(st.sampled_from(["user", "assistant", "tool", "memory", "holds"]))
        if kind == "memory":
            key = draw(st.sampled_from(["a", "b", "c"]))
            places.setdefault(key, []).append(Place(number, Span(0, len(said))))
            entries.append(Entry(Role.SYSTEM, said, memory_key=key, context=context))
        elif kind == "holds":
            for key in draw(st.lists(st.sampled_from(["a", "d", "e"]), min_size=1, max_size=3)):
                places.setdefault(key, []).append(Place(number, Span(0, len(said)), Span(0, len(said))))
            entries.append(Entry(Role.USER, said, context=context))
        elif kind == "assistant":
            thought = f"<think>{draw(texts)}</think>" if draw(st.booleans()) else ""
            calls = tuple(ToolCall("call", arguments) for arguments in draw(st.lists(texts, max_size=2)))
            spans = (Span(0, len(thought)),) if thought else ()
            entries.append(Entry(Role.ASSISTANT, thought + said, calls, spans, context=context))
        else:
            entries.append(Entry(Role(kind), said, context=context, injected=draw(st.booleans())))
    memories = tuple(Memory(key, tuple(found)) for key, found in places.items())
    return Conversation(tuple(entries), memories, Source("", "native", ""))


def fill(view: MatrixView, numbers: list[float]) -> None:
    """Score some cells with these."""
    view.matrix.noise[:] = 0.001
    cells = np.argwhere(view.matrix.states != CellState.IMPOSSIBLE).tolist()
    for (memory, response), value in zip(cells, numbers, strict=False):
        score(view.matrix, memory, response, value)


values = st.lists(st.sampled_from([0.0, 0.002, 0.5, 3.0, -0.5]), max_size=12)
changes = st.lists(
    st.tuples(
        st.sampled_from(
            ["unfold", "fold", "toggle", "parent", "unfold_all", "fold_all", "width", "score", "reveal"]
        ),
        st.integers(0, 1000),
    ),
    max_size=12,
)


def change(transcript: Transcript, view: MatrixView, spot: Spot, what: str, number: int) -> Spot:
    match what:
        case "unfold" | "fold" | "toggle" | "parent":
            after: Spot = getattr(transcript, what)(spot)
            return after
        case "unfold_all" | "fold_all":
            getattr(transcript, what)()
        case "width":
            transcript.set_width(10 + number % 90)
        case "score" if all(view.matrix.shape):
            rows = range(view.matrix.shape[0])
            fill(view, [3.0 if number & 1 << n else 0.0 for n in range(number % 10)])
            view.update(rows)
            transcript.update(rows)
        case "reveal":
            return transcript.reveal(spot.entry, spot.part)
    return transcript.shown(spot)


@settings(max_examples=150, deadline=None)
@given(conversations(), values, changes)
def test_lines_and_spots_agree_whatever_is_folded(
    talk: Conversation, numbers: list[float], steps: list[tuple[str, int]]
) -> None:
    view = view_over(talk)
    fill(view, numbers)
    view.recompute()
    transcript = Transcript(view, 40)
    spot = transcript.spot_at(0)
    for what, number in steps:
        spot = transcript.move(transcript.shown(spot), number % 7 - 3)
        spot = change(transcript, view, spot, what, number)
        assert transcript.shown(spot) == spot
    lines = everything(transcript)
    assert transcript.height == len(lines)
    assert len({line.spot for line in lines}) == len(lines)
    for at, line in enumerate(lines):
        assert transcript.spot_at(at) == line.spot
        assert transcript.line_of(line.spot) == at
        assert transcript.move(line.spot, 2) == lines[min(at + 2, len(lines) - 1)].spot
        assert transcript.move(line.spot, -2) == lines[max(at - 2, 0)].spot
    assert transcript.last == lines[-1].spot
    again = [line.spot for line in lines]
    transcript.recount()
    assert [line.spot for line in everything(transcript)] == again


@settings(max_examples=100, deadline=None)
@given(conversations(), values, st.integers(0, 3))
def test_a_guess_is_corrected_as_soon_as_its_lines_come_into_sight(
    talk: Conversation, numbers: list[float], times: int
) -> None:
    view = view_over(talk)
    fill(view, numbers)
    view.recompute()
    transcript = Transcript(view, 30)
    for _ in range(times):
        transcript.unfold_all()
    spot = transcript.spot_at(0)
    walked = [spot]
    while (spot := transcript.move(spot, 1)) != walked[-1]:
        walked.append(spot)
    assert walked == [line.spot for line in everything(transcript)]
    assert transcript.height == len(walked)


# Finding


def finder(transcript: Transcript, view: MatrixView, words: str) -> Finder:
    found = Finder(view, transcript, words)
    found.look(0, len(transcript))
    return found


def test_words_are_found_line_by_line_around_the_end_whatever_is_folded() -> None:
    text = "\n".join(f"line {n}" + (" satay" if n in (2, 7) else "") for n in range(10))
    calls = (ToolCall("search", '{"query": "SATAY recipes"}'),)
    entries = (
        Entry(Role.USER, "Satay?"),
        Entry(Role.ASSISTANT, text, calls),
        Entry(Role.SYSTEM, "no nuts", memory_key="food/satay"),
    )
    talk = Conversation(entries, (Memory("food/satay", (Place(2, Span(0, 7)),)),), Source("", "native", ""))
    view = view_over(talk)
    transcript = Transcript(view)
    found = finder(transcript, view, "satay")
    spot, visited = Spot(0, HEAD, -1), []
    for _ in range(6):
        spot = found.step(spot, 1) or spot
        visited.append(spot)
    assert visited == [
        Spot(0, HEAD),
        Spot(1, HEAD, 2),
        Spot(1, HEAD, 7),
        Spot(1, Part(Kind.CALL, 0), 1),
        Spot(2, HEAD),
        Spot(0, HEAD),
    ]
    back = [spot := found.step(spot, -1) or spot for _ in range(5)]
    assert back == visited[-2::-1]


def test_what_is_not_there_is_not_found() -> None:
    view = small([1.0])
    transcript = Transcript(view)
    assert finder(transcript, view, "[never]").step(Spot(0, HEAD), 1) is None


@settings(max_examples=60, deadline=None)
@given(conversations(), st.sampled_from(["a", "short", "日本", ".", "call", "x"]), st.sampled_from([1, -1]))
def test_every_line_found_shows_the_words(talk: Conversation, words: str, step: int) -> None:
    view = view_over(talk)
    transcript = Transcript(view, 30)
    found = finder(transcript, view, words)
    spot, seen = transcript.spot_at(0), set()
    while (after := found.step(spot, step)) is not None and after not in seen:
        seen.add(spot := after)
        assert transcript.shown(spot) == spot
    assert bool(seen) == bool(found.found)
    assert {(spot.entry, spot.part) for spot in seen} == {(entry, part) for entry, part in found.found}


@pytest.mark.parametrize("scored", [False, True])
def test_values_that_come_one_by_one_lead_to_the_same_tree_as_all_at_once(scored: bool) -> None:
    session = fake_session(conversation(6, 8))
    view = MatrixView(session.conversation, session.matrix, Metric.SIGNED)
    transcript = Transcript(view)
    score_now(session)
    for memory in range(6):
        view.update([memory])
        transcript.update([memory])
    if scored:
        session.matrix.set_failed(0, [7], "503")
        view.update([0])
        transcript.update([0])
    fresh = Transcript(MatrixView(session.conversation, session.matrix, Metric.SIGNED))
    assert transcript.height == fresh.height  # known before any line comes into sight
    assert [line.spot for line in everything(transcript)] == [line.spot for line in everything(fresh)]
