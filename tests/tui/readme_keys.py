"""The table of all keys in README.md, from the bindings; run as a module it writes the table anew."""

from pathlib import Path

from textual.binding import Binding

import memscope.tui.app  # noqa: F401 - a screen that is not imported has no bindings
from memscope.tui.keys import all_bindings, key_name, subject_of

README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- keys: `python -m tests.tui.readme_keys` writes this table -->\n"
END = "<!-- end of keys -->\n"


def table() -> str:
    """A line a binding, by subject."""
    lines = ["| key | does | id |", "|---|---|---|"]
    subject = ""
    for binding in all_bindings():
        if subject_of(binding) != subject:
            subject = subject_of(binding)
            lines.append(f"| | **{subject}** | |")
        keys = " ".join(f"`{key_name(each.key)}`" for each in Binding.make_bindings([binding]))
        lines.append(f"| {keys} | {binding.tooltip} | `{binding.id}` |".replace("`|`", "`\\|`"))
    return "\n".join(lines) + "\n"


def written() -> str:
    """README with the table as it is now."""
    text = README.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(written(), "utf-8")
