"""The heatmap's lines, looked at one by one without an app."""

import numpy as np
import pytest
from rich.cells import cell_len
from textual.color import Color

from memscope.scoring.matrix import CellState, Metric, ScoreMatrix
from memscope.tui.arrangement import ColumnOrder, RowOrder, Zoom
from memscope.tui.theme import DARK, SHADES, Palette, coloured, plain
from memscope.tui.view import MatrixView
from memscope.tui.widgets.heatmap_lines import HeatmapLines, Window
from tests.tui.fake import SILENCE
from tests.tui.test_view import matrix_of, score, view_of

BASE, TEXT, ACCENT, ERROR = map(Color.parse, (DARK.background, DARK.foreground, DARK.primary, DARK.error))
COLOURS = coloured(True, BASE, TEXT, ACCENT, ERROR)
PLAIN = plain(BASE.rich_color, TEXT.rich_color)


def lines_of(view: MatrixView, palette: Palette = COLOURS) -> HeatmapLines:
    view.set_scale(palette.scale)
    return HeatmapLines(view, palette)


def row(view: MatrixView, number: int, window: Window, palette: Palette = COLOURS) -> str:
    return lines_of(view, palette).row(number, window).text


def all_states() -> MatrixView:
    """Row 0: scored, zero, running, impossible; row 1: failed, pending."""
    matrix = ScoreMatrix(
        ["home/city", "trip/budget"], range(4), np.array([[True, True, True, False], [True] * 4])
    )
    score(matrix, 0, 0, 2.0)
    score(matrix, 0, 1, 0.0)
    matrix.set_running(0, [2])
    matrix.set_failed(1, [0, 1], "503")
    return MatrixView(SILENCE, matrix, Metric.SIGNED)


ELSEWHERE = {"memory": 9, "response": 9}


def test_every_state_has_its_own_glyph() -> None:
    view, window = all_states(), Window(width=60, first=0, **ELSEWHERE)
    assert "██· …   " in row(view, 0, window)
    assert "? ? / / " in row(view, 1, window)


def test_every_state_has_its_own_glyph_without_colours() -> None:
    view, window = all_states(), Window(width=60, first=0, **ELSEWHERE)
    assert "+9· …   " in row(view, 0, window, PLAIN)
    assert "? ? / / " in row(view, 1, window, PLAIN)


@pytest.mark.parametrize("width", [30, 47, 48, 60, 69, 70, 95, 120, 161])
def test_a_line_fills_exactly_the_width(width: int) -> None:
    view = view_of([[1.0] * 40, [-2.0] * 40])
    lines, window = lines_of(view), Window(width, 3, 0, 5)
    for strip in (lines.marks(window), lines.sparkline(window), lines.row(0, window), lines.row(1, window)):
        assert cell_len(strip.text) == width


def test_equal_neighbours_share_one_segment() -> None:
    view = view_of([[0.0] * 40])
    strip = lines_of(view).row(0, Window(width=120, first=0, **ELSEWHERE))
    assert "· " * 40 in [segment.text for segment in strip]


def test_positive_and_negative_cells_differ_in_hue_and_get_brighter_with_size() -> None:
    view = view_of([[10.0, 3.0, 1.0, -1.0, -3.0, -10.0]])
    window = Window(width=60, first=0, **ELSEWHERE)
    cells = [segment for segment in lines_of(view).row(0, window) if segment.text in "██▓▓▒▒░░╌╌──══≡≡"]
    colours = [segment.style.bgcolor.triplet for segment in cells if segment.style and segment.style.bgcolor]
    reds_over_blues = [colour.red > colour.blue for colour in colours if colour]
    assert reds_over_blues == [True, True, True, False, False, False]
    brightness = [sum(colour) for colour in colours if colour]
    assert brightness[0] > brightness[1] > brightness[2]
    assert brightness[5] > brightness[4] > brightness[3]


def test_the_cursor_marks_its_cell_its_row_and_its_column() -> None:
    view = view_of([[1.0] * 12, [2.0] * 12])
    window = Window(width=80, first=0, memory=1, response=6)
    lines = lines_of(view)
    assert lines.row(0, window).text.startswith("> m1 ")
    assert "[]" in lines.row(0, window).text
    assert "[]" not in lines.row(1, window).text
    assert lines.row(1, window).text.startswith("  m0 ")
    marked = [segment.text for segment in lines.marks(window) if segment.style == COLOURS.cursor]
    assert marked == ["r7"]


def test_the_header_numbers_the_first_and_every_fifth_response() -> None:
    view = view_of([[1.0] * 12])
    assert "r1      r5        r10 " in lines_of(view).marks(Window(80, 0, 0, 0)).text


def test_a_number_beside_the_cursors_gives_way_to_it() -> None:
    view = view_of([[1.0] * 12])
    header = lines_of(view).marks(Window(80, 0, 0, 8)).text
    assert "r9" in header
    assert "r10" not in header


def test_the_cursors_number_is_whole_in_the_last_column() -> None:
    view = view_of([[1.0] * 1000])
    lines = lines_of(view)
    header = lines.marks(Window(80, 1000 - lines.columns(80), 0, 999)).text
    assert header.endswith("r1000")


def test_the_header_says_how_rows_are_ordered() -> None:
    view = view_of([[1.0]])
    assert lines_of(view).marks(Window(60, 0, 0, 0)).text.startswith(" memories by weight")


def test_the_sparkline_stands_over_its_columns() -> None:
    nan = float("nan")
    view = view_of([[8.0, 4.0, 0.0, -1.0, nan]])
    spark = lines_of(view).sparkline(Window(60, 0, 0, 0))
    assert "dependence ██▅▅▁▁▔▔  " in spark.text


def test_a_window_further_right_shows_other_columns_under_their_numbers() -> None:
    values = [float(n) for n in range(20)]
    view = view_of([values])
    lines = lines_of(view)
    whole = lines.row(0, Window(120, 0, 9, 9)).text
    gutter = lines.gutter(120).width
    shifted = lines.row(0, Window(120, 4, 9, 9)).text
    assert shifted[gutter : gutter + 32] == whole[gutter + 8 : gutter + 40]


def test_a_long_key_is_cut_and_gives_way_to_columns_before_it_is_short() -> None:
    key = "travel/" + "no-night-trains-please" * 3
    matrix = ScoreMatrix([key], range(22), np.full((1, 22), True))
    view = MatrixView(SILENCE, matrix, Metric.SIGNED)
    lines = lines_of(view)
    assert lines.columns(78) == 22
    assert "…" in lines.row(0, Window(78, 0, 0, 0)).text


def test_wide_characters_in_a_key_are_cut_by_cells() -> None:
    matrix = ScoreMatrix(
        ["旅行/夜行列車に乗りたくないと言っていた", "👩‍👩‍👧 family"], range(4), np.full((2, 4), True)
    )
    view = MatrixView(SILENCE, matrix, Metric.SIGNED)
    lines = lines_of(view)
    for width in (40, 41, 60):
        for number in (0, 1):
            assert cell_len(lines.row(number, Window(width, 0, 0, 0)).text) == width


def test_a_rows_weight_has_a_bar_and_a_number_and_a_negative_one_its_sign() -> None:
    view = view_of([[40.0], [10.0], [-20.0]])
    window = Window(80, 0, 9, 9)
    lines = lines_of(view)
    assert "━━━━━━   40.0" in lines.row(0, window).text
    assert "━╸       10.0" in lines.row(1, window).text
    assert "━━━     -20.0" in lines.row(2, window).text
    negative = [segment.style for segment in lines.row(2, window) if "━" in segment.text]
    assert negative == [COLOURS.negative]


def test_a_row_without_a_number_shows_no_weight_rather_than_zero() -> None:
    view, window = all_states(), Window(60, 0, 9, 9)
    lines = lines_of(view)
    gutter = lines.gutter(60).width
    assert "0" not in lines.row(1, window).text[:gutter]
    assert lines.row(1, window).text[:gutter].rstrip().endswith("?")


def test_a_failed_row_is_told_apart_in_the_gutter() -> None:
    view = all_states()
    name = next(s for s in lines_of(view).row(1, Window(60, 0, 9, 9)) if s.text.startswith("trip/budget"))
    assert name.style == COLOURS.error


def test_a_line_is_drawn_once_until_something_in_it_changes() -> None:
    view = view_of([[1.0, 5.0], [2.0, 1.0]])
    lines, window = lines_of(view), Window(80, 0, 0, 0)
    first = lines.row(1, window)
    assert lines.row(1, window) is first
    score(view.matrix, int(view.order[1]), 0, 1.5)
    view.update([int(view.order[1])])
    assert lines.row(1, window) is not first


def test_pending_never_looks_like_zero_in_any_palette() -> None:
    for palette in (COLOURS, coloured(False, TEXT, BASE, ACCENT, ERROR), PLAIN):
        scale = palette.scale
        assert scale.texts[CellState.PENDING] != scale.texts[scale.zero]
        assert len(palette.cells) == len(palette.numbers) == len(scale.texts)


def test_lines_of_an_empty_matrix_are_blank() -> None:
    view = MatrixView(SILENCE, matrix_of([[]]), Metric.SIGNED)
    lines = lines_of(view)
    assert "r1" not in lines.marks(Window(60, 0, 0, 0)).text
    assert lines.sparkline(Window(60, 0, 0, 0)).text.strip() == "dependence"


def test_what_is_next_to_nothing_in_the_range_is_drawn_as_zero_but_never_what_is_not_scored() -> None:
    values = np.array([[100 / 64, 100 / 64 + 0.01, -100 / 64, -2.0, np.nan]])
    states = np.full(values.shape, CellState.SCORED, np.uint8)
    states[0, 4] = CellState.PENDING
    codes = SHADES.codes(values, states, extent=100.0, within_noise=np.zeros(values.shape, np.bool_))
    assert [SHADES.texts[code] for code in codes[0]] == ["· ", "░░", "· ", "╌╌", "/ "]


def zoomed(values: list[list[float]], zoom: Zoom) -> MatrixView:
    view = view_of(values)
    view.zoom = zoom
    return view


def cells(view: MatrixView, number: int, window: Window) -> str:
    lines = lines_of(view)
    return lines.row(number, window).text[lines.gutter(window.width).width :].rstrip()


OUT = {"memory": 9, "response": 0}


def test_fine_cells_take_one_character_each() -> None:
    view = zoomed([[10.0, 0.0, -10.0] * 20], Zoom.FINE)
    assert cells(view, 0, Window(120, 0, **OUT)) == "█·≡" * 20


def test_numbers_are_written_out_and_noise_and_states_are_not_numbers() -> None:
    view = zoomed([[2.2, -41.26, 0.0, 0.5, float("nan"), 902.4]], Zoom.NUMBERS)
    view.matrix.noise[3] = 1.0
    view.recompute()
    assert cells(view, 0, Window(120, 0, **OUT)).split() == ["+2.20", "-41.3", "·", "+0.50~", "/", "+902"]


def test_an_overview_fits_all_responses_and_each_cell_is_its_largest_number_by_size() -> None:
    values = [0.1] * 1000
    values[401] = -10.0
    view = zoomed([values], Zoom.OVERVIEW)
    lines = lines_of(view)
    pool = lines.pool(100)
    assert lines.cells(100) <= lines.columns(100)
    assert cells(view, 0, Window(100, 0, **OUT)).index("≡") == 401 // pool


def test_an_overview_shows_what_is_not_scored_unless_something_in_the_cell_matters() -> None:
    nan = float("nan")
    view = zoomed([[0.0, nan] * 100, [10.0, nan] * 100], Zoom.OVERVIEW)
    view.set_row_order(RowOrder.CONVERSATION)
    window = Window(60, 0, **OUT)
    assert lines_of(view).pool(60) > 1
    assert set(cells(view, 0, window)) == {"/"}
    assert set(cells(view, 1, window)) == {"█"}


@pytest.mark.parametrize("zoom", Zoom)
@pytest.mark.parametrize("width", [30, 60, 61, 120])
def test_a_line_fills_exactly_the_width_at_every_zoom(zoom: Zoom, width: int) -> None:
    view = zoomed([[1.0] * 400, [-2.0] * 400], zoom)
    lines, window = lines_of(view), Window(width, 3, 0, 5)
    for strip in (lines.marks(window), lines.sparkline(window), lines.row(0, window), lines.row(1, window)):
        assert cell_len(strip.text) == width


def test_columns_by_dependence_are_numbered_by_their_response() -> None:
    view = view_of([[1.0, 2.0, 9.0, 4.0]])
    view.set_column_order(ColumnOrder.DEPENDENCE)
    lines = lines_of(view)
    header = lines.marks(Window(60, 0, 9, 1)).text[lines.gutter(60).width :]
    assert header.startswith("r3")
    assert header.index("r2") == 4


def test_marks_tell_sets_marked_and_pinned_rows_apart() -> None:
    view = view_of([[3.0], [2.0], [1.0]])
    view.set_sets([((0, 1), matrix_of([[7.0]]))])
    view.mark(0)
    view.pin(1)
    lines = lines_of(view)
    starts = [lines.row(number, Window(60, 0, 9, 0)).text[:4] for number in range(4)]
    assert starts == [" +m0", " ^m1", " *m0", "  m2"]
