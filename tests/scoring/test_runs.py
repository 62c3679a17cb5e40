"""Runs on disk: found by session and branch, with the matrix as it was, whatever happens to the file."""

import io
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.errors import InputError
from memscope.scoring import runs as runs_module
from memscope.scoring.matrix import CellState, Metric, ScoreMatrix
from memscope.scoring.runs import RunInfo, Runs, RunState, session_path
from memscope.store import Store
from memscope.tui.view import MatrixView
from tests.scorers_fake import TALK, conversation

NOON = datetime(2026, 3, 6, 12, 0, 0, 250_000, tzinfo=UTC)
INFO = RunInfo(
    session="/logs/talk.jsonl",
    branch="",
    title="talk",
    began=NOON,
    seconds=1.5,
    scorer="embedded",
    model="tiny",
    exact=True,
    metric=Metric.SIGNED,
    state=RunState.FAILED,
    reason="the server fell over",
    scored=1,
    failed=1,
    missing=1,
    tokens_computed=30,
    tokens_needed=40,
    cells_from_cache=2,
    requests=3,
    memories=2,
    responses=2,
    strongest="home/city",
    weight=2.5,
)


def matrix(*keys: str, per_token: bool = True, value: float = 2.5) -> ScoreMatrix:
    """Two memories, unless there are other keys, and two responses: the first row half scored and half
    pending, the second impossible and failed, further ones pending."""
    names = keys or ("home/city", "diet\n\0")
    possible = np.ones((len(names), 2), np.bool_)
    possible[1, 0] = False
    made = ScoreMatrix(names, [3, 6], possible, per_token=per_token)
    made.set_scored(0, 0, np.array([value, 1], np.float32), np.array([0, 2], np.float32))
    made.set_failed(1, [1], "the server fell over")
    made.tokens[:] = [2, 5]
    made.baseline[0], made.noise[0] = -7.25, 1e-4
    return made


def assert_same(found: ScoreMatrix, made: ScoreMatrix) -> None:
    assert (found.keys, found.responses, found.per_token) == (made.keys, made.responses, made.per_token)
    assert found.errors == made.errors
    for name in ("states", "tokens", "baseline", "noise"):
        assert getattr(found, name).dtype == getattr(made, name).dtype
        assert np.array_equal(getattr(found, name), getattr(made, name), equal_nan=name != "states")
    for metric in Metric:
        assert found.values(metric).tobytes() == made.values(metric).tobytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "scores.sqlite"


@pytest.fixture
def runs(path: Path) -> Iterator[Runs]:
    opened = Runs(path)
    yield opened
    opened.close()


def record(runs: Runs, session: str = INFO.session, branch: str = "", title: str = "talk") -> RunInfo:
    kept = runs.record(replace(INFO, session=session, branch=branch, title=title), matrix())
    assert kept is not None
    return kept


class TestFinding:
    """By session and branch, one by one and in bulk."""

    def test_a_run_is_found_as_it_was_recorded_newest_first(self, runs: Runs, path: Path) -> None:
        first, second = record(runs, title="first"), record(runs, title="second")
        assert first == replace(INFO, id=first.id, title="first")
        again = Runs(path)
        assert again.of(INFO.session) == [second, first]
        again.close()

    def test_the_time_is_kept_in_utc(self, runs: Runs, path: Path) -> None:
        local = NOON.astimezone(datetime.fromisoformat("2026-03-06T00:00+07:00").tzinfo)
        runs.record(replace(INFO, began=local), matrix())
        assert runs.of(INFO.session)[0].began == NOON
        database = sqlite3.connect(path)
        assert database.execute("SELECT began FROM runs").fetchall() == [("2026-03-06T12:00:00.250Z",)]
        database.close()

    def test_sessions_and_branches_are_told_apart(self, runs: Runs) -> None:
        plain, branch, other = record(runs), record(runs, branch="b2"), record(runs, "/logs/other.jsonl")
        assert runs.of(INFO.session) == [plain]
        assert runs.of(INFO.session, "b2") == [branch]
        assert runs.of("/logs/other.jsonl") == [other]
        assert runs.of("/logs/none.jsonl") == []

    def test_a_file_is_known_by_its_real_path(
        self, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "talk.jsonl").touch()
        (tmp_path / "link.jsonl").symlink_to("talk.jsonl")
        monkeypatch.chdir(tmp_path)
        kept = record(runs, "talk.jsonl")
        assert kept.session == os.path.realpath(tmp_path / "talk.jsonl")
        for name in ("talk.jsonl", str(tmp_path / "talk.jsonl"), "link.jsonl"):
            assert runs.of(name) == [kept]

    def test_standard_input_has_no_path(self, runs: Runs) -> None:
        kept = record(runs, "standard input")
        assert kept.session == ""
        assert runs.of("standard input") == runs.of("") == [kept]

    def test_a_path_that_no_file_can_have_is_taken_as_it_is(self) -> None:
        assert session_path("a\0b") == "a\0b"

    def test_the_newest_run_of_every_branch_of_thousands_of_sessions_is_found_at_once(
        self, runs: Runs, tmp_path: Path
    ) -> None:
        (tmp_path / "link.jsonl").symlink_to("/logs/3.jsonl")
        for number in (1, 3, 1200):
            for branch in ("", "b2", "b2"):
                record(runs, f"/logs/{number}.jsonl", branch, title=f"{number} {branch}")
        record(runs, "/logs/not asked for.jsonl")
        link = str(tmp_path / "link.jsonl")
        found = runs.latest([*(f"/logs/{number}.jsonl" for number in range(1500)), link])
        assert set(found) == {
            *((f"/logs/{number}.jsonl", branch) for number in (1, 3, 1200) for branch in ("", "b2")),
            *((link, branch) for branch in ("", "b2")),
        }
        for (session, branch), run in found.items():
            assert run == runs.of(session, branch)[0]

    def test_a_deleted_run_is_gone_and_its_number_is_not_used_again(self, runs: Runs) -> None:
        first, second = record(runs), record(runs)
        assert runs.delete(second.id)
        assert runs.of(INFO.session) == [first]
        assert record(runs).id > second.id
        with pytest.raises(InputError, match=rf"^Run {second.id} is not kept any more\.$"):
            runs.matrix(second.id)

    def test_two_programs_record_at_once(self, path: Path) -> None:
        opened = [Runs(path), Runs(path)]

        def write(runs: Runs) -> None:
            for _ in range(25):
                record(runs)

        threads = [threading.Thread(target=write, args=(runs,)) for runs in opened]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({run.id for run in opened[0].of(INFO.session)}) == 50
        for runs in opened:
            runs.close()

    def test_of_a_session_with_too_many_the_oldest_go_and_the_newest_stays(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = record(runs, "/logs/other.jsonl")
        monkeypatch.setattr(runs_module, "_KEPT", 3 * len(runs_module._packed(matrix())))
        kept = [record(runs) for _ in range(5)]
        assert runs.of(INFO.session) == kept[:1:-1]
        monkeypatch.setattr(runs_module, "_KEPT", 1)
        last = record(runs)
        assert runs.of(INFO.session) == [last]
        assert runs.of("/logs/other.jsonl") == [other]


class TestMatrices:
    """A matrix comes back as it was."""

    @pytest.mark.parametrize("per_token", [True, False])
    def test_numbers_states_and_reasons_are_what_they_were(self, runs: Runs, per_token: bool) -> None:
        made = matrix(per_token=per_token)
        kept = runs.record(INFO, made)
        assert kept is not None
        assert_same(runs.matrix(kept.id), made)

    def test_one_without_memories_or_responses_comes_back_too(self, runs: Runs) -> None:
        for made in (
            ScoreMatrix([], [1, 2], np.ones((0, 2), np.bool_)),
            ScoreMatrix(["a"], [], np.ones((1, 0), np.bool_)),
        ):
            kept = runs.record(INFO, made)
            assert kept is not None
            assert_same(runs.matrix(kept.id), made)

    def test_the_screen_shows_it_like_any_other(self, runs: Runs) -> None:
        view = MatrixView(conversation(*TALK), runs.matrix(record(runs).id), Metric.CLAMPED)
        assert view.weights[0] == 1.5
        assert view.ranking(0)[0].value == 1.5

    def test_lone_surrogates_cost_but_themselves(self, runs: Runs) -> None:
        made = matrix("\ud800", "b")
        made.set_failed(1, [1], "why \ud800")
        kept = runs.record(replace(INFO, title="\ud800", strongest="\ud800", session="/\ud800"), made)
        assert kept is not None
        (found,) = runs.of("/\ud800")
        assert (found.title, found.strongest) == ("?", "?")
        assert (runs.matrix(kept.id).keys, runs.matrix(kept.id).errors) == (("?", "b"), {1: "why ?"})

    @given(
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=2, max_size=5),
        st.floats(-(2.0**100), 2.0**100, width=32),
    )
    def test_any_keys_and_numbers_come_back(self, keys: list[str], value: float) -> None:
        made = matrix(*keys, value=value)
        assert_same(runs_module._unpacked(runs_module._packed(made)), made)


def damage(path: Path, data: bytes) -> None:
    database = sqlite3.connect(path)
    database.execute("UPDATE runs SET matrix = ?", (data,))
    database.commit()
    database.close()


def packed(**arrays: object) -> bytes:
    """A packed matrix with some of its arrays replaced."""
    with np.load(io.BytesIO(runs_module._packed(matrix()))) as file:
        good = {name: file[name] for name in file.files}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{**good, **{name: np.asarray(array) for name, array in arrays.items()}})
    return buffer.getvalue()


PACKED = runs_module._packed(matrix())
NAN = float("nan")


class TestDamage:
    """What is damaged is a sentence, never a wrong number."""

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"not a zip file",
            PACKED[:-10],
            PACKED[:200] + bytes(50) + PACKED[250:],
            packed(states=np.array([[3, 1], [0, 9]], np.uint8)),
            packed(states=np.array([[3, 3], [0, 4]], np.uint8)),
            packed(states=np.array([[1, 1], [0, 4]], np.uint8)),
            packed(states=np.array([[3, CellState.RUNNING], [0, 4]], np.uint8)),
            packed(states=np.array([[3, 1]], np.uint8)),
            packed(signed=np.zeros((2, 2))),
            packed(signed=np.array([["a", "b"], ["c", "d"]])),
            packed(token_clamped=np.full((2, 2), NAN)),
            packed(tokens=np.zeros(3, np.int64)),
            packed(per_token=np.array([True, False])),
            packed(texts=np.frombuffer(b'{"keys": ["a", 3], "errors": {}}', np.uint8)),
            packed(texts=np.frombuffer(b'{"keys": ["a", "b"], "errors": {"7": "why"}}', np.uint8)),
            packed(texts=np.array([print], dtype=object)),
        ],
    )
    def test_a_damaged_matrix_is_named(self, runs: Runs, path: Path, data: bytes) -> None:
        kept = record(runs)
        damage(path, data)
        with pytest.raises(InputError) as error:
            runs.matrix(kept.id)
        assert str(error.value) == (
            f"The matrix of run {kept.id} in {path} is damaged; delete the run and score again."
        )
        assert runs.of(INFO.session) == [kept]

    @given(st.integers(0, len(PACKED) - 1), st.integers(1, 255))
    def test_a_flipped_byte_is_noticed_or_changes_nothing(self, at: int, flip: int) -> None:
        data = bytearray(PACKED)
        data[at] ^= flip
        try:
            found = runs_module._unpacked(bytes(data))
        except Exception:
            return
        assert_same(found, matrix())

    def test_a_row_that_holds_nonsense_is_passed_over(self, runs: Runs, path: Path) -> None:
        good, bad = record(runs), [record(runs) for _ in range(3)]
        database = sqlite3.connect(path)
        for run, change in zip(
            bad, ("began = 'long ago'", "metric = 'metres'", "scored = x'00'"), strict=True
        ):
            database.execute(f"UPDATE runs SET {change} WHERE id = {run.id}")
        database.commit()
        database.close()
        assert runs.of(INFO.session) == [good]


class TestFile:
    """It shares the file of the store and the ledger."""

    def test_the_file_of_an_older_memscope_gets_the_table_and_keeps_its_scores(self, path: Path) -> None:
        path.parent.mkdir()
        old = sqlite3.connect(path)
        old.execute("CREATE TABLE logprobs (key BLOB PRIMARY KEY, logprobs BLOB NOT NULL) WITHOUT ROWID")
        old.execute("INSERT INTO logprobs VALUES (x'6b', x'0000c0bf')")
        old.execute("PRAGMA user_version = 2")
        old.commit()
        old.close()
        runs = Runs(path)
        kept = record(runs)
        assert runs.of(INFO.session) == [kept]
        runs.close()
        store = Store(path)
        assert store.get([b"k"])[b"k"].tolist() == [-1.5]
        store.close()

    def test_a_file_that_can_not_be_used_is_a_problem_and_nothing_more(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_bytes(b"not a database at all" * 100)
        runs = Runs(path)
        assert runs.record(INFO, matrix()) is None
        assert (runs.of(INFO.session), runs.latest([INFO.session]), runs.delete(1)) == ([], {}, False)
        assert runs.problem is not None
        assert runs.problem.startswith(f"Runs are not kept: {path} can't be used (file is not a database)")
        with pytest.raises(InputError, match=r"^Runs are not kept: "):
            runs.matrix(1)

    def test_a_full_disk_keeps_what_was_there_and_what_comes_once_there_is_room(self, runs: Runs) -> None:
        first = record(runs)
        pages = runs._database.execute("PRAGMA page_count")[0][0]
        runs._database.execute(f"PRAGMA max_page_count = {pages}")
        rng = np.random.default_rng(1)
        large = matrix(*(rng.bytes(500).hex() for _ in range(20)))
        assert runs.record(INFO, large) is None
        assert runs.problem is not None
        assert "database or disk is full" in runs.problem
        assert runs.of(INFO.session) == [first]
        runs._database.execute("PRAGMA max_page_count = 1000")
        later = runs.record(replace(INFO, began=NOON + timedelta(days=1)), large)
        assert runs.problem is None
        assert runs.of(INFO.session) == [later, first]

    def test_once_closed_nothing_is_kept(self, path: Path) -> None:
        runs = Runs(path)
        runs.close()
        assert runs.record(INFO, matrix()) is None
        runs.close()
