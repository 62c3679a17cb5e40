"""The served screen: which requests are answered, and that it draws and takes keys in a real browser."""

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, chromium
from tests.cli.conftest import log
from tests.scorers_fake import TALK

pytest.importorskip("textual_serve", reason="the extra `web` is not installed")

_UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
_PROGRAM = "from memscope.cli import main; main()"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a small conversation is served."""
    folder = tmp_path_factory.mktemp("served")
    talk = log(folder / "two words.jsonl", TALK)
    environment = {**os.environ, "MEMSCOPE_CACHE_DIR": str(folder / "cache"), "HOME": str(folder)}
    server = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(talk), "--model", str(folder / "none"), "--web", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    assert server.stderr is not None
    said = server.stderr.readline()
    found = re.fullmatch(r"The screen is at http://127\.0\.0\.1:(\d+)/; Ctrl\+C ends it\.\n", said)
    assert found, said
    yield int(found[1])
    server.send_signal(signal.SIGINT)
    _, rest = server.communicate(timeout=30)
    assert (server.returncode, rest) == (0, "")


def status(port: int, path: str = "/", **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(
        "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    answer = connection.getresponse()
    connection.close()
    answer.close()
    return answer.status


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "192.168.1.7"])
def test_this_machine_is_answered_under_its_own_names(port: int, host: str) -> None:
    assert status(port, Host=f"{host}:{port}") == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "evil.example@localhost", 'localhost/"', ""]
)
@pytest.mark.parametrize("path", ["/", "/ws", "/static/js/textual.js"])
def test_a_foreign_name_made_to_point_here_is_refused(port: int, host: str, path: str) -> None:
    assert status(port, path, Host=host, Origin=f"http://{host}", **_UPGRADE) in (400, 403)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:1", "http://localhost:{port}", "null", ""]
)
def test_a_web_socket_of_a_foreign_page_is_refused(port: int, origin: str) -> None:
    assert status(port, "/ws", Origin=origin.format(port=port), **_UPGRADE) == 403


def test_a_web_socket_without_an_origin_is_refused(port: int) -> None:
    assert status(port, "/ws", **_UPGRADE) == 403


def test_the_page_may_load_from_here_alone_and_stand_in_no_other(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/")
    answer = connection.getresponse()
    page = answer.read().decode()
    connection.close()
    policy = (answer.headers["Content-Security-Policy"] or "").split("; ")
    assert {"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(policy)
    assert "//" not in page.replace("<!DOCTYPE html>", "")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
def test_the_screen_draws_and_takes_keys(port: int, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as browser:
        browser.open(f"http://127.0.0.1:{port}/", width=1200, height=720)
        browser.until(lambda: b"Nora lives in Bergen" in browser.received)
        browser.wait("document.activeElement.className === 'xterm-helper-textarea'")
        before = len(browser.received)
        browser.press("ArrowDown")
        browser.press("ArrowDown")
        browser.until(lambda: b"Nora cannot eat peanuts" in browser.received[before:])
        assert {re.sub(r"^\w+:", "", address).split("/")[2] for address in browser.requests} == {
            f"127.0.0.1:{port}"
        }
        assert not [complaint for complaint in browser.complaints if "Content Security Policy" in complaint]
