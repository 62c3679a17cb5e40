"""A scorer without a model: each log-probability is a hash of all tokens up to it, so any slip shows."""

import asyncio
import hashlib
import re
import threading
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from memscope.activity import Activities
from memscope.conversation.model import Conversation, Entry, Role, Source
from memscope.conversation.readers import build_conversation
from memscope.errors import ScorerError
from memscope.prompt import build_prompt
from memscope.scorers.base import Encoded, LogProbs, Scorer, ScoreRequest, SpanScore, TokenIds
from memscope.scoring.matrix import Metric
from memscope.scoring.session import Session
from memscope.settings import ScorerChoice


class WordTokenizer:
    """A token a word or sign; the template writes the role, the content and a line end."""

    takes_tool_calls = False

    def render(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = False) -> str:
        return "".join(f"[{message['role']}] {message['content']}\n" for message in messages)

    def encode(self, text: str) -> Encoded:
        matches = list(re.finditer(r"\w+|\W", text))
        ids = [zlib.crc32(match[0].encode("utf-8", "replace")) % 50_000 for match in matches]
        return Encoded(ids, [match.end() for match in matches])


@dataclass
class HashScorer:
    """Counts like a scorer that keeps the baseline. `answer` may change, or raise instead of, each score
    before it is given, knowing the number of the request (from 1); `None` leaves that score out."""

    name: str = "fake"
    model: str = "hash"
    fingerprint: str = "hash 1"
    signature: LogProbs | None = None
    exact: bool = True
    noise_floor: float = 1e-6
    per_token: bool = True
    concurrency: int = 1
    reuses_prefix: bool = True
    batch_tokens: int = 0
    notes: tuple[str, ...] = ()
    context_length: int = 100_000
    tokenizer: WordTokenizer = field(default_factory=WordTokenizer)
    tokens_computed: int = 0
    answer: Callable[[int, ScoreRequest, SpanScore], SpanScore | None] | None = None
    requests: list[ScoreRequest] = field(default_factory=list)
    kept: TokenIds = field(default_factory=lambda: np.empty(0, np.int32))

    async def score(self, request: ScoreRequest) -> AsyncGenerator[SpanScore]:
        assert 0 < len(request.ids) <= self.context_length
        shared = 0 if request.keep else request.shared
        assert (request.ids[:shared] == self.kept[:shared]).all(), "no such prefix is kept"
        self.requests.append(request)
        number = len(self.requests)
        self.tokens_computed += len(request.ids) - (shared if self.reuses_prefix else 0)
        if request.keep:
            self.kept = request.ids
        numbers = hash_logprobs(request.ids)
        for span, positions in enumerate(request.spans):
            await asyncio.sleep(0)
            score: SpanScore | None = SpanScore(span, numbers[positions])
            if self.answer is not None and score is not None:
                score = self.answer(number, request, score)
            if score is not None:
                yield score

    def tokens_kept(self, request: ScoreRequest) -> int:
        return 0

    async def forget(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def hash_logprobs(ids: TokenIds) -> LogProbs:
    """A number in (-8, 0] for each token, from all tokens up to it."""
    digest = hashlib.sha256()
    numbers = []
    for token in ids.tolist():
        digest.update(int(token).to_bytes(4, "little"))
        numbers.append(-8.0 * int.from_bytes(digest.copy().digest()[:4], "little") / 2**32)
    return np.array(numbers, np.float32)


def failing(*numbers: int, reason: str = "the server fell over") -> Callable[..., SpanScore | None]:
    """An `answer` that fails these requests."""

    def answer(number: int, request: ScoreRequest, score: SpanScore) -> SpanScore | None:
        if number in numbers:
            raise ScorerError(reason)
        return score

    return answer


def conversation(*messages: tuple[str, str], title: str = "talk", path: str = "talk.jsonl") -> Conversation:
    """From (role, text) pairs; a role that is none of a chat's is a memory's key."""
    roles = {role.value: role for role in Role}
    entries = [
        Entry(roles[who], text) if who in roles else Entry(Role.SYSTEM, text, memory_key=who)
        for who, text in messages
    ]
    return build_conversation(entries, Source(path, "native", title))


TALK = (
    ("system", "You plan trips."),
    ("home", "Nora lives in Bergen."),
    ("user", "Where do I start?"),
    ("assistant", "You start from Bergen."),
    ("diet", "Nora cannot eat peanuts."),
    ("user", "What shall I eat?"),
    ("assistant", "Skip the satay sauce."),
    ("home", "Nora lives near the quay."),
    ("user", "And then?"),
    ("assistant", "Walk home along the quay."),
)
"""Two memories, one of them in two places, and three responses; one cell is impossible."""


def opening(scorer: Scorer) -> Callable[..., Awaitable[Scorer]]:
    """An `open_scorer` that opens this one."""

    async def open_scorer(choice: ScorerChoice, activities: Activities, stop: threading.Event) -> Scorer:
        return scorer

    return open_scorer


def prepared(
    talk: Conversation, cache: Path, scorer: HashScorer | None = None, metric: Metric = Metric.SIGNED
) -> Session:
    """A session that knows what is kept in the folder `cache`."""
    session = Session(talk, metric=metric)
    with mock.patch.multiple(
        "memscope.scoring.session",
        open_scorer=opening(scorer or HashScorer()),
        cache_dir=lambda: cache,
    ):
        asyncio.run(session.prepare())
    return session


def scored(
    talk: Conversation,
    cache: Path,
    scorer: HashScorer | None = None,
    metric: Metric = Metric.SIGNED,
    *,
    fresh: bool = False,
) -> Session:
    """A session scored to its end and closed."""
    session = prepared(talk, cache, scorer, metric)

    async def score() -> None:
        async for _ in session.score(fresh=fresh):
            pass

    asyncio.run(score())
    session.close()
    return session


def reference(talk: Conversation) -> tuple[list[list[float]], list[float]]:
    """Signed divergences [M][R], NaN where impossible, and baselines [R], by removing tokens one by one."""
    prompt = build_prompt(talk, WordTokenizer())
    ids, owners = prompt.ids.tolist(), prompt.memory.tolist()
    with_all = hash_logprobs(prompt.ids).astype(np.float64)
    rows = []
    for memory in range(len(talk.memories)):
        kept = [at for at, owner in enumerate(owners) if owner != memory]
        without = dict(
            zip(kept, hash_logprobs(np.array([ids[at] for at in kept], np.int32)).tolist(), strict=True)
        )
        first = owners.index(memory) if memory in owners else len(owners)
        rows.append(
            [
                sum(with_all[at] - without[at] for at in span) if first < span[0] else float("nan")
                for span in prompt.responses
            ]
        )
    return rows, [float(with_all[span].sum()) for span in prompt.responses]
