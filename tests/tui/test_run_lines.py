"""Runs and their differences in words and on lines, without an app."""

import time
from collections.abc import Iterator

import pytest
from rich.cells import cell_len

from memscope.scoring.matrix import CellState, Metric
from memscope.scoring.runs import RunState
from memscope.tui import run_wording as words
from memscope.tui.past_runs import laid_over
from memscope.tui.view import MatrixView
from memscope.tui.widgets.run_lines import moved_line, run_header, run_line
from tests.scorers_fake import TALK, conversation
from tests.tui.runs import NAN, NOON, compared, matrix, run
from tests.tui.test_heatmap_lines import COLOURS, PLAIN
from tests.tui.test_untrusted import NASTY, assert_safe

NOW = NOON.timestamp() + 7200


@pytest.fixture(autouse=True)
def oslo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An hour before UTC in March."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def line(width: int, *, here: bool = False, marked: bool = False, **changed: object) -> str:
    return run_line(run(**changed), NOW, width, COLOURS, here=here, marked=marked).text


class TestRunLine:
    """A run on one line, as much of it as fits."""

    def test_a_wide_one_says_when_who_how_long_how_much_and_how_it_ended(self) -> None:
        shown = line(160).split()
        assert shown == [
            *("2026-03-06", "13:00", "2", "h", "ago", "tiny", "embedded", "1", "min", "5", "s", "signed"),
            *("5", "of", "5", "1,234", "2", "3", "✓", "complete"),
        ]

    def test_a_narrow_one_keeps_when_who_and_how_it_ended(self) -> None:
        shown = line(60)
        assert shown.startswith("   03-06 13:00 2 h ago    tiny embedded")
        assert shown.endswith("✓ complete")

    @pytest.mark.parametrize("width", [40, 60, 79, 80, 96, 104, 116, 120, 134, 146, 300])
    @pytest.mark.parametrize("model", ["tiny", "日本語" * 60, NASTY])
    def test_line_and_header_fill_exactly_the_width(self, width: int, model: str) -> None:
        assert cell_len(line(width, model=model, reason=NASTY, state=RunState.FAILED)) == width
        assert cell_len(run_header(width)) == width

    def test_the_names_of_the_columns_stand_above_them(self) -> None:
        header, shown = run_header(160), line(160)
        for name, value in (("when", "2026"), ("ago", "2 h"), ("model", "tiny"), ("metric", "signed")):
            assert header.index(name) == shown.index(value)
        assert header.index("cells") + len("cells") == shown.index("5 of 5") + len("5 of 5")

    def test_a_failed_one_says_why(self) -> None:
        shown = line(120, state=RunState.FAILED, reason="503 from\nthe server")
        assert "tiny embedded · 503 from" in shown
        assert "✗ failed" in shown

    def test_cursor_and_mark_are_told_without_colour(self) -> None:
        assert line(80, here=True).startswith("> ")
        assert line(80, marked=True).startswith(" a")
        doomed = run_line(run(), NOW, 80, PLAIN, here=True, marked=False, doomed=True).text
        assert doomed.startswith("✗ ")

    def test_nasty_names_are_drawn_literally(self) -> None:
        shown = line(300, model=NASTY, scorer=NASTY, reason=NASTY)
        assert_safe(shown)
        assert "[/red]" in shown

    def test_a_number_too_long_for_its_column_is_never_cut_to_a_smaller_one(self) -> None:
        assert " 98,765,432 o… " in line(120, scored=98_765_432, missing=1)


class TestFacts:
    """Everything that is known of a run."""

    def test_time_cells_cost_and_what_was_strongest(self) -> None:
        said = words.facts(run(scored=3, failed=1, missing=2, exact=False), NOW)
        for fact in (
            "2026-03-06 13:00:07, 2 h ago",
            "took 1 min 5 s",
            "3 of 6 cells scored · 1 failed · 2 not scored",
            "1,234 tokens computed, the whole matrix takes 2,000",
            "2 cells from the cache · 3 requests",
            "tiny embedded, approximate",
            "strongest memory home, +2.50 nats",
        ):
            assert fact in said

    def test_nothing_scored_has_no_strongest_memory(self) -> None:
        assert "strongest" not in words.facts(run(strongest=None, weight=None), NOW)

    def test_nasty_names_are_made_visible(self) -> None:
        assert_safe(words.facts(run(model=NASTY, scorer=NASTY, strongest=NASTY), NOW))


class TestDifferences:
    """Two runs in words."""

    def test_a_verdict_counts_what_moved_and_what_of_that_is_noise(self) -> None:
        a = matrix({"x": [1, 2], "y": [3, 4], "z": [5, NAN]}, [3, 6], noise=0.1)
        b = matrix({"x": [1, 2.1], "y": [4, 4], "z": [6, 7]}, [3, 6], noise=0.05)
        assert words.verdict(compared(a, b)) == (
            "5 cells compared, 3 moved, 2 of them beyond the noise · rank correlation of weights +1.00"
        )

    def test_equal_runs_and_noisy_ones_are_told_apart(self) -> None:
        a, b = matrix({"x": [1, 2]}, [3, 6], noise=1), matrix({"x": [1.5, 2.5]}, [3, 6], noise=1)
        few = "no rank correlation: it takes three memories that differ in weight"
        assert words.verdict(compared(a, a)) == f"2 cells compared, none moved · {few}"
        assert words.verdict(compared(a, b)) == f"2 cells compared, 2 moved, all within the noise · {few}"
        b.noise[:] = a.noise[:] = NAN
        assert "2 moved, 2 with unknown noise" in words.verdict(compared(a, b))
        assert words.verdict(compared(a, matrix({"w": [1]}, [3]))) == "no cell is scored in both"

    def test_models_metrics_and_exactness_that_differ_are_named(self) -> None:
        a, b = run(), run(model="other", metric=Metric.CLAMPED, exact=False)
        assert words.differing(a, a, Metric.SIGNED) == ""
        assert words.differing(a, b, Metric.CLAMPED) == (
            "different models: a tiny, b other · different metrics: a signed, b clamped, compared as clamped"
            " · b is only approximate"
        )
        assert words.differing(a, run(scorer="vllm"), Metric.SIGNED) == (
            "different scorers: a embedded, b vllm"
        )

    def test_a_cell_says_both_values_or_which_is_missing(self) -> None:
        a, b = (
            matrix({"x": [1, 2, NAN, NAN]}, [1, 2, 3, 4], 0.1),
            matrix({"x": [3, NAN, 4, NAN]}, [1, 2, 3, 4]),
        )
        b.set_failed(0, [1], "503")
        b.states[0, 3] = a.states[0, 3] = CellState.IMPOSSIBLE
        found = compared(a, b)
        assert [words.difference_sentence(found, 0, at, 20) for at in range(4)] == [
            "x x r1: +2.00 nats, noise 0.1 · a +1.00 · b +3.00",
            "x x r2: a +2.00 nats, not scored in b, failed: 503",
            "x x r3: b +4.00 nats, not scored in a",
            "x x r4: impossible in both",
        ]

    def test_what_only_one_has_is_named_and_the_rest_counted(self) -> None:
        a = matrix({f"m{n}": [1, 1] for n in range(6)}, [3, 6])
        b = matrix({"new": [1]}, [6])
        found = compared(a, b)
        assert (
            words.only("a", found.only_a)
            == "only in a: memories m0, m1, m2, m3 and 2 more · response at entry 3"
        )
        assert words.only("b", found.only_b) == "only in b: memory new"
        assert words.only("a", compared(a, a).only_a) == ""

    @pytest.mark.parametrize("width", [20, 36, 46, 80])
    def test_a_cell_that_moved_fills_its_line(self, width: int) -> None:
        found = compared(matrix({NASTY: [1, 2]}, [3, 6], 0.1), matrix({NASTY: [3, 2.1]}, [3, 6], 0.1))
        large, small = (moved_line(each, 1, width, COLOURS, here=False).text for each in found.moved())
        for text in (large, small):
            assert cell_len(text) == width
            assert_safe(text)
        assert large.rstrip().endswith("+2.00")
        assert small.rstrip().endswith("+0.10 ~")
        assert ("+1.00 → +3.00" in large) == (width >= 46)


class TestPast:
    """A past matrix over the conversation as it has become."""

    def test_memories_are_matched_by_key_and_responses_by_entry(self) -> None:
        laid = laid_over(conversation(*TALK), ["diet", "gone"], [6, 8, 99])
        assert (laid.memories, laid.responses) == ((1, None), (1, None, None))
        assert (laid.gone, laid.new) == ((1, 2), (1, 2))
        assert laid.present(0, 0) == (1, 1)
        assert laid.present(1, 0) is None
        assert laid.past(1, 1) == (0, 0)
        assert laid.past(0, 0) is None
        assert laid.conversation.memory_text(laid.conversation.memories[0]) == "Nora cannot eat peanuts."
        assert laid.conversation.memory_text(laid.conversation.memories[1]) == ""
        assert words.changed_since(laid) == (
            "1 memory and 2 responses are no longer in the conversation · 1 memory and 2 responses came since"
        )

    def test_an_unchanged_conversation_has_nothing_to_say(self) -> None:
        talk = conversation(*TALK)
        laid = laid_over(talk, [memory.key for memory in talk.memories], talk.responses)
        assert words.changed_since(laid) == ""

    def test_a_cell_never_asks_to_be_scored_and_says_what_is_gone(self) -> None:
        talk = conversation(*TALK)
        past = matrix({"home": [1, NAN, NAN], "gone": [NAN, 2, NAN]}, [3, 6, 99])
        past.states[0, 1] = past.states[1, 2] = CellState.IMPOSSIBLE
        laid = laid_over(talk, past.keys, past.responses)
        view = MatrixView(laid.conversation, past, Metric.SIGNED)
        assert words.past_sentence(view, laid, 1, 0, 20) == (
            "gone x r1: not scored in this run · memory no longer there"
        )
        assert words.past_sentence(view, laid, 1, 1, 20).endswith("· signed · memory no longer there")
        assert words.past_sentence(view, laid, 1, 2, 20) == (
            "gone x r3: impossible · memory and response no longer there"
        )
        assert "impossible: " in words.past_sentence(view, laid, 0, 1, 20)
