"""The ledger: moving averages on disk at once, whatever happens to the disk, however many write."""

import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.ledger import Ledger, LedgerEntry, stamp
from memscope.store import Store

NOON = datetime(2026, 3, 6, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "scores.sqlite"


def known(path: Path) -> list[LedgerEntry]:
    """What another memscope would find."""
    ledger = Ledger(path)
    assert ledger.problem is None
    entries = ledger.entries()
    ledger.close()
    return entries


def test_the_first_score_is_the_weight_and_on_disk_at_once(path: Path) -> None:
    ledger = Ledger(path)
    entry = ledger.record("home/city", "tiny", 2.5, NOON, "talk.jsonl")
    assert entry == LedgerEntry("home/city", "tiny", 2.5, 2.5, NOON, 1, "talk.jsonl")
    assert known(path) == [entry]
    ledger.close()


def test_a_further_score_moves_the_weight_by_three_tenths(path: Path) -> None:
    ledger = Ledger(path)
    ledger.record("home/city", "tiny", 2.0, NOON, "talk.jsonl")
    later = NOON + timedelta(days=2)
    entry = ledger.record("home/city", "tiny", 12.0, later, "other.jsonl")
    assert entry.weight == pytest.approx(0.3 * 12 + 0.7 * 2)
    assert entry.value == 12.0
    assert (entry.last_scored, entry.times, entry.session) == (later, 2, "other.jsonl")
    assert known(path) == [entry]
    ledger.close()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_the_weight_is_the_exponential_moving_average(values: list[float]) -> None:
    ledger = Ledger(Path("/dev/null/no-such-folder/scores.sqlite"))
    weight = values[0]
    for value in values[1:]:
        weight = 0.3 * value + 0.7 * weight
    for value in values:
        entry = ledger.record("key", "tiny", value, NOON, "")
    assert entry.weight == pytest.approx(weight)
    assert entry.times == len(values)


def test_each_model_has_its_own_entry_of_a_memory_and_the_largest_weight_stands_first(path: Path) -> None:
    ledger = Ledger(path)
    for key, model, value in (("a", "tiny", 1.0), ("a", "large", 3.0), ("b", "tiny", 2.0)):
        ledger.record(key, model, value, NOON, "talk.jsonl")
    assert [(entry.key, entry.model) for entry in ledger.entries()] == [
        ("a", "large"),
        ("b", "tiny"),
        ("a", "tiny"),
    ]
    ledger.close()


def test_the_time_of_a_score_is_kept_in_utc(path: Path) -> None:
    ledger = Ledger(path)
    local = NOON.astimezone(datetime.fromisoformat("2026-03-06T00:00+07:00").tzinfo)
    ledger.record("key", "tiny", 1.0, local, "talk.jsonl")
    ledger.close()
    database = sqlite3.connect(path)
    assert database.execute("SELECT last_scored FROM ledger").fetchall() == [("2026-03-06T12:00:00.250Z",)]
    database.close()
    assert stamp(local) == "2026-03-06T12:00:00.250Z"
    assert known(path)[0].last_scored == NOON


def test_it_survives_the_death_of_the_program(path: Path) -> None:
    program = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from memscope.ledger import Ledger
Ledger(Path(sys.argv[1])).record("key", "tiny", 1.5, datetime.now(UTC), "talk.jsonl")
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", program, str(path)]).returncode == 9
    assert [entry.value for entry in known(path)] == [1.5]


def test_no_score_is_lost_when_two_write_at_once(path: Path) -> None:
    ledgers = [Ledger(path), Ledger(path)]

    def write(ledger: Ledger) -> None:
        for _ in range(50):
            ledger.record("key", "tiny", 1.0, NOON, "talk.jsonl")

    threads = [threading.Thread(target=write, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [ledger.problem for ledger in ledgers] == [None, None]
    (entry,) = ledgers[0].entries()
    assert entry.times == 100
    assert entry.weight == pytest.approx(1.0)
    for ledger in ledgers:
        ledger.close()


class TestFile:
    """It shares the file of the store, whose scores stay as they are."""

    def test_the_file_of_an_older_memscope_gets_the_ledger_and_keeps_its_scores(self, path: Path) -> None:
        path.parent.mkdir()
        old = sqlite3.connect(path)
        old.execute("CREATE TABLE logprobs (key BLOB PRIMARY KEY, logprobs BLOB NOT NULL) WITHOUT ROWID")
        old.execute("INSERT INTO logprobs VALUES (x'6b', x'0000c0bf')")
        old.execute("PRAGMA user_version = 1")
        old.commit()
        old.close()
        ledger = Ledger(path)
        ledger.record("key", "tiny", 1.0, NOON, "talk.jsonl")
        ledger.close()
        store = Store(path)
        assert store.problem is None
        assert store.get([b"k"])[b"k"].tolist() == [-1.5]
        store.close()
        assert len(known(path)) == 1

    def test_the_file_of_a_newer_memscope_is_left_alone(self, path: Path) -> None:
        Ledger(path).close()
        database = sqlite3.connect(path)
        database.execute("PRAGMA user_version = 99")
        database.close()
        self.assert_unsaved(Ledger(path), "a newer memscope wrote it")

    def test_a_damaged_file_is_left_alone_and_named(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_bytes(b"not a database at all" * 100)
        self.assert_unsaved(Ledger(path), f"{path} can't be used (file is not a database); delete that file")
        assert path.read_bytes().startswith(b"not a database")

    def test_a_row_that_holds_nonsense_is_not_known_and_made_anew(self, path: Path) -> None:
        ledger = Ledger(path)
        for key in ("good", "bad"):
            ledger.record(key, "tiny", 1.0, NOON, "talk.jsonl")
        database = sqlite3.connect(path)
        database.execute("UPDATE ledger SET last_scored = 'long ago' WHERE key = 'bad'")
        database.commit()
        database.close()
        assert [entry.key for entry in ledger.entries()] == ["good"]
        assert ledger.record("bad", "tiny", 5.0, NOON, "talk.jsonl").weight == 5.0
        ledger.close()

    def test_a_full_disk_loses_nothing_and_is_caught_up_with_when_there_is_room(self, path: Path) -> None:
        ledger = Ledger(path)
        ledger._database.execute("PRAGMA max_page_count = 2")
        for value in (2.0, 12.0):
            entry = ledger.record("key" * 5000, "tiny", value, NOON, "talk.jsonl")
        assert entry.weight == pytest.approx(5.0)
        assert ledger.problem is not None
        assert "database or disk is full" in ledger.problem
        assert ledger.entries() == [entry]
        assert known(path) == []
        ledger._database.execute("PRAGMA max_page_count = 1000")
        ledger.record("other", "tiny", 1.0, NOON, "talk.jsonl")
        assert ledger.problem is None
        assert [one.key for one in known(path)] == ["key" * 5000, "other"]
        assert known(path)[0] == entry
        ledger.close()

    def assert_unsaved(self, ledger: Ledger, reason: str) -> None:
        """It works all the same, and says in a sentence why nothing is kept."""
        ledger.record("key", "tiny", 2.0, NOON, "talk.jsonl")
        assert ledger.record("key", "tiny", 12.0, NOON, "talk.jsonl").weight == pytest.approx(5.0)
        assert [entry.times for entry in ledger.entries()] == [2]
        assert ledger.problem is not None
        assert ledger.problem.startswith("Scores are kept only until you quit: ")
        assert ledger.problem.endswith(".")
        assert reason in ledger.problem
        ledger.close()
