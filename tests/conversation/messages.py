"""Chat messages in every layout that memscope reads."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from memscope.conversation.model import Conversation
from memscope.conversation.readers import parse_conversation

Message = dict[str, Any]

LAYOUTS: dict[str, Callable[[list[Message]], str]] = {
    "a message a line": lambda messages: "\n".join(map(json.dumps, messages)) + "\n",
    "a message a line, unescaped": lambda messages: "".join(
        json.dumps(message, ensure_ascii=False) + "\n" for message in messages
    ),
    "lines with blank ones and CRLF": lambda messages: "\r\n\r\n".join(map(json.dumps, messages)) + "\r\n",
    "a list": json.dumps,
    "an indented list": lambda messages: json.dumps(messages, indent=2, ensure_ascii=False),
    "an object with messages": lambda messages: json.dumps({"model": "m", "messages": messages}, indent=1),
    "an object with messages on a line": lambda messages: json.dumps({"messages": messages}) + "\n",
}
"""How a list of messages stands in a file."""

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    [
        "\u2028",
        "👩‍🚀",
        "[/red]\x1b[31m",
        "<think>a</think> b",
        '<memory key="a">x</memory> y',
        "</think>",
        "\0",
    ]
)
calls = st.fixed_dictionaries(
    {
        "id": texts,
        "function": st.fixed_dictionaries(
            {"name": texts, "arguments": st.dictionaries(texts, st.integers())}
        ),
    }
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"])},
    optional={
        "content": texts | st.none() | st.lists(texts.map(lambda text: {"type": "text", "text": text})),
        "memory_key": texts.filter(str.strip),
        "tool_calls": st.lists(calls, max_size=2),
        "tool_call_id": texts,
        "name": texts,
        "timestamp": texts | st.integers(0, 2**31),
        "unknown": texts,
    },
)
conversations = st.lists(messages, min_size=1, max_size=6)


def parse(data: str | bytes, branch: str | None = None) -> Conversation:
    """The conversation in a file called `log`."""
    data = data.encode() if isinstance(data, str) else data
    return parse_conversation(data, "log", title="log", branch=branch)


def parse_one(**fields: Any) -> Conversation:
    """The conversation of a single message."""
    return parse(json.dumps([fields]))
