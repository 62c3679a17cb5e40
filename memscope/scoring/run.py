"""Carries a plan out: recalls what is known, scores what is missing, and fills the matrix as results come."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memscope.activity import Activities
from memscope.errors import ScorerError
from memscope.scorers.base import LogProbs, Scorer, ScoreRequest
from memscope.scoring.asking import ask
from memscope.scoring.baselines import Baselines, WindowBaseline
from memscope.scoring.concurrent import merge
from memscope.scoring.matrix import CellState, ScoreMatrix
from memscope.scoring.plan import Ablation, Plan
from memscope.scoring.recognition import recognise
from memscope.scoring.run_progress import RunProgress
from memscope.store import Store

_HANDFUL = 500
"""Cells that are filled in at once, which takes some milliseconds."""


@dataclass(frozen=True)
class Change:
    """Rows whose cells, or whose cells' states, have just changed in the matrix."""

    rows: tuple[int, ...]


class RowsFailedError(Exception):
    """Some rows of a run failed; the others are scored."""


class Run:
    """The scoring of one plan into one matrix by one scorer.

    `grows` says whether the conversation may grow and its ablations be asked for again, so that they are
    worth keeping.
    """

    def __init__(
        self,
        plan: Plan,
        matrix: ScoreMatrix,
        scorer: Scorer,
        store: Store,
        activities: Activities,
        *,
        grows: bool = False,
    ) -> None:
        self.plan = plan
        self.matrix = matrix
        self.recalled: NDArray[np.bool_] = np.zeros(matrix.shape, np.bool_)
        """Which cells [rows, responses] got their number from the store."""
        self.requests = 0
        self.seconds = 0.0
        self._scorer = scorer
        self._store = store
        self._activities = activities
        self._grows = grows
        self._fingerprint = recognise(scorer, store)
        self._computed_before = scorer.tokens_computed
        self._baselines = Baselines(scorer, matrix)
        self._only = np.ones(matrix.shape, np.bool_)

    @property
    def baseline(self) -> dict[int, LogProbs]:
        """Each response's log-probabilities with all memories [t], in nats, once they are known; if the
        scorer is not `per_token`, their sum [1]."""
        return self._baselines.known

    @property
    def tokens_computed(self) -> int:
        """Tokens that have gone through the model for this run."""
        return self._scorer.tokens_computed - self._computed_before

    @property
    def cells_from_cache(self) -> int:
        """How many cells got their number from the store."""
        return int(self.recalled.sum())

    def tokens_missing(self, only: NDArray[np.bool_] | None = None) -> int:
        """Tokens that `score` would put through the model now, for all cells or `only` these [rows, R]."""
        cells = self._only if only is None else only
        columns = self._columns(cells)
        responses = range(len(self.matrix.responses))
        lacks, repeated = self._baselines.lacks, self._baselines.repeats
        unknown = np.array([r in columns and lacks(r) for r in responses], np.bool_)
        missing = cells & (self.matrix.states == CellState.PENDING)
        repeats = [r in columns and lacks(r, n) for n in repeated for r in responses]
        return self.plan.tokens_to_compute(
            missing,
            unknown,
            np.array(repeats, np.int64).reshape(-1, len(responses)).sum(axis=0),
            reuse=self._scorer.reuses_prefix,
            kept=self._scorer.tokens_kept,
        )

    def tokens_in_all(self, only: NDArray[np.bool_] | None = None) -> int:
        """Tokens that scoring all cells, or `only` these [rows, R], from the start puts through the model."""
        cells = np.ones(self.matrix.shape, np.bool_) if only is None else only
        columns = self._columns(cells)
        wanted = np.array([r in columns for r in range(len(self.matrix.responses))], np.bool_)
        return self.plan.tokens_to_compute(
            self.plan.possible() & cells,
            wanted,
            wanted * len(self._baselines.repeats),
            reuse=self._scorer.reuses_prefix,
        )

    def origins(self) -> NDArray[np.uint8]:
        """What each response's column is computed from: `Plan.origins`, with this scorer."""
        return self.plan.origins(self._fingerprint)

    async def recall(self, past: ScoreMatrix | None = None) -> tuple[int, ...]:
        """Fill in whatever the store knows already; the rows that got a number. What a matrix of the `past`
        has of the same origin is taken from there, which is quicker than to look up each cell."""
        baselines = [
            (baseline, repeat, self._wanted(baseline, repeat))
            for baseline, *_ in self.plan.of_window
            for repeat in (0, *self._baselines.repeats)
        ]
        await self._recall(baselines)
        taken = np.zeros(self.matrix.shape, np.bool_) if past is None else self.matrix.take_over_scored(past)
        self.recalled |= taken
        rows = await self._recall(
            [
                (ablation, 0, self._wanted(ablation))
                for _, *ablations in self.plan.of_window
                for ablation in ablations
            ]
        )
        return tuple(sorted(rows.union(np.flatnonzero(taken.any(axis=1)).tolist())))

    async def _recall(self, wanted: Sequence[tuple[Ablation, int, Sequence[int]]]) -> set[int]:
        """Fill in what the store knows of these; the rows that got a number.

        A thread hashes and reads; only this one fills in, and lets others work between two handfuls of cells.
        """
        rows: set[int] = set()
        found = await asyncio.to_thread(self._known, wanted)
        for number, (ablation, repeat, response, logprobs) in enumerate(found):
            if number % _HANDFUL == _HANDFUL - 1:
                await asyncio.sleep(0)
            if ablation.row is None:
                self._fill(ablation, response, logprobs, repeat)
            elif response in self.baseline:
                self._fill(ablation, response, logprobs)
                self.recalled[ablation.row, response] = True
                rows.add(ablation.row)
        return rows

    def _known(
        self, wanted: Sequence[tuple[Ablation, int, Sequence[int]]]
    ) -> list[tuple[Ablation, int, int, LogProbs]]:
        """What the store holds of the wanted responses."""
        found: list[tuple[Ablation, int, int, LogProbs]] = []
        for ablation, repeat, responses in wanted:
            if responses:
                found += [
                    (ablation, repeat, response, logprobs)
                    for response, logprobs in self._in_store(ablation, responses, repeat)
                    if self._problem_with(response, logprobs) is None
                ]
        return found

    def _in_store(
        self, ablation: Ablation, responses: Sequence[int], repeat: int = 0
    ) -> Iterator[tuple[int, LogProbs]]:
        """Those of these responses that the store has, with their log-probabilities."""
        keys = self.plan.keys(ablation, self._fingerprint, repeat)
        known = self._store.get(keys[response] for response in responses)
        for response in responses:
            if (logprobs := known.get(keys[response])) is not None:
                yield response, logprobs

    async def score(
        self, *, fresh: bool = False, only: NDArray[np.bool_] | None = None, order: Sequence[int] = ()
    ) -> AsyncGenerator[Change]:
        """Score what is missing, or everything again if `fresh`: all cells, or `only` these [rows, R]. Failed
        cells are tried again. Within each of the plan's windows the rows in `order` begin first, in that
        order.

        Each result is in the store and in the matrix before its change is yielded. Closing the iterator or
        cancelling the task keeps what is done. Rows that fail are marked so with their reason, and the
        activity fails at the end; the iterator does not.
        """
        began = time.monotonic()
        self._only = np.ones(self.matrix.shape, np.bool_) if only is None else only
        self.matrix.retry_failed()
        if fresh:
            self._forget()
            await self._scorer.forget()
        else:
            await self.recall()
        yield Change(tuple(range(len(self.matrix.keys))))
        try:
            with (
                suppress(RowsFailedError),
                self._activities.track("scoring", total=self.tokens_missing(), unit="tokens") as activity,
            ):
                missing = self._only & (self.matrix.states == CellState.PENDING)
                progress = RunProgress(
                    activity,
                    self.matrix.keys,
                    int(missing.any(axis=1).sum()),
                    lambda: self._scorer.tokens_computed,
                )
                jobs = self._jobs(progress, fresh, order)
                async with aclosing(merge(jobs, self._scorer.concurrency)) as changes:
                    async for change in changes:
                        yield change
                activity.update(title="scoring")
                if self.matrix.errors:
                    rows = int(self._only.any(axis=1).sum())
                    what = "memories" if all(len(row) == 1 for row in self.plan.rows) else "ablations"
                    failed = f"{len(self.matrix.errors)} of {rows} {what} failed"
                    raise RowsFailedError(f"{failed}: {next(iter(self.matrix.errors.values()))}")
        finally:
            self.seconds += time.monotonic() - began
            self._only = np.ones(self.matrix.shape, np.bool_)
            self.matrix.stop_running()

    async def logprobs(self, row: int | None, response: int) -> LogProbs | None:
        """A response's log-probabilities [t] in nats without a row's memories, or with all; None if not
        scored. If the scorer is not `per_token`, their sum [1]."""
        if row is None:
            return self.baseline.get(response)
        if self.matrix.states[row, response] != CellState.SCORED:
            return None
        return await asyncio.to_thread(self._stored, row, response)

    def _stored(self, row: int, response: int) -> LogProbs | None:
        cells = np.zeros(self.matrix.shape, np.bool_)
        cells[row, response] = True
        return next((logprobs for *_, logprobs in self.stored(cells)), None)

    def stored(self, cells: NDArray[np.bool_]) -> Iterator[tuple[int, int, LogProbs]]:
        """(row, response, log-probabilities [t] in nats without the row's memories) of those of these cells
        [rows, R] that the store has. It reads and hashes: call it in a thread."""
        for ablation in self.plan.ablations:
            if ablation.row is None or not (
                wanted := [r for r in ablation.responses if cells[ablation.row, r]]
            ):
                continue
            for response, logprobs in self._in_store(ablation, wanted):
                yield ablation.row, response, logprobs

    def _jobs(
        self, progress: RunProgress, fresh: bool, order: Sequence[int]
    ) -> Iterator[AsyncGenerator[Change]]:
        """What there is to do, in the order in which it should begin: each window's baseline, then its rows,
        with the baseline's repetitions among them, so that they meet the same load."""
        parts = len(self._baselines.repeats) + 1
        rank: dict[int | None, int] = {row: number for number, row in enumerate(order)}
        for baseline, *ablations in self.plan.of_window:
            rows = [ablation for ablation in ablations if self._wanted(ablation)]
            rows.sort(key=lambda ablation: rank.get(ablation.row, len(rank)))
            shared = [ablation.shared for ablation in rows if self._scorer.reuses_prefix]
            ready = WindowBaseline(reach=max(shared, default=0))
            if rows or self._wanted(baseline):
                yield self._score_baseline(baseline, ready, progress, fresh)
            else:
                ready.known.set()
            repeats = [n for n in self._baselines.repeats if self._wanted(baseline, n)]
            done = 0
            while done < len(rows):
                while repeats and done >= len(rows) * (parts - len(repeats)) // parts:
                    yield self._repeat_baseline(baseline, repeats.pop(0), ready, progress)
                together = self.plan.together(
                    ((ablation, self._wanted(ablation)) for ablation in rows[done:]),
                    self._scorer.batch_tokens,
                    reuse=self._scorer.reuses_prefix,
                    kept=self._scorer.tokens_kept,
                )
                yield self._score_rows(rows[done : done + together], ready, progress)
                done += together
            for repeat in repeats:
                yield self._repeat_baseline(baseline, repeat, ready, progress)

    async def _score_baseline(
        self, baseline: Ablation, ready: WindowBaseline, progress: RunProgress, fresh: bool
    ) -> AsyncGenerator[Change]:
        """Score one window's baseline, far enough for its rows to share its prefix."""
        unknown = self._wanted(baseline)
        try:
            with self._activities.track("baseline", total=len(unknown), unit="responses") as activity:
                async with aclosing(self._score_ablation(baseline, unknown, ready.reach)) as responses:
                    async for _ in responses:
                        activity.advance()
                        progress.update()
            if unknown and not fresh and (rows := await self.recall()):
                yield Change(rows)
        except ScorerError as error:
            ready.reason = f"the baseline failed: {error}"
        finally:
            ready.known.set()

    async def _repeat_baseline(
        self, baseline: Ablation, repeat: int, ready: WindowBaseline, progress: RunProgress
    ) -> AsyncGenerator[Change]:
        """Score one window's baseline once more, to measure noise; failing that, the noise stays unknown."""
        await ready.known.wait()
        wanted = [r for r in self._wanted(baseline, repeat) if r in self.baseline]
        with suppress(ScorerError):
            async with aclosing(self._score_ablation(baseline, wanted, repeat=repeat)) as responses:
                async for _ in responses:
                    progress.update()
            yield Change(tuple(range(len(self.matrix.keys))))

    async def _score_rows(
        self, ablations: Sequence[Ablation], ready: WindowBaseline, progress: RunProgress
    ) -> AsyncGenerator[Change]:
        """Score what these ablations lack, at the same time; without a baseline a cell fails, with the
        baseline's reason."""
        await ready.known.wait()
        jobs = []
        for ablation in ablations:
            assert ablation.row is not None
            row, wanted = ablation.row, self._wanted(ablation)
            self.matrix.set_failed(row, [r for r in wanted if r not in self.baseline], ready.reason)
            wanted = [response for response in wanted if response in self.baseline]
            self.matrix.set_running(row, wanted)
            progress.row(row)
            jobs.append(self._score_row(ablation, row, wanted, progress))
        yield Change(tuple(ablation.row for ablation in ablations if ablation.row is not None))
        async with aclosing(merge(iter(jobs), len(jobs))) as changes:
            async for change in changes:
                yield change

    async def _score_row(
        self, ablation: Ablation, row: int, wanted: Sequence[int], progress: RunProgress
    ) -> AsyncGenerator[Change]:
        """Score these responses of one ablation."""
        change = Change((row,))
        try:
            async with aclosing(self._score_ablation(ablation, wanted)) as responses:
                async for _ in responses:
                    progress.update()
                    yield change
        except ScorerError as error:
            self.matrix.set_failed(row, wanted, str(error))
            yield change

    async def _score_ablation(
        self, ablation: Ablation, wanted: Sequence[int], reach: int = 0, repeat: int = 0
    ) -> AsyncGenerator[int]:
        """Score `wanted` responses of one ablation, trying again what failed; yields each one scored.

        Raises ScorerError when it has failed for good.
        """
        if not wanted and not reach:
            return
        keys = self.plan.keys(ablation, self._fingerprint, repeat)

        def request(asked: Sequence[int]) -> ScoreRequest:
            self.requests += 1
            return self.plan.request(ablation, asked, reach, branch=self._grows, again=repeat > 0)

        async with aclosing(ask(self._scorer, wanted, request, self._problem_with)) as found:
            async for response, logprobs in found:
                await self._keep(keys[response], logprobs)
                self._fill(ablation, response, logprobs, repeat)
                yield response

    def _problem_with(self, response: int, logprobs: LogProbs) -> str | None:
        """Why these can't be the log-probabilities of a response, if they can't."""
        tokens = self.plan.prompt.responses[response].shape if self._scorer.per_token else (1,)
        if logprobs.shape != tokens:
            return "the scorer gave a wrong number of log-probabilities"
        if not np.isfinite(logprobs).all():
            return "the scorer gave a log-probability that is not a finite number"
        return None

    async def _keep(self, key: bytes, logprobs: LogProbs) -> None:
        """Store a result, even if cancelled meanwhile; when storing begins to fail, say so at once."""
        before = self._store.problem
        await asyncio.shield(asyncio.to_thread(self._store.put, {key: logprobs}))
        if self._store.problem and not before:
            self._activities.notify(self._store.problem)

    def _fill(self, ablation: Ablation, response: int, logprobs: LogProbs, repeat: int = 0) -> None:
        if ablation.row is None:
            self._baselines.add(response, logprobs, repeat)
        else:
            self.matrix.set_scored(ablation.row, response, self.baseline[response], logprobs)

    def _forget(self) -> None:
        """Forget the wanted cells and the baselines of their columns."""
        self.matrix.clear(self._only)
        self._baselines.forget(self._columns(self._only))
        self.recalled[self._only] = False

    def _columns(self, cells: NDArray[np.bool_]) -> set[int]:
        """The responses that have one of these cells; without any memory every response."""
        wanted = cells.any(axis=0) if len(cells) else np.ones(cells.shape[1], np.bool_)
        return set(np.flatnonzero(wanted).tolist())

    def _wanted(self, ablation: Ablation, repeat: int = 0) -> list[int]:
        """Responses of an ablation, or of a repetition of the baseline, that have no number yet."""
        if ablation.row is not None:
            missing = self._only[ablation.row] & (self.matrix.states[ablation.row] == CellState.PENDING)
            return [response for response in ablation.responses if missing[response]]
        columns = self._columns(self._only)
        return [
            response
            for response in ablation.responses
            if response in columns and self._baselines.lacks(response, repeat)
        ]
