"""Makes the pictures in this folder from the running program: the demo, scored by the embedded model.

python screenshots/make.py
"""

import asyncio
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

os.environ["TEXTUAL_COLOR_SYSTEM"] = "truecolor"  # before textual is imported: there is no terminal to ask

from memscope.conversation.follow import Follower
from memscope.conversation.readers import read_conversation
from memscope.demo import demo_path
from memscope.scorers.embedded.pull import models_dir
from memscope.scoring.matrix import CellState
from memscope.scoring.session import Session
from memscope.tui.app import MemscopeApp
from memscope.tui.picture import svg

HERE = Path(__file__).parent
SIZE = (120, 28)
TALKS = (
    ("Move the retry logic out of the client", "harbour", 20),
    ("Why does the nightly build fail on Mondays?", "harbour", 4000),
    ("Write tests for the tide tables", "tides", 90_000),
    ("Draft the release notes", "harbour", 400_000),
)
"""What was asked, in which project, and so many seconds ago."""


def save(app: MemscopeApp, name: str, title: str = "memscope demo") -> None:
    """Save the screen as SVG."""
    (HERE / name).write_text(svg(app, title))


def open_file(path: str, branch: str | None) -> tuple[Session, Follower]:
    follower = Follower(path, branch)
    return Session(follower.open()), follower


async def main() -> None:
    session = Session(read_conversation(str(demo_path())))
    app = MemscopeApp(session, opener=open_file, score_at_once=True)
    async with app.run_test(size=SIZE) as pilot:

        async def until_scored(share: float) -> None:
            while session.matrix.count(CellState.SCORED) < share * (
                app.opened.missing + session.matrix.count(CellState.SCORED)
            ):
                await asyncio.sleep(0.1)

        await until_scored(0.01)
        await pilot.press("down", "down", *["right"] * 5)
        await until_scored(0.5)
        save(app, "filling.svg")
        await until_scored(1)
        await app.workers.wait_for_complete()
        await asyncio.sleep(6)  # until what has ended no longer lingers
        await pilot.press("g", "home", "down", "down", *["right"] * 7)
        await pilot.pause()
        save(app, "matrix.svg")
        await pilot.press("enter")
        await pilot.pause(1)
        save(app, "response.svg")
        await pilot.press("escape", "3", "right", "right")
        await pilot.pause(0.5)
        save(app, "transcript.svg")
        await pilot.press("4", "r")
        await pilot.pause(0.5)
        while app.opened.sets.scoring:
            await asyncio.sleep(0.1)
        await asyncio.sleep(6)
        await pilot.press("home", "space", "space")
        await pilot.pause(0.5)
        save(app, "training.svg")
        await pilot.press("2", "w")
        while app.opened.scoring:
            await asyncio.sleep(0.1)
        await asyncio.sleep(6)
        await pilot.press("5")
        await pilot.pause(1)
        save(app, "runs.svg")
        app.close()
    await browse()


async def browse() -> None:
    """The list of sessions in a home of its own: the demo, scored above, and what other agents left there."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        home, work = Path(folder), Path(folder) / "trips"
        os.environ["HOME"] = str(home)
        for name, agent, ago in TALKS:
            write_session(home / ".claude" / "projects" / "p" / f"{ago}.jsonl", name, agent, ago)
        work.mkdir()
        shutil.copy(demo_path(), work)
        os.chdir(work)
        app = MemscopeApp(opener=open_file)
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause(3)
            await app.workers.wait_for_complete()
            await pilot.pause(6)
            save(app, "sessions.svg", "memscope")
            app.close()
        os.chdir(here)


def write_session(path: Path, asked: str, project: str, ago: int) -> None:
    """A small session as Claude Code writes it, last changed so many seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parent = None
    lines = []
    for number, (role, text) in enumerate((("user", asked), ("assistant", "Done: see the diff."))):
        message = {"role": role, "content": text, "model": "claude-sonnet-4-6"}
        lines.append(
            {
                "uuid": str(number),
                "parentUuid": parent,
                "sessionId": "s",
                "type": role,
                "cwd": f"/home/nora/{project}",
                "message": message,
            }
        )
        parent = str(number)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    os.utime(path, (time.time() - ago, time.time() - ago))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        # an empty store, so that the demo is scored before our eyes; the model is the installed one
        (Path(cache) / "models").symlink_to(models_dir())
        os.environ["MEMSCOPE_CACHE_DIR"] = cache
        asyncio.run(main())
