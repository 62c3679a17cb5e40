"""Files and folders that can't be read: a row that says so, or nothing; never an error, never a wait."""

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from memscope.conversation.library import Library, Place
from memscope.conversation.library import library as module
from tests.conversation.library.conftest import NOW, Machine, chat, lines, long_talk, talk

AS_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


def test_pipes_sockets_and_folders_are_never_opened(machine: Machine) -> None:
    folder = machine.claude("a.jsonl", talk("Hi", "Hello")).parent
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "folder.jsonl").mkdir()
    (folder / "nowhere.jsonl").symlink_to(folder / "gone")
    (folder / "device.jsonl").symlink_to("/dev/zero")
    (folder / "pipe-link.jsonl").symlink_to(folder / "pipe.jsonl")
    os.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.jsonl")
        assert [listed.title for listed in machine.scan()] == ["Hi"]


def test_a_pipe_that_took_the_files_place_is_not_waited_for(machine: Machine) -> None:
    path = machine.claude("a.jsonl", long_talk("Hi"))
    listed = machine.listed()
    path.unlink()
    os.mkfifo(path)
    library = machine.library()
    assert library.count(listed).problem == f"{path}: it is not an ordinary file; " + (
        "give the path of a conversation file."
    )
    assert list(library.search("anything", [listed], threading.Event())) == []
    library.close()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "a.jsonl is empty; give a file with a conversation."),
        (b"\x7fELF\x00\x01\n\xff\xfe", "a.jsonl: it is a program;"),
        (b"\x89PNG\xff" + b"\0" * 200_000, "a.jsonl does not begin as a conversation does;"),
        (b"{" * 100_000, "a.jsonl: Line 1: "),
        (b"[" * 300_000, "a.jsonl does not begin as a conversation does;"),
        (b'{"a":' * 60_000, "a.jsonl does not begin as a conversation does;"),
    ],
    ids=["empty", "binary", "long binary", "braces", "many brackets", "nested"],
)
def test_what_is_no_text_or_no_json_says_so(machine: Machine, data: bytes, problem: str) -> None:
    machine.claude("a.jsonl", []).write_bytes(data)
    assert machine.listed().problem.startswith(problem)


def test_a_file_that_vanishes_is_not_listed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: str) -> None:
        raise FileNotFoundError(2, "No such file or directory", path)

    machine.claude("a.jsonl", talk("Hi", "Hello"))
    monkeypatch.setattr(module, "read_ends", gone)
    assert machine.scan() == []


def test_a_file_that_may_not_be_read_is_asked_for_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    machine.claude("a.jsonl", talk("Hi", "Hello"))
    with monkeypatch.context() as patch:
        patch.setattr(module, "read_ends", forbidden)
        listed = machine.listed()
    assert (listed.title, listed.problem) == ("a", "a.jsonl can't be read: Permission denied.")
    assert machine.listed().title == "Hi"


@AS_ROOT
def test_a_file_without_permission_says_so(machine: Machine) -> None:
    machine.claude("a.jsonl", talk("Hi", "Hello")).chmod(0)
    assert machine.listed().problem == "a.jsonl can't be read: Permission denied."


def test_a_folder_that_may_not_be_read_is_a_note(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = machine.claude("a.jsonl", talk("Hi", "Hello")).parent
    listing = os.scandir

    def scandir(path: str) -> object:
        if path == str(closed):
            raise PermissionError(13, "Permission denied", path)
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    library = machine.library()
    assert list(library.scan(threading.Event())) == []
    assert library.notes == (f"The folder {closed} can't be read: Permission denied.",)
    library.close()


def test_names_may_hold_anything(machine: Machine) -> None:
    folder = machine.claude("a\nb\x1b[31m.jsonl", talk("Hi", "Hello"), age=1).parent
    os.rename(lines(folder / "other", talk("Ho", "Hello")), os.fsencode(folder) + b"/caf\xe9.jsonl")
    first, second = machine.scan()
    assert os.fsencode(first.path).endswith(b"/caf\xe9.jsonl")
    assert second.path.endswith("a\nb\x1b[31m.jsonl")
    assert [listed.title for listed in machine.scan()] == ["Ho", "Hi"]
    library = machine.library()
    assert library.preview(first).first[0].text == "Ho"
    assert len(list(library.search("hello", [first, second], threading.Event()))) == 2
    library.close()


def test_a_title_is_the_files_name_where_there_is_no_other(machine: Machine) -> None:
    folder = machine.claude("a.jsonl", [{"role": "assistant", "content": "Hi"}]).parent
    os.rename(folder / "a.jsonl", os.fsencode(folder) + b"/caf\xe9.jsonl")
    assert machine.listed().title == "caf\ufffd"


def test_times_may_be_anywhen(machine: Machine) -> None:
    path = machine.claude("a.jsonl", talk("Hi", "Hello"))
    for moment in (NOW * 4, 10**11, 0):
        os.utime(path, (moment, moment))
        assert machine.listed().modified == path.stat().st_mtime


@pytest.mark.parametrize("ending", ["\\ud83d", "\\u0000", "\\u001b[31m"])
def test_texts_may_hold_anything_that_json_can(machine: Machine, ending: str) -> None:
    path = machine.claude("a.jsonl", talk("Hi", "Hello"))
    path.write_text(path.read_text().replace("Hi", f"Hi {ending}").replace("/work/app", f"/{ending}"))
    assert len(machine.scan()) == 1
    assert len(machine.scan()) == 1


def test_a_folder_with_very_many_files_is_looked_through_in_part(tmp_path: Path) -> None:
    for number in range(30):
        lines(tmp_path / "many" / f"{number}.jsonl", chat("Hi", "Hello"))
    library = Library(tmp_path / "index", [Place(tmp_path / "many", files=20)], tmp_path)
    assert sum(map(len, library.scan(threading.Event()))) == 20
    assert library.notes == (f"Only a part of {tmp_path / 'many'} was looked through, for it holds much.",)
    library.close()


def test_a_place_is_given_up_after_its_time(tmp_path: Path) -> None:
    lines(tmp_path / "slow" / "a.jsonl", chat("Hi", "Hello"))
    library = Library(tmp_path / "index", [Place(tmp_path / "slow", seconds=0.0)], tmp_path)
    assert list(library.scan(threading.Event())) == []
    assert len(library.notes) == 1
    library.close()


def test_a_place_may_be_a_file_or_have_an_impossible_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    places = [Place(tmp_path / "file"), Place(tmp_path / "nul\0")]
    library = Library(tmp_path / "index", places, tmp_path)
    assert list(library.scan(threading.Event())) == []
    library.close()


def test_session_files_are_never_written_to(machine: Machine) -> None:
    path = machine.claude("a.jsonl", long_talk("Hi"))
    path.chmod(stat.S_IRUSR)
    before = path.read_bytes(), path.stat().st_mtime_ns
    library = machine.library()
    for batch in library.scan(threading.Event()):
        for listed in batch:
            library.count(listed)
            library.preview(listed)
            list(library.search("x", [listed], threading.Event()))
    library.close()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert os.listdir(path.parent) == ["a.jsonl"]
