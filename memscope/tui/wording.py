"""Numbers and cell states in words, and texts fit to show. Everything returned is printable."""

import numpy as np

from memscope.conversation.model import Conversation, Entry
from memscope.scoring.matrix import CellState
from memscope.tui.safe import cut, one_line, printable
from memscope.tui.view import MatrixView

NO_MEMORIES = """This conversation has no memories.

A memory is something the agent was to remember and that was put into its context. memscope leaves each \
one out in turn and shows which responses become less probable.

Mark one in either of two ways:

a line of the log with a key of its own
  {"role": "system", "content": "Lives in Lyon.", "memory_key": "city"}

tags inside a system, user or tool message
  <memory key="city">Lives in Lyon.</memory>"""

NO_RESPONSES = """This conversation has no responses yet.

memscope scores what the agent said: add at least one message with the role "assistant" that says or calls \
something outside its <think> text."""

_LATE = "this memory enters after the response"
_APART = "memory and response do not fit one window of the model's context"
_ELSEWHERE = "this memory stands in another context: the conversation was compacted or reset in between"
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


def nats(value: float) -> str:
    """A signed divergence, `+2.20`."""
    return f"{value:+.2f}" if abs(value) < 1000 else f"{value:+.0f}"


def compact(value: float) -> str:
    """A sum in at most six characters, `41.2`."""
    if abs(value) < 9999:
        return f"{value:.1f}"
    return f"{value / 1000:.0f}k" if abs(value) < 9_999_000 else f"{value:.0e}"


def bound(value: float) -> str:
    """The end of a range without needless digits, `10` or `0.5`."""
    return f"{value:g}"


def ordinal(number: int) -> str:
    """`2nd`."""
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else _ORDINALS.get(number % 10, 'th')}"


def cell_sentence(view: MatrixView, memory: int, response: int, key_width: int) -> str:
    """One cell in words, the memory's key cut to `key_width` cells."""
    matrix = view.matrix
    where = f"{cut(one_line(matrix.keys[memory]), key_width)} x r{response + 1}: "
    state = CellState(int(matrix.states[memory, response]))
    if state is CellState.SCORED:
        value = float(matrix.values(view.metric)[memory, response])
        place, count = view.place_in_column(memory, response)
        noise = _noise(float(matrix.noise[response]), bool(view.within_noise[memory, response]))
        return f"{where}{nats(value)} nats, {ordinal(place)} of {count}, {noise} · {view.metric}"
    return where + state_sentence(view, memory, response)


def _noise(noise: float, within: bool) -> str:
    """How much of a value may be noise."""
    if np.isnan(noise):
        return "noise unknown"
    return f"{'within ' if within else ''}noise {noise:.2g}"


def state_sentence(view: MatrixView, memory: int, response: int) -> str:
    """Why a cell has no number."""
    state = CellState(int(view.matrix.states[memory, response]))
    if state is CellState.FAILED:
        return f"failed: {one_line(view.matrix.errors.get(memory, 'no reason given'))}"
    if state is CellState.IMPOSSIBLE:
        return f"impossible: {_why_impossible(view.conversation, memory, view.matrix.responses[response])}"
    return {
        CellState.PENDING: "not scored yet: press r",
        CellState.RUNNING: "being scored",
        CellState.SCORED: "scored",
    }[state]


def _why_impossible(conversation: Conversation, memory: int, response: int) -> str:
    """Why a response (an entry's index) can't depend on a memory."""
    found = conversation.memories[memory]
    if found.places[0].entry > response:
        return _LATE
    return _APART if conversation.precedes(found, response) else _ELSEWHERE


def response_text(entry: Entry) -> str:
    """What the agent said and called in a response, without its thinking."""
    calls = [f"→ {call.name}({call.arguments})" for call in entry.tool_calls]
    return printable("\n".join(filter(None, [entry.said.strip(), *calls])))


def response_title(view: MatrixView, response: int) -> str:
    """`r7 · entry 15 · 48 tokens`."""
    matrix = view.matrix
    tokens = int(matrix.tokens[response])
    counted = f" · {tokens:,} tokens" if tokens else ""
    return f"r{response + 1} · entry {matrix.responses[response]}{counted}"


def memory_places(conversation: Conversation, memory: int) -> str:
    """Where a memory stands: `entry 3` or `entries 3, 9`."""
    entries = conversation.memories[memory].entries
    shown = ", ".join(str(entry) for entry in entries[:6]) + (", …" if len(entries) > 6 else "")
    return f"{'entry' if len(entries) == 1 else 'entries'} {shown}"
