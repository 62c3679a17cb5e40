"""`memscope score` and `memscope export`: results and progress apart, statuses, targets."""

import asyncio
import io
import json
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from memscope.scorers.base import ScoreRequest, SpanScore
from memscope.scoring import session as session_module
from tests.cli.conftest import Run, assert_sentence, log
from tests.scorers_fake import HashScorer, failing, opening


class TestScore:
    """`memscope score`."""

    def test_it_prints_a_table_and_tells_progress_on_standard_error(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        outcome = run("score", talk)
        assert outcome.status == 0
        assert outcome.out.startswith("talk · 2 memories x 3 responses · hash fake · signed divergence")
        assert "✓" not in outcome.out
        assert set(outcome.err.splitlines()) == {
            "✓ opening the model (complete)",
            "✓ reading the conversation (complete)",
            "✓ baseline (complete)",
            "✓ scoring (complete)",
        }

    def test_the_table_fits_the_terminal(
        self, run: Run, scorer: HashScorer, talk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "64")
        assert max(map(len, run("score", talk).out.splitlines())) <= 64

    def test_json_goes_to_standard_output(self, run: Run, scorer: HashScorer, talk: Path) -> None:
        outcome = run("score", talk, "--json", "-")
        assert outcome.status == 0
        document = json.loads(outcome.out)
        assert document["schema"] == "memscope.matrix/1"
        assert document["session"] == {
            "path": str(talk),
            "format": "native",
            "title": "talk",
            "branch": None,
            "agent": None,
            "author": None,
            "reconstructed": None,
        }

    def test_json_goes_to_a_file(self, run: Run, scorer: HashScorer, talk: Path, tmp_path: Path) -> None:
        outcome = run("score", talk, "--json", tmp_path / "matrix.json")
        assert (outcome.status, outcome.out) == (0, "")
        assert outcome.err.splitlines()[-1] == f"Wrote {tmp_path / 'matrix.json'}."
        assert json.loads((tmp_path / "matrix.json").read_text())["states"][0] == ["scored"] * 3

    def test_a_second_time_it_computes_nothing(self, run: Run, scorer: HashScorer, talk: Path) -> None:
        first = run("score", talk)
        computed = scorer.tokens_computed
        assert run("score", talk).out == first.out
        assert scorer.tokens_computed == computed

    def test_fresh_computes_everything_again(self, run: Run, scorer: HashScorer, talk: Path) -> None:
        run("score", talk)
        computed = scorer.tokens_computed
        document = json.loads(run("score", talk, "--fresh", "--json", "-").out)
        assert scorer.tokens_computed == 2 * computed
        assert document["cost"]["tokens_computed"] == computed
        assert document["cost"]["cells_from_cache"] == 0

    def test_a_conversation_comes_through_standard_input(
        self, run: Run, scorer: HashScorer, talk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(talk.read_bytes())))
        outcome = run("score", "-", "--json", "-")
        assert json.loads(outcome.out)["session"]["title"] == "standard input"

    def test_failed_rows_are_status_3_and_the_rest_is_written(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        scorer.answer = failing(2, 3)
        outcome = run("score", talk, "--json", "-")
        assert outcome.status == 3
        assert json.loads(outcome.out)["states"] == [["failed"] * 3, ["impossible", "scored", "scored"]]
        assert outcome.err.splitlines()[-1] == "✗ scoring: 1 of 2 memories failed: the server fell over"

    def test_nothing_but_failures_is_status_1_and_written_all_the_same(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        scorer.answer = failing(*range(1, 20))
        outcome = run("score", talk, "--json", "-")
        assert outcome.status == 1
        assert json.loads(outcome.out)["memories"][1]["error"] == (
            "the baseline failed: the server fell over"
        )

    def test_no_memories_is_status_1_and_says_how_to_mark_one(
        self, run: Run, scorer: HashScorer, tmp_path: Path
    ) -> None:
        path = log(tmp_path / "plain.jsonl", [("user", "Hello"), ("assistant", "Hello.")])
        assert_sentence(run("score", path), 1, "plain.jsonl holds no memories", "memory_key", "<memory key=")

    def test_no_responses_is_status_1(self, run: Run, scorer: HashScorer, tmp_path: Path) -> None:
        path = log(tmp_path / "quiet.jsonl", [("fact", "It rains."), ("user", "Hello")])
        assert_sentence(run("score", path), 1, "quiet.jsonl holds no response")

    def test_memories_that_no_response_follows_are_status_1(
        self, run: Run, scorer: HashScorer, tmp_path: Path
    ) -> None:
        path = log(tmp_path / "late.jsonl", [("user", "Hi"), ("assistant", "Hi."), ("fact", "It rains.")])
        outcome = run("score", path, "--json", tmp_path / "out.json")
        assert outcome.status == 1
        assert "late.jsonl has nothing to score: no response follows a memory" in outcome.err.splitlines()[-1]
        assert not (tmp_path / "out.json").exists()

    def test_scores_that_can_not_be_kept_are_told_and_shown(
        self, run: Run, scorer: HashScorer, talk: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "cache").write_text("a file")
        outcome = run("score", talk)
        assert outcome.status == 0
        assert outcome.err.splitlines()[0].startswith("· Scores are kept only until you quit: ")
        assert "Scores are kept only until you quit" in outcome.out

    def test_nothing_in_a_conversation_can_command_the_terminal(
        self, run: Run, scorer: HashScorer, tmp_path: Path
    ) -> None:
        nasty = "\x1b]0;owned\x07\x1b[2J\x9b31m[/red]\u202e"
        path = log(tmp_path / "nasty.jsonl", [(nasty, nasty), ("user", nasty), ("assistant", nasty)])
        scorer.answer = failing(2, 3, reason=nasty)
        outcome = run("score", path)
        assert outcome.status == 1
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", outcome.out + outcome.err)
        assert "[/red]" in outcome.out
        assert "[/red]" in outcome.err

    def test_a_stop_by_the_user_is_status_130_and_keeps_what_is_done(
        self, run: Run, talk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Interrupting(HashScorer):
            async def score(self, request: ScoreRequest) -> AsyncGenerator[SpanScore]:
                async for score in HashScorer.score(self, request):
                    yield score
                    if not request.keep:
                        os.kill(os.getpid(), signal.SIGINT)
                        await asyncio.sleep(60)

        monkeypatch.setattr(session_module, "open_scorer", opening(Interrupting()))
        outcome = run("score", talk)
        assert (outcome.status, outcome.out) == (130, "")
        assert outcome.err.splitlines()[-1].startswith("memscope: stopped; scoring again goes on from")
        assert "Traceback" not in outcome.err
        monkeypatch.setattr(session_module, "open_scorer", opening(HashScorer()))
        document = json.loads(run("score", talk, "--json", "-").out)
        assert document["cost"]["cells_from_cache"] == 1


class TestExport:
    """`memscope export`."""

    @pytest.mark.parametrize("ending", ["json", "csv", "npz"])
    def test_it_scores_and_writes(
        self, run: Run, scorer: HashScorer, talk: Path, tmp_path: Path, ending: str
    ) -> None:
        outcome = run("export", talk, "--to", tmp_path / f"matrix.{ending}")
        assert (outcome.status, outcome.out) == (0, "")
        assert (tmp_path / f"matrix.{ending}").stat().st_size > 100
        assert outcome.err.splitlines()[-1].startswith("Wrote ")

    def test_failed_rows_are_status_3_and_the_rest_is_written(
        self, run: Run, scorer: HashScorer, talk: Path, tmp_path: Path
    ) -> None:
        scorer.answer = failing(2, 3)
        assert run("export", talk, "--to", tmp_path / "matrix.csv").status == 3
        assert "home,3,failed,\r\n" in (tmp_path / "matrix.csv").read_bytes().decode()

    def test_an_unknown_ending_is_told_before_anything_is_scored(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        assert_sentence(run("export", talk, "--to", "matrix.xlsx"), 2, ".json, .csv, .npz")
        assert scorer.requests == []


@pytest.mark.parametrize("command", [("score", "--json"), ("export", "--to")])
class TestTargets:
    """Where nothing can or may be written is told before anything is scored."""

    def refused(self, run: Run, command: tuple[str, str], talk: Path, target: Path, *parts: str) -> None:
        before = talk.read_bytes()
        assert_sentence(run(command[0], talk, command[1], target), 2, *parts)
        assert talk.read_bytes() == before

    def test_a_folder_that_is_not_there(
        self, run: Run, scorer: HashScorer, talk: Path, tmp_path: Path, command: tuple[str, str]
    ) -> None:
        self.refused(run, command, talk, tmp_path / "nowhere" / "m.json", "there is no folder", "nowhere")
        assert scorer.requests == []

    def test_a_folder_in_place_of_a_file(
        self, run: Run, scorer: HashScorer, talk: Path, tmp_path: Path, command: tuple[str, str]
    ) -> None:
        (tmp_path / "m.json").mkdir()
        self.refused(run, command, talk, tmp_path / "m.json", "is a folder")

    def test_the_conversation_itself(
        self, run: Run, scorer: HashScorer, talk: Path, tmp_path: Path, command: tuple[str, str]
    ) -> None:
        source = tmp_path / "source.json"
        source.write_bytes(talk.read_bytes())
        self.refused(run, command, source, tmp_path / "source.json", "is the conversation itself")
