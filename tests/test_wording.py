"""Amounts, durations and activities in words."""

from dataclasses import replace

import pytest

from memscope.activity import ActivitySnapshot, ActivityState
from memscope.wording import activity_line, amount, duration

RUNNING = ActivitySnapshot(
    id=1,
    title="scoring home",
    state=ActivityState.RUNNING,
    done=11_000,
    total=44_000,
    unit="tokens",
    elapsed=40,
    speed=275,
    remaining=120,
    error=None,
)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (43_500, "tokens", "43,500"),
        (0, "", "0"),
        (34_200_000, "bytes", "34.2 MB"),
        (1_500, "bytes", "1.5 kB"),
        (2.5e9, "bytes", "2.5 GB"),
        (12, "bytes", "12 B"),
    ],
)
def test_amounts_are_easy_to_read(value: float, unit: str, words: str) -> None:
    assert amount(value, unit) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (12, "12 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")]
)
def test_durations_are_rounded_up(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_running_activity_says_how_far_how_long_yet_and_how_fast() -> None:
    line = "scoring home · 25% · 2 min 0 s left · 275 tokens/s · 11,000 of 44,000 tokens"
    assert activity_line(RUNNING) == line


def test_what_is_not_known_yet_is_not_said() -> None:
    assert activity_line(replace(RUNNING, done=0, total=None, speed=None, remaining=None, elapsed=0.5)) == (
        "scoring home"
    )
    assert activity_line(replace(RUNNING, total=None, remaining=None)) == (
        "scoring home · 40 s · 275 tokens/s · 11,000 tokens"
    )


@pytest.mark.parametrize(
    ("state", "error", "line"),
    [
        (ActivityState.COMPLETE, None, "scoring home (complete)"),
        (ActivityState.CANCELLED, None, "scoring home (stopped)"),
        (ActivityState.FAILED, "503\nfrom the server", "scoring home: 503 from the server"),
        (ActivityState.NOTICE, None, "scoring home"),
    ],
)
def test_an_ended_activity_says_how_it_ended(state: ActivityState, error: str | None, line: str) -> None:
    assert activity_line(replace(RUNNING, state=state, error=error)) == line
