"""What to compute: windows that fit the model, one ablation a row in each, and what that costs."""

import hashlib
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memscope.errors import ModelError
from memscope.prompt import Prompt
from memscope.scorers.base import ScoreRequest

Tokens = NDArray[np.intp]
"""Indexes of a prompt's tokens, rising."""
Rows = Sequence[tuple[int, ...]]
"""For each row of a matrix the memories (their indexes) that it leaves out together."""


def each_alone(memories: int) -> Rows:
    """The rows of the full matrix: every memory left out by itself."""
    return [(memory,) for memory in range(memories)]


@dataclass(frozen=True)
class Window:
    """A stretch of one of the prompt's contexts that fits the model's and ends at a response.

    `tokens` are the prompt's tokens in it, `responses` the indexes of those it scores, `left_out` the entries
    of that context before its end that did not fit.
    """

    tokens: Tokens
    responses: tuple[int, ...]
    left_out: tuple[int, ...]


@dataclass(frozen=True)
class Ablation:
    """One prompt to score: a window without a row's memories, or the baseline with all (`row` is None).

    `shared` is how many tokens it has in common with its window's baseline before the first of them,
    `removed` how many tokens they have there; `responses` are those it can change, or all of the window's.
    """

    window: int
    row: int | None
    shared: int
    removed: int
    responses: tuple[int, ...]


@dataclass(frozen=True)
class Cost:
    """Tokens through the model: each prompt anew, and with the baseline's prefix reused."""

    tokens_naive: int
    tokens_needed: int


class Plan:
    """All ablations of a prompt for a model's context length, with their costs."""

    def __init__(self, prompt: Prompt, rows: Rows, context_length: int) -> None:
        """Raises ModelError if not even the system prompt fits the context."""
        self.prompt = prompt
        self.rows = rows
        self.windows, self.too_long = _windows(prompt, context_length)
        self.of_window = [self._ablations_of(number) for number in range(len(self.windows))]
        """For each window its baseline, followed by its ablations in the order of the rows."""
        self.ablations = [ablation for ablations in self.of_window for ablation in ablations]
        """Those of all windows, one after the other."""
        self.cost = Cost(
            sum(len(self.windows[a.window].tokens) - a.removed for a in self.ablations),
            sum(len(self.windows[a.window].tokens) - a.removed - a.shared for a in self.ablations),
        )

    def possible(self) -> NDArray[np.bool_]:
        """Which cells [rows, responses] can have a number."""
        possible = np.zeros((len(self.rows), len(self.prompt.responses)), np.bool_)
        for ablation in self.ablations:
            if ablation.row is not None:
                possible[ablation.row, list(ablation.responses)] = True
        return possible

    def tokens(self, ablation: Ablation) -> Tokens:
        """The prompt's tokens in an ablation."""
        tokens = self.windows[ablation.window].tokens
        if ablation.row is None:
            return tokens
        return tokens[~np.isin(self.prompt.memory[tokens], self.rows[ablation.row])]

    def request(
        self,
        ablation: Ablation,
        responses: Sequence[int],
        reach: int = 0,
        *,
        branch: bool = False,
        again: bool = False,
        texts: bool = True,
    ) -> ScoreRequest:
        """Score `responses` (a span each, in their order), the prompt cut after the last of them, or after
        `reach` tokens if that is further: a baseline that is only wanted for its prefix.

        `branch` says whether an ablation is worth keeping, `again` that a baseline is to be computed anew.
        Without `texts` the request is one to ask about, not to score.
        """
        tokens = self.tokens(ablation)
        spans = tuple(np.searchsorted(tokens, self.prompt.responses[response]) for response in responses)
        length = max([reach, *(int(span[-1]) + 1 for span in spans)])
        sent = tokens[:length]
        baseline = ablation.row is None
        return ScoreRequest(
            self.prompt.ids[sent],
            spans,
            keep=baseline,
            shared=ablation.shared if not baseline else 0 if again else length,
            texts=self.prompt.texts(sent) if texts else (),
            branch=branch and not baseline,
        )

    def keys(self, ablation: Ablation, fingerprint: str, repeat: int = 0) -> dict[int, bytes]:
        """For each response of an ablation the name of its log-probabilities: sha256 over the model's
        fingerprint, all token ids up to the response's end, the positions that are scored, and which
        repetition of the same prompt this is."""
        tokens = self.tokens(ablation)
        ids = self.prompt.ids[tokens].astype(np.int32)
        keys = {}
        for response, digest in self._digests(tokens, ids, ablation.responses, fingerprint):
            if repeat:
                digest.update(f"repeat {repeat}".encode())
            keys[response] = digest.digest()
        return keys

    def origins(self, fingerprint: str) -> NDArray[np.uint8]:
        """What each response's column is computed from [R, 32]: sha256 over the model's fingerprint, the
        tokens of its window up to its end, the memory of each, and the positions that are scored. Where these
        are equal, rows that leave out the same memories have equal numbers. Zeros for a response in no
        window."""
        origins = np.zeros((len(self.prompt.responses), hashlib.sha256().digest_size), np.uint8)
        for window in self.windows:
            owned = np.stack([self.prompt.ids[window.tokens], self.prompt.memory[window.tokens]], axis=1)
            digests = self._digests(window.tokens, owned.astype(np.int32), window.responses, fingerprint)
            for response, digest in digests:
                origins[response] = np.frombuffer(digest.digest(), np.uint8)
        return origins

    def _digests(
        self, tokens: Tokens, data: NDArray[np.int32], responses: Sequence[int], fingerprint: str
    ) -> Iterator[tuple[int, "hashlib._Hash"]]:
        """For each response among these tokens [n] a sha256 over the model's fingerprint, the tokens' `data`
        [n, ...] up to its end, and the positions that are scored."""
        digest = hashlib.sha256(fingerprint.encode() + b"\0")
        done = 0
        for response in responses:
            span = np.searchsorted(tokens, self.prompt.responses[response])
            end = int(span[-1]) + 1
            digest.update(data[done:end].tobytes())
            done = end
            named = digest.copy()
            named.update(span.astype(np.int64).tobytes())
            yield response, named

    def tokens_to_compute(
        self,
        missing: NDArray[np.bool_],
        unknown: NDArray[np.bool_],
        repeats: NDArray[np.int64] | None = None,
        *,
        reuse: bool = True,
        kept: Callable[[ScoreRequest], int] = lambda request: 0,
    ) -> int:
        """Tokens through the model for the `missing` cells [rows, responses], the responses [R] whose
        baseline is `unknown`, and those whose baseline is to be scored `repeats` [R] times more; with `reuse`
        of the baseline's prefix, or each prompt anew. `kept` says how many of a request's first tokens are
        known from before."""
        repeats = np.zeros(len(unknown), np.int64) if repeats is None else repeats
        total = 0
        for baseline, *ablations in self.of_window:
            reach = 0
            for ablation in ablations:
                wanted = [response for response in ablation.responses if missing[ablation.row, response]]
                if wanted:
                    total += self.tokens_of(ablation, wanted, reuse=reuse, kept=kept)
                    reach = max(reach, ablation.shared if reuse else 0)
            wanted = [response for response in baseline.responses if unknown[response]]
            if wanted or reach:
                total += self.tokens_of(baseline, wanted, reach, kept=kept)
            for repeat in range(int(repeats[list(baseline.responses)].max(initial=0))):
                again = [response for response in baseline.responses if repeats[response] > repeat]
                total += self._end(baseline, again[-1])
        return total

    def tokens_of(
        self,
        ablation: Ablation,
        responses: Sequence[int],
        reach: int = 0,
        *,
        reuse: bool = True,
        kept: Callable[[ScoreRequest], int],
    ) -> int:
        """Tokens through the model for one request, its baseline computed before."""
        request = self.request(ablation, responses, reach, texts=False)
        return len(request.ids) - max(ablation.shared if reuse else 0, kept(request))

    def together(
        self,
        requests: Iterable[tuple[Ablation, Sequence[int]]],
        limit: int,
        *,
        reuse: bool,
        kept: Callable[[ScoreRequest], int],
    ) -> int:
        """How many of these requests, from the first on, put at most `limit` tokens through the model
        together: at least one."""
        count = 0
        for ablation, responses in requests:
            limit -= self.tokens_of(ablation, responses, reuse=reuse, kept=kept) if responses and limit else 1
            if limit < 0:
                break
            count += 1
        return max(1, count)

    def _end(self, ablation: Ablation, response: int) -> int:
        """How many of an ablation's tokens stand up to a response's end."""
        return int(np.searchsorted(self.tokens(ablation), self.prompt.responses[response][-1])) + 1

    def _ablations_of(self, number: int) -> list[Ablation]:
        window = self.windows[number]
        ablations = [Ablation(number, None, 0, 0, window.responses)]
        begins = [self.prompt.responses[response][0] for response in window.responses]
        owners = self.prompt.memory[window.tokens]
        for row, memories in enumerate(self.rows):
            owned = np.flatnonzero(np.isin(owners, memories))
            if owned.size and (after := window.responses[bisect(begins, window.tokens[owned[0]]) :]):
                ablations.append(Ablation(number, row, int(owned[0]), int(owned.size), after))
        return ablations


def _windows(prompt: Prompt, context_length: int) -> tuple[list[Window], tuple[int, ...]]:
    """Windows that together score every response once, and the responses that fit none.

    A window ends at a response and reaches back as far as fits, by whole turns, in the response's context. It
    scores as many responses as it can while the first of them still sees half of what fits, so that a long
    conversation costs about twice its tokens and not a whole context for each response.
    """
    head = np.flatnonzero(prompt.head)
    room = context_length - len(head)
    if room <= 0 and len(prompt.ids) > context_length:
        raise ModelError(
            f"The system prompt has {len(head):,} tokens and the model's context holds {context_length:,}; "
            "use a model with a longer context."
        )
    turn_starts = np.flatnonzero(np.diff(prompt.turn, prepend=-1))
    skipped = turn_starts - np.searchsorted(head, turn_starts)
    context_starts = np.append(0, np.flatnonzero(np.diff(prompt.context)) + 1)
    scorable = [response for response, positions in enumerate(prompt.responses) if positions.size]
    windows: list[Window] = []
    too_long: list[int] = []

    def context_start(response: int) -> int:
        """Where the context begins in which `response` stands."""
        at = np.searchsorted(context_starts, prompt.responses[response][0], side="right")
        return int(context_starts[at - 1])

    def extent(response: int) -> tuple[int, int]:
        """The longest stretch of whole turns that fits and ends with `response`; empty if none does."""
        end = int(prompt.responses[response][-1]) + 1
        opened = context_start(response)
        if end - opened + int(np.searchsorted(head, opened)) <= context_length:
            return opened, end
        turn = int(np.searchsorted(skipped, end - context_length))
        return (int(turn_starts[turn]) if turn < len(turn_starts) else end), end

    at = 0
    while at < len(scorable):
        first = scorable[at]
        begins = int(prompt.responses[first][0])
        start, end = extent(first)
        if start > begins or (start == begins and not (head < start).any()):
            too_long.append(first)  # or it has no token before it in which to be predicted
            at += 1
            continue
        group = [first]
        for response in scorable[at + 1 :]:
            later, its_end = extent(response)
            if later >= its_end or (later > start and begins - later < room // 2):  # another context is later
                break
            start, end = later, its_end
            group.append(response)
        kept = np.concatenate([head[head < start], np.arange(start, end)])
        left_out = np.setdiff1d(prompt.entry[context_start(first) : end], [-1, *prompt.entry[kept]])
        windows.append(Window(kept, tuple(group), tuple(left_out.tolist())))
        at += len(group)
    return windows, tuple(too_long)
