"""Activities begin on entry, end however the block ends, and say how far they are."""

import asyncio
import threading
from collections.abc import Generator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from memscope.activity import LINGER, Activities, ActivitySnapshot, ActivityState


@dataclass
class Clock:
    """Seconds that pass when told to."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def activities(clock: Clock) -> Activities:
    return Activities(clock)


def only(activities: Activities) -> ActivitySnapshot:
    """The one activity there is."""
    (snapshot,) = activities.snapshot()
    return snapshot


def test_it_runs_from_entry_and_is_complete_after_the_block(activities: Activities) -> None:
    with activities.track("reading", total=3, unit="files"):
        assert (only(activities).title, only(activities).state) == ("reading", ActivityState.RUNNING)
        assert (only(activities).total, only(activities).unit) == (3, "files")
    assert only(activities).state is ActivityState.COMPLETE


def test_nothing_is_shown_before_the_block_begins(activities: Activities) -> None:
    activities.track("later")
    assert activities.snapshot() == ()


def test_an_exception_passes_through_and_is_the_reason_of_the_failure(activities: Activities) -> None:
    with pytest.raises(ValueError, match="the disk is gone"), activities.track("writing"):
        raise ValueError("the disk is gone")
    assert (only(activities).state, only(activities).error) == (ActivityState.FAILED, "the disk is gone")


def test_an_exception_without_words_is_named(activities: Activities) -> None:
    with pytest.raises(ZeroDivisionError), activities.track("dividing"):
        raise ZeroDivisionError
    assert only(activities).error == "ZeroDivisionError"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, asyncio.CancelledError, CancelledError, GeneratorExit])
def test_being_stopped_is_no_failure(activities: Activities, stop: type[BaseException]) -> None:
    with pytest.raises(stop), activities.track("scoring"):
        raise stop
    assert (only(activities).state, only(activities).error) == (ActivityState.CANCELLED, None)


def test_a_cancelled_task_ends_its_activity(activities: Activities) -> None:
    async def work() -> None:
        with activities.track("waiting"):
            await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        assert only(activities).state is ActivityState.RUNNING
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancel())
    assert only(activities).state is ActivityState.CANCELLED


def test_a_generator_that_is_closed_ends_its_activity(activities: Activities) -> None:
    def lines() -> Generator[int, None, None]:
        with activities.track("reading"):
            yield 1
            yield 2

    reading = lines()
    next(reading)
    assert only(activities).state is ActivityState.RUNNING
    reading.close()
    assert only(activities).state is ActivityState.CANCELLED


def test_complete_lingers_five_seconds_and_goes(activities: Activities, clock: Clock) -> None:
    with activities.track("reading"):
        clock.now += 60
    clock.now += LINGER - 0.01
    assert only(activities).state is ActivityState.COMPLETE
    clock.now += 0.02
    assert activities.snapshot() == ()
    assert LINGER == 5.0


def test_a_notice_lingers_like_what_is_complete(activities: Activities, clock: Clock) -> None:
    activities.notify("scores are not kept")
    assert (only(activities).title, only(activities).state) == ("scores are not kept", ActivityState.NOTICE)
    clock.now += LINGER
    assert activities.snapshot() == ()


def test_a_failure_stays_until_it_is_dismissed(activities: Activities, clock: Clock) -> None:
    with pytest.raises(ValueError, match="no"), activities.track("writing"):
        raise ValueError("no")
    clock.now += 3600
    assert only(activities).state is ActivityState.FAILED
    with activities.track("reading"):
        activities.dismiss_failures()
        assert only(activities).title == "reading"


def test_ended_activities_are_let_go_even_if_nobody_looks(activities: Activities, clock: Clock) -> None:
    for _ in range(100):
        with activities.track("reading"):
            clock.now += LINGER + 1
    assert len(activities._activities) == 1 + 1  # the last, and the one that ended as it began


def test_speed_and_time_left_follow_from_what_is_done(activities: Activities, clock: Clock) -> None:
    with activities.track("scoring", total=1000, unit="tokens") as activity:
        assert (only(activities).speed, only(activities).remaining) == (None, None)
        clock.now += 4
        assert (only(activities).speed, only(activities).remaining) == (None, None)
        activity.advance(100)
        activity.advance(100)
        assert only(activities).done == 200
        assert only(activities).elapsed == 4
        assert only(activities).speed == pytest.approx(50)
        assert only(activities).remaining == pytest.approx(16)
        activity.update(done=2000)
        assert only(activities).remaining == 0
    clock.now += 3
    assert only(activities).elapsed == 4
    assert only(activities).remaining is None


def test_without_a_total_there_is_speed_but_no_time_left(activities: Activities, clock: Clock) -> None:
    with activities.track("reading", unit="bytes") as activity:
        clock.now += 2
        activity.advance(10)
        assert (only(activities).speed, only(activities).remaining) == (5, None)


def test_an_update_sets_what_is_given_and_keeps_the_rest(activities: Activities) -> None:
    with activities.track("scoring", total=10) as activity:
        activity.update(title="scoring home/city", done=4)
        activity.update(total=20)
        snapshot = only(activities)
        assert (snapshot.title, snapshot.done, snapshot.total) == ("scoring home/city", 4, 20)


def test_activities_may_stand_inside_one_another(activities: Activities) -> None:
    with activities.track("scoring"):
        with pytest.raises(ValueError, match="no"), activities.track("baseline"):
            raise ValueError("no")
        states = [(each.title, each.state) for each in activities.snapshot()]
        assert states == [("scoring", ActivityState.RUNNING), ("baseline", ActivityState.FAILED)]


def test_many_threads_may_work_and_look_at_once(activities: Activities) -> None:
    begun = threading.Barrier(8)

    def work(number: int) -> None:
        with activities.track(f"part {number}", total=200) as activity:
            begun.wait()
            for _ in range(200):
                activity.advance()
                activities.snapshot()
            begun.wait()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    ended = activities.snapshot()
    assert sorted(each.title for each in ended) == [f"part {number}" for number in range(8)]
    assert {(each.done, each.state) for each in ended} == {(200, ActivityState.COMPLETE)}
    assert len({each.id for each in ended}) == 8


def test_coroutines_and_threads_share_one_list(activities: Activities) -> None:
    seen = []

    def in_thread() -> None:
        with activities.track("in a thread"):
            seen.append({each.title for each in activities.snapshot()})

    async def main() -> None:
        with activities.track("in a coroutine"):
            await asyncio.to_thread(in_thread)

    asyncio.run(main())
    assert seen == [{"in a coroutine", "in a thread"}]
