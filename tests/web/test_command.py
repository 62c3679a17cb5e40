"""`memscope --web` on the command line: what goes together, and what it says."""

import sys
from pathlib import Path

import pytest

from memscope.errors import InputError
from memscope.web import command
from memscope.web.command import Web, take_web

NOTHING = {"web": False, "host": None, "port": None}


def taken(**given: object) -> Web | None:
    return take_web({**NOTHING, **given})


@pytest.fixture
def with_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: object())


def test_without_it_the_screen_opens_here() -> None:
    assert taken() is None


@pytest.mark.usefixtures("with_extra")
def test_it_listens_on_this_machine_alone_unless_told_otherwise() -> None:
    assert taken(web=True) == Web("127.0.0.1", 8000)
    assert taken(web=True, host="0.0.0.0", port=0) == Web("0.0.0.0", 0)


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"^--web needs the extra `web`; run `pip install 'memscope\[web\]'`\.$"
    ):
        taken(web=True)


@pytest.mark.parametrize("given", [{"host": "::1"}, {"port": 1}])
def test_a_host_or_a_port_alone_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"^--host and --port go with --web only\.$"):
        taken(**given)


@pytest.mark.usefixtures("with_extra")
def test_standard_input_can_not_be_read_for_every_visitor() -> None:
    with pytest.raises(InputError, match="save it to a file first"):
        take_web({**NOTHING, "web": True}, "-")


@pytest.mark.usefixtures("with_extra")
@pytest.mark.parametrize("host", ["", " "])
def test_an_empty_host_is_refused(host: str) -> None:
    with pytest.raises(InputError, match=r"^--host is empty; give an address"):
        taken(web=True, host=host)


def test_the_process_that_draws_for_a_browser_opens_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_DRIVER", "textual.drivers.web_driver:WebDriver")
    assert taken(web=True) is None


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("127.1.2.3", False), ("0.0.0.0", True)])
def test_listening_for_other_machines_is_warned_of(
    host: str, warned: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = pytest.importorskip("memscope.web.server", reason="the extra `web` is not installed")
    monkeypatch.setattr(server.ScreenServer, "serve_on", lambda self, listening: listening.close())
    assert command.serve(Web(host, 0)) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith(f"The screen is at http://{host}:")
    assert [line for line in said[:-1] if "reads every session" in line and "key" in line] == said[:-1]
    assert len(said) == 1 + warned


@pytest.mark.parametrize(("host", "port"), [("no such host", 8000), ("192.0.2.1", 8000)])
def test_a_place_where_nothing_can_listen_is_one_sentence(host: str, port: int) -> None:
    with pytest.raises(
        InputError, match=rf"^Nothing can listen at {host} port {port}: .*--port choose others\.$"
    ):
        command._listen(Web(host, port))


@pytest.mark.skipif(sys.platform == "win32", reason="the shell of POSIX")
def test_arguments_reach_the_visitors_process_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import json
    import subprocess

    arguments = ["a b.jsonl", "--model", "x; touch y", "$(touch z)", "'\"\\"]
    monkeypatch.setattr(sys, "argv", ["memscope", *arguments])
    shown = command._own_command().replace(
        "from memscope.cli import main; main()", "import json, sys; print(json.dumps(sys.argv[1:]))"
    )
    done = subprocess.run(shown, shell=True, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout) == arguments
    assert list(tmp_path.iterdir()) == []
