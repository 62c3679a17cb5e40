"""Activities as progress bars on standard error, for the command line."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tqdm import tqdm

from memscope.activity import Activities, ActivitySnapshot, ActivityState
from memscope.wording import activity_line

_INTERVAL = 0.1
_MARKS = {
    ActivityState.COMPLETE: "✓",
    ActivityState.CANCELLED: "–",
    ActivityState.FAILED: "✗",
    ActivityState.NOTICE: "·",
}


@contextmanager
def show_progress(activities: Activities) -> Iterator[None]:
    """Draw what runs for as long as the block does: a bar each on a terminal, else a line when it ends.

    Failures are told at the end, without the one that the block raises: whoever catches that will tell it.
    If standard error can't be written the block goes on without.
    """
    bars = _Bars(sys.stderr.isatty())
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_INTERVAL):
            with suppress(OSError):
                bars.draw(activities.snapshot())

    thread = threading.Thread(target=watch, name="memscope-progress", daemon=True)
    thread.start()
    raised = ""
    try:
        yield
    except Exception as error:
        raised = str(error)
        raise
    finally:
        over.set()
        thread.join()
        with suppress(OSError):
            bars.draw(activities.snapshot())
            bars.close(raised)


class _Bars:
    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._bars: dict[int, tqdm[Any]] = {}
        self._failed: dict[int, ActivitySnapshot] = {}
        self._told: set[int] = set()

    def draw(self, activities: tuple[ActivitySnapshot, ...]) -> None:
        for activity in activities:
            if activity.state is ActivityState.RUNNING:
                if self._terminal:
                    self._bar(activity)
                continue
            bar = self._bars.pop(activity.id, None)
            if bar is not None:
                bar.close()
            if activity.state is ActivityState.FAILED:
                self._failed[activity.id] = activity
            else:
                self._tell(activity)

    def close(self, raised: str) -> None:
        for bar in self._bars.values():
            bar.close()
        for activity in self._failed.values():
            if activity.error != raised:
                self._tell(activity)

    def _tell(self, activity: ActivitySnapshot) -> None:
        if activity.id not in self._told:
            self._told.add(activity.id)
            tqdm.write(f"{_MARKS[activity.state]} {activity_line(activity)}", file=sys.stderr)

    def _bar(self, activity: ActivitySnapshot) -> None:
        bar = self._bars.get(activity.id)
        if bar is None:
            shape = "{desc}" if activity.total is None else "{bar:12} {desc}"
            bar = tqdm(file=sys.stderr, leave=False, dynamic_ncols=True, bar_format=shape)
            self._bars[activity.id] = bar
        bar.total, bar.n = activity.total, activity.done
        bar.set_description_str(activity_line(activity))
