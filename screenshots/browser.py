"""Makes the pictures of the browser in this folder: the HTML report of the demo, and `memscope demo --web`.

python screenshots/browser.py

It needs chromium and the extra `web`. The demo is scored by the installed embedded model, first if need be.
"""

import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.browser import Browser, chromium

PROGRAM = (sys.executable, "-c", "from memscope.cli import main; main()")


def report(browser: Browser, folder: Path) -> None:
    """The page with the strongest cell opened."""
    written = folder / "report.html"
    subprocess.run([*PROGRAM, "export", "demo", "--to", str(written)], check=True)
    browser.open(written.as_uri(), width=1320, height=960)
    browser.wait("!document.getElementById('drill').hidden")
    time.sleep(0.5)  # until it is painted
    browser.picture(HERE / "report.png")


def served(browser: Browser) -> None:
    """The matrix, a few cells from where it opens."""
    server = subprocess.Popen(
        [*PROGRAM, "demo", "--web", "--port", "0"], stderr=subprocess.PIPE, text=True, cwd=HERE.parent
    )
    try:
        assert server.stderr is not None
        found = re.search(r"http://\S+/", server.stderr.readline())
        assert found is not None
        browser.open(found[0], width=1200, height=620)
        browser.until(lambda: b"all cells scored" in browser.received)
        browser.wait("document.activeElement.className === 'xterm-helper-textarea'")
        for key in ("ArrowDown", "ArrowDown", *["ArrowLeft"] * 2):
            browser.press(key)
        time.sleep(7)  # until what has ended no longer lingers
        browser.picture(HERE / "web.png")
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder) / "profile") as browser:
        report(browser, Path(folder))
        served(browser)
