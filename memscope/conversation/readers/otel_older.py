"""Messages as GenAI spans had them before `gen_ai.input.messages`: numbered attributes, and events.

OpenLLMetry numbers `gen_ai.prompt.0.content`, OpenInference `llm.input_messages.0.message.content`; up to
version 1.36 the conventions wrote each message as an event, such as `gen_ai.user.message`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from memscope.conversation.readers.base import JsonObject
from memscope.conversation.readers.json_text import decoded

_INPUT = ("gen_ai.prompt", "llm.input_messages")
_OUTPUT = ("gen_ai.completion", "llm.output_messages")
_EVENTS = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}
_CHOICE = "gen_ai.choice"


def older_messages(
    attributes: JsonObject, events: Sequence[tuple[str, JsonObject]]
) -> tuple[list[Any], list[Any]]:
    """What went in and what came out, as chat messages; `events` are names with their attributes."""
    given = [message for prefix in _INPUT for message in _numbered(attributes, prefix)]
    said = [message for prefix in _OUTPUT for message in _numbered(attributes, prefix)]
    for name, body in events:
        held = decoded(body.get("gen_ai.event.content", dict(body)))
        if not isinstance(held, dict):
            continue
        if name in _EVENTS:
            given.append(_message({"role": _EVENTS[name], **held}))
        elif name == _CHOICE:
            message = decoded(held.get("message", held))
            said.append(_message(message if isinstance(message, dict) else {"content": message}))
    return given, [{"role": "assistant", **message} for message in said]


def _numbered(attributes: JsonObject, prefix: str) -> Iterator[dict[str, Any]]:
    messages: dict[int, dict[str, Any]] = {}
    for name, value in attributes.items():
        if not name.startswith(prefix + "."):
            continue
        number, *path = name.removeprefix(prefix + ".").split(".")
        if number.isdecimal() and path:
            _put(messages.setdefault(int(number), {}), path, value)
    for _, message in sorted(messages.items()):
        held = message.get("message")
        yield _message(held if isinstance(held, dict) else message)


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *way, last = path
    for step in way:
        inner = tree.setdefault(step, {})
        if not isinstance(inner, dict):
            return
        tree = inner
    tree[last] = value


def _message(message: JsonObject) -> dict[str, Any]:
    """The fields that chat messages have, from any of these notations."""
    found: dict[str, Any] = {name: message[name] for name in ("role", "tool_call_id") if name in message}
    content = message.get("content", _texts(message.get("contents")))
    found["content"] = content if isinstance(content, str | list) else None
    if message.get("role") == "tool" and isinstance(message.get("id"), str):
        found["tool_call_id"] = message["id"]
    calls = [_call(call) for call in _items(decoded(message.get("tool_calls")))]
    if calls:
        found["tool_calls"] = [call for call in calls if call is not None]
    return found


def _call(call: Any) -> JsonObject | None:
    if not isinstance(call, dict):
        return None
    call = call.get("tool_call", call)
    return {"id": call.get("id"), "function": call.get("function", call)}


def _texts(contents: Any) -> list[Any]:
    parts = (part.get("message_content") for part in _items(contents) if isinstance(part, dict))
    return [part for part in parts if isinstance(part, dict)]


def _items(value: Any) -> list[Any]:
    """A list, which may be written as an object with numbers for names."""
    if isinstance(value, dict):
        return [value[name] for name in sorted(value, key=lambda name: (len(name), name))]
    return value if isinstance(value, list) else []
