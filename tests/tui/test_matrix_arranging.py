"""The keys that arrange the matrix on the screen, find in it, walk over it, and score parts of it again."""

import numpy as np
import pytest
from textual.widgets import Input

from memscope.scoring.matrix import CellState
from memscope.tui.arrangement import ColumnOrder, Normalisation, RowFilter, Zoom
from memscope.tui.view import MatrixView
from memscope.tui.widgets.heatmap_lines import HEADER
from memscope.tui.widgets.legend import Legend
from tests.tui.driving import cursor, heatmap, picture, press, running, settled, strike, the_app, until
from tests.tui.fake import FakeSession, conversation, fake_session, score_now

pytestmark = pytest.mark.anyio


def scored(memories: int = 6, responses: int = 8, **options: object) -> FakeSession:
    keys = options.pop("keys", ())
    assert isinstance(keys, tuple)
    return score_now(fake_session(conversation(memories, responses, keys=keys)))


def lines(pilot: object, first: int = HEADER, last: int = HEADER + 6) -> list[str]:
    return [heatmap(pilot).render_line(y).text for y in range(first, last)]  # type: ignore[arg-type]


async def test_capital_s_orders_columns_by_dependence_and_the_header_numbers_them() -> None:
    async with running(scored()) as pilot:
        await press(pilot, "S")
        view = the_app(pilot).opened.view
        assert view.column_order is ColumnOrder.DEPENDENCE
        assert (np.diff(view.dependence[view.columns]) <= 0).all()
        await press(pilot, "g", "home")
        assert cursor(pilot)[1] == view.columns[0]
        await press(pilot, "S")
        assert the_app(pilot).opened.view.columns.tolist() == list(range(8))


async def test_capital_f_filters_and_the_title_says_what_is_shown() -> None:
    async with running(scored(8, 6)) as pilot:
        view = the_app(pilot).opened.view
        for row_filter in [*list(RowFilter)[1:], RowFilter.ALL]:
            await press(pilot, "F")
            assert view.row_filter is row_filter
            assert (f"{row_filter}: {len(view.order)} of 8" in picture(pilot)) is view.is_filtered


async def test_a_filter_that_hides_every_row_leaves_a_screen_that_goes_on() -> None:
    async with running(scored()) as pilot:
        await press(pilot, "F", "F", "F", "down", "enter", "t", "p", "space")
        assert the_app(pilot).opened.view.row_filter is RowFilter.UNSCORED
        assert "unscored: 0 of 6" in picture(pilot)
        await press(pilot, "F")
        assert heatmap(pilot).render_line(HEADER).text.strip()


async def test_capital_p_shows_only_keys_of_the_same_folder_and_all_again() -> None:
    async with running(scored(keys=("home/city", "trip/budget", "home/cat", "diet"))) as pilot:
        view = the_app(pilot).opened.view
        heatmap(pilot).move_to(2, 0)
        await press(pilot, "P")
        assert {view.keys[row] for row in view.order} == {"home/city", "home/cat"}
        assert "home/: 2 of 4" in picture(pilot)
        await press(pilot, "P")
        assert len(view.order) == 4


async def test_capital_p_on_a_key_without_a_slash_says_why_nothing_happens() -> None:
    async with running(scored(keys=("city", "home/cat"))) as pilot:
        heatmap(pilot).move_to(0, 0)
        await press(pilot, "P")
        assert not the_app(pilot).opened.view.is_filtered
        assert "this key has no slash" in picture(pilot)


async def test_p_keeps_a_row_on_top_while_the_others_scroll() -> None:
    async with running(scored(60, 6), size=(100, 24)) as pilot:
        await press(pilot, "G")
        pinned, _ = cursor(pilot)
        await press(pilot, "p", "g", "down", "G")
        view = the_app(pilot).opened.view
        assert heatmap(pilot).scroll_offset.y > 0
        assert lines(pilot)[0].startswith(f" ^{view.keys[pinned][:13]}")
        assert any(line.startswith(">") for line in lines(pilot, last=heatmap(pilot).size.height))
        await press(pilot, "g", "p")
        assert view.frozen == 0


async def test_z_goes_from_an_overview_to_numbers_and_keeps_the_cursor_in_sight() -> None:
    async with running(scored(6, 300)) as pilot:
        view = the_app(pilot).opened.view
        await press(pilot, "end")
        for key, zoom in (("z", Zoom.NUMBERS), ("Z", Zoom.NORMAL), ("Z", Zoom.FINE), ("Z", Zoom.OVERVIEW)):
            await press(pilot, key)
            assert view.zoom is zoom
            assert "r300" in heatmap(pilot).render_line(0).text
        await press(pilot, "Z")
        assert view.zoom is Zoom.OVERVIEW


async def test_z_to_numbers_keeps_the_cursor_in_sight_where_everything_fitted_before() -> None:
    async with running(scored(6, 20)) as pilot:
        await press(pilot, "end", "z")
        assert "r20" in heatmap(pilot).render_line(0).text


async def test_a_terminal_that_shrinks_keeps_the_cursor_in_sight_where_everything_fitted_before() -> None:
    async with running(scored(14, 20)) as pilot:
        await press(pilot, "end", "G")
        await pilot.resize_terminal(60, 14)
        await settled(pilot)
        assert "r20" in heatmap(pilot).render_line(0).text
        assert any(line.startswith(">") for line in lines(pilot, last=heatmap(pilot).size.height))


async def test_in_an_overview_a_step_goes_to_the_largest_number_of_the_next_cell() -> None:
    async with running(scored(6, 300)) as pilot:
        view = the_app(pilot).opened.view
        await press(pilot, "Z", "Z", "home", "right")
        memory, response = cursor(pilot)
        width = heatmap(pilot).size.width
        pool = heatmap(pilot)._lines.pool(width)
        assert pool <= response < 2 * pool
        assert abs(view.values[memory, response]) == np.nanmax(np.abs(view.values[memory, pool : 2 * pool]))


async def test_beside_the_sentence_the_legend_has_room_for_all_it_says_in_every_unit() -> None:
    async with running(scored(), size=(170, 36)) as pilot:
        for _ in Normalisation:
            legend = pilot.app.screen.query_one(Legend)
            assert legend.region.y == pilot.app.screen.query_one("#sentence").region.y
            assert legend.render_line(0).text.rstrip().endswith("? failed")
            await press(pilot, "u")


async def test_u_changes_the_unit_of_cells_legend_and_sentence() -> None:
    async with running(scored()) as pilot:
        for unit in (Normalisation.PER_TOKEN, Normalisation.SHARE, Normalisation.NATS):
            await press(pilot, "u")
            assert the_app(pilot).opened.view.normalisation is unit
            assert f" {unit}" in picture(pilot).splitlines()[-3]
        assert "% of column" not in picture(pilot)


def matters(view: MatrixView) -> list[float]:
    sizes = np.abs(view.values[view.values == view.values])
    return sorted((float(size) for size in sizes if size > 0.01), reverse=True)


async def test_t_walks_from_the_strongest_cell_to_weaker_ones_and_capital_t_back() -> None:
    async with running(scored()) as pilot:
        view = the_app(pilot).opened.view
        await press(pilot, "G", "home", "t")
        assert abs(view.values[cursor(pilot)]) == matters(view)[0]
        await press(pilot, "t", "t")
        assert abs(view.values[cursor(pilot)]) == matters(view)[2]
        await press(pilot, "T")
        assert abs(view.values[cursor(pilot)]) == matters(view)[1]


async def test_a_walk_begins_anew_once_the_user_has_gone_elsewhere() -> None:
    async with running(scored()) as pilot:
        await press(pilot, "t", "t", "t", "G", "home", "t")
        view = the_app(pilot).opened.view
        assert abs(view.values[cursor(pilot)]) == matters(view)[0]


async def test_slash_finds_words_and_n_goes_round() -> None:
    async with running(scored()) as pilot:
        await strike(pilot, "slash", *"answer", "enter")
        assert "1 of 8 found: r1" in picture(pilot)
        assert cursor(pilot)[1] == 0
        await strike(pilot, "n", "n")
        assert cursor(pilot)[1] == 2
        await strike(pilot, "N", "N", "N")
        assert cursor(pilot)[1] == 7
        assert not pilot.app.screen.query_one(Input).display


async def test_words_that_nothing_holds_are_said_and_escape_leaves_the_line() -> None:
    async with running(scored()) as pilot:
        await strike(pilot, "slash", *"[/b]xyz", "enter")
        assert "nothing holds “[/b]xyz”" in picture(pilot)
        await strike(pilot, "slash", "a", "escape", "down")
        assert not pilot.app.screen.query_one(Input).display
        assert pilot.app.focused is heatmap(pilot)


async def test_space_marks_a_memory_and_goes_on() -> None:
    async with running(scored()) as pilot:
        view = the_app(pilot).opened.view
        await press(pilot, "g", "space", "space")
        assert view.marked_memories == tuple(sorted(view.order[:2].tolist()))
        assert [line[:2] for line in lines(pilot)[:3]] == [" *", " *", "> "]
        await press(pilot, "g", "space")
        assert len(view.marked_memories) == 1


@pytest.mark.parametrize("key", ["w", "c"])
async def test_w_scores_a_row_again_and_c_a_column(key: str) -> None:
    session = scored()
    async with running(session) as pilot:
        session.gate.clear()
        heatmap(pilot).move_to(1, 3)
        await strike(pilot, key)
        await until(pilot, lambda: session.matrix.count(CellState.RUNNING) > 0)
        touched = np.argwhere(np.isin(session.matrix.states, (CellState.PENDING, CellState.RUNNING)))
        assert set(touched[:, 0 if key == "w" else 1].tolist()) == {1 if key == "w" else 3}
        session.gate.set()
        await until(pilot, lambda: the_app(pilot).opened.missing == 0)


async def test_the_sentence_says_what_is_under_the_mouse_until_it_leaves() -> None:
    async with running(scored()) as pilot:
        view = the_app(pilot).opened.view
        await press(pilot, "g", "home")
        width = heatmap(pilot).size.width
        gutter = heatmap(pilot)._lines.gutter(width).width
        await pilot.hover(heatmap(pilot), offset=(gutter + 4, HEADER + 2))
        assert f"{view.keys[view.order[2]]} x r3: " in picture(pilot)
        await pilot.hover("#title")
        assert f"{view.keys[view.order[0]]} x r1: " in picture(pilot)
