"""Makes the pictures in this folder from the running program: the demo, scored by the embedded model.

python screenshots/make.py
"""

import asyncio
import os
import re
import tempfile
from pathlib import Path

os.environ["TEXTUAL_COLOR_SYSTEM"] = "truecolor"  # before textual is imported: there is no terminal to ask

from memscope.conversation.readers import read_conversation
from memscope.demo import demo_path
from memscope.scorers.embedded.pull import models_dir
from memscope.scoring.matrix import CellState
from memscope.scoring.session import Session
from memscope.tui.app import MemscopeApp

HERE = Path(__file__).parent
SIZE = (120, 28)


def save(app: MemscopeApp, name: str) -> None:
    """The screen as SVG, drawn with fonts of the reader's machine and with nothing fetched."""
    drawing = re.sub(r",?\s*url\([^)]*\)\s*format\([^)]*\)", "", app.export_screenshot(title="memscope demo"))
    (HERE / name).write_text(drawing)


async def main() -> None:
    session = Session(read_conversation(str(demo_path())))
    app = MemscopeApp(session, score_at_once=True)
    async with app.run_test(size=SIZE) as pilot:

        async def until_scored(share: float) -> None:
            while session.matrix.count(CellState.SCORED) < share * (
                app.missing + session.matrix.count(CellState.SCORED)
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
    session.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        # an empty store, so that the demo is scored before our eyes; the model is the installed one
        (Path(cache) / "models").symlink_to(models_dir())
        os.environ["MEMSCOPE_CACHE_DIR"] = cache
        asyncio.run(main())
