"""The Training screen: candidates sorted, filtered, chosen, previewed and written."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from memscope import cli
from memscope.conversation.follow import Follower
from memscope.conversation.model import Conversation
from memscope.scoring.session import Session
from memscope.tui.app import MemscopeApp
from memscope.tui.screens.export import ExportScreen
from memscope.tui.screens.help import HelpScreen
from memscope.tui.screens.matrix import MatrixScreen
from memscope.tui.screens.training import TrainingScreen
from memscope.tui.sets import EVERY
from memscope.tui.widgets.candidate_list import CandidateList
from memscope.tui.widgets.example_text import ExampleText
from memscope.tui.widgets.line import Line
from tests.scorers_fake import TALK, HashScorer, conversation
from tests.tui.driving import cursor, drawn_through, picture, press, running, strike, until
from tests.tui.fake import SILENCE, FakeSession, fake_session
from tests.tui.fake import conversation as made_up
from tests.tui.test_following import MORE, lines
from tests.tui.test_untrusted import NASTY, SIZES, assert_safe

pytestmark = pytest.mark.anyio


def listed(pilot: Pilot[None]) -> CandidateList:
    return pilot.app.screen.query_one(CandidateList)


def shown(pilot: Pilot[None]) -> list[int]:
    """The responses that are listed, by their indexes."""
    return [candidate.response for candidate in listed(pilot).items]


def at(pilot: Pilot[None]) -> int:
    """The response under the cursor."""
    item = listed(pilot).item
    assert item is not None
    return item.response


def divergences(pilot: Pilot[None]) -> list[float]:
    """What each listed response has, in nats."""
    return [one.divergence for one in listed(pilot).items if one.divergence is not None]


def example(pilot: Pilot[None]) -> str:
    """The whole preview, not only what is in sight."""
    return "\n".join(line.text.rstrip() for line in pilot.app.screen.query_one(ExampleText)._strips)


def chosen(pilot: Pilot[None]) -> str:
    return pilot.app.screen.query_one("#chosen", Line).text


def title(pilot: Pilot[None]) -> str:
    return pilot.app.screen.query_one("#title", Line).text


def weak_and_strong() -> FakeSession:
    """Responses without memories less probable by 0, 0.02, 0.5, 5 and 50 nats, and one more probable."""
    session = fake_session(made_up(memories=1, responses=6))
    for response, total in enumerate((5.0, 0.0, 50.0, -4.0, 0.02, 0.5)):
        with_all, _ = session.logprobs[0, response]
        session.logprobs[0, response] = with_all, with_all - total / len(with_all)
    return session


class TestBeforeAnythingIsScored:
    """The screen says what it is for and what that costs, and shows no number."""

    async def test_it_says_what_r_does_and_what_it_costs(self) -> None:
        async with running(fake_session(made_up(memories=3, responses=4))) as pilot:
            await press(pilot, "4")
            assert isinstance(pilot.app.screen, TrainingScreen)
            drawn = picture(pilot)
            assert "r leaves all 3 memories out at once and scores 4 responses again: 400 tokens." in drawn
            assert "r scores 4 responses without any memory: 400 tokens" in drawn
            assert "r1 · entry 3: not scored yet" in drawn
            assert shown(pilot) == [0, 1, 2, 3]
            assert listed(pilot).render_line(1).text.split()[:4] == [">", "r1", "3", "/"]
            assert "+0.00" not in drawn

    async def test_before_the_model_is_open_the_cost_is_not_known(self) -> None:
        session = fake_session()
        session.model.clear()
        app = MemscopeApp(session.as_session)
        async with app.run_test(size=(120, 36)) as pilot:
            await drawn_through(pilot)
            await strike(pilot, "4")
            assert "what that costs is known once the model is open" in picture(pilot)
            await strike(pilot, "r")
            assert app.opened.sets.is_scoring(EVERY)
            await until(pilot, lambda: "r1 · entry 4: waits" in picture(pilot))
            session.model.set()
            await until(pilot, lambda: "r leaves all" not in picture(pilot))
            assert session.prepared == 1
            assert session.runs == []  # nor was the matrix scored

    async def test_nothing_can_be_written(self) -> None:
        async with running(fake_session()) as pilot:
            await press(pilot, "4", "w", "a")
            assert isinstance(pilot.app.screen, TrainingScreen)
            assert "Write" not in picture(pilot)
            assert chosen(pilot) == ""

    async def test_what_was_scored_before_is_there_at_once(self, scorer: HashScorer) -> None:
        for _ in range(2):
            session = Session(conversation(*TALK))
            async with running(session) as pilot:
                await press(pilot, "4", "r")
                asked = len(scorer.requests)
            session.close()
        session = Session(conversation(*TALK))
        async with running(session) as pilot:
            await press(pilot, "4")
            assert len(divergences(pilot)) == 3
        assert len(scorer.requests) == asked
        session.close()

    @pytest.mark.parametrize(
        ("talk", "said"),
        [(SILENCE, "has no memories"), (conversation(("home", "Nora lives in Bergen.")), "has no responses")],
    )
    async def test_a_conversation_without_anything_to_score_says_what_to_do(
        self, scorer: HashScorer, talk: Conversation, said: str
    ) -> None:
        session = Session(talk)
        async with running(session) as pilot:
            await press(pilot, "4", "r", "space", "a", "w", "s", "l")
            assert said in picture(pilot)
        session.close()

    async def test_without_memories_nothing_is_chosen_or_copied_from_a_list_that_is_not_there(
        self, scorer: HashScorer, told: list[str]
    ) -> None:
        session = Session(conversation(("user", "Hi"), ("assistant", "Hello")))
        async with running(session) as pilot:
            await press(pilot, "4", "space", "y", "e")
            assert chosen(pilot) == ""
            assert told == []
            assert isinstance(pilot.app.screen, TrainingScreen)
            assert "Choose" not in picture(pilot)
        session.close()


class TestScoring:
    """r scores every response without any memory; states are shown as they are."""

    async def test_states_are_shown_until_there_are_numbers(self) -> None:
        session = fake_session(open_gate=False)
        async with running(session) as pilot:
            await strike(pilot, "4", "r")
            await until(pilot, lambda: "being scored" in picture(pilot))
            assert " … " in listed(pilot).render_line(1).text
            await until(pilot, lambda: "x Stop" in picture(pilot))
            await strike(pilot, "x")
            await until(pilot, lambda: "not scored yet" in picture(pilot))
            session.gate.set()
            await press(pilot, "r")
            await until(pilot, lambda: "x Stop" not in picture(pilot))
            assert len(divergences(pilot)) == 6
            assert "all responses scored without any memory" in picture(pilot)

    async def test_failures_say_why_and_are_tried_again(self) -> None:
        session = fake_session()
        session.failing = {0: "the server said [/no]"}
        async with running(session) as pilot:
            await press(pilot, "4", "r")
            assert "failed: the server said [/no]" in picture(pilot)
            assert " ? " in listed(pilot).render_line(1).text
            assert divergences(pilot) == []
            session.failing = {}
            await press(pilot, "r")
            assert len(divergences(pilot)) == 6

    async def test_everything_can_be_scored_again(self) -> None:
        session = weak_and_strong()
        async with running(session) as pilot:
            await press(pilot, "4", "r")
            before = divergences(pilot)
            await press(pilot, "R")
            assert divergences(pilot) == before
            assert [each.title for each in session.activities.snapshot()].count("scoring a set") == 2

    async def test_the_metric_is_that_of_the_session(self) -> None:
        async with running(weak_and_strong()) as pilot:
            await press(pilot, "4", "r")
            assert divergences(pilot)[-1] == pytest.approx(-4, abs=1e-4)
            await press(pilot, "m")
            assert divergences(pilot)[-1] == 0
            assert "clamped" in title(pilot)

    async def test_a_growing_conversation_keeps_numbers_and_choice(
        self, scorer: HashScorer, tmp_path: Path
    ) -> None:
        log = tmp_path / "log.jsonl"
        log.write_text(lines(TALK))
        follower = Follower(str(log))
        session = Session(follower.open())
        app = MemscopeApp(session, follower)
        async with app.run_test(size=(120, 36)) as pilot:
            await until(pilot, lambda: app.opened.work.ready and not app.opened.work.busy)
            await strike(pilot, "4", "r")
            await until(pilot, lambda: not app.opened.sets.scoring and len(divergences(pilot)) == 3)
            await strike(pilot, "space")
            known, one = divergences(pilot), chosen(pilot)
            with log.open("a") as file:
                file.write(lines(MORE))
            await until(pilot, lambda: len(shown(pilot)) == 4)
            assert divergences(pilot) == known
            await until(pilot, lambda: session.is_planned and not app.opened.work.busy)
            assert divergences(pilot) == known
            assert chosen(pilot) == one == "1 chosen"
            await until(pilot, lambda: "r scores 1 response without any memory: " in picture(pilot))
            app.opened.close()
        session.close()


class TestTheList:
    """Sorted, filtered, walked through."""

    async def test_it_is_sorted_by_divergence_by_that_a_token_or_in_order(self) -> None:
        async with running(weak_and_strong()) as pilot:
            await press(pilot, "4", "r")
            assert shown(pilot) == [2, 0, 5, 4, 1, 3]
            await press(pilot, "s")
            each = [one.divergence / one.tokens for one in listed(pilot).items if one.divergence is not None]
            assert each == sorted(each, reverse=True)
            assert "by divergence a token" in title(pilot)
            await press(pilot, "s")
            assert shown(pilot) == [0, 1, 2, 3, 4, 5]
            await press(pilot, "s")
            assert shown(pilot) == [2, 0, 5, 4, 1, 3]

    async def test_it_is_filtered_by_noise_and_by_so_many_nats(self) -> None:
        async with running(weak_and_strong()) as pilot:
            await press(pilot, "4", "r")
            found = []
            for _ in range(5):
                await press(pilot, "l")
                found.append((shown(pilot), title(pilot).split(" · ")[3]))
            assert found == [
                ([2, 0, 5, 4], "above noise"),
                ([2, 0, 5], "above 0.1 nats"),
                ([2, 0], "above 1 nats"),
                ([2], "above 10 nats"),
                ([2, 0, 5, 4, 1, 3], "signed"),
            ]

    async def test_a_line_has_number_entry_bar_divergence_and_first_words(self) -> None:
        async with running(weak_and_strong(), size=(160, 36)) as pilot:
            await press(pilot, "4", "r")
            first, noise = listed(pilot).render_line(1).text, listed(pilot).render_line(5).text
            assert first.startswith("> r3 ")
            assert "+50.00 ━━━━━━━━   +2.000     25  Answer 3." in first
            assert "~+0.00 " in noise
            assert "━" not in noise

    async def test_the_cursor_moves_by_keys_and_clicks_and_stays_on_its_response(self) -> None:
        async with running(weak_and_strong()) as pilot:
            await press(pilot, "4", "r", "down", "j", "k")
            assert at(pilot) == 0
            await press(pilot, "s", "s")
            assert at(pilot) == 0
            await press(pilot, "G")
            assert at(pilot) == 5
            await press(pilot, "home", "pagedown", "pageup")
            assert at(pilot) == 0
            await pilot.click(CandidateList, offset=(5, 3))
            assert at(pilot) == 2

    async def test_matrix_and_list_share_the_response_they_look_at(self) -> None:
        async with running(weak_and_strong()) as pilot:
            await press(pilot, "right", "right", "right", "4")
            assert at(pilot) == 3
            await press(pilot, "down", "enter")
            assert isinstance(pilot.app.screen, MatrixScreen)
            assert cursor(pilot) == (0, 4)

    async def test_looking_at_the_list_alone_does_not_move_the_matrix(self) -> None:
        async with running(weak_and_strong()) as pilot:
            await press(pilot, "4", "r", "2")
            assert cursor(pilot) == (0, 0)

    async def test_five_thousand_responses_are_drawn_by_what_is_in_sight(self) -> None:
        read: list[int] = []
        session = fake_session(made_up(memories=1, responses=5000))
        async with running(session) as pilot:
            await press(pilot, "4", "r")
            text_of = listed(pilot)._text_of

            def counted(entry: int) -> str:
                read.append(entry)
                return text_of(entry)

            listed(pilot)._text_of = counted
            await press(pilot, "G")
            assert 0 < len(read) < 200


class TestChoosing:
    """Space, all, none; what is chosen is what is written."""

    async def test_space_chooses_and_goes_on(self) -> None:
        async with running(weak_and_strong()) as pilot:
            await press(pilot, "4", "r", "space", "space")
            assert chosen(pilot) == "2 chosen"
            assert listed(pilot).render_line(1).text.startswith(" ✓r3")
            assert listed(pilot).render_line(2).text.startswith(" ✓r1")
            await press(pilot, "up", "space")
            assert chosen(pilot) == "1 chosen"

    async def test_all_are_those_above_noise_and_none_is_none(self) -> None:
        async with running(weak_and_strong()) as pilot:
            await press(pilot, "4", "r", "a")
            assert chosen(pilot) == "4 chosen"
            await press(pilot, "c")
            assert chosen(pilot) == ""
            await press(pilot, "l", "l", "l", "a", "l", "l")
            assert chosen(pilot) == "2 chosen"

    async def write(self, pilot: Pilot[None], path: Path, key: str = "w") -> list[str]:
        """The last thing said in each example written."""
        await press(pilot, key)
        assert isinstance(pilot.app.screen, ExportScreen)
        pilot.app.screen.query_one(Input).value = str(path)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, TrainingScreen)
        return [json.loads(line)["messages"][-1]["content"][:9] for line in path.read_text().splitlines()]

    async def test_the_chosen_are_written_strongest_first_and_counted(self, tmp_path: Path) -> None:
        async with running(weak_and_strong(), size=(200, 36)) as pilot:
            await press(pilot, "4", "r", "s", "s", "space", "down", "space")
            assert await self.write(pilot, tmp_path / "a.jsonl") == ["Answer 3.", "Answer 1."]
            await until(pilot, lambda: "wrote 2 training examples to " in picture(pilot))

    async def test_if_none_is_chosen_all_above_noise_and_the_filter_are_written(self, tmp_path: Path) -> None:
        async with running(weak_and_strong()) as pilot:
            await press(pilot, "4", "r")
            everything = ["Answer 3.", "Answer 1.", "Answer 6.", "Answer 5."]
            assert await self.write(pilot, tmp_path / "a.jsonl", "e") == everything
            await press(pilot, "l", "l", "l")
            assert await self.write(pilot, tmp_path / "b.jsonl") == everything[:2]

    async def test_the_file_is_what_the_command_line_writes(
        self, scorer: HashScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = tmp_path / "talk.jsonl"
        log.write_text(lines(TALK))
        session = Session(Follower(str(log)).open())
        async with running(session) as pilot:
            await press(pilot, "4", "r")
            mine = await self.write(pilot, tmp_path / "mine.jsonl")
        session.close()
        monkeypatch.setattr(
            sys, "argv", [*("memscope", "score", str(log), "--training"), "--to", "theirs.jsonl"]
        )
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(cli.main)
        assert not ended.value.code
        assert (tmp_path / "mine.jsonl").read_bytes() == (tmp_path / "theirs.jsonl").read_bytes()
        assert 0 < len(mine) < 3

    async def test_the_conversation_itself_is_not_written_over(
        self, scorer: HashScorer, tmp_path: Path
    ) -> None:
        log = tmp_path / "talk.jsonl"
        log.write_text(lines(TALK))
        session = Session(Follower(str(log)).open())
        async with running(session) as pilot:
            await press(pilot, "4", "r", "w")
            pilot.app.screen.query_one(Input).value = str(log)
            await strike(pilot, "enter", "enter")
            await until(pilot, lambda: "itself;" in picture(pilot))  # the path before it wraps anywhere
            pilot.app.screen.query_one(Input).value = "train.csv"
            await press(pilot, "enter")
            assert "train.csv: the ending must be .jsonl." in picture(pilot)
            await press(pilot, "escape")
        assert log.read_text() == lines(TALK)
        assert not (tmp_path / "train.csv").exists()
        session.close()

    async def test_the_prompt_says_how_many_and_which(self) -> None:
        async with running(weak_and_strong()) as pilot:
            await press(pilot, "4", "r", "w")
            drawn = picture(pilot)
            assert "Write 4 training examples" in drawn
            assert "all above noise" in drawn
            assert pilot.app.screen.query_one(Input).value == "trip-planner.training.jsonl"


class TestThePreview:
    """Exactly what would be written for the response under the cursor, as messages."""

    async def test_it_is_the_messages_without_the_memories(self, scorer: HashScorer) -> None:
        session = Session(conversation(*TALK))
        async with running(session) as pilot:
            await press(pilot, "4", "down")
            assert example(pilot).replace("\n\n", "\n") == "\n".join(
                [
                    "system: You plan trips.",
                    "user: Where do I start?",
                    "assistant: You start from Bergen.",
                    "user: What shall I eat?",
                    "assistant: Skip the satay sauce.",
                ]
            )
            assert "r2 as written · 5 messages · " in pilot.app.screen.query_one("#example", Line).text
        session.close()

    async def test_a_long_example_is_cut_with_a_stated_count_and_shows_its_end(self) -> None:
        async with running(fake_session(made_up(memories=2, responses=600))) as pilot:
            await press(pilot, "4", "G")
            preview = pilot.app.screen.query_one(ExampleText)
            assert example(pilot).startswith("… ")
            assert "messages before these" in example(pilot)
            assert preview.scroll_offset.y == preview.max_scroll_y > 0
            assert "Answer 600." in picture(pilot)
            before = preview.scroll_offset.y
            await press(pilot, "K", "K")
            assert preview.scroll_offset.y < before
            await press(pilot, "J", "J")
            assert preview.scroll_offset.y == before

    async def test_a_long_message_is_cut_with_a_stated_count(self) -> None:
        async with running(fake_session(made_up(memories=1, responses=1, said="word " * 4000))) as pilot:
            await press(pilot, "4")
            assert example(pilot).split()[-4:] == ["…", "14,000", "more", "characters"]

    async def test_reading_it_waits_until_the_cursor_rests(self) -> None:
        async with running(fake_session(made_up(memories=1, responses=60))) as pilot:
            await strike(pilot, "4", *["down"] * 20)
            await until(pilot, lambda: "r21 as written" in picture(pilot))
            assert "Answer 21." in example(pilot)


@pytest.mark.parametrize("size", SIZES)
async def test_nasty_text_is_drawn_literally(size: tuple[int, int]) -> None:
    nasty = NASTY.replace("\ud800", "")  # which no file that can be read holds
    session = fake_session(made_up(keys=(nasty, f"{nasty}/1"), responses=3, title=nasty, said=nasty))
    async with running(session, size=size) as pilot:
        await press(pilot, "4")
        assert_safe(picture(pilot))
        session.failing = {0: NASTY}
        await press(pilot, "r")
        assert_safe(picture(pilot))
        session.failing = {}
        await press(pilot, "r", "space")
        drawn = picture(pilot)
        assert_safe(drawn)
        assert "[/red]" in drawn
        await press(pilot, "w")
        assert_safe(picture(pilot))


@pytest.mark.parametrize("size", [(200, 50), (120, 36), (80, 24), (60, 14), (20, 6), (1, 1)])
async def test_it_can_be_drawn_at_every_size(size: tuple[int, int]) -> None:
    async with running(fake_session(made_up(14, 22)), size=size) as pilot:
        await press(pilot, "4", "r", "G", "space", "s", "l")
        drawn = picture(pilot)
        if size[0] >= 60:
            assert "nats with all memories left out" in drawn
            assert "Choose" in drawn
            lines = [listed(pilot).render_line(y).text for y in range(listed(pilot).size.height)]
            assert any(line.startswith(">") for line in lines)
            assert {len(line) for line in lines} <= {listed(pilot).size.width, listed(pilot).size.width - 1}


async def test_without_colour_the_states_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with running(weak_and_strong()) as pilot:
        await press(pilot, "4", "r", "space")
        drawn = picture(pilot)
        assert "✓r3" in drawn
        assert "~+0.00" in drawn


async def test_the_help_names_its_keys() -> None:
    async with running(weak_and_strong(), size=(200, 60)) as pilot:
        await press(pilot, "4", "r", "question_mark")
        assert isinstance(pilot.app.screen, HelpScreen)
        drawn = picture(pilot)
        for said in ("Choose a response", "Choose none", "Sort by divergence", "as training examples"):
            assert said in drawn


async def test_another_theme_is_drawn_with_its_colours() -> None:
    async with running(weak_and_strong()) as pilot:
        await press(pilot, "4", "r")
        before = listed(pilot).render_line(1)
        pilot.app.theme = "memscope-light"
        await drawn_through(pilot)
        assert listed(pilot).render_line(1) != before
