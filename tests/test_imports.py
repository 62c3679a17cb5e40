"""What is imported when: `--help` costs nothing, and only the screen knows textual and rich."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import memscope

HEAVY = {"numpy", "textual", "tokenizers", "rich", "jinja2", "safetensors", "gguf", "tqdm", "httpx"}


def imported_by(program: str) -> set[str]:
    """The modules in memory after a program has run in a fresh interpreter."""
    watched = f"import sys, json\n{program}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def running(*arguments: str) -> str:
    """A program that runs the command line and goes on."""
    return f"""
sys.argv = ["memscope", *{arguments!r}]
from memscope.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("score", "--help"),
        ("model", "--help"),
        ("model", "list"),
    ],
)
def test_answers_that_need_no_work_import_nothing_heavy(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path))
    assert not imported_by(running(*arguments)) & HEAVY


def test_importing_memscope_imports_nothing_heavy() -> None:
    modules = imported_by("import memscope")
    assert not modules & HEAVY
    assert not any(name.startswith("memscope.") for name in modules)


def test_the_command_line_scores_without_textual_or_rich() -> None:
    modules = imported_by(
        "import memscope.scoring.session, memscope.export, memscope.report, memscope.progress\n"
        "import memscope.conversation.readers, memscope.scorers.embedded.scorer, memscope.demo"
    )
    assert "numpy" in modules
    assert not modules & {"textual", "rich"}


def test_every_public_name_is_there() -> None:
    for name in memscope.__all__:
        assert getattr(memscope, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        memscope.nothing  # noqa: B018
