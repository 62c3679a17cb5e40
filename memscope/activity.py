"""Activities: what is running now. One begins on entry of a `with` block and ends however the block ends."""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError as FutureCancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

LINGER = 5.0
"""Seconds a finished activity or a notice stays in the snapshot."""


class ActivityState(StrEnum):
    """How an activity stands."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class ActivitySnapshot:
    """One activity at one moment. `speed` is in `unit` a second, `elapsed` and `remaining` in seconds;
    None where it can't be known yet."""

    id: int
    title: str
    state: ActivityState
    done: float
    total: float | None
    unit: str
    elapsed: float
    speed: float | None
    remaining: float | None
    error: str | None


class Activity:
    """A piece of long work, handed out by `Activities.track`; every method may be called from any thread."""

    def __init__(
        self,
        number: int,
        title: str,
        total: float | None,
        unit: str,
        lock: threading.Lock,
        clock: Callable[[], float],
    ) -> None:
        self._lock = lock
        self._clock = clock
        self._number = number
        self._title = title
        self._total = total
        self._unit = unit
        self._done = 0.0
        self._began = clock()
        self._ended: float | None = None
        self._state = ActivityState.RUNNING
        self._error: str | None = None

    def advance(self, amount: float = 1.0) -> None:
        """Add to what is done."""
        with self._lock:
            self._done += amount

    def update(
        self, *, title: str | None = None, done: float | None = None, total: float | None = None
    ) -> None:
        """Set what is given, keep the rest."""
        with self._lock:
            self._title = self._title if title is None else title
            self._done = self._done if done is None else done
            self._total = self._total if total is None else total

    def _end(self, state: ActivityState, error: str | None = None) -> None:
        with self._lock:
            self._state, self._error, self._ended = state, error, self._clock()

    def _gone(self, now: float) -> bool:
        if self._ended is None or self._state is ActivityState.FAILED:
            return False
        return now - self._ended >= LINGER

    def _snapshot(self, now: float) -> ActivitySnapshot:
        elapsed = (now if self._ended is None else self._ended) - self._began
        speed = self._done / elapsed if self._done > 0 and elapsed > 0 else None
        remaining = None
        if self._state is ActivityState.RUNNING and speed and self._total is not None:
            remaining = max(0.0, self._total - self._done) / speed
        return ActivitySnapshot(
            self._number,
            self._title,
            self._state,
            self._done,
            self._total,
            self._unit,
            elapsed,
            speed,
            remaining,
            self._error,
        )


class Activities:
    """Everything that runs and what has just ended, oldest first; safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._activities: list[Activity] = []

    @contextmanager
    def track(self, title: str, *, total: float | None = None, unit: str = "") -> Iterator[Activity]:
        """Show an activity while the block runs, then `complete`, `cancelled` or `failed` with its reason.

        Exceptions pass through. `total` and `advance` are in `unit`, for example "tokens".
        """
        activity = self._add(title, total, unit)
        try:
            yield activity
        except (asyncio.CancelledError, FutureCancelledError, GeneratorExit, KeyboardInterrupt):
            activity._end(ActivityState.CANCELLED)
            raise
        except BaseException as error:
            activity._end(ActivityState.FAILED, str(error) or type(error).__name__)
            raise
        else:
            activity._end(ActivityState.COMPLETE)

    def notify(self, text: str) -> None:
        """Show `text` for as long as a finished activity lingers."""
        self._add(text, None, "")._end(ActivityState.NOTICE)

    def snapshot(self) -> tuple[ActivitySnapshot, ...]:
        """What to show now; complete, cancelled and notices go after `LINGER` seconds, failures stay."""
        now = self._clock()
        with self._lock:
            self._let_go(now)
            return tuple(activity._snapshot(now) for activity in self._activities)

    def dismiss_failures(self) -> None:
        """Let go of the failures: the user has seen them."""
        with self._lock:
            self._activities = [
                activity for activity in self._activities if activity._state is not ActivityState.FAILED
            ]

    def _add(self, title: str, total: float | None, unit: str) -> Activity:
        activity = Activity(next(self._numbers), title, total, unit, self._lock, self._clock)
        with self._lock:
            self._let_go(activity._began)
            self._activities.append(activity)
        return activity

    def _let_go(self, now: float) -> None:
        self._activities = [activity for activity in self._activities if not activity._gone(now)]
