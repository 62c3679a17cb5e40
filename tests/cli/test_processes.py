"""Several at once on one store, and streams that are full, closed or read no more."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def scoring(talk: Path, **streams: Any) -> "subprocess.Popen[str]":
    """`memscope score` over the fake scorer in a process of its own."""
    program = """
import sys
from memscope import cli
from memscope.scoring import session
from tests.scorers_fake import HashScorer, opening
session.open_scorer = opening(HashScorer())
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
