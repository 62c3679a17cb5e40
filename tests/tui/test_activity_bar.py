"""The activity bar, with a clock of its own."""

import pytest
from textual.app import App, ComposeResult

from memscope.activity import LINGER, Activities
from memscope.tui.widgets.activity_bar import ActivityBar

pytestmark = pytest.mark.anyio


class Clock:
    """Seconds that pass only when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class BarApp(App[None]):
    """One activity bar."""

    def __init__(self, activities: Activities) -> None:
        super().__init__()
        self.activities = activities
        self.busy = False

    def compose(self) -> ComposeResult:
        yield ActivityBar(self.activities, lambda: self.busy, "d")

    @property
    def bar(self) -> ActivityBar:
        return self.query_one(ActivityBar)

    @property
    def says(self) -> str:
        self.bar.poll()
        return self.bar.render().plain


def bar_app() -> tuple[BarApp, Clock]:
    clock = Clock()
    return BarApp(Activities(clock)), clock


async def test_it_is_silent_and_asleep_without_activities() -> None:
    app, _ = bar_app()
    async with app.run_test(size=(100, 3)) as pilot:
        await pilot.pause()
        assert app.says == ""
        assert not app.bar.awake


async def test_it_shows_what_runs_with_a_spinner_that_turns() -> None:
    app, clock = bar_app()
    async with app.run_test(size=(100, 3)):
        with app.activities.track("scoring", total=100, unit="tokens") as activity:
            activity.advance(20)
            clock.now += 2
            app.bar.wake()
            assert app.bar.awake
            first, second = app.says, app.says
            assert first[1:] == " scoring · 20% · 8 s left · 10 tokens/s · 20 of 100 tokens"
            assert first[0] != second[0]


async def test_what_is_complete_lingers_and_then_it_sleeps() -> None:
    app, clock = bar_app()
    async with app.run_test(size=(100, 3)):
        with app.activities.track("baseline"):
            app.bar.wake()
        assert app.says == "✓ baseline (complete)"
        assert app.bar.awake
        clock.now += LINGER - 0.1
        assert app.says == "✓ baseline (complete)"
        clock.now += 0.2
        assert app.says == ""
        assert not app.bar.awake


async def test_what_ended_several_times_is_told_once() -> None:
    app, _ = bar_app()
    async with app.run_test(size=(100, 3)):
        for _ in "word":
            with app.activities.track("searching in texts"):
                pass
        app.activities.notify("wrote a.csv")
        app.activities.notify("wrote a.csv")
        assert app.says == "· wrote a.csv   ✓ searching in texts (complete)"


async def test_a_failure_stays_says_its_reason_and_the_key_that_dismisses_it() -> None:
    app, clock = bar_app()
    async with app.run_test(size=(100, 3)):
        with pytest.raises(ValueError, match="503"), app.activities.track("scoring"):
            raise ValueError("the server answered 503")
        app.bar.wake()
        clock.now += 1000
        assert app.says == "✗ scoring: the server answered 503  d dismisses"
        assert app.bar.failures
        assert not app.bar.awake
        app.bar.dismiss()
        assert app.says == ""


async def test_it_stays_awake_between_two_activities_of_one_piece_of_work() -> None:
    app, _ = bar_app()
    async with app.run_test(size=(100, 3)):
        app.busy = True
        app.bar.wake()
        assert app.bar.awake
        with app.activities.track("second"):
            assert app.says.endswith("second")


async def test_failures_and_what_runs_come_before_what_has_ended() -> None:
    app, _ = bar_app()
    async with app.run_test(size=(100, 3)):
        with app.activities.track("first"):
            pass
        with app.activities.track("second"):
            assert app.says.endswith(" second   ✓ first (complete)")


async def test_of_what_has_ended_the_last_comes_first() -> None:
    app, _ = bar_app()
    async with app.run_test(size=(100, 3)):
        for name in ("first", "second"):
            with app.activities.track(name):
                pass
        app.activities.notify("fidelity is measured")
        app.bar.poll()
        assert app.says == "· fidelity is measured   ✓ second (complete)   ✓ first (complete)"


async def test_what_to_do_is_said_only_while_nothing_runs() -> None:
    app, _ = bar_app()
    async with app.run_test(size=(100, 3)):
        app.bar.say("r scores 12 cells")
        assert app.says == "r scores 12 cells"
        with app.activities.track("scoring"):
            assert "r scores" not in app.says
        assert app.says == "r scores 12 cells   ✓ scoring (complete)"


async def test_a_line_too_long_for_the_bar_is_cut() -> None:
    app, _ = bar_app()
    async with app.run_test(size=(30, 3)):
        with app.activities.track("a very long title " * 9):
            assert len(app.says) <= 28
            assert app.says.endswith("…")
