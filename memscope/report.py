"""What was scored as text that a person can read: tables in printable lines, values in nats."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from memscope.ledger import LedgerEntry
from memscope.scoring.fidelity import Fidelity, FidelityPlan, Lds, Redundancy, TopK
from memscope.scoring.joint import Joint, Pair
from memscope.scoring.matrix import NOISE_FACTOR, CellState
from memscope.scoring.modes import IncrementalScore, MemoryScore, Outcome, Training
from memscope.scoring.session import Session
from memscope.text import cells, fit, one_line
from memscope.wording import age, counted

_LEAST_WIDTH = 60
_STRONGEST = 10
_BAR = 12
_HIDDEN = 3
"""Responses named at most of which the rows miss the most."""
_NOISE = "~"
"""Stands before a value that may be nothing but noise."""


def report(session: Session, width: int, fidelity: Fidelity | None = None) -> str:
    """The matrix of a prepared session in lines of at most `width` (60 or more) cells, with the figures of
    its fidelity if they are given."""
    return _text(_lines(session, fidelity, max(width, _LEAST_WIDTH)))


def memory_report(session: Session, score: MemoryScore, width: int) -> str:
    """One memory of a prepared session and what it did to each response, in lines as of `report`."""
    return _text(_memory_lines(session, score, max(width, _LEAST_WIDTH)))


def incremental_report(
    session: Session, results: Sequence[IncrementalScore], notes: Sequence[str], width: int
) -> str:
    """The memories that were due in a prepared session, in lines as of `report`, with `notes` at the end."""
    return _text(_incremental_lines(session, results, notes, max(width, _LEAST_WIDTH)))


def training_report(session: Session, training: Training, width: int) -> str:
    """Training candidates of a prepared session, in lines as of `report`."""
    return _text(_training_lines(session, training, max(width, _LEAST_WIDTH)))


def ledger_report(entries: Sequence[LedgerEntry], now: datetime, width: int) -> str:
    """The entries of the ledger in their order, in lines as of `report`."""
    return _text(_ledger_lines(entries, now, max(width, _LEAST_WIDTH)))


def fidelity_lines(fidelity: Fidelity, width: int) -> list[str]:
    """The figures of a matrix's fidelity in printable lines of at most `width` cells, under a title."""
    title = f"Fidelity in signed nats, by {fidelity.masks} random masks and seed {fidelity.seed}"
    lines = [fit(title, width).rstrip()]
    for sentence in _fidelity_sentences(fidelity):
        lines += (line.rstrip() for line in _wrapped(sentence, width, "  "))
    return lines


def fidelity_cost(plan: FidelityPlan) -> str:
    """A sentence on what measuring fidelity will cost."""
    pairs = f"at most {counted(plan.pairs, 'pair')} of memories, {plan.pair_tokens:,} tokens at most"
    then = f", and then {pairs}" if plan.pairs else ""
    return f"fidelity takes {counted(plan.ablations, 'ablation')} more, {plan.tokens:,} tokens{then}"


def _text(lines: Iterator[str]) -> str:
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _title(session: Session, what: str, width: int) -> str:
    title, metric = session.conversation.source.title, session.metric
    return fit(f"{title} · {what} · {session.scorer_label} · {metric} divergence in nats", width)


def _lines(session: Session, fidelity: Fidelity | None, width: int) -> Iterator[str]:
    matrix = session.matrix
    memories, responses = matrix.shape
    yield _title(session, f"{memories} memories x {responses} responses", width)
    yield ""
    yield "Memories by weight"
    yield from _memories(session, width)
    yield ""
    yield "Responses by dependence on memory"
    yield from _responses(session, width)
    yield ""
    yield "Strongest cells"
    yield from _strongest(session, width)
    errors = [(matrix.keys[memory], reason) for memory, reason in matrix.errors.items()]
    yield from _reasons("Failed", errors, width)
    if fidelity is not None:
        yield ""
        yield from fidelity_lines(fidelity, width)
    noisy = bool(matrix.within_noise(session.metric).any())
    yield from _ending(session.noise_floor if noisy else None, session.notes, width)


def _memory_lines(session: Session, score: MemoryScore, width: int) -> Iterator[str]:
    yield _title(session, f"memory {score.key} over {counted(len(score.responses), 'response')}", width)
    if score.divergence is not None:
        yield ""
        mark = _NOISE if score.within_noise else ""
        total = f"  {mark}{score.divergence:+.2f} in all  "
        text = session.conversation.memory_text(session.conversation.memories[_row(session, score)])
        yield total + fit(text, width - cells(total))
    yield ""
    yield "Responses by divergence"
    row = _row(session, score)
    window = np.array(score.responses)
    values, noise = (
        session.matrix.values(session.metric)[row],
        session.matrix.within_noise(session.metric)[row],
    )
    for at in _largest_first(values[window]):
        yield _response(session, int(window[at]), _bar(values[window], at), values, noise, width)
    if score.outcome is Outcome.FAILED and score.reason:
        yield from _reasons("Failed", [(score.key, score.reason)], width)
    noisy = bool(noise[window].any())
    yield from _ending(session.noise_floor if noisy else None, session.notes, width)


def _row(session: Session, score: MemoryScore) -> int:
    return session.matrix.keys.index(score.key)


def _incremental_lines(
    session: Session, results: Sequence[IncrementalScore], notes: Sequence[str], width: int
) -> Iterator[str]:
    yield _title(session, f"{len(results)} of {len(session.matrix.keys)} memories due", width)
    scored = [result for result in results if result.entry is not None]
    if scored:
        yield ""
        yield "Memories by largest divergence"
    values = np.array([result.divergence for result in scored], np.float64)
    name = _name_width((result.key for result in scored), width)
    for at in _largest_first(values):
        result = scored[at]
        assert result.response is not None
        assert result.entry is not None
        head = f"  {fit(result.key, name)} {_bar(values, at)} {_value(values[at], result.within_noise)}  "
        weight = f"weight {result.entry.weight:.2f} · scored {counted(result.entry.times, 'time')}"
        tail = f"{_where(session, result.response)} · {weight}"
        yield head + fit(tail, width - cells(head))
    for title, outcome in (("Skipped", Outcome.SKIPPED), ("Failed", Outcome.FAILED)):
        reasons = [(result.key, result.reason or "") for result in results if result.outcome is outcome]
        yield from _reasons(title, reasons, width)
    noisy = any(result.within_noise for result in scored)
    yield from _ending(session.noise_floor if noisy else None, notes, width)


def _training_lines(session: Session, training: Training, width: int) -> Iterator[str]:
    yield _title(session, f"{len(training.candidates)} responses without any memory", width)
    yield ""
    yield "Training candidates by divergence"
    values = np.full(len(session.matrix.responses), np.nan)
    noise = np.zeros(values.shape, np.bool_)
    for candidate in training.candidates:
        if candidate.divergence is not None:
            values[candidate.response] = candidate.divergence
            noise[candidate.response] = candidate.within_noise
    for candidate in training.candidates:
        bar = _bar(values, candidate.response)
        yield _response(session, candidate.response, bar, values, noise, width)
    failed = [(f"entry {candidate.entry}", candidate.error or "") for candidate in training.candidates]
    yield from _reasons("Failed", [one for one in failed if one[1]], width)
    yield from _ending(training.noise_floor if noise.any() else None, session.notes, width)


def _ledger_lines(entries: Sequence[LedgerEntry], now: datetime, width: int) -> Iterator[str]:
    numbers = f"{'weight':>9}  {'last':>9}  {'scored':10}  {'times':>5}"
    room = width - cells(numbers) - 4
    model = min(max([5, *(cells(one_line(entry.model)) for entry in entries)]), room // 2)
    name = min(max([6, *(cells(one_line(entry.key)) for entry in entries)]), room - model)
    yield f"{fit('memory', name)}  {fit('model', model)}  {numbers}"
    for entry in entries:
        scored = fit(age((now - entry.last_scored).total_seconds()), 10)
        numbers = f"{entry.weight:9.2f}  {entry.value:9.2f}  {scored}  {entry.times:5}"
        yield f"{fit(entry.key, name)}  {fit(entry.model, model)}  {numbers}"


def _memories(session: Session, width: int) -> Iterator[str]:
    matrix = session.matrix
    values, noise = matrix.values(session.metric), matrix.within_noise(session.metric)
    weights = matrix.weights(session.metric)
    name = _name_width(matrix.keys, width)
    for m in _largest_first(weights):
        scored = np.flatnonzero(~np.isnan(values[m]))
        top = scored[np.argsort(-np.abs(values[m, scored]), kind="stable")][:3]
        failed = int((matrix.states[m] == CellState.FAILED).sum())
        tail = [f"{counted(failed, 'cell')} failed"] if failed else []
        tail += [f"r{r + 1} {_NOISE if noise[m, r] else ''}{values[m, r]:+.2f}" for r in top]
        if not tail:
            impossible = matrix.row_state(m) is CellState.IMPOSSIBLE
            tail.append("no response can see it" if impossible else "not scored")
        head = f"  {fit(matrix.keys[m], name)} {_bar(weights, m)} {_value(weights[m])}  "
        yield head + fit(", ".join(tail), width - cells(head))


def _responses(session: Session, width: int) -> Iterator[str]:
    dependence = session.matrix.dependence(session.metric)
    noise = np.zeros(dependence.shape, np.bool_)
    for r in _largest_first(dependence):
        yield _response(session, r, _bar(dependence, r), dependence, noise, width)


def _response(
    session: Session, r: int, bar: str, values: NDArray[np.float64], noise: NDArray[np.bool_], width: int
) -> str:
    """A line on one response, with its value of `values` [R] and whether that is `noise` [R]."""
    entry = session.conversation.entries[session.matrix.responses[r]]
    start = entry.said.strip() or "; ".join(f"calls {call.name}" for call in entry.tool_calls)
    head = f"  {_where(session, r)} {bar} {_value(values[r], bool(noise[r]))}  "
    return head + fit(start, width - cells(head))


def _strongest(session: Session, width: int) -> Iterator[str]:
    matrix = session.matrix
    values = matrix.values(session.metric)
    size = np.where(matrix.within_noise(session.metric), 0.0, np.nan_to_num(np.abs(values))).ravel()
    order = np.argsort(-size, kind="stable")[:_STRONGEST]
    for cell in order[size[order] > 0]:
        m, r = divmod(int(cell), matrix.shape[1])
        head = f"  {_where(session, r)} {values[m, r]:+8.2f}  "
        yield head + fit(matrix.keys[m], width - cells(head))


def _fidelity_sentences(fidelity: Fidelity) -> Iterator[str]:
    yield _lds(fidelity.lds, fidelity.masks)
    for top in fidelity.top:
        yield _top_k(top)
    yield from _redundancy(fidelity.redundancy)
    if fidelity.unscored:
        yield f"Not scored, so their responses are not counted: {', '.join(fidelity.unscored)}."
    for reason, names in _by_reason(fidelity.failed).items():
        yield f"Failed: {counted(len(names), 'ablation')} ({', '.join(dict.fromkeys(names))}): {reason}"
    if not fidelity.exact:
        yield "The scorer is only approximate: all of these figures hold its noise."
    spent = fidelity.spent
    yield f"It took {counted(fidelity.ablations, 'ablation')} and computed {spent.tokens_computed:,} tokens."


def _lds(lds: Lds, masks: int) -> str:
    count = counted(lds.counted, "response")
    found = "none" if lds.mean is None else f"{lds.mean:.2f}, the mean of {count}"
    left_out = [
        f"{number} {why}"
        for number, why in (
            (lds.too_few, "with fewer than two memories"),
            (lds.constant, "that no mask changes by more than noise"),
            (lds.missing, "without a score"),
        )
        if number
    ]
    text = f"LDS, predicted with actual log-probability: {found}"
    text += f"; not counted: {', '.join(left_out)}" if left_out else ""
    return text + (f"; {lds.masks_missing} of {masks} masks lack a score." if lds.masks_missing else ".")


def _top_k(top: TopK) -> str:
    which = "strongest memory" if top.k == 1 else f"{top.k} strongest"
    if top.drop is None or top.random is None:
        why = f"{top.missing} lack a score" if top.missing else "no response sees so many"
        return f"Drop without the {which}: none, for {why}."
    missing = f"; {top.missing} lack a score" if top.missing else ""
    of = f" of {top.eligible}" if top.eligible > top.responses + top.missing else ""
    mean = f"the mean of {top.responses}{of} response{'s' if top.responses != 1 or of else ''}"
    return f"Drop without the {which}: {top.drop:.2f}; {top.k} at random: {top.random:.2f} ({mean}{missing})."


def _redundancy(redundancy: Redundancy) -> Iterator[str]:
    total, missing = redundancy.total, redundancy.missing
    lacking = f" ({counted(missing, 'response')} without a score)" if missing else ""
    if total.together is None:
        yield f"All memories left out: none{lacking}."
    else:
        yield f"All memories left out: {_joint(total)}{lacking}."
        hidden = [joint for joint in redundancy.responses if joint.hidden and joint.response is not None]
        for joint in sorted(hidden, key=lambda joint: -(joint.interaction or 0.0))[:_HIDDEN]:
            yield f"The rows miss the most of r{(joint.response or 0) + 1}: {_joint(joint)}."
    if redundancy.pairs is None:
        yield "Pairs were not tried: the conversation changed meanwhile."
        return
    redundant = [pair for pair in redundancy.pairs if pair.redundant]
    for pair in redundant:
        yield f"Hide each other: {_pair(pair)}."
    if not redundant and redundancy.pairs:
        yield f"None of {counted(len(redundancy.pairs), 'pair')} of memories tried hide each other."


def _pair(pair: Pair) -> str:
    text = f"{' and '.join(pair.keys)}: {_joint(pair.total)}"
    at = pair.strongest
    text += f"; at r{at.response + 1} {_joint(at)}" if at is not None and at.response is not None else ""
    return text + (f"; {counted(pair.missing, 'response')} without a score" if pair.missing else "")


def _joint(joint: Joint) -> str:
    if joint.together is None or joint.apart is None:
        return "not scored"
    return f"{joint.together:+.2f}, one by one {joint.apart:+.2f}"


def _reasons(title: str, reasons: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """A section of (who, reason) pairs: each reason with all that it hit; none if there are none."""
    if not reasons:
        return
    yield ""
    yield title
    for reason, those in _by_reason(reasons).items():
        yield from _wrapped(f"{', '.join(those)}: {reason}", width, "  ")


def _by_reason(reasons: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Each reason of (who, reason) pairs with all that it hit."""
    hit: dict[str, list[str]] = {}
    for who, reason in reasons:
        hit.setdefault(reason, []).append(who)
    return hit


def _ending(noise_floor: float | None, notes: Sequence[str], width: int) -> Iterator[str]:
    """What the mark of noise means, if there is one, and the notes."""
    if noise_floor is not None:
        yield ""
        marked = f"{_NOISE} marks values below {NOISE_FACTOR:g} times the noise of their response"
        yield from _wrapped(f"{marked} (at most {noise_floor:.2g} nats).", width)
    for note in notes:
        yield ""
        yield from _wrapped(note, width)


def _name_width(keys: Iterable[str], width: int) -> int:
    """How many cells a column of keys gets."""
    return min(max((cells(one_line(key)) for key in keys), default=0), width // 3)


def _largest_first(values: NDArray[np.float64]) -> list[int]:
    """Indexes by falling value, those without one last."""
    order: list[int] = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable").tolist()
    return order


def _where(session: Session, response: int) -> str:
    return f"r{response + 1:<4} entry {session.matrix.responses[response]:<5}"


def _bar(values: NDArray[np.float64], at: int) -> str:
    """Length says the size beside the largest; a negative one is hollow."""
    if np.isnan(values[at]):
        return " " * _BAR
    most = np.nanmax(np.abs(values))
    length = round(_BAR * abs(values[at]) / most) if most else 0
    return fit(("▇" if values[at] > 0 else "▒") * length, _BAR)


def _value(value: float, noise: bool = False) -> str:
    return f"{'-' if np.isnan(value) else (_NOISE if noise else '') + f'{value:.2f}':>8}"


def _wrapped(text: str, width: int, indent: str = "") -> Iterator[str]:
    """Lines of whole words; a word longer than a line is cut."""
    room = width - cells(indent)
    line, *words = (fit(word, min(cells(word), room)) for word in one_line(text).split(" "))
    for word in words:
        if cells(line) + 1 + cells(word) <= room:
            line += f" {word}"
        else:
            yield indent + line
            line = word
    yield indent + line
