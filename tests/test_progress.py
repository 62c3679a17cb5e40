"""Progress on standard error: bars on a terminal, plain lines elsewhere, each thing told once."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from memscope import progress
from memscope.activity import Activities
from memscope.errors import ModelError
from memscope.progress import show_progress


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_INTERVAL", 0.005)


@pytest.fixture
def activities() -> Activities:
    return Activities()


def test_without_a_terminal_each_activity_is_a_line_when_it_ends(
    activities: Activities, capfd: pytest.CaptureFixture[str]
) -> None:
    with show_progress(activities):
        with activities.track("opening the model"):
            time.sleep(0.05)
            assert capfd.readouterr().err == ""
        activities.notify("scores are not kept")
        with activities.track("scoring", total=10, unit="tokens") as activity:
            activity.advance(10)
    out, err = capfd.readouterr()
    assert err.splitlines() == [
        "✓ opening the model (complete)",
        "· scores are not kept",
        "✓ scoring (complete)",
    ]
    assert out == ""


def test_a_failure_that_is_not_raised_is_told_at_the_end(
    activities: Activities, capfd: pytest.CaptureFixture[str]
) -> None:
    with show_progress(activities):
        with pytest.raises(ValueError, match="no"), activities.track("baseline"):
            raise ValueError("no\nanswer")
        with activities.track("scoring"):
            time.sleep(0.03)
    assert capfd.readouterr().err.splitlines() == ["✓ scoring (complete)", "✗ baseline: no answer"]


def test_the_error_that_is_raised_is_left_to_whoever_catches_it(
    activities: Activities, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        pytest.raises(ModelError),
        show_progress(activities),
        activities.track("opening the model"),
        activities.track("downloading"),
    ):
        raise ModelError("There is no such model.")
    assert capfd.readouterr().err == ""


def test_what_is_stopped_is_told_as_such(activities: Activities, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), show_progress(activities), activities.track("scoring"):
        raise KeyboardInterrupt
    assert capfd.readouterr().err == "– scoring (stopped)\n"


def test_titles_and_reasons_can_not_command_the_terminal(
    activities: Activities, capfd: pytest.CaptureFixture[str]
) -> None:
    with show_progress(activities):
        activities.notify("\x1b[2Jnotice")
        with pytest.raises(ValueError, match="red"), activities.track("\x1b]0;owned\x07"):
            raise ValueError("\x9b31mred")
    assert capfd.readouterr().err.splitlines() == ["· ␛[2Jnotice", "✗ ␛]0;owned␇: ⟨U+009B⟩31mred"]


class Terminal:
    """A pseudo-terminal of 80 columns in place of standard error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._parts: list[bytes] = []
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._stream = os.fdopen(slave, "w", encoding="utf-8")
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        monkeypatch.setattr(sys, "stderr", self._stream)

    def close(self) -> str:
        """Everything that was written."""
        self._stream.close()
        self._reader.join()
        os.close(self._master)
        return b"".join(self._parts).decode()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while True:
                self._parts.append(os.read(self._master, 65536))


def test_on_a_terminal_there_is_a_bar_with_speed_and_time_left(
    activities: Activities, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(monkeypatch)
    with show_progress(activities), activities.track("scoring home", total=1000, unit="tokens") as activity:
        time.sleep(0.02)
        with activities.track("baseline", total=4, unit="responses") as baseline:
            baseline.advance(2)
            activity.advance(500)
            time.sleep(0.1)
    drawn = terminal.close()
    assert re.search(r"██████ +scoring home · 50% · 1 s left · [\d,]+ tokens/s · 500 of", drawn)
    assert re.search(r"██████ +baseline · 50% · 1 s left · \d+ responses/s · 2 of 4 responses", drawn)
    assert "✓ baseline (complete)" in drawn
    assert "✓ scoring home (complete)" in drawn


def test_on_a_terminal_lines_are_cut_to_its_width(
    activities: Activities, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(monkeypatch)
    with show_progress(activities), activities.track("x" * 200, total=10) as activity:
        activity.advance(5)
        time.sleep(0.1)
    bars = [line for line in re.split(r"[\r\n]+", terminal.close()) if "███" in line]
    assert bars
    assert all(len(re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", line)) <= 80 for line in bars)


def test_a_run_without_work_draws_nothing(
    activities: Activities, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with show_progress(activities):
        pass
    assert capfd.readouterr() == ("", "")
