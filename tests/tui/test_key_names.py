"""Wherever a text names a key, that is the key which does it now: the user's, if there is one."""

from pathlib import Path

import pytest

from memscope.scoring.session import Session
from memscope.tui.app import MemscopeApp
from memscope.tui.keys import keys_in_force
from tests.scorers_fake import TALK, HashScorer, conversation
from tests.tui.driving import picture, press, running, settled, strike, until
from tests.tui.fake import conversation as made_up
from tests.tui.fake import fake_session, score_now

pytestmark = pytest.mark.anyio

KEYS = {
    "session.score": "f5",
    "session.dismiss": "f6",
    "app.help": "f1",
    "cell.open": "f2",
    "matrix.fidelity": "f3",
    "fidelity.measure": "f4",
    "fidelity.close": "f7",
    "help.close": "f7",
    "export.close": "f7",
    "training.write": "f8",
    "training.least": "f9",
    "runs.delete": "f8",
    "runs.let_go": "f7",
    "runs.compare": "f9",
    "sessions.search": "f2",
    "sessions.demo": "f3",
    "sessions.back": "f7",
}


@pytest.fixture(autouse=True)
def others(no_settings: Path) -> None:
    """The user has chosen other keys for all that some text names."""
    lines = [f'"{id_}" = "{key}"' for id_, key in KEYS.items()]
    (no_settings / "config.toml").write_text("\n".join(["[keys]", *lines]))


def test_a_thing_is_named_by_its_first_key_and_not_at_all_without_one() -> None:
    own = keys_in_force({})
    assert (own["app.help"], own["runs.delete"], own["cell.open"]) == ("?", "D", "⏎")
    assert keys_in_force({"session.score": ("ctrl+t", "f5")})["session.score"] == "^t"
    assert "session.score" not in keys_in_force({"session.stop": ("r",)})


async def test_what_lost_its_key_is_said_to_have_none(no_settings: Path) -> None:
    (no_settings / "config.toml").write_text('[keys]\n"session.stop" = "r"')
    async with running(fake_session()) as pilot:
        assert "(no key) scores" in picture(pilot)


async def test_on_the_matrix() -> None:
    session = fake_session(made_up(30, 6))
    session.notes = ("one", "two")
    async with running(session) as pilot:
        assert "f5 scores" in picture(pilot)
        assert "(2 notes: f1 shows all)" in picture(pilot)
        session.failing[0] = "no network"
        await press(pilot, "f5")
        await until(pilot, lambda: "more: press f2" in picture(pilot))


async def test_where_the_model_can_not_be_opened() -> None:
    session = fake_session()
    session.problem = "no network."
    async with running(session) as pilot:
        assert "no network. Press f5 to try again." in picture(pilot)
        assert "f5 tries again" in picture(pilot)
        assert "f6 dismisses" in picture(pilot)


async def test_on_training() -> None:
    async with running(fake_session(), size=(240, 36)) as pilot:
        await press(pilot, "4")
        for said in ("f5 leaves all", "f5 scores 6 responses", "f8 writes such responses"):
            assert said in picture(pilot)
        await press(pilot, "f9")
        assert "no response has so much; f9 shows more" in picture(pilot)


async def test_in_prompts() -> None:
    async with running(score_now(fake_session())) as pilot:
        await press(pilot, "f1")
        assert "f7 closes" in picture(pilot)
        await press(pilot, "f7", "e")
        assert "Enter writes, f7 leaves." in picture(pilot)


async def test_on_fidelity(scorer: HashScorer) -> None:
    session = Session(conversation(*TALK))
    async with running(session, size=(240, 36), score_at_once=True) as pilot:
        await press(pilot, "f3")
        await until(pilot, lambda: "f4 measures; f7 leaves, and it goes on." in picture(pilot))
        assert "f7 closes" in picture(pilot)
        await press(pilot, "f4", "f7")
        await until(pilot, lambda: "fidelity is measured: f3 shows it" in picture(pilot))
    session.close()


async def test_on_runs(scorer: HashScorer) -> None:
    session = Session(conversation(*TALK))
    async with running(session) as pilot:
        await press(pilot, "5")
        await until(pilot, lambda: "f5 scores 5 cells now." in picture(pilot))
        await press(pilot, "f5")
        await until(pilot, lambda: "complete" in picture(pilot))
        await press(pilot, "space")
        assert "f9 compares with the run of" in picture(pilot)
        await press(pilot, "f8")
        assert "f8 again deletes the run of" in picture(pilot)
        assert "; f7 keeps it" in picture(pilot)
    session.close()


async def test_on_sessions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "HERMES_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MEMSCOPE_CACHE_DIR", str(tmp_path / "cache"))
    app = MemscopeApp(opener=lambda path, branch: pytest.fail("nothing is opened"))
    async with app.run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        await until(pilot, lambda: "f3 opens the conversation that ships with memscope" in picture(pilot))
        assert "f2 searches titles and texts" in picture(pilot)
        app.close()
    (tmp_path / "talk.jsonl").write_text('{"role": "assistant", "content": "Hello."}\n')
    app = MemscopeApp(opener=lambda path, branch: pytest.fail("nothing is opened"))
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "1 of 1 sessions" in picture(pilot))
        await strike(pilot, "f2", *"zzz")
        await until(pilot, lambda: "no session holds this; f7 shows all again" in picture(pilot))
        app.close()
