"""The Transcript screen, key by key."""

import re
from dataclasses import replace

import pytest
from textual.dom import DOMNode
from textual.pilot import Pilot
from textual.widgets import Input

from memscope.conversation.model import Conversation, Entry, Role, Source, ToolCall
from memscope.scoring.matrix import CellState
from memscope.tui.keys import bindings_of
from memscope.tui.screens.help import HelpScreen
from memscope.tui.screens.matrix import MatrixScreen
from memscope.tui.screens.transcript import TranscriptScreen
from memscope.tui.theme import palette
from memscope.tui.transcript.nodes import HEAD, Kind, Part, Spot
from memscope.tui.widgets.line import Line
from memscope.tui.widgets.transcript_view import TranscriptView
from tests.tui.driving import cursor, drawn_through, picture, press, running, strike, the_app, until
from tests.tui.fake import FakeSession, conversation, fake_session, score_now
from tests.tui.test_transcript import view_over
from tests.tui.test_untrusted import NASTY, assert_safe, nasty_session

pytestmark = pytest.mark.anyio

LONG = "Many words that take more than a line of the window, however wide it may be. " * 8


def shown(pilot: Pilot[None]) -> TranscriptView:
    return pilot.app.screen.query_one(TranscriptView)


def sentence(pilot: Pilot[None]) -> str:
    return pilot.app.screen.query_one("#sentence", Line).text


def lines(pilot: Pilot[None]) -> list[str]:
    """The lines of the transcript in sight."""
    view = shown(pilot)
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


def here(pilot: Pilot[None]) -> str:
    """The line under the cursor."""
    return next(line for line in lines(pilot) if line.startswith(">"))


def scored(responses: int = 6, said: str = "", memories: int = 4) -> FakeSession:
    return score_now(fake_session(conversation(memories, responses, said=said)))


async def test_the_third_screen_is_the_transcript_at_the_response_of_the_matrix() -> None:
    session = scored(30)
    async with running(session) as pilot:
        the_app(pilot).opened.cell = (0, 20)
        await press(pilot, "2", "3")
        assert isinstance(pilot.app.screen, TranscriptScreen)
        assert " r21 " in here(pilot)
        assert sentence(pilot).startswith("r21 · entry ")
        await press(pilot, "2")
        assert isinstance(pilot.app.screen, MatrixScreen)


async def test_arrows_and_letters_walk_the_lines_and_stop_at_the_ends() -> None:
    async with running(scored(), size=(120, 20)) as pilot:
        await strike(pilot, "3", "g", "down", "j")
        assert shown(pilot).spot == Spot(2, HEAD)
        await strike(pilot, "k", "up", "up")
        assert shown(pilot).spot == Spot(0, HEAD)
        await strike(pilot, "G", "down")
        assert lines(pilot)[-1].startswith(">")
        await strike(pilot, "home")
        assert shown(pilot).spot.entry == 0
        await strike(pilot, "end")
        assert shown(pilot).spot.entry == 15


async def test_page_keys_move_by_a_screen_and_the_cursor_stays_in_sight() -> None:
    async with running(scored(100), size=(80, 24)) as pilot:
        await strike(pilot, "3", "g", "pagedown", "pagedown")
        height = shown(pilot).size.height
        assert shown(pilot).scroll_offset.y == 2 * (height - 1) - (height - 1)
        assert lines(pilot)[-1].startswith(">")
        await strike(pilot, "pageup", "pageup")
        assert shown(pilot).spot == Spot(0, HEAD)


async def test_right_unfolds_and_left_folds_as_in_a_file_tree() -> None:
    session = scored(said=LONG)
    async with running(session) as pilot:
        await strike(pilot, "3", "g", "n")
        response = shown(pilot).spot.entry
        assert "▸" in here(pilot)
        await strike(pilot, "right")
        assert "▾" in here(pilot)
        assert "however wide it may be." in lines(pilot)[lines(pilot).index(here(pilot)) + 1]
        await strike(pilot, "l")
        child = shown(pilot).spot
        assert child.entry == response
        assert child.part.kind in (Kind.INFLUENCE, Kind.MORE)
        await strike(pilot, "left")
        assert shown(pilot).spot == Spot(response, HEAD)
        await strike(pilot, "h")
        assert "▸" in here(pilot)
        assert shown(pilot).spot == Spot(response, HEAD)


async def test_space_unfolds_and_folds_under_the_cursor() -> None:
    async with running(scored(said=LONG)) as pilot:
        await strike(pilot, "3", "g", "n")
        before = shown(pilot).max_scroll_y, lines(pilot)
        await strike(pilot, "space", "down", "down")
        assert shown(pilot).spot.line == 2
        await strike(pilot, "space")
        assert shown(pilot).spot.line == 0
        assert (shown(pilot).max_scroll_y, lines(pilot)) == before


async def test_all_is_unfolded_and_folded_by_steps_around_the_cursor() -> None:
    async with running(scored(said=LONG)) as pilot:
        await strike(pilot, "3", "g", "n", "n")
        at = shown(pilot).spot
        for key, marks in (("C", {"▸"}), ("E", {"▸"}), ("E", {"▾"})):
            await strike(pilot, key)
            assert shown(pilot).spot == at
            assert {line[1] for line in lines(pilot) if " assistant " in line} == marks
        await strike(pilot, "C", "C", "C")
        assert shown(pilot).virtual_size.height == 16


async def test_n_and_p_go_from_response_to_response() -> None:
    session = scored()
    entries = session.matrix.responses
    async with running(session) as pilot:
        await strike(pilot, "3", "g", "n")
        assert shown(pilot).spot == Spot(entries[0], HEAD)
        await strike(pilot, "n", "n", "p")
        assert shown(pilot).spot == Spot(entries[1], HEAD)
        await strike(pilot, "n", "n", "n", "n", "n", "n")
        assert shown(pilot).spot == Spot(entries[-1], HEAD)
        assert the_app(pilot).opened.cell[1] == 5


async def test_enter_on_a_memory_shows_its_cell_in_the_matrix_and_coming_back_keeps_the_place() -> None:
    session = scored()
    async with running(session, size=(100, 20)) as pilot:
        await strike(pilot, "3", "g", "n", "n", "n", "n", "down")
        spot, seen = shown(pilot).spot, lines(pilot)
        assert spot.part.kind is Kind.INFLUENCE
        assert re.match(r"> +<- topic\S+ \([+-]\d+\.\d\d\)", here(pilot))
        assert " x r4: " in sentence(pilot)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, MatrixScreen)
        assert cursor(pilot) == (spot.part.number, 3)
        await press(pilot, "3")
        assert (shown(pilot).spot, lines(pilot)) == (spot, seen)


async def test_enter_on_a_response_shows_it_in_the_matrix_at_its_strongest_memory() -> None:
    session = scored()
    async with running(session) as pilot:
        await strike(pilot, "3", "g", "n", "n", "n")
        strongest = the_app(pilot).opened.view.ranking(2)[0].memory
        await press(pilot, "enter")
        assert cursor(pilot) == (strongest, 2)


async def test_enter_on_a_memory_and_where_it_mattered_shows_those_in_the_matrix() -> None:
    session = scored()
    async with running(session) as pilot:
        await strike(pilot, "3", "g", "down", "right", "right", "right")
        spot = shown(pilot).spot
        assert spot.part.kind is Kind.EFFECT
        assert "-> r" in here(pilot)
        await press(pilot, "enter")
        assert cursor(pilot) == (1, spot.part.response)
        await press(pilot, "3", "left", "left", "enter")
        assert cursor(pilot) == (1, the_app(pilot).opened.view.reach(1)[0].response)


async def test_enter_on_anything_else_unfolds_it() -> None:
    entries = (Entry(Role.TOOL, LONG), Entry(Role.ASSISTANT, "Yes."))
    session = fake_session(Conversation(entries, (), Source("", "native", "")))
    async with running(session, size=(60, 20)) as pilot:
        await strike(pilot, "3", "g", "enter")
        assert isinstance(pilot.app.screen, TranscriptScreen)
        assert "▾" in here(pilot)
        assert shown(pilot).virtual_size.height > 10


async def test_another_cell_chosen_in_the_matrix_moves_the_transcript_there() -> None:
    session = scored()
    async with running(session) as pilot:
        await strike(pilot, "3", "g", "n")
        await press(pilot, "2", "end", "3")
        assert " r6 " in here(pilot)


async def test_words_are_found_in_folded_texts_and_keys_and_shown_in_reverse() -> None:
    talk = conversation(3, 4)
    entries = list(talk.entries)
    entries[-2] = replace(entries[-2], text="\n".join(["about"] * 5 + ["a Needle in it"]))
    entries[-1] = replace(entries[-1], tool_calls=(ToolCall("sew", '{"with": "needle"}'),))
    session = fake_session(replace(talk, entries=tuple(entries)))
    async with running(session) as pilot:
        await press(pilot, "3", "g", "slash", *"needle", "enter")
        assert here(pilot).endswith("a Needle in it")
        assert sentence(pilot).startswith("1 of 2 with “needle” · entry ")
        reverse = [
            segment.text
            for y in range(shown(pilot).size.height)
            for segment in shown(pilot).render_line(y)
            if segment.style and segment.style.reverse
        ]
        assert reverse == ["Needle", "needle"] or reverse == ["Needle"]
        await press(pilot, "n")
        assert here(pilot).strip("> ") == "with: needle"
        await press(pilot, "n")
        assert here(pilot).endswith("a Needle in it")
        await press(pilot, "N", "p")
        assert here(pilot).endswith("a Needle in it")
        await press(pilot, "slash", *"memory-01", "enter")
        assert " topic1/memory-01 " in here(pilot)


async def test_escape_leaves_the_find_line_and_then_ends_the_search() -> None:
    session = scored()
    async with running(session) as pilot:
        await press(pilot, "3", "g", "slash", *"tram", "escape")
        assert not pilot.app.screen.query_one("#find", Input).display
        assert shown(pilot).has_focus
        assert shown(pilot).finder is None
        await press(pilot, "slash", *"tram", "enter")
        assert shown(pilot).finder is not None
        await press(pilot, "escape", "g", "n")
        assert shown(pilot).finder is None
        assert shown(pilot).spot == Spot(session.matrix.responses[0], HEAD)
        await press(pilot, "slash", *"never said", "enter")
        assert "nothing holds “never said”" in sentence(pilot)


async def test_a_click_moves_folds_and_opens() -> None:
    session = scored(said=LONG)
    async with running(session) as pilot:
        await strike(pilot, "3", "g", "n")
        entry, row = shown(pilot).spot.entry, lines(pilot).index(here(pilot))
        await strike(pilot, "g")
        await pilot.click(shown(pilot), offset=(30, row))
        await drawn_through(pilot)
        assert shown(pilot).spot == Spot(entry, HEAD)
        assert "▸" in lines(pilot)[row]
        await pilot.click(shown(pilot), offset=(1, row))
        await drawn_through(pilot)
        assert "▾" in lines(pilot)[row]
        await pilot.click(shown(pilot), offset=(40, row), times=2)
        await drawn_through(pilot)
        assert isinstance(pilot.app.screen, MatrixScreen)


async def test_the_wheel_scrolls_and_leaves_the_cursor() -> None:
    async with running(scored(50), size=(80, 20)) as pilot:
        await strike(pilot, "3", "g")
        for _ in range(3):
            shown(pilot).scroll_relative(y=3, animate=False)
            await drawn_through(pilot)
        assert shown(pilot).scroll_offset.y == 9
        assert shown(pilot).spot == Spot(0, HEAD)
        assert not any(line.startswith(">") for line in lines(pilot))
        await strike(pilot, "down")
        assert here(pilot)


async def test_scrolling_through_texts_not_yet_in_sight_shows_every_line_once() -> None:
    async with running(scored(4, said=f"{LONG}\n\n\n{LONG}"), size=(60, 14)) as pilot:
        await strike(pilot, "3", "g", "E", "E", "E")
        seen = lines(pilot)[:1]
        while True:
            before = shown(pilot).scroll_offset.y
            top = lines(pilot)
            shown(pilot).scroll_relative(y=1, animate=False)
            await pilot.pause(0)
            if shown(pilot).scroll_offset.y == before:
                break
            assert lines(pilot)[:-1] == top[1:]
            seen.append(lines(pilot)[0])
        assert len(seen) == shown(pilot).max_scroll_y + 1


def grown(session: FakeSession, count: int) -> Conversation:
    """The session's conversation with more turns, its matrix likewise."""
    talk = session.conversation
    more = [Entry(Role.USER if n % 2 == 0 else Role.ASSISTANT, f"New {n}.") for n in range(2 * count)]
    longer = replace(talk, entries=(*talk.entries, *more))
    return longer


async def grow(pilot: Pilot[None], session: FakeSession, count: int) -> None:
    longer = grown(session, count)
    session.conversation, session.matrix = longer, view_over(longer).matrix
    app = the_app(pilot)
    app.opened.show_matrix()
    assert isinstance(app.screen, TranscriptScreen)
    app.screen.show_conversation(palette(app))
    await drawn_through(pilot)


async def test_a_growing_conversation_stays_at_its_end() -> None:
    session = scored(30)
    async with running(session, size=(80, 20)) as pilot:
        await strike(pilot, "3", "G")
        await grow(pilot, session, 3)
        assert lines(pilot)[-1].startswith(">")
        assert "New 5." in "\n".join(lines(pilot))
        await strike(pilot, "p", "p", "p")
        cursor_at = shown(pilot).spot
        shown(pilot).scroll_end(animate=False)
        await drawn_through(pilot)
        await grow(pilot, session, 10)
        assert "New 19." in "\n".join(lines(pilot))
        assert shown(pilot).spot == cursor_at


async def test_a_growing_conversation_does_not_move_a_view_that_is_not_at_its_end() -> None:
    session = scored(30)
    async with running(session, size=(80, 20)) as pilot:
        await strike(pilot, "3", "g", "n", "n")
        seen, height = lines(pilot), shown(pilot).max_scroll_y
        unscored = session.matrix
        await grow(pilot, session, 5)
        assert unscored is not session.matrix
        assert [line[:40] for line in lines(pilot) if line.startswith(">")] == [
            line[:40] for line in seen if line.startswith(">")
        ]
        assert lines(pilot).index(here(pilot)) == next(
            row for row, line in enumerate(seen) if line.startswith(">")
        )
        assert shown(pilot).max_scroll_y != height


async def test_scores_come_in_place_as_scoring_goes_on() -> None:
    session = fake_session(conversation(4, 16), open_gate=False)
    async with running(session, size=(120, 24)) as pilot:
        await strike(pilot, "3", "g", "n", "n", "n")
        assert "… 3 not scored" in picture(pilot)
        assert "(not scored)" in picture(pilot)
        row = lines(pilot).index(here(pilot))
        await strike(pilot, "r")
        await until(pilot, lambda: "1 being scored" in picture(pilot))
        session.gate.set()
        await until(pilot, lambda: session.matrix.count(CellState.PENDING) == 0)
        await until(pilot, lambda: "(weight " in picture(pilot))
        await until(pilot, lambda: "not scored" not in picture(pilot))
        assert re.search(r"<- topic\S+ \([+-]\d+\.\d\d\)", picture(pilot))
        assert lines(pilot).index(here(pilot)) == row


async def test_a_failed_score_says_so() -> None:
    session = fake_session(conversation(4, 6))
    session.failing = {0: "the server said 503"}
    async with running(session) as pilot:
        await press(pilot, "3", "r", "G")
        while shown(pilot).spot.part.kind is not Kind.MORE:
            await strike(pilot, "up")
        assert "1 failed" in here(pilot)
        await strike(pilot, "right")
        assert "(failed: the server said 503)" in picture(pilot)


async def test_another_metric_shows_other_scores() -> None:
    session = scored()
    async with running(session) as pilot:
        await strike(pilot, "3", "g", "n", "n", "n")
        assert "(-" in picture(pilot)
        await strike(pilot, "m")
        assert "(-" not in picture(pilot)


async def test_another_width_wraps_texts_anew_around_the_cursor() -> None:
    session = scored(said=LONG)
    async with running(session, size=(120, 24)) as pilot:
        await strike(pilot, "3", "g", "n", "n", "space", "down")
        spot, row = shown(pilot).spot, lines(pilot).index(here(pilot))
        await pilot.resize_terminal(70, 24)
        await drawn_through(pilot)
        assert shown(pilot).spot == spot
        assert lines(pilot).index(here(pilot)) == row
        assert all(len(line) <= shown(pilot).size.width - 1 for line in lines(pilot))


async def test_a_terminal_that_shrinks_keeps_the_cursor_in_sight() -> None:
    async with running(scored(), size=(120, 36)) as pilot:
        await strike(pilot, "3", "G")
        spot = shown(pilot).spot
        await pilot.resize_terminal(60, 14)
        await drawn_through(pilot)
        assert shown(pilot).spot == spot
        assert here(pilot) in lines(pilot)


async def test_nothing_said_yet_says_so() -> None:
    session = fake_session(Conversation((), (), Source("", "native", "")))
    async with running(session) as pilot:
        await press(pilot, "3", "down", "n", "slash", "E", "enter", "space")
        assert "no entries yet" in picture(pilot)


@pytest.mark.parametrize("size", [(300, 80), (120, 36), (80, 24), (60, 14), (20, 6), (1, 1)])
async def test_nasty_text_is_drawn_literally_at_every_size(size: tuple[int, int]) -> None:
    async with running(nasty_session(), size=size) as pilot:
        await press(pilot, "3", "E", "E", "E", "g")
        assert_safe(picture(pilot))
        await press(pilot, "slash", *"[/red]", "enter")
        assert_safe(picture(pilot))
        await press(pilot, "G", "n", "down", "right")
        drawn = picture(pilot)
        assert_safe(drawn)
        if size >= (60, 14):
            assert "[/red][@click" in drawn


async def test_a_small_terminal_keeps_the_lines_the_sentence_and_the_keys() -> None:
    async with running(scored(20), size=(60, 14)) as pilot:
        await press(pilot, "3")
        drawn = picture(pilot)
        assert "<- topic" in drawn
        assert re.search(r"r\d+ · entry \d+", drawn)
        assert "? Help" in drawn


async def test_every_key_has_an_id_a_tooltip_and_a_line_in_the_help() -> None:
    def has_words(node: type[DOMNode]) -> bool:
        return all(binding.id and binding.tooltip for binding in bindings_of(node))

    assert has_words(TranscriptView)
    assert has_words(TranscriptScreen)
    async with running(scored(), size=(120, 60)) as pilot:
        await press(pilot, "3", "question_mark")
        assert isinstance(pilot.app.screen, HelpScreen)
        drawn = picture(pilot)
        for words in (
            "Unfold by a step",
            "Fold everything by a step",
            "Find words in keys",
            "The next response",
        ):
            assert words in drawn


async def test_a_memory_that_is_part_of_an_entry_leads_to_its_cell() -> None:
    session = scored()
    async with running(session) as pilot:
        await press(pilot, "3")
        shown(pilot).go_to(session.matrix.responses[2], Part(Kind.INFLUENCE, 1, 2))
        await drawn_through(pilot)
        assert the_app(pilot).opened.cell == (1, 2)
        assert NASTY not in picture(pilot)
