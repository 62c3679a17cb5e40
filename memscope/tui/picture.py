"""The screen as a picture: SVG that fetches nothing."""

import re
from typing import Any

from textual.app import App

_FONT = re.compile(r",?\s*url\([^)]*\)\s*format\([^)]*\)")


def svg(app: App[Any], title: str = "memscope") -> str:
    """The screen as it is now, drawn with fonts of the reader's machine and with nothing fetched."""
    return _FONT.sub("", app.export_screenshot(title=title))
