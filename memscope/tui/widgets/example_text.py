"""A training example as the messages it is made of, its end first in sight."""

from collections.abc import Sequence

import msgspec
from rich.segment import Segment
from textual.strip import Strip

from memscope.conversation.model import Conversation
from memscope.text import printable
from memscope.training import Message, to_examples
from memscope.tui.theme import Palette
from memscope.tui.widgets.strips import StripView, strip, text_strips

_LONGEST = 6_000
"""Characters of one message that are shown."""
_MOST = 30_000
"""Characters of an example that are shown."""


class Example:
    """The line that would be written for a response (by its index): its `size` in bytes, how many `messages`
    it has, and (role, printable text) of as many of the last as may be shown; a part without a role counts
    what is not shown."""

    def __init__(self, conversation: Conversation, response: int) -> None:
        line = to_examples(conversation, [conversation.responses[response]])
        messages = msgspec.json.decode(line)["messages"]
        self.response = response
        self.size = len(line)
        self.messages = len(messages)
        self.parts = parts_of(messages)


class ExampleText(StripView):
    """Shows one example: `role: text` a message, calls as `→ name(arguments)`; scrolls."""

    DEFAULT_CSS = """
    ExampleText { padding: 0 1; }
    """

    def __init__(self, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.palette = palette
        self._parts: Sequence[tuple[str, str]] = ()

    def show_example(self, example: Example | None) -> None:
        """Show another example, scrolled to its end, or none."""
        self._parts = () if example is None else example.parts
        self.rebuild()
        self.scroll_end(animate=False)

    def build(self, width: int, height: int) -> list[Strip]:
        """Each message with its role, a blank line between two."""
        palette = self.palette
        lines: list[Strip] = []
        for role, text in self._parts:
            if lines:
                lines.append(strip([], width, palette.normal))
            if not role:
                lines += text_strips(text, width, palette.faint)
                continue
            first, *rest = text_strips(f"{role}: {text}", width, palette.normal)
            said = first.text[len(role) + 1 :]
            name = Segment(f"{role}:", palette.accent)
            lines += [strip([name, Segment(said, palette.normal)], width, palette.normal), *rest]
        return lines


def parts_of(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """What is shown of these messages: `Example.parts`."""
    parts: list[tuple[str, str]] = []
    left = _MOST
    for number in range(len(messages) - 1, -1, -1):
        text = _text_of(messages[number])
        if left < min(len(text), _LONGEST) and parts:
            more = sum(len(_text_of(message)) for message in messages[: number + 1])
            parts.append(("", f"… {number + 1:,} messages before these ({more:,} characters) are not shown"))
            break
        left -= min(len(text), _LONGEST)
        cut = f" … {len(text) - _LONGEST:,} more characters" if len(text) > _LONGEST else ""
        parts.append((str(messages[number]["role"]), printable(text[:_LONGEST]) + cut))
    return parts[::-1]


def _text_of(message: Message) -> str:
    calls = [
        f"→ {call['function']['name']}({call['function']['arguments']})"
        for call in message.get("tool_calls", ())
    ]
    return "\n".join(filter(None, [message["content"], *calls]))
