"""The report as one HTML file that loads nothing: style, script and data stand in it."""

import base64
import hashlib
from importlib import resources

import jinja2
import msgspec
from markupsafe import Markup

from memscope.html_report.document import BUDGET, report_document
from memscope.scoring.session import Session

_SCRIPTS = ("data.js", "heatmap.js", "response.js")
_HARMLESS = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)
"""What could end a script element or a line of script, as JSON writes it too."""


def to_html(session: Session, budget: int = BUDGET) -> bytes:
    """A page with the heatmap, and under each cell the response word by word; tokens up to `budget`.

    Its policy allows this one script and this one style and no request to anywhere, so nothing that stands in
    a conversation can run or load. Raises InputError if the session is not prepared.
    """
    document = report_document(session, budget)
    style, script = _part("page.css"), "\n".join(map(_part, _SCRIPTS))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(_part("page.html")).render(
        title=document.head.title,
        policy="; ".join(
            (
                "default-src 'none'",
                f"script-src '{_hash(script)}'",
                f"style-src '{_hash(style)}'",
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
        style=Markup(style),
        script=Markup(script),
        data=Markup(_embedded(document)),
    )
    return page.encode()


def _embedded(document: msgspec.Struct) -> str:
    """A document as JSON that means the same inside a script element."""
    return msgspec.json.encode(document).decode().translate(_HARMLESS)


def _part(name: str) -> str:
    return (resources.files(__package__) / name).read_text("utf-8")


def _hash(text: str) -> str:
    """What a content security policy knows an inline script or style by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
