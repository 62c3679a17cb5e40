"""One opened conversation: what the screen and the command line work on."""

import asyncio
import copy
import threading
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memscope.activity import Activities
from memscope.conversation.model import Conversation
from memscope.database import FILE
from memscope.errors import InputError, MemscopeError, ModelError
from memscope.prompt import Prompt, build_prompt
from memscope.scorers import open_scorer
from memscope.scorers.base import LogProbs, Scorer
from memscope.scoring.matrix import CellState, Metric, ScoreMatrix
from memscope.scoring.plan import Cost, Plan, Rows, each_alone
from memscope.scoring.recording import recorded
from memscope.scoring.run import Change, Run
from memscope.scoring.runs import Runs
from memscope.settings import ScorerChoice, cache_dir
from memscope.store import Store


@dataclass(frozen=True)
class TokenView:
    """A response token by token: texts, and log-probabilities in nats with all memories and without one.

    Where `totals_only`, the scorer gave but the sum of each [1].
    """

    tokens: list[str]
    with_all: LogProbs
    without: LogProbs | None
    totals_only: bool = False


class Session:
    """A conversation, the model that scores it, and the matrix that fills.

    The matrix is there from the start, unscored; `prepare` replaces it by one that knows the model's windows.
    A conversation may grow: `adopt` shows the new entries at once, `prepare` plans how to score them.
    """

    def __init__(
        self,
        conversation: Conversation,
        *,
        choice: ScorerChoice | None = None,
        metric: Metric = Metric.SIGNED,
        activities: Activities | None = None,
    ) -> None:
        """`choice` says what scores; None is the embedded model."""
        self.conversation = conversation
        self.metric = metric
        self.activities = activities or Activities()
        self.matrix = _unscored(conversation)
        self.scorer: Scorer | None = None
        self.run: Run | None = None
        self._planned = conversation
        """The conversation as it was when it was planned how to score it."""
        self._known = np.zeros(self.matrix.shape, np.bool_)
        """Which cells of the run [M, R] earlier ones had, so that recalling them is no news."""
        self._choice = choice or ScorerChoice()
        self._store: Store | None = None
        self._runs: Runs | None = None
        self._stop = threading.Event()

    @property
    def is_planned(self) -> bool:
        """Whether the run is over the conversation as it is now."""
        return self.run is not None and self._planned is self.conversation

    @property
    def plan(self) -> Plan | None:
        """The plan, once prepared."""
        return None if self.run is None else self.run.plan

    @property
    def scorer_label(self) -> str:
        """The model, the kind of scorer, and whether it is only approximate; empty before `prepare`."""
        if self.scorer is None:
            return ""
        return f"{self.scorer.model} {self.scorer.name}{'' if self.scorer.exact else ', approximate'}"

    @property
    def missing_context(self) -> str:
        """What of the model's context the file does not hold: the conversation is reconstructed without it.
        Empty if nothing is known to be missing."""
        return self.conversation.source.missing

    @property
    def proxy_for(self) -> str:
        """The model that spoke, if it is another one than the scorer's: the scores are by proxy. Empty if it
        is the same, or one of the two is not known."""
        author = self.conversation.source.author
        return author if self.scorer is not None and _differ(author, self.scorer.model) else ""

    @property
    def cost(self) -> Cost | None:
        """What scoring everything takes with this scorer; None before `prepare`."""
        if self.run is None:
            return None
        return Cost(self.run.plan.cost.tokens_naive, self.run.tokens_in_all())

    @property
    def noise_floor(self) -> float | None:
        """The largest noise of any response, in nats; None while none is known."""
        return self.matrix.noise_floor

    @property
    def notes(self) -> tuple[str, ...]:
        """What was skipped, assumed, left out of windows or can't be kept, a sentence each."""
        notes = [f"While reading: {note}." for note in self.conversation.source.notes]
        source = self.conversation.source
        if source.branches:
            notes.append(
                f"The conversation has {len(source.branches):,} branches; this is {source.branch}, and "
                "`--branch ID` opens another."
            )
        if self.missing_context:
            notes.append(f"Reconstructed: the file does not hold {self.missing_context}.")
        if self.proxy_for and self.scorer is not None:
            notes.append(f"By proxy: {self.proxy_for} spoke, and {self.scorer.model} scores what it said.")
        if self._choice.warning:
            notes.append(self._choice.warning)
        if self.scorer is not None:
            notes += self.scorer.notes
        if self.run is not None:
            notes += _notes_on(self.run.plan, self.conversation)
        if self._store is not None and self._store.problem:
            notes.append(self._store.problem)
        elif self._runs is not None and self._runs.problem:
            notes.append(self._runs.problem)
        return tuple(notes)

    def tokens_missing(self) -> int | None:
        """Tokens that scoring everything would put through the model now; None before `prepare`."""
        return None if self.run is None else self.run.tokens_missing()

    async def prepare(self) -> None:
        """Open the model (fetched if need be), tokenize, plan, and fill in what the store knows; once the
        conversation has grown, all but the first of that again.

        Raises MemscopeError; it may then be called again.
        """
        if self.is_planned:
            return
        self._stop.clear()
        conversation, scorer = self.conversation, self.scorer
        known = self.matrix.states == CellState.SCORED
        try:
            if self._store is None:
                self._store = await asyncio.to_thread(Store, cache_dir() / FILE)
            if self._runs is None:
                self._runs = await asyncio.to_thread(Runs, cache_dir() / FILE)
            if self._store.problem:
                self.activities.notify(self._store.problem)
            if scorer is None:
                with self.activities.track("opening the model"):
                    scorer = await open_scorer(self._choice, self.activities, self._stop)
            _check_metric(self.metric, scorer)
            with self.activities.track("reading the conversation"):
                prompt = await asyncio.to_thread(build_prompt, conversation, scorer.tokenizer)
                rows = each_alone(len(conversation.memories))
                keys = [memory.key for memory in conversation.memories]
                run = await asyncio.to_thread(
                    self._plan, conversation, prompt, rows, keys, scorer, self._store, grows=True
                )
                await run.recall(await asyncio.to_thread(self._past, scorer))
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                self._stop.set()
            if scorer is not None and self.scorer is None:
                await scorer.aclose()
            raise
        self.scorer, self.run, self.matrix, self._planned = scorer, run, run.matrix, conversation
        self._known = known
        if conversation is not self.conversation:
            self._begin_matrix()

    def _past(self, scorer: Scorer) -> ScoreMatrix | None:
        """The matrix that this scorer filled last: of the conversation before it grew, or of a kept run."""
        if self.run is not None:
            return self.run.matrix
        assert self._runs is not None
        source = self.conversation.source
        for info in self._runs.of(source.path, source.branch):
            if (info.scorer, info.model) == (scorer.name, scorer.model):
                with suppress(InputError):  # damaged, or gone meanwhile: the store knows the cells
                    return self._runs.matrix(info.id)
        return None

    def adopt(self, conversation: Conversation) -> None:
        """Show the conversation as it has become. What is known of the part that has not changed stays; a
        score that runs goes on with the conversation that it began with."""
        old = self.conversation
        self.conversation = conversation
        if old.entries == conversation.entries and old.memories == conversation.memories:
            self._planned = conversation if self._planned is old else self._planned
        elif self.run is not None:
            self._begin_matrix()
        else:
            self.matrix = _unscored(conversation)

    def _begin_matrix(self) -> None:
        """A matrix for the conversation as it is, with what the run has filled in so far."""
        run = self.prepared_run()
        self.matrix = _unscored(self.conversation, per_token=run.matrix.per_token)
        self._take_over(range(len(run.matrix.keys)))

    def _take_over(self, rows: Iterable[int]) -> tuple[int, ...]:
        """Where the conversation has grown since it was planned, copy what the run has filled in, in these
        rows; which of them the matrix has."""
        run = self.prepared_run()
        if self.matrix is run.matrix:
            return tuple(rows)
        memories, responses = self._planned.in_common(self.conversation)
        shared = tuple(row for row in rows if row < memories)
        self.matrix.take_over(run.matrix, shared, responses)
        return shared

    def prepared_run(self) -> Run:
        """The run of the full matrix. Raises MemscopeError if not prepared."""
        if self.run is None:
            raise MemscopeError("The conversation is not prepared for scoring yet.")
        return self.run

    async def run_without(self, rows: Rows, keys: Sequence[str]) -> Run:
        """Another run over the same prompt, whose rows leave out several memories each and are named `keys`;
        it knows what the store knows. Raises MemscopeError if not prepared."""
        prompt = self.prepared_run().plan.prompt
        assert self.scorer is not None
        assert self._store is not None
        run = await asyncio.to_thread(self._plan, self._planned, prompt, rows, keys, self.scorer, self._store)
        await run.recall()
        return run

    async def recall(self) -> tuple[int, ...]:
        """Fill in what the store knows of cells that have no number; the memories that got one."""
        return () if self.run is None else self._take_over(await self.run.recall())

    def score(self, *, fresh: bool = False, only: NDArray[np.bool_] | None = None) -> AsyncGenerator[Change]:
        """Score what is missing, or everything again: `Run.score`. However it ends it is kept among the runs,
        unless there was nothing to do. Raises MemscopeError if not prepared."""
        return self._score(self.prepared_run(), fresh, only)

    async def _score(self, run: Run, fresh: bool, only: NDArray[np.bool_] | None) -> AsyncGenerator[Change]:
        assert self.scorer is not None
        assert self._runs is not None
        async with recorded(
            self._runs, run, self._planned, self.scorer, self.metric, self._known, self.activities
        ):
            try:
                async with aclosing(run.score(fresh=fresh, only=only)) as changes:
                    async for change in changes:
                        yield Change(self._take_over(change.rows))
            finally:
                self._take_over(range(len(run.matrix.keys)))

    async def token_view(self, response: int, memory: int | None) -> TokenView | None:
        """A response's tokens with all memories and without one; None while its baseline is unknown."""
        if self.run is None:
            return None
        known = self.response_tokens(response)
        if known is None:
            return None
        planned = memory is not None and memory < self._planned.in_common(self.conversation)[0]
        without = await self.run.logprobs(memory, response) if planned else None
        return TokenView(*known, without, totals_only=not self.matrix.per_token)

    def response_tokens(self, response: int) -> tuple[list[str], LogProbs] | None:
        """A response's tokens and their log-probabilities in nats with all memories [t], or [1] their total;
        None while its baseline is unknown."""
        if self.run is None or response >= self._planned.in_common(self.conversation)[1]:
            return None
        with_all = self.run.baseline.get(response)
        return None if with_all is None else (self.run.plan.prompt.token_texts(response), with_all)

    def stored(self, cells: NDArray[np.bool_]) -> Iterator[tuple[int, int, LogProbs]]:
        """(memory, response, log-probabilities [t] in nats without the memory) of those of these scored cells
        [M, R] that the store has; the session may not be closed. It reads and hashes: call it in a thread.

        Raises MemscopeError if not prepared.
        """
        run = self.prepared_run()
        memories, responses = self._planned.in_common(self.conversation)
        wanted = np.zeros(run.matrix.shape, np.bool_)
        wanted[:memories, :responses] = cells[:memories, :responses]
        return run.stored(wanted)

    def snapshot(self) -> "Session":
        """The session as it stands now, for another thread to read while this one goes on scoring."""
        frozen = copy.copy(self)
        frozen.matrix = copy.deepcopy(self.matrix)
        return frozen

    async def release(self) -> None:
        """Let go of the scorer; what was scored can still be read."""
        if self.scorer is not None:
            await self.scorer.aclose()

    async def aclose(self) -> None:
        """Let go of the scorer and close."""
        await self.release()
        self.close()

    def close(self) -> None:
        """Stop a fetch that is under way and close the store and the runs."""
        self._stop.set()
        for file in (self._store, self._runs):
            if file is not None:
                file.close()

    def _plan(
        self,
        conversation: Conversation,
        prompt: Prompt,
        rows: Rows,
        keys: Sequence[str],
        scorer: Scorer,
        store: Store,
        *,
        grows: bool = False,
    ) -> Run:
        plan = Plan(prompt, rows, scorer.context_length)
        matrix = ScoreMatrix(keys, conversation.responses, plan.possible(), per_token=scorer.per_token)
        matrix.tokens[:] = [len(positions) for positions in prompt.responses]
        run = Run(plan, matrix, scorer, store, self.activities, grows=grows)
        if grows:  # only what leaves out one memory a row is kept as a run, or taken over later
            matrix.origins = run.origins()
        return run


def _check_metric(metric: Metric, scorer: Scorer) -> None:
    if metric is Metric.TOKEN_CLAMPED and not scorer.per_token:
        raise ModelError(
            f"{scorer.model} ({scorer.name}) gives only the total of each response, and token-clamped "
            "divergence needs every token; choose signed or clamped."
        )


def _differ(author: str, model: str) -> bool:
    """Whether two names are of different models; folders and the owners of a hub's names do not count."""
    first, second = (
        name.replace("\\", "/").rstrip("/").rpartition("/")[2].casefold() for name in (author, model)
    )
    return bool(first and second) and first != second


def _unscored(conversation: Conversation, *, per_token: bool = True) -> ScoreMatrix:
    """The matrix of a conversation before anything is known of it."""
    keys = [memory.key for memory in conversation.memories]
    possible = _enters_before(conversation)
    return ScoreMatrix(keys, conversation.responses, possible, per_token=per_token)


def _enters_before(conversation: Conversation) -> NDArray[np.bool_]:
    """[memories, responses] whether a memory enters before a response, in its context."""
    responses = np.array(conversation.responses, np.int64)
    contexts = np.array([conversation.entries[entry].context for entry in responses], np.int64)
    prompt = conversation.system_prompt
    before = np.zeros((len(conversation.memories), len(responses)), np.bool_)
    for row, memory in enumerate(conversation.memories):
        for entry in memory.entries:
            seen = contexts == conversation.entries[entry].context
            before[row] |= (entry < responses) & (seen | (entry in prompt))
    return before


def _notes_on(plan: Plan, conversation: Conversation) -> list[str]:
    notes = []
    if plan.prompt.differing:
        notes.append(
            f"{plan.prompt.differing:,} of {len(plan.prompt.ids):,} tokens differ from tokenizing the prompt "
            "as one text."
        )
    compacted = conversation.contexts - 1
    if compacted:
        times = "once" if compacted == 1 else f"{compacted} times"
        notes.append(f"The conversation was compacted {times}: it is scored in {compacted + 1} contexts.")
    if any(window.left_out for window in plan.windows):
        count, most = len(plan.windows), max(len(window.left_out) for window in plan.windows)
        longer = "One of them" if compacted else "The conversation"
        notes.append(
            f"{longer} is longer than the model's context: {'all are' if compacted else 'it is'} scored in "
            f"{count} window{'s' if count > 1 else ''}, leaving out up to {most} earlier entries."
        )
    for response in plan.too_long:
        entry = conversation.responses[response]
        notes.append(
            f"Response r{response + 1} (entry {entry}) is longer than the model's context; not scored."
        )
    return notes
