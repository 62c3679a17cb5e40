"""Keys and values in torch, as the layers of a transformers cache; used by the scorer `transformers`."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from memscope.scorers.kept import Path
from memscope.scorers.torch_attention import KeysValues, Prompts

_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


class KeyValues:
    """The keys and values of a prompt's positions from `first` on in each layer."""

    def __init__(self, layers: int, first: int, capacity: int) -> None:
        self.first = first
        self.capacity = capacity
        self.rooms = [Room(capacity) for _ in range(layers)]
        self._cache = Cache(layers=self.rooms)

    @property
    def position_bytes(self) -> int:
        """Bytes that a position takes; 0 while nothing is held."""
        return sum(room.position_bytes for room in self.rooms)

    def rewound(self, start: int, before: Path["KeyValues"]) -> Any:
        """What the model takes as its cache, with the positions before `start` in it; those before `first`
        are in other caches."""
        for number, room in enumerate(self.rooms):
            room.before = [
                part for cache, stop in before if (part := cache.rooms[number].held(stop - cache.first))
            ]
            room.rewind(self.first, start - self.first)
        return self._cache

    def let_go(self) -> None:
        """Hold on to nothing but what the rooms hold: to no other caches, and no copies with them."""
        for room in self.rooms:
            room.before = []
            room.keys = room.values = None

    def copy(self, other: "KeyValues", start: int, stop: int) -> None:
        """Take over the positions [start, stop) of another cache. Raises MemoryError."""
        ours, theirs = (slice(start - cache.first, stop - cache.first) for cache in (self, other))
        try:
            for room, another in zip(self.rooms, other.rooms, strict=True):
                room.copy(another, ours, theirs)
        except RuntimeError as error:
            raise_out_of_memory(error)
            raise


class Room(DynamicLayer):
    """One layer's keys and values [1, heads, capacity, head_dim], written in place; the model sees views, or
    them behind copies of those `before`."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity
        self._room: KeysValues | None = None
        self._first = self._length = 0
        self.before: list[KeysValues] = []

    @property
    def position_bytes(self) -> int:
        """Bytes that a position takes; 0 while nothing is held."""
        return sum(t[:, :, :1].numel() * t.element_size() for t in self._room or ())

    def held(self, length: int) -> KeysValues | None:
        """The first `length` positions."""
        if self._room is None:
            return None
        keys, values = self._room
        return keys[:, :, :length], values[:, :, :length]

    def rewind(self, first: int, length: int) -> None:
        """Go back to `length` positions, with `first` before them in other caches."""
        self._first, self._length = first, length

    def get_seq_length(self, *_: Any) -> int:
        """All positions so far."""
        return self._first + self._length

    def copy(self, other: "Room", ours: slice, theirs: slice) -> None:
        """Take over positions of another layer."""
        if other._room is not None:
            with torch.inference_mode():
                for target, source in zip(self._allocated(*other._room), other._room, strict=True):
                    target[:, :, ours] = source[:, :, theirs]

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> KeysValues:
        """Append new positions; all keys and values so far."""
        held = self.append(key_states, value_states)
        self.keys, self.values = held[-1]
        if self.before:
            self.keys, self.values = (torch.cat(parts, dim=2) for parts in zip(*held, strict=True))
        return self.keys, self.values

    def append(self, key_states: Any, value_states: Any) -> list[KeysValues]:
        """Append new positions; where all keys and values so far are, one part after the other."""
        room = self._allocated(key_states, value_states)
        start, self._length = self._length, self._length + key_states.shape[2]
        for tensor, states in zip(room, (key_states, value_states), strict=True):
            tensor[:, :, start : self._length] = states
        keys, values = (tensor[:, :, : self._length] for tensor in room)
        return [*self.before, (keys, values)]

    def _allocated(self, *like: Any) -> KeysValues:
        """The room, made at first for tensors like these."""
        if self._room is None:
            keys, values = (t.new_empty((*t.shape[:2], self._capacity, t.shape[3])) for t in like)
            self._room = keys, values
            self.dtype, self.device = keys.dtype, keys.device
            self.is_initialized = True
        return self._room


class Together(DynamicLayer):
    """One layer's rooms of several prompts, each with so many of the positions that come."""

    def __init__(self, rooms: Sequence[tuple[Room, int]]) -> None:
        super().__init__()
        self._rooms = rooms

    def get_seq_length(self, *_: Any) -> int:
        """The positions are given; nothing is to be counted from here."""
        return 0

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Prompts, None]:
        """Append new positions to each room; where all keys and values so far are."""
        lengths = [length for _, length in self._rooms]
        states = zip(key_states.split(lengths, dim=2), value_states.split(lengths, dim=2), strict=True)
        return Prompts(
            [(n, room.append(*new)) for (room, n), new in zip(self._rooms, states, strict=True)]
        ), None


def raise_out_of_memory(error: Exception) -> None:
    """Raise MemoryError if that is what torch means."""
    if isinstance(error, MemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY):
        raise MemoryError from error
