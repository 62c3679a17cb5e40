"""The calls of a model that are one conversation, merged: each of them repeats what was said before."""

from bisect import insort
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from memscope.conversation.model import Entry, Role
from memscope.conversation.readers.json_text import as_json, decoded
from memscope.conversation.readers.otel_spans import Span


@dataclass(frozen=True)
class _Call:
    start: int
    span: Span


@dataclass
class _Context:
    """A line of calls of which each begins with all that was said in the ones before: `history` is that,
    `entries` what stands in the conversation, memories too; `response` is the last one's id."""

    number: int
    history: list[Entry] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    response: str = ""


class Thread:
    """Merges calls in the order in which they started, whatever the order in which they are added.

    A call goes on in the latest context whose history its input begins with. One whose input begins with
    none, since the history was cut or rewritten, begins another context. Runs of an agent repeat what the
    calls in them say: they count where there are no calls.
    """

    def __init__(self) -> None:
        self._spans: list[_Call] = []
        self._ids: set[str] = set()
        self._runs_only = True
        self._merged = 0
        self._reset()

    def __len__(self) -> int:
        return len(self._spans)

    @property
    def latest(self) -> int:
        """When the last of its spans started."""
        return self._spans[-1].start

    @property
    def author(self) -> str:
        """The model that answered last."""
        return next((call.span.author for call in reversed(self._spans) if call.span.author), "")

    @property
    def agent(self) -> str:
        """The agent that was named last."""
        return next((call.span.agent for call in reversed(self._spans) if call.span.agent), "")

    def add(self, span: Span, start: int) -> None:
        """Take a span; one that was taken before is passed over."""
        if span.id in self._ids:
            return
        if span.id:
            self._ids.add(span.id)
        if self._runs_only and span.said and not span.is_run:
            self._runs_only = False
            self._reset()
        if self._merged and start < self._spans[self._merged - 1].start:
            self._reset()
        insort(self._spans, _Call(start, span), key=lambda call: call.start)

    def merge(self, other: "Thread") -> None:
        """Take all spans of another thread."""
        for call in other._spans:
            self.add(call.span, call.start)

    def entries(self) -> list[Entry]:
        """Every message and response once, context after context."""
        for call in self._spans[self._merged :]:
            self._merge(call.span)
        self._merged = len(self._spans)
        return [entry for context in self._contexts for entry in context.entries]

    def notes(self) -> list[str]:
        """What of `entries` was left out or is not as the model saw it, as far as they were merged."""
        notes = []
        if self._choices:
            notes.append(f"choices of responses that were left out beside the first: {self._choices:,}")
        if self._repeated:
            notes.append(
                "memories that also stand word for word in a message, and stay there when they are left out: "
                f"{len(self._repeated):,}"
            )
        if self._prompts:
            notes.append("the system prompt changed; the first one is kept in front of every context")
        return notes

    def _reset(self) -> None:
        """Nothing is merged yet."""
        self._merged = 0
        self._contexts: list[_Context] = []
        self._seen: set[Hashable] = set()
        self._waiting: list[Entry] = []
        self._choices = 0
        self._repeated: set[str] = set()
        self._prompts = False

    def _merge(self, span: Span) -> None:
        if span.is_run and not self._runs_only:
            return
        self._waiting += span.memories
        if not span.given and not span.said:
            return
        self._choices += span.other_choices
        context, known = self._going_on(span)
        self._take_in(span, context or self._begin(), known)

    def _going_on(self, span: Span) -> tuple[_Context | None, int]:
        """The context that a call goes on in, and how many of the messages it is given stand there."""
        given = span.given
        if not given:
            return (self._contexts[-1] if self._contexts else None), 0
        for context in reversed(self._contexts):
            if len(context.history) <= len(given) and all(map(_same, context.history, given)):
                return context, len(context.history)
        for context in reversed(self._contexts):
            # a service that keeps the history itself is given only what is new
            if span.previous and span.previous == context.response:
                prompt = _prompt(given)
                return context, prompt if all(map(_same, context.history, given[:prompt])) else 0
        return None, 0

    def _begin(self) -> _Context:
        context = _Context(len(self._contexts))
        self._contexts.append(context)
        return context

    def _take_in(self, span: Span, context: _Context, known: int) -> None:
        """What a call adds to its context: memories stand before what was added after the last response. The
        system prompt of the first context is kept in every other, so that it is not repeated."""
        given, first = span.given, self._contexts[0].history
        prompt = _prompt(given)
        spoken = [at for at, entry in enumerate(given, 1) if entry.role is Role.ASSISTANT]
        turn = max(known, prompt, *spoken)
        repeats_prompt = prompt == _prompt(first) and all(map(_same, first, given[:prompt]))
        self._prompts = self._prompts or (context.number > 0 and known < prompt and not repeats_prompt)
        added: list[Entry] = []
        for at, entry in enumerate(given[known:], known):
            if at == turn:
                added += self._recalled(given)
            if not (context.number and at < prompt and repeats_prompt):
                kept = bool(context.number) and not context.entries and _key(entry) in self._seen
                added.append(replace(entry, kept=kept))
        added += [*self._recalled(given), *span.said]
        self._seen.update(map(_key, added))
        context.entries += [replace(entry, context=context.number) for entry in added]
        context.history += [*given[known:], *span.said]
        context.response = span.response or context.response

    def _recalled(self, given: Sequence[Entry]) -> list[Entry]:
        """The memories that were found since the last call."""
        memories, self._waiting = self._waiting, []
        for memory in memories:
            if memory.memory_key and any(memory.text in entry.text for entry in given):
                self._repeated.add(memory.memory_key)
        return memories


def _prompt(messages: Sequence[Entry]) -> int:
    """How many messages the system prompt in front of the others is."""
    return sum(1 for _ in takewhile(lambda entry: entry.role is Role.SYSTEM, messages))


def _same(first: Entry, second: Entry) -> bool:
    return first is second or _key(first) == _key(second)


def _key(entry: Entry) -> Hashable:
    """What a message is known by when it is repeated: agents leave their thinking out of the history, and
    some write arguments anew."""
    calls = tuple((call.name, as_json(decoded(call.arguments))) for call in entry.tool_calls)
    return entry.role, entry.said.strip(), calls, entry.tool_call_id
