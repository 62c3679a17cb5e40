"""Carries a plan out: recalls what is known, scores what is missing, and fills the matrix as results come."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

import numpy as np
import stamina
from numpy.typing import NDArray

from memscope.activity import Activities, Activity
from memscope.errors import ScorerError
from memscope.scorers.base import LogProbs, Scorer
from memscope.scoring.matrix import CellState, ScoreMatrix
from memscope.scoring.plan import Ablation, Plan
from memscope.store import Store

_ATTEMPTS = 3


@dataclass(frozen=True)
class Change:
    """Memories whose cells, or whose cells' states, have just changed in the matrix."""

    rows: tuple[int, ...]


class RowsFailedError(Exception):
    """Some rows of a run failed; the others are scored."""


class Run:
    """The scoring of one plan into one matrix by one scorer.

    `baseline` holds each response's log-probabilities with all memories [t], in nats, once they are known.
    """

    def __init__(
        self, plan: Plan, matrix: ScoreMatrix, scorer: Scorer, store: Store, activities: Activities
    ) -> None:
        self.plan = plan
        self.matrix = matrix
        self.baseline: dict[int, LogProbs] = {}
        self.cells_from_cache = 0
        self.requests = 0
        self.seconds = 0.0
        self._scorer = scorer
        self._store = store
        self._activities = activities
        self._computed_before = scorer.tokens_computed

    @property
    def tokens_computed(self) -> int:
        """Tokens that have gone through the model for this run."""
        return self._scorer.tokens_computed - self._computed_before

    def tokens_missing(self) -> int:
        """Tokens that `score` would put through the model now."""
        unknown = np.array([r not in self.baseline for r in range(len(self.matrix.responses))], np.bool_)
        return self.plan.tokens_to_compute(self._missing(), unknown)

    async def recall(self) -> None:
        """Fill in whatever the store knows already.

        A thread hashes and reads; only this one fills in, so that a run that is cancelled fills in nothing.
        """
        wanted = [(ablation, self._wanted(ablation)) for ablation in self.plan.ablations]
        for ablation, response, logprobs in await asyncio.to_thread(self._known, wanted):
            if ablation.memory is None:
                self._fill(ablation, response, logprobs)
            elif response in self.baseline:
                self._fill(ablation, response, logprobs)
                self.cells_from_cache += 1

    def _known(
        self, wanted: Sequence[tuple[Ablation, Sequence[int]]]
    ) -> list[tuple[Ablation, int, LogProbs]]:
        """What the store holds of the wanted responses, baselines before what is compared with them."""
        found: list[tuple[Ablation, int, LogProbs]] = []
        for ablation, responses in wanted:
            if responses:
                keys = self.plan.keys(ablation, self._scorer.fingerprint)
                known = self._store.get(keys[response] for response in responses)
                found += [
                    (ablation, response, logprobs)
                    for response in responses
                    if (logprobs := known.get(keys[response])) is not None
                    and self._problem_with(response, logprobs) is None
                ]
        return found

    async def score(self, *, fresh: bool = False) -> AsyncGenerator[Change]:
        """Score what is missing, or everything again if `fresh`; failed cells are tried again.

        Each result is in the store and in the matrix before its change is yielded. Closing the iterator or
        cancelling the task keeps what is done. Rows that fail are marked so with their reason, and the
        activity fails at the end; the iterator does not.
        """
        began = time.monotonic()
        self.matrix.retry_failed()
        if fresh:
            self.matrix.clear()
            self.baseline.clear()
            self.cells_from_cache = 0
        else:
            await self.recall()
        yield Change(tuple(range(len(self.matrix.keys))))
        try:
            with (
                suppress(RowsFailedError),
                self._activities.track("scoring", total=self.tokens_missing(), unit="tokens") as activity,
            ):
                progress = _Progress(self, activity)
                for window in range(len(self.plan.windows)):
                    async with aclosing(self._score_window(window, progress, fresh)) as changes:
                        async for change in changes:
                            yield change
                activity.update(title="scoring")
                if self.matrix.errors:
                    failed = f"{len(self.matrix.errors)} of {len(self.matrix.keys)} memories failed"
                    raise RowsFailedError(f"{failed}: {next(iter(self.matrix.errors.values()))}")
        finally:
            self.seconds += time.monotonic() - began
            self.matrix.stop_running()

    async def logprobs(self, memory: int | None, response: int) -> LogProbs | None:
        """A response's log-probabilities [t] in nats without `memory`, or with all; None if not scored."""
        if memory is None:
            return self.baseline.get(response)
        if self.matrix.states[memory, response] != CellState.SCORED:
            return None
        return await asyncio.to_thread(self._stored, memory, response)

    def _stored(self, memory: int, response: int) -> LogProbs | None:
        ablation = next(a for a in self.plan.ablations if a.memory == memory and response in a.responses)
        key = self.plan.keys(ablation, self._scorer.fingerprint)[response]
        return self._store.get([key]).get(key)

    async def _score_window(self, window: int, progress: "_Progress", fresh: bool) -> AsyncGenerator[Change]:
        """Score one window's baseline, then its rows."""
        baseline, *ablations = self.plan.of_window[window]
        rows = [ablation for ablation in ablations if self._wanted(ablation)]
        unknown = self._wanted(baseline)
        if not rows and not unknown:
            return
        reach = max((ablation.shared for ablation in rows), default=0)
        reason = "the scorer gave no baseline"
        try:
            with self._activities.track("baseline", total=len(unknown), unit="responses") as activity:
                async with aclosing(self._score_ablation(baseline, unknown, reach)) as responses:
                    async for _ in responses:
                        activity.advance()
                        progress.update()
        except ScorerError as error:
            reason = f"the baseline failed: {error}"
        if unknown and not fresh:
            await self.recall()
        for ablation in rows:
            async with aclosing(self._score_row(ablation, progress, reason)) as changes:
                async for change in changes:
                    yield change

    async def _score_row(
        self, ablation: Ablation, progress: "_Progress", reason: str
    ) -> AsyncGenerator[Change]:
        """Score what one ablation lacks; without a baseline a cell fails, and `reason` says why."""
        assert ablation.memory is not None
        memory, change = ablation.memory, Change((ablation.memory,))
        wanted = self._wanted(ablation)
        self.matrix.set_failed(memory, [r for r in wanted if r not in self.baseline], reason)
        wanted = [response for response in wanted if response in self.baseline]
        self.matrix.set_running(memory, wanted)
        progress.row(memory)
        yield change
        try:
            async with aclosing(self._score_ablation(ablation, wanted)) as responses:
                async for _ in responses:
                    progress.update()
                    yield change
        except ScorerError as error:
            self.matrix.set_failed(memory, wanted, str(error))
            yield change

    async def _score_ablation(
        self, ablation: Ablation, wanted: Sequence[int], reach: int = 0
    ) -> AsyncGenerator[int]:
        """Score `wanted` responses of one ablation, trying again what failed; yields each one scored.

        Raises ScorerError when it has failed for good.
        """
        if not wanted and not reach:
            return
        keys = self.plan.keys(ablation, self._scorer.fingerprint)
        left = list(wanted)
        async for attempt in stamina.retry_context(on=ScorerError, attempts=_ATTEMPTS, timeout=None):
            with attempt:
                asked = tuple(left)
                self.requests += 1
                request = self.plan.request(ablation, asked, reach)
                async with aclosing(self._scorer.score(request)) as scores:
                    async for score in scores:
                        if not 0 <= score.span < len(asked) or asked[score.span] not in left:
                            raise ScorerError("the scorer gave a span that it was not asked for")
                        response = asked[score.span]
                        if problem := self._problem_with(response, score.logprobs):
                            raise ScorerError(problem)
                        await self._keep(keys[response], score.logprobs)
                        self._fill(ablation, response, score.logprobs)
                        left.remove(response)
                        yield response
                if left:
                    raise ScorerError(f"{len(left)} of {len(asked)} responses came back without a score")

    def _problem_with(self, response: int, logprobs: LogProbs) -> str | None:
        """Why these can't be the log-probabilities of a response, if they can't."""
        if logprobs.shape != self.plan.prompt.responses[response].shape:
            return "the scorer gave a wrong number of log-probabilities"
        if not np.isfinite(logprobs).all():
            return "the scorer gave a log-probability that is not a finite number"
        return None

    async def _keep(self, key: bytes, logprobs: LogProbs) -> None:
        """Store a result; when that begins to fail, say so at once."""
        before = self._store.problem
        await asyncio.to_thread(self._store.put, {key: logprobs})
        if self._store.problem and not before:
            self._activities.notify(self._store.problem)

    def _fill(self, ablation: Ablation, response: int, logprobs: LogProbs) -> None:
        if ablation.memory is None:
            self.baseline[response] = logprobs
            self.matrix.baseline[response] = logprobs.sum(dtype=np.float64)
        else:
            self.matrix.set_scored(ablation.memory, response, self.baseline[response], logprobs)

    def _wanted(self, ablation: Ablation) -> list[int]:
        """Responses of an ablation that have no number yet."""
        if ablation.memory is None:
            return [response for response in ablation.responses if response not in self.baseline]
        missing = self._missing()[ablation.memory]
        return [response for response in ablation.responses if missing[response]]

    def _missing(self) -> NDArray[np.bool_]:
        missing: NDArray[np.bool_] = self.matrix.states == CellState.PENDING
        return missing


class _Progress:
    """The activity of a whole run: tokens done, and which memory is being left out."""

    def __init__(self, run: Run, activity: Activity) -> None:
        self._run = run
        self._activity = activity
        self._before = run.tokens_computed
        self._rows = 0
        missing = run.matrix.states == CellState.PENDING
        self._total = sum(bool(row.any()) for row in missing)

    def row(self, memory: int) -> None:
        """Another row begins."""
        self._rows = min(self._rows + 1, self._total)
        self._activity.update(title=f"scoring {self._run.matrix.keys[memory]} {self._rows}/{self._total}")
        self.update()

    def update(self) -> None:
        """Tokens have been computed."""
        self._activity.update(done=self._run.tokens_computed - self._before)
