"""One line that says what runs: progress, speed, time left; what has just ended; failures until dismissed."""

from collections.abc import Callable

from textual.content import Content
from textual.widget import Widget

from memscope.activity import Activities, ActivitySnapshot, ActivityState
from memscope.tui.safe import cut
from memscope.wording import activity_line

POLL = 0.1
"""Seconds between two looks at the activities while there is something to see."""
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MARKS = {
    ActivityState.COMPLETE: ("✓", "$success"),
    ActivityState.FAILED: ("✗", "$error"),
    ActivityState.CANCELLED: ("–", "dim"),
    ActivityState.NOTICE: ("·", "$primary"),
}
_GAP = "   "
_LEAST = 10
"""Cells below which an activity says nothing."""
_FIRST = (ActivityState.FAILED, ActivityState.RUNNING)


class ActivityBar(Widget):
    """Polls a snapshot while work is going on or an ended activity lingers, and sleeps otherwise."""

    DEFAULT_CSS = """
    ActivityBar {
        height: 1;
        padding: 0 1;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        color: $foreground 85%;
    }
    """

    def __init__(
        self,
        activities: Activities,
        busy: Callable[[], bool],
        dismisses: str = "",
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """`busy` says whether work may be going on that has no activity yet, which keeps the bar awake;
        `dismisses` is the key that lets go of failures, if one does here."""
        super().__init__(id=id)
        self._activities = activities
        self._busy = busy
        self._hint = f"  {dismisses} dismisses" if dismisses else ""
        self._snapshot: tuple[ActivitySnapshot, ...] = ()
        self._idle = ""
        self._frame = 0
        self._awake = False

    @property
    def awake(self) -> bool:
        """Whether it polls."""
        return self._awake

    @property
    def failures(self) -> bool:
        """Whether a failure stands here that nobody has dismissed."""
        return any(each.state is ActivityState.FAILED for each in self._snapshot)

    def on_mount(self) -> None:
        """Begin to look."""
        self._timer = self.set_interval(POLL, self.poll, pause=True)
        self.wake()

    def wake(self) -> None:
        """Look now, and go on looking as long as there is something to see."""
        if self.is_attached:
            self._awake = True
            self._timer.resume()
            self.poll()

    def say(self, idle: str) -> None:
        """What to show while nothing is going on; must be printable."""
        if idle != self._idle:
            self._idle = idle
            self.refresh()

    def poll(self) -> None:
        """Take a snapshot and draw it if it differs."""
        snapshot = self._activities.snapshot()
        running = any(each.state is ActivityState.RUNNING for each in snapshot)
        had_failures = self.failures
        if running or snapshot != self._snapshot:
            self._frame += running
            self._snapshot = snapshot
            self.refresh()
        if self.failures != had_failures:
            self.refresh_bindings()
        passing = any(each.state is not ActivityState.FAILED for each in snapshot)
        if not passing and not self._busy():
            self._awake = False
            self._timer.pause()

    def dismiss(self) -> None:
        """Let go of the failures."""
        self._activities.dismiss_failures()
        self.wake()

    def render(self) -> Content:
        """What to do while nothing runs; failures and what runs; what has ended, the last first."""
        line = Content()
        first = [activity for activity in self._shown if activity.state in _FIRST]
        ended = [activity for activity in reversed(self._shown) if activity.state not in _FIRST]
        for activity in first + ended:
            room = self.size.width - line.cell_length - len(_GAP)
            if room < _LEAST:
                break
            line += Content(_GAP if line.cell_length else "") + self._drawn(activity, room)
        if not any(each.state is ActivityState.RUNNING for each in self._snapshot):
            line = Content(self._idle + (_GAP if self._idle and line.cell_length else "")) + line
        return line

    @property
    def _shown(self) -> list[ActivitySnapshot]:
        """Of what has ended in the same way and would read the same only the last."""
        last = {(each.title, each.state): each.id for each in self._snapshot}
        return [
            each for each in self._snapshot if each.state in _FIRST or each.id == last[each.title, each.state]
        ]

    def _drawn(self, activity: ActivitySnapshot, room: int) -> Content:
        spinner = _SPINNER[self._frame % len(_SPINNER)], "$primary"
        mark, colour = _MARKS.get(activity.state, spinner)
        hint = self._hint if activity.state is ActivityState.FAILED else ""
        text = cut(activity_line(activity), max(_LEAST, room - len(hint) - 2))
        return Content.assemble((mark, colour), " ", text, (hint, "dim"))
