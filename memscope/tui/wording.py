"""Numbers and cell states in words, and texts fit to show. Everything returned is printable."""

import numpy as np

from memscope.conversation.model import Conversation, Entry
from memscope.scoring.matrix import CellState
from memscope.tui.arrangement import Normalisation
from memscope.tui.safe import cut, one_line, printable
from memscope.tui.view import MatrixView

NO_MEMORIES = """This conversation has no memories.

A memory is something the agent was to remember and that was put into its context. memscope leaves each \
one out in turn and shows which responses become less probable.

Found by themselves: the memories of Claude Code, Codex, Gemini CLI, OpenClaw, Hermes, Letta and mem0, and \
results of tools named like search_memories. Anything else you mark, in one of three ways:

a line of the log with a key of its own
  {"role": "system", "content": "Lives in Lyon.", "memory_key": "city"}

tags in a system message, or at the start of a user's or a tool's
  <memory key="city">Lives in Lyon.</memory>

a rule of your own in config.toml, for what your agent writes anyway
  [[memory_rules]]
  name = "notes"
  pattern = '''\\[note (?P<key>\\w+)\\] (?P<text>.*)'''

memscope sessions --memories PATH lists what is found in a file, and by which rule."""

READ_CELLS = """A cell says how much less probable a response is when one memory is left out: in nats, in \
nats a token or as a share of its column.
Positive (orange, ░▒▓█ or +): the memory made the agent say it.
Negative (purple, ╌─═≡ or -): the memory spoke against it.
·  under 0.01 nats, or under 1/64 of the range
~  below three times the noise of its response: may be nothing but noise
/  not scored yet     …  being scored     ?  failed
Blank: the memory enters after the response, so nothing can be said.
The range stays until you score again or change metric or unit; beyond it a cell is drawn as strongest.
Weight of a memory: the sum of its row. Dependence of a response: the sum of its column."""

READ_DIFFERENCES = """A cell says by how many nats its divergence is larger in run b than in run a.
Positive (orange, ░▒▓█ or +): larger in b. Negative (purple, ╌─═≡ or -): smaller in b.
·  under 0.01 nats, or under 1/64 of the range
~  below three times the noise of either run: may be nothing but noise
/  scored in one run only, or in neither
The sentence below has both numbers. The list ranks the cells by how far they moved."""

READ_WORDS = """The text is what the agent said; the list ranks the memories that stand before it by their \
divergence, in nats.
The chosen memory colours the words: underlined (orange) if less probable without it, struck through \
(purple) if more probable. The same words are underlined in the memory's text.
~  below three times the noise     /  not scored yet     …  being scored     ?  failed"""

READ_TRANSCRIPT = """Every entry, in order. Under a response <- names the memories that made it, with the \
nats by which it is less probable without each; under a memory -> names the responses that it mattered to.
▸ has more below, ▾ is unfolded. Enter goes to the cell in the matrix.
~  below three times the noise     /  not scored yet     …  being scored     ?  failed"""

READ_TRAINING = """nats: how much less probable a response is with all memories left out at once. What is \
far less probable the model says because of its memories; trained on it, it would say so without.
At the right stands the line that would be written: what was said before, without the memories, and the \
response. ✓ is chosen.
~  below three times the noise     /  not scored yet     …  being scored     ?  failed"""

READ_RUNS = """Every scoring of this session, newest first. Enter opens one as it was. The one marked a is \
what others are compared with; without a mark it is the one before.
✓  complete     –  stopped before its end     ✗  with failed cells"""

READ_SESSIONS = """●  changed within the last minute     ✓  scored before     !  can't be read
Sessions of the current directory stand on top. Nothing is written to them, and nothing is sent anywhere."""

NO_RESPONSES = """This conversation has no responses yet.

memscope scores what the agent said: a message with the role "assistant" that says or calls something \
outside its <think> text. While the file is followed, the first one appears here as soon as it is written."""

NO_ENTRIES = "This conversation has no entries yet; what is said shows here."

_LATE = "this memory enters after the response"
_APART = "memory and response do not fit one window of the model's context"
_ELSEWHERE = "this memory stands in another context: the conversation was compacted or reset in between"
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


def emptiness(view: MatrixView) -> str:
    """Why there is nothing to score, and what to do; empty if there is."""
    memories, responses = view.matrix.shape
    return "" if memories and responses else NO_RESPONSES if memories else NO_MEMORIES


def nats(value: float) -> str:
    """A signed divergence, `+2.20`."""
    return f"{value:+.2f}" if abs(value) < 1000 else f"{value:+.0f}"


def compact(value: float) -> str:
    """A sum in at most six characters, `41.2`."""
    if abs(value) < 9999:
        return f"{value:.1f}"
    return f"{value / 1000:.0f}k" if abs(value) < 9_999_000 else f"{value:.0e}"


def number(value: float) -> str:
    """A signed number in at most five characters, `+2.20`, `-41.3`, `+902`."""
    size = abs(value)
    if size < 9.995:
        return f"{value:+.2f}"
    if size < 99.95:
        return f"{value:+.1f}"
    return f"{value:+.0f}" if size < 9999.5 else f"{value:+.0e}"


def bound(value: float) -> str:
    """The end of a range without needless digits, `10` or `0.5`."""
    return f"{value:g}"


def ordinal(number: int) -> str:
    """`2nd`."""
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else _ORDINALS.get(number % 10, 'th')}"


def cell_sentence(view: MatrixView, row: int, response: int, key_width: int) -> str:
    """One cell in words, the row's name cut to `key_width` cells."""
    where = f"{cut(one_line(view.keys[row]), key_width)} x r{response + 1}: "
    if view.state(row, response) is not CellState.SCORED:
        return where + state_sentence(view, row, response)
    place, count = view.place_in_column(row, response)
    said = [
        f"{nats(float(view.values[row, response]))} nats",
        _normalised(view, row, response),
        _together(view, row, response) if view.is_set(row) else f"{ordinal(place)} of {count}",
        noise_phrase(float(view.matrix.noise[response]), view.within_noise(row, response)),
    ]
    return f"{where}{', '.join(filter(None, said))} · {view.metric}"


def _together(view: MatrixView, row: int, response: int) -> str:
    """How many memories a set leaves out, and what the sum of each alone is: far less if they hide each
    other."""
    members = view.members(row)
    alone = float(view.values[list(members), response].sum())
    apart = "" if np.isnan(alone) else f" (each alone, summed: {nats(alone)})"
    return f"{len(members)} left out together{apart}"


def _normalised(view: MatrixView, row: int, response: int) -> str:
    """The cell's number in the unit of the normalisation, if that is another one than nats."""
    if view.normalisation is Normalisation.NATS:
        return ""
    return f"{view.shown(row, np.array([response]))[0]:+.3g} {view.normalisation}"


def noise_phrase(noise: float, within: bool) -> str:
    """How much of a value may be noise."""
    if np.isnan(noise):
        return "noise unknown"
    return f"{'within ' if within else ''}noise {noise:.2g}"


def state_sentence(view: MatrixView, row: int, response: int) -> str:
    """Why a cell has no number."""
    state = view.state(row, response)
    if state is CellState.FAILED:
        matrix, at = view.source(row)
        return f"failed: {one_line(matrix.errors.get(at, 'no reason given'))}"
    if state is CellState.IMPOSSIBLE:
        reasons = {
            _why_impossible(view.conversation, memory, view.matrix.responses[response])
            for memory in view.members(row)
        }
        return f"impossible: {reasons.pop() if len(reasons) == 1 else _LATE}"
    return {
        CellState.PENDING: "not scored yet",
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
    return printable(entry.spoken)


def response_title(view: MatrixView, response: int) -> str:
    """`r7 · entry 15 · 48 tokens`."""
    matrix = view.matrix
    tokens = int(matrix.tokens[response])
    counted = f" · {tokens:,} tokens" if tokens else ""
    return f"r{response + 1} · entry {matrix.responses[response]}{counted}"


def weight_words(view: MatrixView, memory: int) -> str:
    """`weight 41.2`, and if it may still grow why; else why the memory has none."""
    weight, state = float(view.weights[memory]), view.row_state(memory)
    unscored = {
        CellState.PENDING: "not scored",
        CellState.RUNNING: "being scored",
        CellState.FAILED: "failed",
        CellState.IMPOSSIBLE: "no response after it",
    }
    if np.isnan(weight):
        return unscored.get(state, "being scored")
    so_far = {CellState.PENDING: " so far", CellState.RUNNING: " so far", CellState.FAILED: ", some failed"}
    return f"weight {compact(weight)}{so_far.get(state, '')}"


def memory_places(conversation: Conversation, memory: int) -> str:
    """Where a memory stands: `entry 3` or `entries 3, 9`."""
    entries = conversation.memories[memory].entries
    shown = ", ".join(str(entry) for entry in entries[:6]) + (", …" if len(entries) > 6 else "")
    return f"{'entry' if len(entries) == 1 else 'entries'} {shown}"
