"""Numbers and states in words, wrapping, cutting, bars."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.style import Style

from memscope.conversation.model import Entry, Role, Span, ToolCall
from memscope.tui.safe import cut, fit, printable
from memscope.tui.view import MatrixView
from memscope.tui.widgets.bars import bar, spark_levels
from memscope.tui.widgets.strips import text_strips, wrap
from memscope.tui.wording import (
    cell_sentence,
    compact,
    memory_places,
    nats,
    ordinal,
    response_text,
)
from tests.tui.fake import FakeSession, conversation, fake_session, score_now


@pytest.mark.parametrize(("value", "says"), [(2.2, "+2.20"), (-0.004, "-0.00"), (12345.6, "+12346")])
def test_a_divergence_has_its_sign(value: float, says: str) -> None:
    assert nats(value) == says


@pytest.mark.parametrize("value", [0.0, -3.25, 41.2, 9998.9, -9998.9, 123456.0, -4.5e7])
def test_a_weight_takes_six_cells_at_most(value: float) -> None:
    assert len(compact(value)) <= 7 - (value >= 0)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (1, "1st"),
        (2, "2nd"),
        (3, "3rd"),
        (4, "4th"),
        (11, "11th"),
        (12, "12th"),
        (22, "22nd"),
        (113, "113th"),
    ],
)
def test_ordinals(number: int, says: str) -> None:
    assert ordinal(number) == says


@pytest.fixture
def session() -> FakeSession:
    return score_now(fake_session(conversation(4, 6)))


def sentence(session: FakeSession, memory: int, response: int) -> str:
    view = MatrixView(session.conversation, session.matrix, session.metric)
    return cell_sentence(view, memory, response, 40)


def test_a_scored_cell_in_words(session: FakeSession) -> None:
    session.matrix.noise[2] = 0.02
    words = sentence(session, 1, 2)
    value = session.matrix.values(session.metric)[1, 2]
    assert words.startswith(f"topic1/memory-01 x r3: {value:+.2f} nats, ")
    assert words.endswith(" of 3, within noise 0.02 · signed")
    session.matrix.noise[2] = np.nan
    assert sentence(session, 1, 2).endswith(" of 3, noise unknown · signed")


def test_cells_without_a_number_say_why_in_words(session: FakeSession) -> None:
    assert sentence(session, 3, 0).endswith("x r1: impossible: this memory enters after the response")
    session.matrix.clear()
    assert sentence(session, 1, 2).endswith("x r3: not scored yet")
    session.matrix.set_running(1, [2])
    assert sentence(session, 1, 2).endswith("x r3: being scored")
    session.matrix.set_failed(1, [2], "the server answered [503]")
    assert sentence(session, 1, 2).endswith("x r3: failed: the server answered [503]")


def test_a_cell_that_no_window_holds_is_not_said_to_enter_late(session: FakeSession) -> None:
    session.matrix.states[1, 5] = 0
    assert "do not fit one window" in sentence(session, 1, 5)


def test_a_memory_in_another_context_is_said_to_stand_there(session: FakeSession) -> None:
    talk = session.conversation
    entry = talk.responses[5]
    parted = replace(
        talk, entries=tuple(replace(e, context=int(n >= entry)) for n, e in enumerate(talk.entries))
    )
    session.matrix.states[1, 5] = session.matrix.states[3, 0] = 0
    view = MatrixView(parted, session.matrix, session.metric)

    def words(memory: int, response: int) -> str:
        return cell_sentence(view, memory, response, 40)

    assert words(1, 5).endswith(
        "x r6: impossible: this memory stands in another context: the conversation was compacted or reset "
        "in between"
    )
    assert words(3, 0).endswith("x r1: impossible: this memory enters after the response")
    session.matrix.states[1, 2] = 0
    assert "do not fit one window" in words(1, 2)


def test_a_response_shows_what_was_said_and_called_without_the_thinking() -> None:
    text = "<think>hm</think>Booked."
    entry = Entry(Role.ASSISTANT, text, (ToolCall("book", '{"n": 1}'),), thinking=(Span(0, 17),))
    assert response_text(entry) == 'Booked.\n→ book({"n": 1})'


def test_a_memory_says_in_which_entries_it_stands(session: FakeSession) -> None:
    assert memory_places(session.conversation, 0) == "entry 0"


words = st.text(st.characters(codec="utf-8"), max_size=80).map(printable)


@given(words, st.integers(0, 30))
def test_cut_and_filled_text_keeps_to_its_cells(text: str, width: int) -> None:
    line = text.replace("\n", " ")
    assert cell_len(cut(line, width)) <= width
    assert cell_len(fit(line, width)) == width


@given(words, st.integers(2, 30))
def test_wrapped_lines_fit_and_lose_nothing_but_white_space(text: str, width: int) -> None:
    lines = [text[start:end] for start, end in wrap(text, width)]
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(sum(map(cell_len, line)) <= width or cell_len(line) <= width for line in lines)


def test_text_wraps_between_words_and_keeps_empty_lines() -> None:
    text = "one two three\n\nfour"
    assert [text[start:end] for start, end in wrap(text, 8)] == ["one two", "three", "", "four"]


def test_a_word_longer_than_the_line_is_broken() -> None:
    text = "ab abcdefghij k"
    assert [text[start:end] for start, end in wrap(text, 4)] == ["ab", "abcd", "efgh", "ij k"]


def test_text_that_is_too_long_ends_in_an_ellipsis() -> None:
    strips = text_strips("one two three four five six", 9, Style(), most=2)
    assert [strip.text for strip in strips] == ["one two  ", "three…   "]


def test_bars_have_half_steps_and_show_every_value_above_zero() -> None:
    assert [bar(value, 10.0, 5) for value in (10.0, 5.0, 0.01, 0.0)] == ["━━━━━", "━━╸", "╸", ""]
    assert bar(-10.0, 10.0, 5) == "━━━━━"
    assert bar(math.nan, 10.0, 5) == ""
    assert bar(3.0, math.nan, 5) == ""


def test_sparks_tell_nothing_known_from_zero_and_reach_the_top_at_the_largest() -> None:
    assert spark_levels(np.array([np.nan, 0.0, -2.0, 4.0, 8.0])).tolist() == [0, 1, 1, 5, 8]
    assert spark_levels(np.array([np.nan])).tolist() == [0]
