"""Agent files of Letta (`.af`): one JSON object with agents, their messages, and memory blocks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from memscope.conversation.model import Branch, Entry, Role, ToolCall
from memscope.conversation.readers.base import Draft, Format, JsonObject
from memscope.conversation.readers.chat import FunctionCall
from memscope.conversation.readers.json_text import as_json
from memscope.conversation.thinking import thinking_spans

_ROLES = {
    "system": Role.SYSTEM,
    "user": Role.USER,
    "summary": Role.USER,
    "assistant": Role.ASSISTANT,
    "approval": Role.ASSISTANT,
    "tool": Role.TOOL,
}
_RENDERED = "<memory_blocks>"
"""What the blocks stand behind in a system message; the memory rules find them there."""
_WITHOUT_BLOCKS = ("react_agent", "workflow_agent")
"""The kinds of agents that are not shown their blocks."""


class _Part(msgspec.Struct):
    """A part of a content; pictures and reasoning are passed over."""

    type: str = "text"
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    tool_call_id: str | None = None
    content: str | None = None


_Content = str | list[_Part] | None


class _Return(msgspec.Struct):
    tool_call_id: str | None = None
    func_response: _Content = None


class _Message(msgspec.Struct):
    """The fields of a message that memscope reads."""

    role: str
    id: str | None = None
    content: _Content = None
    name: str | None = None
    model: str | None = None
    tool_calls: list[FunctionCall] | None = None
    tool_call_id: str | None = None
    tool_returns: list[_Return] | None = None
    created_at: str | None = None


class _Block(msgspec.Struct):
    id: str | None = None
    label: str | None = None
    value: str | None = None


class _Model(msgspec.Struct):
    model: str | None = None


class _Agent(msgspec.Struct):
    """The fields of an agent that memscope reads."""

    id: str | None = None
    name: str | None = None
    agent_type: str | None = None
    system: str | None = None
    llm_config: _Model | None = None
    block_ids: list[str] | None = None
    in_context_message_ids: list[str] | None = None
    messages: list[_Message] | None = None


class _File(msgspec.Struct):
    agents: list[_Agent]
    blocks: list[_Block]


@dataclass(frozen=True)
class _Read:
    """What was read of an agent."""

    agent: _Agent
    entries: list[Entry]
    notes: list[str]


class Letta(Format):
    """Each agent with messages is a branch, the first one the default; its context are the messages that the
    file lists as such."""

    name: ClassVar[str] = "letta"

    def __init__(self) -> None:
        self._agents: dict[str, _Read] = {}

    @classmethod
    def claims(cls, record: JsonObject) -> bool:
        """The whole file."""
        return all(isinstance(record.get(field), list) for field in ("agents", "blocks"))

    def add(self, record: JsonObject) -> None:
        """The whole file; other records are passed over."""
        if not self.claims(record):
            return
        file = msgspec.convert(record, _File)
        blocks = {block.id: block for block in file.blocks if block.id is not None}
        for agent in file.agents:
            own = [blocks[id_] for id_ in agent.block_ids or () if id_ in blocks]
            read = _read(agent, own)
            if read.entries:
                self._agents[agent.id or f"agent {len(self._agents) + 1}"] = read

    def draft(self, branch: str | None = None) -> Draft:
        """The agent of that id, else the first one."""
        if not self._agents:
            return Draft()
        chosen = branch if branch in self._agents else next(iter(self._agents))
        read = self._agents[chosen]
        branches = tuple(
            Branch(id_, each.agent.name or "", len(each.entries)) for id_, each in self._agents.items()
        )
        several, model = len(branches) > 1, read.agent.llm_config
        return Draft(
            entries=read.entries,
            title=read.agent.name or "",
            agent="Letta",
            author=model.model or "" if model else "",
            missing="the tools",
            branches=branches if several else (),
            branch=chosen if several else "",
            notes=list(read.notes),
        )


def _read(agent: _Agent, blocks: Sequence[_Block]) -> _Read:
    """An agent's context: the system prompt, the memory blocks unless they stand in it, and what was said."""
    held, notes = _context(agent)
    entries = [entry for message in held for entry in _entries(message)]
    if not entries:
        return _Read(agent, [], [])
    if entries[0].role is not Role.SYSTEM and agent.system:
        entries.insert(0, Entry(Role.SYSTEM, agent.system))
    front = entries[0].text if entries[0].role is Role.SYSTEM else ""
    if _RENDERED not in front and agent.agent_type not in _WITHOUT_BLOCKS:
        given = [
            Entry(Role.SYSTEM, block.value, memory_key=block.label)
            for block in blocks
            if block.label and block.label.strip() and block.value and block.value.strip()
            if block.value.strip() not in front
        ]
        if given:
            notes.append("the memory blocks are put after the system prompt, which does not hold them")
        after = 1 if front else 0
        entries[after:after] = given
    return _Read(agent, entries, notes)


def _context(agent: _Agent) -> tuple[list[_Message], list[str]]:
    """The messages that the agent has in front of itself, in order, and what is to be said about the others.
    A file that names none of its messages as such has them all there."""
    messages = agent.messages or []
    by_id = {message.id: message for message in messages}
    named = dict.fromkeys(agent.in_context_message_ids or ())
    held = [by_id[id_] for id_ in named if id_ in by_id]
    if not held:
        return messages, []
    notes = []
    if outside := len(messages) - len(held):
        notes.append(f"messages passed over, as they are not in the agent's context: {outside:,}")
    if gone := len(named) - len(held):
        notes.append(f"messages of the agent's context that are not in the file: {gone:,}")
    return held, notes


def _entries(message: _Message) -> Iterator[Entry]:
    """What a message put before the model; an approval that calls nothing is an answer of the user's to the
    program, with what the tools gave then."""
    role = _ROLES.get(message.role)
    parts = message.content if isinstance(message.content, list) else []
    calls = [
        ToolCall(each.function.name, _arguments(each.function.arguments), each.id)
        for each in message.tool_calls or ()
    ]
    known = {call.id for call in calls}
    calls += [
        ToolCall(part.name, _arguments(part.input), part.id)
        for part in parts
        if part.type == "tool_call" and part.name and (part.id is None or part.id not in known)
    ]
    text = _text(message.content)
    if role is Role.ASSISTANT and (calls or message.role == "assistant"):
        yield Entry(role, text, tuple(calls), thinking_spans(text), timestamp=message.created_at)
    elif role is Role.TOOL or message.role == "approval":
        yield from _returned(message, parts)
    elif role is not None:
        yield Entry(role, text, timestamp=message.created_at)


def _returned(message: _Message, parts: Sequence[_Part]) -> Iterator[Entry]:
    """What tools gave: each result by itself, in older files the message's text."""
    given = [
        (each.tool_call_id, _text(each.func_response))
        for each in message.tool_returns or ()
        if each.func_response is not None
    ]
    given = given or [(part.tool_call_id, part.content or "") for part in parts if part.type == "tool_return"]
    if not given and message.role == "tool":
        given = [(None, _text(message.content))]
    for call, text in given:
        yield Entry(
            Role.TOOL,
            text,
            tool_call_id=call or message.tool_call_id,
            name=message.name,
            timestamp=message.created_at,
        )


def _text(content: _Content) -> str:
    if isinstance(content, list):
        return "\n".join(part.text for part in content if part.type == "text" and part.text)
    return content or ""


def _arguments(given: Any) -> str:
    return given if isinstance(given, str) else as_json({} if given is None else given)
