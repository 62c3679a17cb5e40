"""OpenTelemetry's GenAI spans: one by one, in a list, or as OTLP exports them."""

from dataclasses import replace
from typing import Any, ClassVar

from memscope.conversation.model import Branch, Entry
from memscope.conversation.readers.base import Draft, Format, JsonObject
from memscope.conversation.readers.otel_spans import Span, is_genai, read_span, spans_of
from memscope.conversation.readers.otel_thread import Thread
from memscope.conversation.readers.tree import branch_title


class Otel(Format):
    """Each conversation of the file is a branch; the live one is that of the latest call. Spans that do not
    name their conversation belong to the one that others of their trace name."""

    name: ClassVar[str] = "otel"

    def __init__(self) -> None:
        self._threads: dict[str, Thread] = {}
        self._named: dict[str, str] = {}
        """Traces and the conversations that they are part of."""
        self._entries: dict[Entry, Entry] = {}
        """Every entry once: the spans of a conversation repeat them."""
        self._clock = 0
        """The latest start, which spans that tell none are given."""

    @classmethod
    def claims(cls, record: JsonObject) -> bool:
        """An OTLP export, or a span with attributes of the conventions."""
        return isinstance(record.get("resourceSpans"), list) or is_genai(record)

    @classmethod
    def unpack(cls, document: Any) -> list[Any] | None:
        """A list with such a span in it, or an object whose `spans` are one."""
        spans = document.get("spans") if isinstance(document, dict) else document
        if not isinstance(spans, list):
            return None
        claimed = any(isinstance(span, dict) and cls.claims(span) for span in spans)
        return spans if claimed else None

    def add(self, record: JsonObject) -> None:
        """A span, or the spans of one export; those of other conventions are passed over."""
        for span in [read_span(span) for span in spans_of(record) if is_genai(span)]:
            self._take(span)

    def draft(self, branch: str | None = None) -> Draft:
        """The calls of one conversation as one: every message and every response stands in it once."""
        read = {name: entries for name, thread in self._threads.items() if (entries := thread.entries())}
        if not read:
            spans = sum(map(len, self._threads.values()))
            return Draft(notes=[_no_content(spans)] if spans else [])
        chosen = branch if branch in read else max(read, key=lambda name: self._threads[name].latest)
        thread, several = self._threads[chosen], len(read) > 1
        return Draft(
            entries=read[chosen],
            agent=thread.agent,
            author=thread.author,
            missing="the tools",
            branches=tuple(
                Branch(name, branch_title(entries), len(entries)) for name, entries in read.items() if several
            ),
            branch=chosen if several else "",
            notes=thread.notes(),
        )

    def _take(self, span: Span) -> None:
        self._clock = max(self._clock, span.start or 0)
        name = span.conversation or self._named.get(span.trace, span.trace)
        if span.conversation and span.trace and self._named.get(span.trace) != name:
            self._named[span.trace] = name
            if span.trace != name and span.trace in self._threads:
                self._thread(name).merge(self._threads.pop(span.trace))
        given, said = (tuple(map(self._once, entries)) for entries in (span.given, span.said))
        start = self._clock if span.start is None else span.start
        self._thread(name).add(replace(span, given=given, said=said), start)

    def _once(self, entry: Entry) -> Entry:
        return self._entries.setdefault(entry, entry)

    def _thread(self, name: str) -> Thread:
        return self._threads.setdefault(name, Thread())


def _no_content(spans: int) -> str:
    found = "its span holds" if spans == 1 else f"its {spans:,} spans hold"
    return f"{found} no messages; turn on the capture of message content in the program that writes them"
