"""The matrix in files: what stands in them, and that nothing else is ever written over."""

import csv
import io
import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stamina

from memscope.database import FILE
from memscope.errors import InputError
from memscope.export import (
    FORMATS,
    TABLES,
    check_target,
    export,
    export_run,
    to_csv,
    to_json,
    to_npz,
    write_file,
)
from memscope.scoring.matrix import Metric
from memscope.scoring.runs import Runs
from memscope.scoring.session import Session
from tests.scorers_fake import TALK, HashScorer, conversation, failing, prepared, reference, scored

TALKED = conversation(*TALK)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """All scored."""
    return scored(TALKED, tmp_path)


@pytest.fixture
def broken(tmp_path: Path) -> Session:
    """The row of `home` failed."""
    with stamina.set_testing(True, attempts=2, cap=True):
        return scored(TALKED, tmp_path, HashScorer(answer=failing(2, 3)))


def document(session: Session) -> dict[str, Any]:
    """The JSON, read strictly: no NaN, no Infinity."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    read: dict[str, Any] = json.loads(to_json(session), parse_constant=refuse)
    return read


def test_the_document_has_the_fields_of_the_schema_in_their_order(session: Session) -> None:
    found = document(session)
    assert list(found) == [
        *("schema", "session", "scorer", "metric", "noise_floor", "memories", "responses", "matrix"),
        *("states", "important", "windows", "notes", "cost"),
    ]
    assert found["schema"] == "memscope.matrix/1"
    assert found["session"] == {
        "path": "talk.jsonl",
        "format": "native",
        "title": "talk",
        "branch": None,
        "agent": None,
        "author": None,
        "reconstructed": None,
    }
    assert found["scorer"] == {"name": "fake", "model": "hash", "exact": True, "proxy_for": None}
    assert (found["metric"], found["noise_floor"]) == ("signed", 1e-6)
    assert [list(memory) for memory in found["memories"]] == [
        ["key", "entries", "weight", "state", "error"]
    ] * 2
    assert [list(response) for response in found["responses"]] == [
        ["entry", "tokens", "logprob", "dependence", "noise"]
    ] * 3
    assert list(found["cost"]) == [
        *("tokens_naive", "tokens_needed", "tokens_computed", "cells_from_cache", "requests", "seconds")
    ]


def test_the_numbers_are_those_of_the_definitions(session: Session) -> None:
    found = document(session)
    rows, baseline = reference(TALKED)
    assert found["matrix"][0] == pytest.approx(rows[0])
    assert found["matrix"][1] == [None, *(pytest.approx(value) for value in rows[1][1:])]
    assert found["states"] == [["scored"] * 3, ["impossible", "scored", "scored"]]
    assert [memory["key"] for memory in found["memories"]] == ["home", "diet"]
    assert [memory["entries"] for memory in found["memories"]] == [[1, 7], [4]]
    assert [memory["state"] for memory in found["memories"]] == ["scored", "scored"]
    assert [memory["weight"] for memory in found["memories"]] == [
        pytest.approx(sum(rows[0])),
        pytest.approx(sum(rows[1][1:])),
    ]
    assert [response["entry"] for response in found["responses"]] == [3, 6, 9]
    assert [response["tokens"] for response in found["responses"]] == [8, 8, 10]
    assert [response["logprob"] for response in found["responses"]] == pytest.approx(baseline)
    assert found["responses"][0]["dependence"] == pytest.approx(rows[0][0])
    assert found["responses"][1]["dependence"] == pytest.approx(rows[0][1] + rows[1][1])


def test_important_memories_stand_under_the_responses_entry_largest_first(session: Session) -> None:
    found = document(session)
    rows, _ = reference(TALKED)
    assert list(found["important"]) == ["3", "6", "9"]
    for column, (_, important) in enumerate(found["important"].items()):
        expected = sorted(
            (
                (rows[row][column], key)
                for row, key in enumerate(("home", "diet"))
                if rows[row][column] > 0.01
            ),
            reverse=True,
        )
        assert [key for key, _ in important] == [key for _, key in expected]
        assert [value for _, value in important] == pytest.approx([value for value, _ in expected])


def test_the_cost_is_what_was_planned_and_what_was_spent(session: Session, tmp_path: Path) -> None:
    cost = document(session)["cost"]
    assert cost["tokens_needed"] == cost["tokens_computed"] < cost["tokens_naive"]
    assert (cost["requests"], cost["cells_from_cache"]) == (3, 0)
    assert cost["seconds"] > 0
    again = document(scored(TALKED, tmp_path))["cost"]
    assert (again["tokens_computed"], again["requests"], again["cells_from_cache"]) == (0, 0, 5)


def test_a_failed_row_is_null_and_says_why(broken: Session) -> None:
    found = document(broken)
    assert found["matrix"][0] == [None] * 3
    assert found["states"][0] == ["failed"] * 3
    assert found["memories"][0] == {
        "key": "home",
        "entries": [1, 7],
        "weight": None,
        "state": "failed",
        "error": "the server fell over",
    }
    assert found["memories"][1]["state"] == "scored"


def test_before_anything_is_scored_everything_is_null(tmp_path: Path) -> None:
    found = document(prepared(TALKED, tmp_path))
    assert found["matrix"] == [[None] * 3] * 2
    assert found["states"] == [["pending"] * 3, ["impossible", "pending", "pending"]]
    assert {memory["weight"] for memory in found["memories"]} == {None}
    assert {response["logprob"] for response in found["responses"]} == {None}
    assert found["important"] == {"3": [], "6": [], "9": []}


def test_windows_and_what_they_left_out_are_told(tmp_path: Path) -> None:
    turns = [(role, f"{role} {n} says this.") for n in range(6) for role in ("fact", "user", "assistant")]
    found = document(prepared(conversation(*turns), tmp_path, HashScorer(context_length=70)))
    assert len(found["windows"]) > 1
    assert found["windows"][0]["left_out"] == []
    assert found["windows"][-1]["left_out"][0] == 0
    scored_entries = [entry for window in found["windows"] for entry in window["responses"]]
    assert scored_entries == [response["entry"] for response in found["responses"]]
    assert "windows" in found["notes"][0]


@pytest.mark.parametrize("metric", Metric)
def test_the_metric_decides_the_numbers(tmp_path: Path, metric: Metric) -> None:
    session = scored(TALKED, tmp_path, metric=metric)
    found = document(session)
    assert found["metric"] == metric.value
    assert found["matrix"][0] == pytest.approx(session.matrix.values(metric)[0].tolist())
    assert (min(found["matrix"][0]) >= 0) == (metric is not Metric.SIGNED)


def test_csv_has_a_line_a_cell_empty_where_not_scored(broken: Session) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(broken.matrix, broken.metric).decode())))
    assert [(line["memory"], line["entry"], line["state"]) for line in lines] == [
        *[("home", entry, "failed") for entry in ("3", "6", "9")],
        ("diet", "3", "impossible"),
        *[("diet", entry, "scored") for entry in ("6", "9")],
    ]
    assert [line["divergence"] for line in lines[:4]] == [""] * 4
    assert [float(line["divergence"]) for line in lines[4:]] == pytest.approx(reference(TALKED)[0][1][1:])


def test_npz_loads_without_pickle_and_has_nan_where_not_scored(broken: Session) -> None:
    with np.load(io.BytesIO(to_npz(broken.matrix, broken.metric)), allow_pickle=False) as arrays:
        rows, baseline = reference(TALKED)
        assert np.isnan(arrays["matrix"][0]).all()
        assert arrays["matrix"][1, 1:].tolist() == pytest.approx(rows[1][1:])
        assert arrays["states"][0].tolist() == ["failed"] * 3
        assert arrays["keys"].tolist() == ["home", "diet"]
        assert arrays["entries"].tolist() == [3, 6, 9]
        assert arrays["weights"].tolist() == pytest.approx([np.nan, sum(rows[1][1:])], nan_ok=True)
        assert arrays["dependence"].shape == (3,)
        assert arrays["logprobs"].tolist() == pytest.approx(baseline)
        assert str(arrays["metric"]) == "signed"


@pytest.mark.parametrize(
    "messages",
    [
        [("user", "Hello"), ("assistant", "Hello.")],
        [("fact", "It rains."), ("user", "Hello")],
        [("user", "Hello")],
    ],
)
@pytest.mark.parametrize("ending", FORMATS)
def test_a_matrix_without_rows_or_columns_is_exported_too(
    tmp_path: Path, messages: list[tuple[str, str]], ending: str
) -> None:
    session = prepared(conversation(*messages), tmp_path / "cache")
    export(session, tmp_path / f"matrix{ending}")
    assert (tmp_path / f"matrix{ending}").stat().st_size > 0


def test_keys_and_texts_go_out_as_they_are(tmp_path: Path) -> None:
    key = 'x\x1b[31m[/red],"\n東京'
    session = prepared(conversation((key, "a"), ("user", "b"), ("assistant", "c")), tmp_path)
    assert document(session)["memories"][0]["key"] == key
    table = to_csv(session.matrix, session.metric).decode()
    assert next(csv.DictReader(io.StringIO(table, newline="")))["memory"] == key


def test_a_session_that_is_not_prepared_can_not_be_exported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^There is nothing to export yet"):
        export(Session(TALKED), tmp_path / "matrix.json")


class TestOfAPastRun:
    """Of a past run its numbers are kept, and they are written as those of a session are."""

    @pytest.mark.parametrize("ending", TABLES)
    def test_it_is_written_as_the_session_was(self, session: Session, tmp_path: Path, ending: str) -> None:
        runs = Runs(tmp_path / FILE)
        matrix = runs.matrix(runs.of("talk.jsonl")[0].id)
        runs.close()
        export_run(session, matrix, Metric.SIGNED, tmp_path / f"run{ending}")
        assert (tmp_path / f"run{ending}").read_bytes() == FORMATS[ending](session)

    @pytest.mark.parametrize("ending", [".json", ".html", ""])
    def test_what_says_more_than_numbers_is_refused(
        self, session: Session, tmp_path: Path, ending: str
    ) -> None:
        with pytest.raises(InputError, match="only the numbers are kept; the ending must be one of"):
            export_run(session, session.matrix, Metric.SIGNED, tmp_path / f"run{ending}")
        assert not (tmp_path / f"run{ending}").exists()


class TestWriting:
    """A file is written whole or not at all, and only where the user meant."""

    def test_the_ending_decides_the_format(self, session: Session, tmp_path: Path) -> None:
        for ending, convert in FORMATS.items():
            export(session, tmp_path / f"matrix{ending.upper()}")
            written = (tmp_path / f"matrix{ending.upper()}").read_bytes()
            assert written[:20] == convert(session)[:20]

    def test_another_ending_is_refused(self, session: Session, tmp_path: Path) -> None:
        with pytest.raises(
            InputError, match=r"matrix\.xlsx: the ending must be one of \.json, \.csv, \.npz, \.html\.$"
        ):
            export(session, tmp_path / "matrix.xlsx")

    @pytest.mark.parametrize("name", ["talk.json", "link.json", "sub/../talk.json"])
    def test_the_conversation_itself_is_never_written_over(self, tmp_path: Path, name: str) -> None:
        source = tmp_path / "talk.json"
        source.write_text("precious")
        (tmp_path / "sub").mkdir()
        (tmp_path / "link.json").symlink_to(source)
        session = prepared(conversation(*TALK, path=str(source)), tmp_path / "cache")
        with pytest.raises(InputError, match="is the conversation itself; choose another file"):
            export(session, tmp_path / name)
        assert source.read_text() == "precious"

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("nowhere/matrix.json", r"there is no folder .*nowhere\.$"),
            ("file.txt/matrix.json", r"there is no folder .*file\.txt\.$"),
            ("folder.json", "is a folder; give the name of a file"),
            ("n" * 300 + ".json", "File name too long"),
        ],
    )
    def test_a_target_that_can_not_be_written_is_one_sentence(
        self, session: Session, tmp_path: Path, name: str, reason: str
    ) -> None:
        (tmp_path / "file.txt").write_text("")
        (tmp_path / "folder.json").mkdir()
        with pytest.raises(InputError, match=reason):
            check_target(session, tmp_path / name)

    def test_a_target_without_leave_to_write_is_refused(
        self, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(InputError, match="you may not write there"):
            check_target(session, tmp_path / "matrix.json")

    def test_links_that_go_in_a_circle_are_one_sentence(self, session: Session, tmp_path: Path) -> None:
        (tmp_path / "a.json").symlink_to(tmp_path / "b.json")
        (tmp_path / "b.json").symlink_to(tmp_path / "a.json")
        with pytest.raises(InputError, match=r"a\.json can't be written"):
            export(session, tmp_path / "a.json")

    def test_what_stood_there_stays_whole_if_writing_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = tmp_path / "matrix.json"
        target.write_text("before")

        def half(self: Path, data: bytes) -> int:
            with self.open("wb") as file:
                file.write(data[: len(data) // 2])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", half)
        with pytest.raises(InputError, match=r"matrix\.json can't be written: No space left on device\.$"):
            write_file(target, b"after, and longer")
        assert target.read_text() == "before"
        assert list(tmp_path.iterdir()) == [target]

    def test_a_link_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "real")
        write_file(tmp_path / "link", b"data")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real").read_bytes() == b"data"

    def test_a_device_is_written_to_and_not_replaced(self) -> None:
        write_file(Path(os.devnull), b"data")
        assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
