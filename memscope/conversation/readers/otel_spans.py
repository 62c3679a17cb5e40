"""One OpenTelemetry span, as files have it, into what it says of a conversation."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec

from memscope.conversation.model import Entry, Role, ToolCall
from memscope.conversation.readers.base import JsonObject
from memscope.conversation.readers.chat import ROLES, read_message
from memscope.conversation.readers.json_text import as_arguments, as_json, decoded
from memscope.conversation.readers.otel_older import older_messages
from memscope.conversation.thinking import as_thinking, thinking_spans
from memscope.errors import InputError

GENAI = ("gen_ai.", "llm.input_messages.", "llm.output_messages.")
"""What the names of attributes begin with that tell a GenAI span."""

_DETAILS = "gen_ai.client.inference.operation.details"
"""The event that holds a span's messages, where the span's own attributes do not."""
_AGENT_RUNS = ("invoke_agent", "invoke_workflow")
_STARTS = ("startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime", "timestamp")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 10.0**20
_UNITS = ((10.0**11, 10**9), (10.0**14, 10**6), (10.0**17, 10**3), (_LATEST, 1))
"""Below which number a time is in a unit of so many nanoseconds."""


class _Part(msgspec.Struct):
    type: str = "text"
    content: Any = None
    text: Any = None
    id: str | None = None
    name: str | None = None
    arguments: Any = None
    response: Any = None
    result: Any = None


class _Message(msgspec.Struct):
    role: str
    parts: list[_Part | str]


class _Record(msgspec.Struct):
    """A record of `gen_ai.memory.records`."""

    content: Any = None
    id: str | None = None


@dataclass(frozen=True)
class Span:
    """A call of a model, a run of an agent around such calls, or a search in a memory.

    `start` is in nanoseconds, None where the file does not tell; `conversation` is empty where only the trace
    is known. `response` and `previous` are the ids of this response and of the one it was asked after.
    """

    id: str
    trace: str
    conversation: str
    start: int | None
    given: tuple[Entry, ...]
    said: tuple[Entry, ...]
    other_choices: int
    memories: tuple[Entry, ...]
    is_run: bool
    response: str
    previous: str
    author: str
    agent: str


def spans_of(record: JsonObject) -> Iterator[JsonObject]:
    """The spans of an OTLP export, or the record itself."""
    exported = record.get("resourceSpans")
    if not isinstance(exported, list):
        yield record
        return
    for resource in exported:
        for scope in _objects(resource.get("scopeSpans")) if isinstance(resource, dict) else ():
            yield from _objects(scope.get("spans"))


def is_genai(record: JsonObject) -> bool:
    """Whether a span has attributes of the conventions."""
    attributes = record.get("attributes")
    if isinstance(attributes, list):
        names: Iterator[Any] = (item.get("key") for item in _objects(attributes))
    else:
        names = iter(attributes if isinstance(attributes, dict) else ())
    return any(isinstance(name, str) and name.startswith(GENAI) for name in names)


def read_span(record: JsonObject) -> Span:
    """Raises InputError or msgspec's if its messages can't be read."""
    attributes = dict(_attributes(record.get("attributes")))
    events = [
        (str(event.get("name")), _attributes(event.get("attributes")))
        for event in _objects(record.get("events"))
    ]
    for name, details in events:
        if name == _DETAILS:
            attributes |= details
    operation = attributes.get("gen_ai.operation.name")
    older_given, older_said = older_messages(attributes, events)
    system = _system(decoded(attributes.get("gen_ai.system_instructions")))
    given = _entries(decoded(attributes.get("gen_ai.input.messages")) or older_given)
    said = _entries(decoded(attributes.get("gen_ai.output.messages")) or older_said)
    count = attributes.get("gen_ai.request.choice.count")
    choices = len(said) if isinstance(count, int) and count > 1 and said else 1
    context = record.get("context")
    ids = context if isinstance(context, dict) else {}
    return Span(
        id=_first(record, "spanId", "span_id") or _first(ids, "span_id", "spanId"),
        trace=_first(record, "traceId", "trace_id") or _first(ids, "trace_id", "traceId"),
        conversation=_first(attributes, "gen_ai.conversation.id", "session.id"),
        start=_nanoseconds(next((record[name] for name in _STARTS if record.get(name)), None)),
        given=(*system, *given) if given or said else (),
        said=said[:1] if choices > 1 else said,
        other_choices=choices - 1,
        memories=_memories(attributes) if operation in ("search_memory", None) else (),
        is_run=operation in _AGENT_RUNS,
        response=_first(attributes, "gen_ai.response.id"),
        previous=_first(attributes, "gen_ai.request.previous_response.id"),
        author=_first(attributes, "gen_ai.response.model", "gen_ai.request.model", "llm.model_name"),
        agent=_first(attributes, "gen_ai.agent.name"),
    )


def _attributes(written: Any) -> JsonObject:
    """Attributes as an object, or as OTLP's list of keys and values."""
    if isinstance(written, dict):
        return written
    return {
        item["key"]: _value(item.get("value"))
        for item in _objects(written)
        if isinstance(item.get("key"), str)
    }


def _value(value: Any) -> Any:
    """OTLP's `AnyValue`, which names its type."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((kind, held),) = value.items()
    if not kind.endswith("Value"):
        return value
    inner = held.get("values") if isinstance(held, dict) else None
    if kind == "arrayValue":
        return [_value(item) for item in inner] if isinstance(inner, list) else []
    if kind == "kvlistValue":
        return dict(_attributes(inner))
    if kind == "intValue" and isinstance(held, str) and held.lstrip("-").isdecimal():
        return int(held)
    return held


def _entries(messages: Any) -> tuple[Entry, ...]:
    """The entries of messages; a tool's result has the name of the call with its id."""
    entries: list[Entry] = []
    names: dict[str | None, str] = {}
    for message in msgspec.convert(messages or [], list[JsonObject]):
        found = _with_parts(message, names) if "parts" in message else [read_message(message)]
        names |= {call.id: call.name for entry in found for call in entry.tool_calls if call.id}
        entries += found
    return tuple(entries)


def _with_parts(written: JsonObject, names: dict[str | None, str]) -> list[Entry]:
    message = msgspec.convert(written, _Message)
    role = Role.ASSISTANT if message.role == "model" else ROLES.get(message.role)
    if role is None:
        raise InputError(
            f"field `role` is {message.role[:40]!r}; it must be system, user, assistant or tool."
        )
    texts: list[str] = []
    calls: list[ToolCall] = []
    results: list[Entry] = []
    for part in (_Part(content=part) if isinstance(part, str) else part for part in message.parts):
        if part.type == "text":
            texts.append(_text(part.content if part.content is not None else part.text))
        elif part.type == "reasoning" and role is Role.ASSISTANT:
            texts.append(as_thinking(_text(part.content)))
        elif part.type == "tool_call" and part.name:
            calls.append(ToolCall(part.name, as_arguments(part.arguments), part.id))
        elif part.type == "tool_call_response":
            given = part.response if part.response is not None else part.result
            name = part.name or names.get(part.id)
            results.append(Entry(Role.TOOL, _text(given), tool_call_id=part.id, name=name))
    text = "".join(texts)
    if results and not text and not calls:
        return results
    thinking = thinking_spans(text) if role is Role.ASSISTANT else ()
    return [*results, Entry(role, text, tuple(calls) if role is Role.ASSISTANT else (), thinking)]


def _system(instructions: Any) -> tuple[Entry, ...]:
    """The system prompt, where it is written beside the messages: text, or parts."""
    parts = instructions if isinstance(instructions, list) else [instructions]
    held = (part.get("content", part.get("text")) if isinstance(part, dict) else part for part in parts)
    text = "\n".join(text for text in held if isinstance(text, str))
    return (Entry(Role.SYSTEM, text),) if text else ()


def _memories(attributes: JsonObject) -> tuple[Entry, ...]:
    """The records that a search found, each an entry; one without an id is named by its text."""
    records = msgspec.convert(decoded(attributes.get("gen_ai.memory.records")) or [], list[_Record])
    memories = []
    for record in records:
        text = _text(record.content)
        if text.strip():
            named = record.id is not None and record.id.strip()
            key = record.id if named else f"memory#{sha256(text.encode()).hexdigest()[:8]}"
            memories.append(Entry(Role.USER, text, memory_key=key))
    return tuple(memories)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else as_json(value)


def _first(written: JsonObject, *names: str) -> str:
    """The first of these fields that holds text."""
    return next((value for name in names if isinstance(value := written.get(name), str) and value), "")


def _objects(items: Any) -> Iterator[JsonObject]:
    yield from (item for item in items if isinstance(item, dict)) if isinstance(items, list) else ()


def _nanoseconds(written: Any) -> int | None:
    """A time since 1970: nanoseconds, a longer unit by its size, `[seconds, nanoseconds]`, or ISO 8601."""
    if isinstance(written, list) and len(written) == 2:
        whole, rest = map(_number, written)
        return None if whole is None or rest is None else int(whole * 10**9 + rest)
    number = _number(written)
    if number is not None:
        unit = next(unit for limit, unit in _UNITS if abs(number) < limit)
        return int(number * unit)
    try:
        moment = datetime.fromisoformat(written) if isinstance(written, str) else None
        moment = moment.replace(tzinfo=moment.tzinfo or UTC) if moment else None
        return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError):
        return None


def _number(written: Any) -> float | int | None:
    if isinstance(written, str) and written.isdecimal() and len(written) < 20:
        written = int(written)
    good = isinstance(written, int | float) and not isinstance(written, bool) and abs(written) < _LATEST
    return written if good else None
