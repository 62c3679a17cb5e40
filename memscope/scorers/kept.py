"""Prompts whose keys and values stay in memory within a budget, so that later prompts go on from them."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from memscope.scorers.base import LogProbs, ScoreRequest, TokenIds, common_prefix

_STEP = 64
"""Positions by which caches grow at least."""
_REPLACED = 64
"""A kept prompt that loses no more positions than these to another end is changed in place."""
_DEPTH = 4
"""So many prompts may stand on one another before the next one gets a copy of what it shares with them."""


class Cache(Protocol):
    """The keys and values of a prompt's positions from `first` on."""

    first: int

    @property
    def capacity(self) -> int:
        """How many positions fit."""

    @property
    def position_bytes(self) -> int:
        """Bytes that a position takes; 0 while that is not known."""

    def copy(self, other: Self, start: int, stop: int) -> None:
        """Take over the positions [start, stop) of another cache."""


CacheT = TypeVar("CacheT", bound=Cache)
Path = tuple[tuple[CacheT, int], ...]
"""Caches that hold a prompt's positions one after another: each from its first one up to where it is cut."""


@dataclass(frozen=True)
class Stretch(Generic[CacheT]):
    """The positions [start, stop) of a prompt's `ids` [T], to be computed.

    `cache` holds the positions from `cache.first` to `start`, and afterwards those to `stop`; `before` those
    before them. `scored` [n] are the positions in (start, stop], rising, whose tokens are asked for.
    """

    ids: TokenIds
    start: int
    stop: int
    cache: CacheT
    before: Path[CacheT] = ()
    scored: TokenIds = field(default_factory=lambda: np.empty(0, np.int32))


def asked_ids(stretches: Sequence[Stretch[CacheT]]) -> TokenIds:
    """The tokens [n] asked for of stretches that are computed as one, stretch after stretch."""
    return np.concatenate([one.ids[one.scored] for one in stretches])


def asked_rows(stretches: Sequence[Stretch[CacheT]]) -> TokenIds:
    """The rows [n] that predict those tokens, of all the stretches' positions, stretch after stretch."""
    firsts = np.cumsum([0, *(one.stop - one.start for one in stretches[:-1])])
    rows = [first + one.scored - 1 - one.start for first, one in zip(firsts, stretches, strict=True)]
    return np.concatenate(rows)


def by_stretch(logprobs: LogProbs, stretches: Sequence[Stretch[CacheT]]) -> list[LogProbs]:
    """Log-probabilities [n] of those tokens, for each stretch its own."""
    return np.split(logprobs, np.cumsum([len(one.scored) for one in stretches])[:-1])


@dataclass(eq=False)
class Kept(Generic[CacheT]):
    """A prompt of `ids` [T], of which `cache` holds the positions from its first one on.

    What comes before are the positions of another prompt, `base`. `baseline` says whether it is one, `busy`
    whether a request goes on from its end now, `used` in which round one last did.
    """

    ids: TokenIds
    cache: CacheT
    base: "Kept[CacheT] | None"
    baseline: bool
    used: int
    busy: bool = False

    def path(self, stop: int) -> Path[CacheT]:
        """Where the positions before `stop` are."""
        if stop <= self.cache.first:
            return self.base.path(stop) if self.base is not None else ()
        before = self.base.path(self.cache.first) if self.base is not None else ()
        return (*before, (self.cache, stop))


@dataclass(frozen=True)
class Room(Generic[CacheT]):
    """Where a request is computed: from `start` on in `cache`, which belongs to `kept` if that stays."""

    start: int
    before: Path[CacheT]
    cache: CacheT
    kept: Kept[CacheT] | None


class KeptPrompts(Generic[CacheT]):
    """A tree of prompts: each holds only what it does not share with the one that it stands on.

    Baselines are always kept. An ablation is kept while everything together is within the `budget` in bytes.
    All tokens of all ablations save one token of work for the same memory each time the conversation grows;
    so what is kept is worth the more the later it was last used, and nothing else. A round begins when a
    baseline has grown: an ablation that was not used in this round or the one before makes room for others.
    One that was stays; if then there is no room, what is new is computed and not kept, which loses fewest
    tokens, and asking for the same ablations in turn can't push each one out before it is asked for again.
    Only a baseline pushes out what is still in use: the shortest first.

    One thread opens and closes rooms; `start_of` may be asked from any.
    """

    def __init__(self, new_cache: Callable[[int, int], CacheT]) -> None:
        """`new_cache` makes one for a first position and a capacity. Raises MemoryError."""
        self.budget = 0
        self._new_cache = new_cache
        self._prompts: list[Kept[CacheT]] = []
        self._latest: Kept[CacheT] | None = None
        self._spare: CacheT | None = None
        self._round = 0

    @property
    def bytes(self) -> int:
        """What all kept prompts take."""
        return sum(kept.cache.capacity for kept in self._prompts) * self._position_bytes

    @property
    def _position_bytes(self) -> int:
        return max((kept.cache.position_bytes for kept in self._prompts), default=0)

    def clear(self) -> None:
        """Let go of everything."""
        self._prompts = []
        self._latest = self._spare = None

    def start_of(self, request: ScoreRequest) -> int:
        """The first position of a request that must be computed."""
        return self._longest(request)[1]

    def open(self, request: ScoreRequest) -> Room[CacheT]:
        """Where to compute a request, to be closed afterwards. Raises MemoryError."""
        base, start = self._longest(request)
        if request.keep and (base is None or common_prefix(request.ids, base.ids) < len(request.ids)):
            self._round += 1
        kept = None
        if request.keep or (request.branch and self.budget):
            kept = self._kept_for(request, base, start)
        self._mark(base if kept is None else kept)
        if kept is not None:
            kept.busy = True
            return Room(start, kept.path(kept.cache.first), kept.cache, kept)
        cache, self._spare = self._spare, None
        if cache is None or cache.capacity < len(request.ids) - start:
            cache = self._new_cache(start, _rounded(len(request.ids) - start))
        cache.first = start
        return Room(start, () if base is None else base.path(start), cache, None)

    def advance(self, room: Room[CacheT], ids: TokenIds) -> None:
        """The positions of `ids` have been computed."""
        kept = room.kept
        if kept is not None and len(ids) > len(kept.ids):
            kept.ids = ids.copy()

    def close(self, room: Room[CacheT]) -> None:
        """Nothing is computed there any more, or nobody waits for it."""
        kept = room.kept
        if kept is not None:
            kept.busy = False
            self._latest = kept if kept.baseline else self._latest
            if self._latest is not None:  # what was computed beside a baseline could not make room for it
                with suppress(MemoryError):
                    self._make_room(0, self._latest, len(self._latest.ids), must=True)
        elif self._spare is None or self._spare.capacity < room.cache.capacity:
            self._spare = room.cache

    def _longest(self, request: ScoreRequest) -> tuple[Kept[CacheT] | None, int]:
        """The kept prompt that a request can go on from, and where.

        The token before the first scored one must run to predict it.
        """
        limit = min((int(span[0]) for span in request.spans if len(span)), default=len(request.ids) + 1) - 1
        best: Kept[CacheT] | None = None
        most = (0, 0)
        for kept in tuple(self._prompts):
            first = kept.cache.first
            if not np.array_equal(request.ids[first : first + 1], kept.ids[first : first + 1]):
                continue  # most are told apart by one token
            common = common_prefix(request.ids, kept.ids)
            if common > first:
                usable = min(common, limit, request.shared if kept.baseline else common)
                if (usable, common) > most:
                    best, most = kept, (usable, common)
        return best, most[0]

    def _kept_for(self, request: ScoreRequest, base: Kept[CacheT] | None, start: int) -> Kept[CacheT] | None:
        """A kept prompt whose cache takes the request from `start` on; None if there is no room for it."""
        length = len(request.ids)
        if base is not None and base.baseline == request.keep and start >= base.cache.first:
            common = common_prefix(request.ids, base.ids)
            lost = len(base.ids) - common if common < length else 0
            if lost <= _REPLACED and self._stood_on(base) <= common:
                return None if base.busy else self._grown(base, common, length, must=request.keep)
        while base is not None and base.cache.first >= start:
            base = base.base
        copied = base is not None and _depth(base) >= _DEPTH
        first = 0 if copied else start
        capacity = _rounded(length - first)
        if not self._make_room(capacity, base, start, must=request.keep):
            return None
        cache = self._new_cache(first, capacity)
        if copied and base is not None:
            for part, stop in base.path(start):
                cache.copy(part, part.first, stop)
            base = None
        kept = Kept(request.ids[:start].copy(), cache, base, request.keep, self._round)
        self._prompts.append(kept)
        return kept

    def _grown(self, kept: Kept[CacheT], common: int, length: int, *, must: bool) -> Kept[CacheT] | None:
        """A prompt that holds `common` positions of one of `length`, with room for all of those; None if
        there is none."""
        needed = length - kept.cache.first
        if needed > kept.cache.capacity:
            capacity = _rounded(needed)
            if not self._make_room(capacity - kept.cache.capacity, kept, common, must=must):
                return None
            cache = self._new_cache(kept.cache.first, capacity)
            cache.copy(kept.cache, kept.cache.first, common)
            kept.cache = cache
        if common < length:
            kept.ids = kept.ids[:common]
        return kept

    def _make_room(self, positions: int, user: Kept[CacheT] | None, stop: int, *, must: bool) -> bool:
        """Whether so many more positions fit the budget, or `must`, once what is less useful is dropped;
        never what the positions of `user` before `stop` are read from."""
        ranked = [kept for kept in self._prompts if not kept.busy and (must or kept.used < self._round - 1)]
        ranked.sort(key=lambda kept: (kept.used, -_depth(kept), kept.cache.capacity))
        more = positions * self._position_bytes
        for kept in ranked:
            if self.bytes + more <= self.budget:
                break
            self._drop(kept, stop if kept is user else 0)
        known = self._position_bytes > 0  # not before anything has been computed
        return must or (known and self.bytes + more <= self.budget)

    def _drop(self, kept: Kept[CacheT], stop: int) -> None:
        """Let go of a prompt's positions from `stop` on, but of none that others stand on."""
        stop = max(stop, self._stood_on(kept))
        first = kept.cache.first
        if stop <= first:
            self._prompts.remove(kept)
        elif _rounded(stop - first) < kept.cache.capacity:
            cache = self._new_cache(first, _rounded(stop - first))
            cache.copy(kept.cache, first, stop)
            kept.cache, kept.ids = cache, kept.ids[:stop]

    def _stood_on(self, kept: Kept[CacheT]) -> int:
        """How many of a prompt's positions others stand on."""
        return max((other.cache.first for other in self._prompts if other.base is kept), default=0)

    def _mark(self, kept: Kept[CacheT] | None) -> None:
        """Note that a prompt, and what it stands on, is used."""
        while kept is not None:
            kept.used = self._round
            kept = kept.base


def _depth(kept: Kept[CacheT]) -> int:
    """On how many prompts one stands."""
    return 0 if kept.base is None else 1 + _depth(kept.base)


def _rounded(positions: int) -> int:
    """A capacity that leaves room to grow."""
    return -(-(positions + positions // 8) // _STEP) * _STEP
