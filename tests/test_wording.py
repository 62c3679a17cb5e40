"""Amounts, durations and activities in words."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.activity import ActivitySnapshot, ActivityState
from memscope.errors import InputError
from memscope.wording import activity_line, age, amount, duration, seconds_of

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


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3600", 3600), ("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("1.5h", 5400), ("0", 0)],
)
def test_an_age_is_a_number_of_seconds_or_of_its_unit(text: str, seconds: float) -> None:
    assert seconds_of(text, "--max-age") == seconds


@given(st.integers(0, 999_999_999), st.sampled_from(["", "s", "m", "h", "d"]))
def test_every_whole_number_with_a_unit_is_an_age(number: int, unit: str) -> None:
    assert seconds_of(f" {number}{unit} ", "") == number * seconds_of(f"1{unit}", "")


@given(st.text().filter(lambda text: not text.strip()[:1].isdigit()))
def test_any_other_text_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InputError) as refusal:
        seconds_of(text, "--max-age")
    assert str(refusal.value).startswith("--max-age is ")
    assert str(refusal.value).endswith("; it must be an age such as 3600, 90s, 30m, 12h or 7d.")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "-1", "1w", "d", "1e3", "inf", "nan", "1 h", "１h", "9" * 400])
def test_these_are_no_ages(text: str) -> None:
    with pytest.raises(InputError):
        seconds_of(text, "--max-age")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (7300, "2 h ago"),
        (200_000, "2 d ago"),
    ],
)
def test_how_long_ago_is_rounded_down(seconds: float, words: str) -> None:
    assert age(seconds) == words


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
