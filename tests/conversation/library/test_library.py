"""The list: its order and batches, what is remembered, what is counted, the newest of this directory."""

import json
import os
import threading
from pathlib import Path

import pytest

from memscope.conversation.library import library as module
from memscope.errors import InputError
from tests.conversation.library.conftest import NOW, Machine, chat, lines, long_talk, talk


def append(path: Path, text: str) -> None:
    """One more message in a native log, which keeps the time at which it changed."""
    before = path.stat()
    with path.open("a") as file:
        file.write(json.dumps({"role": "user", "content": text}) + "\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_the_newest_come_first(machine: Machine) -> None:
    for age in (50, 10, 30):
        machine.claude(f"{age}.jsonl", talk("Hi", "Hello"), age=age)
    listed = machine.scan()
    assert [Path(each.path).stem for each in listed] == ["10", "30", "50"]
    assert [each.modified for each in listed] == [NOW - 10, NOW - 30, NOW - 50]


def test_they_come_in_batches_and_a_small_one_first(machine: Machine) -> None:
    for number in range(320):
        machine.claude(f"{number}.jsonl", talk("Hi", "Hello"), age=number)
    library = machine.library()
    assert [len(batch) for batch in library.scan(threading.Event())] == [50, 250, 20]
    library.close()


def test_no_more_come_once_it_is_stopped(machine: Machine) -> None:
    for number in range(60):
        machine.claude(f"{number}.jsonl", talk("Hi", "Hello"))
    library, stop = machine.library(), threading.Event()
    batches = library.scan(stop)
    next(batches)
    stop.set()
    assert list(batches) == []
    assert list(library.scan(stop)) == []
    library.close()


def test_a_file_that_has_not_changed_is_not_opened_again(machine: Machine, opened: list[str]) -> None:
    machine.claude("a.jsonl", talk("Hi", "Hello"))
    machine.claude("b.jsonl", [{"no": "session"}])
    (machine.here / "package.json").write_text("{}")
    first = machine.scan()
    assert len(opened) == 3
    assert machine.scan() == first
    assert len(opened) == 3


def test_a_file_that_grew_is_looked_at_again(machine: Machine) -> None:
    path = lines(machine.here / "log.jsonl", chat("Hi", "Hello"))
    assert machine.listed().entries == 2
    append(path, "Thanks")
    assert machine.listed().entries == 3


def test_another_file_in_its_place_is_looked_at(machine: Machine) -> None:
    path = machine.claude("a.jsonl", talk("One", "Hello"))
    assert machine.listed().title == "One"
    other = lines(machine.home / "other", talk("Two", "Hello"))
    os.replace(other, path)
    assert machine.listed().title == "Two"


def test_what_is_gone_is_forgotten(machine: Machine) -> None:
    gone = machine.claude("a.jsonl", talk("Hi", "Hello"))
    machine.scan()
    gone.unlink()
    kept = machine.claude("b.jsonl", talk("Hi", "Hello"))
    assert [each.path for each in machine.scan()] == [str(kept)]
    library = machine.library()
    rows = library._index._database.execute("SELECT path FROM sessions")
    library.close()
    assert rows == [(os.fsencode(kept),)]


def test_without_an_index_everything_is_listed_all_the_same(machine: Machine) -> None:
    machine.index.parent.mkdir()
    machine.index.write_bytes(b"no database" * 100)
    machine.claude("a.jsonl", talk("Hi", "Hello"))
    library = machine.library()
    (batch,) = library.scan(threading.Event())
    assert [each.title for each in batch] == ["Hi"]
    (note,) = library.notes
    assert note.startswith("What was found is not remembered: ")
    library.close()


def test_a_long_session_is_counted_when_asked_for_and_that_is_remembered(
    machine: Machine, opened: list[str]
) -> None:
    records = long_talk("Hi")
    machine.claude("a.jsonl", records)
    listed = machine.listed()
    assert not listed.counted
    library = machine.library()
    counted = library.count(listed)
    library.close()
    assert (counted.entries, counted.memories) == (len(records), 0)
    assert counted.responses == len(records) // 2
    assert machine.listed() == counted
    assert len(opened) == 1


def test_memories_are_counted(machine: Machine) -> None:
    memory = {"role": "system", "content": "Lives in Oslo.", "memory_key": "home"}
    lines(machine.here / "log.jsonl", [memory, *chat("Where do I live?", "In Oslo.")])
    listed = machine.listed()
    assert (listed.entries, listed.memories, listed.responses, listed.format) == (3, 1, 1, "native")


def test_memories_are_counted_by_the_users_rules_and_anew_when_those_change(
    machine: Machine, tmp_path: Path
) -> None:
    lines(machine.here / "log.jsonl", [{"role": "system", "content": "FACT Oslo"}, *chat("Where?", "Oslo.")])
    assert machine.listed().memories == 0
    configuration = tmp_path / "config" / "memscope" / "config.toml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text("[[memory_rules]]\nname = 'fact'\npattern = 'FACT (?P<text>\\w+)'\n")
    assert machine.listed().memories == 1


def test_counts_are_not_kept_for_a_file_that_has_changed_since(machine: Machine) -> None:
    path = lines(machine.here / "log.jsonl", chat("Hi", "x" * 300_000))
    listed = machine.listed()
    append(path, "Thanks")
    library = machine.library()
    assert library.count(listed).entries == 3
    library.close()
    assert machine.listed().entries is None


def test_a_file_that_is_too_large_is_not_counted(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COUNTABLE", 100)
    machine.claude("a.jsonl", long_talk("Hi"))
    listed = machine.listed()
    assert machine.library().count(listed) is listed


def test_what_can_not_be_counted_says_why(machine: Machine) -> None:
    path = machine.claude("a.jsonl", long_talk("Hi"))
    listed = machine.listed()
    path.unlink()
    counted = machine.library().count(listed)
    assert counted.problem == "a.jsonl can't be read: No such file or directory."
    assert counted.entries is None


def test_the_latest_is_the_newest_of_the_current_directory(machine: Machine) -> None:
    here = str(machine.here)
    machine.claude("elsewhere.jsonl", talk("Hi", "Hello"), age=1)
    machine.claude("agent-part.jsonl", talk("Hi", "Hello", cwd=here), age=2)
    latest = machine.claude("latest.jsonl", talk("Hi", "Hello", cwd=here), age=3)
    machine.claude("older.jsonl", talk("Hi", "Hello", cwd=here), age=4)
    assert machine.library().latest(threading.Event()).path == str(latest)


def test_a_link_to_the_current_directory_is_the_current_directory(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(machine.here)
    machine.claude("a.jsonl", talk("Hi", "Hello", cwd=str(machine.here)))
    library = module.Library(machine.index, machine.library()._places, tmp_path / "link")
    assert library.latest(threading.Event()).title == "Hi"


def test_without_a_session_here_there_is_no_latest(machine: Machine) -> None:
    machine.claude("a.jsonl", talk("Hi", "Hello"))
    with pytest.raises(InputError, match=r"^No session in .*/here was found; `memscope sessions` lists"):
        machine.library().latest(threading.Event())


def test_two_programs_may_scan_at_once(machine: Machine) -> None:
    for number in range(120):
        machine.claude(f"{number}.jsonl", talk("Hi", "Hello"))
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(machine.scan()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [120, 120, 120]
