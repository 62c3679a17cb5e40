"""A session without a model: real conversation, matrix and activities, made-up log-probabilities."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from memscope.activity import Activities
from memscope.conversation.model import Conversation, Entry, Memory, Place, Role, Source, Span
from memscope.errors import MemscopeError
from memscope.scoring.matrix import CellState, Metric, ScoreMatrix
from memscope.scoring.session import Session

SILENCE = Conversation((), (), Source("", "native", "silence"))

WORDS = """In Lyon you could take the tram to the old town, skip the peanut sauce and stay below 900 euros
while the days are warm.""".split()  # noqa: SIM905


@dataclass(frozen=True)
class Change:
    """Memory rows that changed."""

    rows: tuple[int, ...]


@dataclass(frozen=True)
class TokenView:
    """A response's tokens and their log-probabilities in nats."""

    tokens: list[str]
    with_all: NDArray[np.float32]
    without: NDArray[np.float32] | None
    totals_only: bool = False


@dataclass(frozen=True)
class Cost:
    """Tokens to compute."""

    tokens_needed: int
    tokens_naive: int


def conversation(
    memories: int = 4,
    responses: int = 6,
    *,
    keys: tuple[str, ...] = (),
    title: str = "trip-planner",
    said: str = "",
) -> Conversation:
    """Memories in front, one of them entering half-way, then turns of question and answer."""
    names = keys or tuple(f"topic{n % 5}/memory-{n:02}" for n in range(memories))
    late = len(names) - 1 if len(names) > 1 else None
    entries: list[Entry] = []
    places: dict[str, Place] = {}

    def remember(key: str) -> None:
        text = f"What the user said about {key}: the train to Lyon leaves at nine."
        places[key] = Place(len(entries), Span(0, len(text)))
        entries.append(Entry(Role.SYSTEM, text, memory_key=key))

    for number, key in enumerate(names):
        if number != late:
            remember(key)
    for turn in range(responses):
        if late is not None and turn == responses // 2:
            remember(names[late])
        entries.append(Entry(Role.USER, f"Question {turn + 1}?"))
        text = said or f"Answer {turn + 1}. " + " ".join(WORDS[turn % 5 :])
        entries.append(Entry(Role.ASSISTANT, text))
    return Conversation(
        tuple(entries),
        tuple(Memory(key, (places[key],)) for key in names if key in places),
        Source("trip.jsonl", "native", title),
    )


@dataclass
class FakeSession:
    """Has the shape of `Session`. `model` holds `prepare` and `gate` scoring before
    each row until they are set."""

    conversation: Conversation
    matrix: ScoreMatrix
    logprobs: dict[tuple[int, int], tuple[NDArray[np.float32], NDArray[np.float32]]]
    activities: Activities = field(default_factory=Activities)
    metric: Metric = Metric.SIGNED
    cost: Cost | None = None
    scorer_label: str = ""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    model: asyncio.Event = field(default_factory=asyncio.Event)
    problem: str = ""
    failing: dict[int, str] = field(default_factory=dict)
    pace: float = 0.0
    notes: tuple[str, ...] = ()
    proxy_for: str = ""
    missing_context: str = ""
    prepared: int = 0
    runs: list[bool] = field(default_factory=list)
    closed: int = 0

    def tokens(self, response: int) -> list[str]:
        """The text of a response cut before each space."""
        text = self.conversation.entries[self.matrix.responses[response]].said
        return [word if n == 0 else f" {word}" for n, word in enumerate(text.split(" "))]

    async def prepare(self) -> None:
        """Fails with `problem` if there is one."""
        self.prepared += 1
        with self.activities.track("opening the model"):
            await self.model.wait()
            if self.problem:
                raise MemscopeError(self.problem)
        self.cost = Cost(43_500, 81_800)
        self.scorer_label = "SmolLM2-135M-Instruct embedded"

    @property
    def is_planned(self) -> bool:
        """Once it is prepared; it never grows."""
        return self.cost is not None

    async def score(
        self, *, fresh: bool = False, only: NDArray[np.bool_] | None = None
    ) -> AsyncGenerator[Change]:
        """Row by row, each with its responses in two parts."""
        self.runs.append(fresh)
        matrix = self.matrix
        everything = tuple(range(matrix.shape[0]))
        chosen = np.ones(matrix.shape, np.bool_) if only is None else only
        if fresh:
            matrix.clear(chosen)
        matrix.retry_failed()
        todo = [m for m in everything if (chosen[m] & (matrix.states[m] == CellState.PENDING)).any()]
        with self.activities.track("scoring", total=43_500, unit="tokens") as activity:
            try:
                for response in range(matrix.shape[1]):
                    matrix.tokens[response] = len(self.tokens(response))
                    matrix.baseline[response] = -71.2
                yield Change(everything)
                for done, memory in enumerate(todo, 1):
                    wanted = np.flatnonzero(
                        chosen[memory] & (matrix.states[memory] == CellState.PENDING)
                    ).tolist()
                    matrix.set_running(memory, wanted)
                    activity.update(title=f"scoring {matrix.keys[memory]}")
                    yield Change((memory,))
                    await asyncio.sleep(self.pace)
                    await self.gate.wait()
                    if memory in self.failing:
                        matrix.set_failed(memory, wanted, self.failing[memory])
                    for response in np.flatnonzero(matrix.states[memory] == CellState.RUNNING).tolist():
                        matrix.set_scored(memory, response, *self.logprobs[memory, response])
                    activity.update(done=43_500 * done / len(todo))
                    yield Change((memory,))
            finally:
                self.closed += 1
                matrix.stop_running()

    async def recall(self) -> tuple[int, ...]:
        """Nothing is kept."""
        return ()

    async def run_without(self, rows: Sequence[tuple[int, ...]], keys: Sequence[str]) -> "FakeRun":
        """Nothing is known of it before it is scored."""
        states = self.matrix.states
        possible = [(states[list(row)] != CellState.IMPOSSIBLE).any(axis=0) for row in rows]
        matrix = ScoreMatrix(keys, self.matrix.responses, np.array(possible))
        matrix.tokens[:] = [len(self.tokens(response)) for response in range(matrix.shape[1])]
        return FakeRun(self, rows, matrix)

    def tokens_missing(self) -> int | None:
        """A thousand a row."""
        if self.cost is None:
            return None
        return 1000 * int((self.matrix.states == CellState.PENDING).any(axis=1).sum())

    async def token_view(self, response: int, memory: int | None) -> TokenView | None:
        """None until the baseline is scored."""
        if np.isnan(self.matrix.baseline[response]):
            return None
        tokens = self.tokens(response)
        with_all = np.full(len(tokens), -1.0, np.float32)
        if memory is None or self.matrix.states[memory, response] != CellState.SCORED:
            return TokenView(tokens, with_all, None)
        with_all, without = self.logprobs[memory, response]
        return TokenView(tokens, with_all, without)

    def close(self) -> None:
        """There is nothing to let go of."""

    def snapshot(self) -> "FakeSession":
        return self

    @property
    def as_session(self) -> Session:
        """For the type checker."""
        return cast(Session, self)


@dataclass
class FakeRun:
    """A run of its own over the session's conversation; without several memories the drops of each add up."""

    session: FakeSession
    rows: Sequence[tuple[int, ...]]
    matrix: ScoreMatrix

    def tokens_missing(self) -> int:
        """A hundred a cell."""
        return 100 * self.matrix.count(CellState.PENDING)

    async def score(self, *, fresh: bool = False) -> AsyncGenerator[Change]:
        """Row by row, once the session's gate is open."""
        session, matrix = self.session, self.matrix
        matrix.retry_failed()
        if fresh:
            matrix.clear()
        with session.activities.track("scoring a set"):
            try:
                for row, members in enumerate(self.rows):
                    wanted = np.flatnonzero(matrix.states[row] == CellState.PENDING).tolist()
                    matrix.set_running(row, wanted)
                    yield Change((row,))
                    await session.gate.wait()
                    for response in wanted:
                        if any(member in session.failing for member in members):
                            matrix.set_failed(row, [response], next(iter(session.failing.values())))
                            continue
                        pairs = [session.logprobs[member, response] for member in members]
                        drops = np.sum([with_all - without for with_all, without in pairs], axis=0)
                        matrix.noise[response] = 0.0001
                        matrix.set_scored(row, response, pairs[0][0], pairs[0][0] - drops)
                    yield Change((row,))
            finally:
                matrix.stop_running()


def fake_session(talk: Conversation | None = None, *, seed: int = 7, open_gate: bool = True) -> FakeSession:
    """A session over `talk` whose every number follows from `seed`."""
    talk = talk or conversation()
    numbers = np.random.default_rng(seed)
    first = [memory.entries[0] for memory in talk.memories]
    possible = np.array([[entry < response for response in talk.responses] for entry in first], bool)
    shape = len(talk.memories), len(talk.responses)
    matrix = ScoreMatrix([memory.key for memory in talk.memories], talk.responses, possible.reshape(shape))
    session = FakeSession(talk, matrix, {})
    for response in range(shape[1]):
        count = len(session.tokens(response))
        for memory in range(shape[0]):
            with_all = -numbers.exponential(1.5, count).astype(np.float32)
            strength = numbers.choice([0.0, 0.0005, 0.05, 0.6, -0.15], p=[0.35, 0.2, 0.2, 0.15, 0.1])
            drops = strength * numbers.exponential(1.0, count) * (numbers.random(count) < 0.5)
            session.logprobs[memory, response] = with_all, (with_all - drops).astype(np.float32)
    session.model.set()
    if open_gate:
        session.gate.set()
    return session


def score_now(session: FakeSession) -> FakeSession:
    """Fill every possible cell at once."""
    matrix = session.matrix
    for memory, response in np.argwhere(matrix.states != CellState.IMPOSSIBLE).tolist():
        matrix.set_scored(memory, response, *session.logprobs[memory, response])
    for response in range(matrix.shape[1]):
        matrix.tokens[response] = len(session.tokens(response))
        matrix.baseline[response] = -71.2
        matrix.noise[response] = 0.0001
    return session
