"""The transcript's lines, looked at one by one without an app."""

import re

import pytest
from rich.cells import cell_len

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
from memscope.scoring.matrix import CellState
from memscope.tui.theme import Palette
from memscope.tui.transcript.nodes import HEAD, Kind, Part, Spot
from memscope.tui.transcript.tree import Transcript
from memscope.tui.view import MatrixView
from memscope.tui.widgets.transcript_lines import TranscriptLines
from tests.tui.test_heatmap_lines import COLOURS, PLAIN
from tests.tui.test_transcript import LONG, MORE, everything, small, thinker, view_over
from tests.tui.test_untrusted import NASTY, is_safe
from tests.tui.test_view import score

WIDTH = 100


def drawn(
    view: MatrixView, transcript: Transcript, width: int = WIDTH, palette: Palette = COLOURS
) -> list[str]:
    lines = TranscriptLines(view, transcript, palette)
    transcript.set_width(lines.text_width(width))
    return [lines.line(line, width).text.rstrip() for line in everything(transcript)]


def talk_of(*entries: Entry, source: Source | None = None) -> MatrixView:
    return view_over(Conversation(entries, (), source or Source("", "native", "")))


def test_roles_and_responses_are_named_in_words() -> None:
    view = talk_of(
        Entry(Role.SYSTEM, "Be brief."),
        Entry(Role.USER, "Hi"),
        Entry(Role.ASSISTANT, "Hello."),
        Entry(Role.TOOL, "42", name="sum"),
    )
    assert drawn(view, Transcript(view)) == [
        "   0 system       Be brief.",
        "   1 user         Hi",
        "   2 assistant r1 Hello.",
        " ▸ 3 tool         sum  42",
    ]


def test_a_narrow_window_shortens_roles_before_texts() -> None:
    view = talk_of(Entry(Role.SYSTEM, "Be brief."), Entry(Role.USER, "Hi"), Entry(Role.ASSISTANT, LONG))
    lines = drawn(view, Transcript(view), 60)
    assert lines[0] == "   0 sys     Be brief."
    assert lines[2].startswith(" ▸ 2 asst r1 A long text")
    assert lines[2].endswith("…")


def test_memories_stand_under_a_response_with_signed_scores_and_the_rest_counted() -> None:
    view = small([0.5, -3.0, 2.25, 0.0, None])
    lines = drawn(view, Transcript(view))
    assert [line.strip() for line in lines[-5:]] == [
        "▾ 6 assistant r1 That.",
        "<- m2 (+2.25)",
        "<- m0 (+0.50)",
        "<- m1 (-3.00)",
        "▸ … 2 more: 1 not scored",
    ]


def test_a_state_without_a_number_is_said_in_words_and_never_zero() -> None:
    view = small([None, None, None])
    view.matrix.set_running(1, [0])
    view.matrix.set_failed(2, [0], "503\x1b[31m")
    view.recompute()
    transcript = Transcript(view)
    transcript.unfold(Spot(4, MORE))
    lines = [line.strip() for line in drawn(view, transcript)]
    assert lines[-4:] == [
        "▾ … 1 not scored, 1 being scored, 1 failed",
        "<- m0 (not scored)",
        "<- m1 (being scored)",
        "<- m2 (failed: 503␛[31m)",
    ]
    assert "(not scored)" in lines[0]
    assert "(being scored)" in lines[1]
    assert "(failed)" in lines[2]


def test_a_value_within_the_noise_has_a_tilde() -> None:
    view = small([0.2])
    view.matrix.noise[:] = 0.1
    view.recompute()
    transcript = Transcript(view)
    transcript.unfold(Spot(2, MORE))
    assert drawn(view, transcript)[-1].strip() == "<- m0 (~+0.20)"


def test_a_memory_shows_its_key_its_weight_and_where_it_mattered() -> None:
    view = small([2.25])
    transcript = Transcript(view)
    transcript.unfold(Spot(0, HEAD))
    lines = [line.strip() for line in drawn(view, transcript)]
    assert lines[0] == "▸ 0 memory       m0 (weight 2.2)  memory 0"
    assert lines[1] == "-> r1 (+2.25)  That."


def test_a_weight_that_may_still_change_says_so() -> None:
    view = view_over(
        Conversation(
            (Entry(Role.SYSTEM, "x", memory_key="m"), *[Entry(Role.ASSISTANT, "That.")] * 2),
            (Memory("m", (Place(0, Span(0, 1)),)),),
            Source("", "native", ""),
        )
    )
    score(view.matrix, 0, 0, 2.0)
    view.recompute()
    assert "m (weight 2.0 so far)" in drawn(view, Transcript(view))[0]
    view.matrix.set_failed(0, [1], "503")
    view.recompute()
    assert "m (weight 2.0, some failed)" in drawn(view, Transcript(view))[0]


def test_an_unfolded_text_goes_on_below_its_first_line() -> None:
    view = talk_of(Entry(Role.USER, "Hi"), Entry(Role.ASSISTANT, LONG.strip()))
    transcript = Transcript(view)
    lines = TranscriptLines(view, transcript, COLOURS)
    transcript.set_width(lines.text_width(WIDTH))
    transcript.unfold(Spot(1, HEAD))
    text_at = lines.columns(WIDTH).text
    shown = drawn(view, transcript)[1:]
    assert shown[0].startswith(" ▾ 1 assistant r1 A long text")
    assert all(line[:text_at].isspace() for line in shown[1:])
    assert " ".join(line[text_at:] for line in shown) == LONG.strip()


def test_thinking_and_calls_are_lines_of_their_own() -> None:
    transcript = thinker()
    view = transcript._view
    transcript.unfold(Spot(1, HEAD))
    lines = [line.strip() for line in drawn(view, transcript)]
    assert lines[-3].startswith("▸ thinking  A long text")
    assert lines[-2] == "▸ → search  query: trains most: 3"
    assert lines[-1] == "▸ → stop  not json"
    transcript.unfold(Spot(1, Part(Kind.CALL, 0)))
    lines = [line.strip() for line in drawn(view, transcript)]
    assert lines[-4:-1] == ["▾ → search", "query: trains", "most: 3"]


def test_a_folded_response_without_words_shows_what_it_calls_and_a_silent_one_what_it_thinks() -> None:
    view = talk_of(
        Entry(Role.ASSISTANT, "", (ToolCall("search", '{"query": "trains"}'),)),
        Entry(Role.ASSISTANT, "<think>Hm.</think>", thinking=(Span(0, 18),)),
    )
    lines = drawn(view, Transcript(view))
    assert lines[0].endswith('r1 → search({"query": "trains"})')
    assert lines[1].endswith("thinking: Hm.")


def test_a_rule_says_which_context_and_which_branch_begins() -> None:
    branches = (Branch("a", "first try", 1), Branch("b", "[second] try", 1))
    view = talk_of(
        Entry(Role.USER, "Hi"),
        Entry(Role.USER, "Hi", context=2, kept=True),
        source=Source("", "native", "", branches=branches, branch="b"),
    )
    lines = drawn(view, Transcript(view))
    assert lines[0].lstrip().startswith("── context 1 of 2 · branch 2 of 2: [second] try ───")
    assert lines[2].lstrip().startswith("── context 2 of 2: compacted or reset here ───")
    assert "(kept)  Hi" in lines[3]


def test_the_cursor_and_what_is_found_are_marked_without_colours() -> None:
    view = talk_of(Entry(Role.USER, "Satay or satay?"))
    transcript = Transcript(view)
    lines = TranscriptLines(view, transcript, PLAIN)
    line = everything(transcript)[0]
    strip = lines.line(line, WIDTH, here=True, found=re.compile("satay", re.IGNORECASE))
    assert strip.text.startswith(">")
    reverse = [segment.text for segment in strip if segment.style and segment.style.reverse]
    assert reverse == ["Satay", "satay"]


def test_positive_and_negative_scores_differ_in_colour_too() -> None:
    view = small([2.0, -2.0])
    transcript = Transcript(view)
    lines = TranscriptLines(view, transcript, COLOURS)
    styles = [[segment.style for segment in lines.line(line, WIDTH)] for line in everything(transcript)[-2:]]
    assert COLOURS.positive in styles[0]
    assert COLOURS.negative in styles[1]


@pytest.mark.parametrize("width", [9, 20, 33, 60, 79, 80, 120, 161])
@pytest.mark.parametrize("palette", [COLOURS, PLAIN])
def test_nasty_text_is_drawn_literally_in_exactly_the_width(width: int, palette: Palette) -> None:
    text = f"{NASTY}\n{NASTY * 4}"
    thinking = f"<think>{text}</think>"
    call = ToolCall(NASTY, text)
    entries = (
        Entry(Role.SYSTEM, text, memory_key=NASTY),
        Entry(Role.USER, f"<m>{text}</m>", injected=True),
        Entry(Role.TOOL, text, name=NASTY),
        Entry(Role.ASSISTANT, thinking + text, (call,), (Span(0, len(thinking)),), context=1),
        Entry(Role.ASSISTANT, text, context=1),
    )
    memories = (
        Memory(NASTY, (Place(0, Span(0, len(text))),)),
        Memory(f"{NASTY}2", (Place(1, Span(3, 9), Span(0, 12)),)),
    )
    branches = (Branch(NASTY, NASTY, 1), Branch("b", "b", 1))
    view = view_over(
        Conversation(entries, memories, Source("", "native", "", branches=branches, branch=NASTY))
    )
    score(view.matrix, 0, 0, 2.0)
    view.matrix.set_failed(1, [0, 1], NASTY)
    view.recompute()
    transcript = Transcript(view)
    for _ in range(3):
        transcript.unfold_all()
    for line in everything(transcript):
        if line.node.part.kind is Kind.MORE and not line.node.is_open:
            transcript.unfold(line.spot)
    lines = TranscriptLines(view, transcript, palette)
    transcript.set_width(lines.text_width(width))
    kinds = set()
    for line in everything(transcript):
        strip = lines.line(line, width, here=line.line == 0)
        kinds.add(line.node.part.kind)
        assert cell_len(strip.text) == strip.cell_length == width
        assert [hex(ord(character)) for character in strip.text if not is_safe(character)] == []
        assert "\n" not in strip.text
    assert kinds == set(Kind)


def test_pending_and_failed_keep_their_words_in_every_palette() -> None:
    view = small([None])
    assert view.state(0, 0) is CellState.PENDING
    assert drawn(view, Transcript(view), palette=PLAIN)[-1].strip() == "▸ … 1 not scored"
