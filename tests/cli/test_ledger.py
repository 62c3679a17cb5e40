"""`memscope ledger`: what incremental scoring has kept."""

import re
import sqlite3
from pathlib import Path

from tests.cli.conftest import Run, assert_sentence, document, record

NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m[/red]\u202e"


def test_it_is_a_table_by_weight_with_ages_in_words(run: Run, tmp_path: Path) -> None:
    record(tmp_path, "home/city", 2.0, days=3.5, model="tiny")
    record(tmp_path, "diet/peanut-allergy", 12.0, days=9, model="tiny")
    record(tmp_path, "diet/peanut-allergy", 2.0, days=0, model="tiny")
    outcome = run("ledger")
    assert outcome.status == 0
    assert [line.split(maxsplit=2) for line in outcome.out.splitlines()] == [
        ["memory", "model", "weight       last  scored      times"],
        ["diet/peanut-allergy", "tiny", "9.00       2.00  just now        2"],
        ["home/city", "tiny", "2.00       2.00  3 d ago         1"],
    ]


def test_json_has_every_field(run: Run, tmp_path: Path) -> None:
    record(tmp_path, "home", 2.0, days=3)
    found = document(run("ledger", "--json"))
    assert found["schema"] == "memscope.ledger/1"
    (entry,) = found["memories"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("last_scored"))
    assert entry == {
        "key": "home",
        "model": "hash",
        "weight": 2.0,
        "value": 2.0,
        "times": 1,
        "session": "earlier.jsonl",
    }


def test_an_empty_one_says_how_it_is_filled_and_makes_no_file(run: Run, tmp_path: Path) -> None:
    outcome = run("ledger")
    assert (outcome.status, outcome.out) == (0, "")
    assert outcome.err == "The ledger is empty; `memscope score PATH --incremental` fills it.\n"
    assert document(run("ledger", "--json"))["memories"] == []
    assert not (tmp_path / "cache").exists()


def test_a_file_that_can_not_be_read_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "scores.sqlite").write_bytes(b"not a database at all" * 100)
    assert_sentence(run("ledger"), 2, "The ledger can't be read", "delete that file")


def test_the_file_of_a_newer_memscope_is_one_sentence(run: Run, tmp_path: Path) -> None:
    record(tmp_path, "home", 2.0, days=3)
    database = sqlite3.connect(tmp_path / "cache" / "scores.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.close()
    assert_sentence(run("ledger"), 2, "a newer memscope wrote it")


def test_no_key_can_command_the_terminal(run: Run, tmp_path: Path) -> None:
    record(tmp_path, NASTY, 2.0, days=3, model=NASTY)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", run("ledger").out)
