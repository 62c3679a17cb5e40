"""Scores are on disk at once, and whatever happens to the disk none is lost while memscope runs."""

import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from memscope.scorers.base import LogProbs
from memscope.store import Store

KEY, OTHER = b"k" * 32, b"o" * 32


def logprobs(*values: float) -> LogProbs:
    return np.array(values, np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "scores.sqlite"


def known(path: Path, *keys: bytes) -> dict[bytes, list[float]]:
    """What another memscope would find."""
    store = Store(path)
    assert store.problem is None
    found = {key: values.tolist() for key, values in store.get(keys).items()}
    store.close()
    return found


def test_what_was_put_is_got_bit_by_bit(path: Path) -> None:
    store = Store(path)
    values = np.random.default_rng(1).normal(size=1000).astype(np.float32)
    store.put({KEY: values, OTHER: logprobs()})
    found = store.get([KEY, OTHER, b"unknown"])
    assert set(found) == {KEY, OTHER}
    assert found[KEY].tobytes() == values.tobytes()
    assert found[OTHER].size == 0
    store.close()


def test_scores_are_on_disk_when_put_returns(path: Path) -> None:
    store = Store(path)
    store.put({KEY: logprobs(-1.5)})
    assert known(path, KEY) == {KEY: [-1.5]}
    store.close()


def test_scores_survive_the_death_of_the_program(path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
import numpy as np
from memscope.store import Store
store = Store(Path(sys.argv[1]))
store.put({b"k" * 32: np.array([-2.5], np.float32)})
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", program, str(path)]).returncode == 9
    assert known(path, KEY) == {KEY: [-2.5]}


def test_a_later_score_replaces_an_earlier_one(path: Path) -> None:
    store = Store(path)
    store.put({KEY: logprobs(-1)})
    store.put({KEY: logprobs(-2, -3)})
    assert store.get([KEY])[KEY].tolist() == [-2, -3]
    store.close()


def test_thousands_of_keys_are_asked_for_at_once(path: Path) -> None:
    store = Store(path)
    keys = [number.to_bytes(32, "big") for number in range(2500)]
    store.put({key: logprobs(number) for number, key in enumerate(keys)})
    found = store.get(keys)
    assert [found[key][0] for key in keys] == list(range(2500))
    store.close()


def test_two_stores_on_one_file_write_at_once(path: Path) -> None:
    stores = [Store(path), Store(path)]

    def write(number: int) -> None:
        for at in range(50):
            stores[number].put({bytes([number, at]): logprobs(number, at)})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.problem for store in stores] == [None, None]
    for store in stores:
        assert len(store.get(bytes([number, at]) for number in range(2) for at in range(50))) == 100
        store.close()


def test_any_thread_may_read_and_write(path: Path) -> None:
    store = Store(path)
    thread = threading.Thread(target=lambda: store.put({KEY: logprobs(-1)}))
    thread.start()
    thread.join()
    assert store.get([KEY])[KEY].tolist() == [-1]
    store.close()


def assert_unsaved(store: Store, reason: str) -> None:
    """It works all the same, and says in a sentence why nothing is kept."""
    store.put({KEY: logprobs(-1)})
    assert store.get([KEY, OTHER])[KEY].tolist() == [-1]
    assert store.problem is not None
    assert store.problem.startswith("Scores are kept only until you quit: ")
    assert reason in store.problem
    assert "MEMSCOPE_CACHE_DIR" in store.problem
    assert "\n" not in store.problem


def test_a_folder_that_can_not_be_made_costs_only_the_keeping(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert_unsaved(Store(tmp_path / "cache" / "scores.sqlite"), "File exists")


def test_a_read_only_folder_costs_only_the_keeping(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o500)
    if os.access(path.parent, os.W_OK):
        pytest.skip("this user may write to read-only folders")
    assert_unsaved(Store(path), "unable to open database file")


def test_a_read_only_file_costs_only_the_keeping(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(path).close()
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3,
        "connect",
        lambda file, **options: connect(f"file:{file}?mode=ro", uri=True, **options),
    )
    store = Store(path)
    assert_unsaved(store, "readonly database")
    store.close()


def test_a_damaged_file_is_left_alone_and_named(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all" * 100)
    store = Store(path)
    assert_unsaved(store, f"{path} can't be used (file is not a database); delete that file")
    store.close()
    assert path.read_bytes().startswith(b"not a database")


def test_a_file_damaged_inside_is_named_when_it_shows(path: Path) -> None:
    store = Store(path)
    store.put({number.to_bytes(32, "big"): logprobs(*range(200)) for number in range(50)})
    store.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    store = Store(path)
    store.get([KEY])
    assert_unsaved(store, "delete that file")
    store.close()


def test_a_value_that_is_no_list_of_numbers_is_not_known(path: Path) -> None:
    store = Store(path)
    store.put({KEY: logprobs(-1)})
    database = sqlite3.connect(path)
    database.execute("UPDATE logprobs SET logprobs = x'010203'")
    database.commit()
    database.close()
    assert store.get([KEY]) == {}
    store.close()


def test_the_file_of_a_newer_memscope_is_left_alone(path: Path) -> None:
    Store(path).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    store = Store(path)
    assert_unsaved(store, "a newer memscope wrote it")
    store.close()


def test_a_full_disk_loses_nothing_and_is_caught_up_with_when_there_is_room(path: Path) -> None:
    store = Store(path)
    store.put({OTHER: logprobs(-7)})
    assert store._database is not None
    store._database.execute("PRAGMA max_page_count = 2")
    store.put({KEY: logprobs(*range(5000))})
    assert store.problem is not None
    assert "database or disk is full" in store.problem
    assert "free some space" in store.problem
    assert store.get([KEY, OTHER])[KEY].tolist() == list(range(5000))
    assert known(path, KEY, OTHER) == {OTHER: [-7]}
    store._database.execute("PRAGMA max_page_count = 1000")
    store.put({b"third": logprobs(-3)})
    assert store.problem is None
    assert set(known(path, KEY, OTHER, b"third")) == {KEY, OTHER, b"third"}
    store.close()


def test_a_closed_store_still_answers_from_memory(path: Path) -> None:
    store = Store(path)
    store.close()
    store.put({KEY: logprobs(-1)})
    assert store.get([KEY])[KEY].tolist() == [-1]
    store.close()


def test_many_may_make_the_same_store_at_the_same_moment(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: Store(tmp_path / "scores.sqlite"), range(32)))
    assert [store.problem for store in stores] == [None] * 32
    for store in stores:
        store.close()
