"""Activities as progress bars on standard error, for the command line."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from memscope.activity import Activities, ActivitySnapshot, ActivityState
from memscope.text import one_line

_INTERVAL = 0.1
_MARKS = {
    ActivityState.COMPLETE: "✓ {title} (complete, {elapsed:.1f} s)",
    ActivityState.CANCELLED: "- {title} (cancelled)",
    ActivityState.FAILED: "✗ {title}: {error}",
    ActivityState.NOTICE: "{title}",
}


@contextmanager
def show_progress(activities: Activities) -> Iterator[None]:
    """Draw what runs for as long as the block does: a bar each on a terminal, else a line when it ends."""
    bars = _Bars(sys.stderr.isatty())
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_INTERVAL):
            bars.draw(activities.snapshot())

    thread = threading.Thread(target=watch, name="memscope-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        bars.draw(activities.snapshot())
        bars.close()


class _Bars:
    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._bars: dict[int, tqdm[None]] = {}
        self._ended: set[int] = set()

    def draw(self, activities: tuple[ActivitySnapshot, ...]) -> None:
        for activity in activities:
            if activity.id in self._ended:
                continue
            if activity.state is ActivityState.RUNNING:
                if self._terminal:
                    self._update(activity)
                continue
            self._ended.add(activity.id)
            bar = self._bars.pop(activity.id, None)
            if bar is not None:
                bar.close()
            line = _MARKS[activity.state].format(
                title=one_line(activity.title),
                elapsed=activity.elapsed,
                error=one_line(activity.error or ""),
            )
            tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        for bar in self._bars.values():
            bar.close()

    def _update(self, activity: ActivitySnapshot) -> None:
        bar = self._bars.get(activity.id)
        if bar is None:
            bar = self._bars[activity.id] = tqdm(
                file=sys.stderr, leave=False, dynamic_ncols=True, unit=f" {activity.unit}", unit_scale=True
            )
        bar.total = activity.total
        bar.n = activity.done
        bar.set_description(one_line(activity.title), refresh=True)
