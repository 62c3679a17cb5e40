"""A Llama-architecture forward pass in numpy, float32, chunk by chunk with a key/value cache."""

import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from memscope.scorers.embedded.folder import LlamaConfig, ModelFolder

Floats = NDArray[np.float32]
Share = TypeVar("Share")

_QUERY_ROWS = 128
"""Positions whose attention is computed at once: more waste causal work, fewer waste calls."""
_SMALLEST_SUM, _LARGEST_SUM = 1e-20, 1e20
"""Between these, a softmax needs no shift by its largest score: nothing over- or underflowed that counts."""
_VOCABULARY_ROWS = 1024
"""Rows of the output matrix at once, so that their logits stay in the processor's cache."""


@dataclass(frozen=True)
class _Layer:
    """One layer's matrices, transposed to [inputs, outputs]; norm weights and attention scale folded in."""

    qkv: Floats
    qkv_bias: Floats | None
    output: Floats
    output_bias: Floats | None
    gate_up: Floats
    gate_up_bias: Floats | None
    down: Floats
    down_bias: Floats | None


class KeyValues:
    """The keys and values of a prompt's first positions, each [layers, kv_heads, capacity, head_dim]."""

    def __init__(self, config: LlamaConfig, capacity: int) -> None:
        shape = (config.layers, config.kv_heads, capacity, config.head_dim)
        self.keys = np.empty(shape, np.float32)
        self.values = np.empty(shape, np.float32)

    @property
    def capacity(self) -> int:
        """How many positions fit."""
        return self.keys.shape[2]

    def copy(self, other: "KeyValues", start: int, stop: int) -> None:
        """Take over the positions [start, stop) of another cache."""
        self.keys[:, :, start:stop] = other.keys[:, :, start:stop]
        self.values[:, :, start:stop] = other.values[:, :, start:stop]


class Llama:
    """The weights of a model folder, ready to run.

    The positions of a chunk are dealt out to threads, each of which takes its own rows through a whole layer
    with single-threaded BLAS and waits for the others once, when all keys and values of the layer are there.
    So element-wise work is spread like the products, and no thread waits inside BLAS. To that end BLAS stays
    limited to one thread in the whole process from here on.
    """

    def __init__(self, folder: ModelFolder, threads: int | None = None) -> None:
        """Read the weights; `threads` defaults to the processors this process may use, at most 8.

        Raises ModelError if they can't be read, MemoryError if they do not fit.
        """
        self.config = folder.config
        self.threads = threads or min(8, _processors())
        self._pool = ThreadPoolExecutor(self.threads, "memscope-engine")
        threadpoolctl.threadpool_limits(1, user_api="blas")
        self._embedding = folder.read("model.embed_tokens.weight")
        self._projection = self._embedding if self.config.tied else folder.read("lm_head.weight")
        self._norm = np.array(folder.read("model.norm.weight"))
        self._layers = list(self._pool.map(lambda layer: _load(folder, layer), range(self.config.layers)))
        self._rotation = np.empty((0, self.config.head_dim // 2), np.complex64)

    def forward(self, ids: NDArray[np.int32], start: int, cache: KeyValues) -> Floats:
        """Hidden states [n, hidden] after the last layer for the tokens `ids` [n] at positions start...

        `cache` holds the positions before `start`, and those of `ids` afterwards.
        """
        self._extend_rotation(start + len(ids))
        threads = max(1, min(self.threads, len(ids) // 16))
        hidden = np.empty((len(ids), self.config.hidden), np.float32)
        barrier = threading.Barrier(threads)

        def run(blocks: list[slice]) -> None:
            try:
                _Rows(self, blocks, ids, start, cache, hidden).run(barrier)
            except BaseException:
                barrier.abort()
                raise

        self._on_threads(run, _deal(len(ids), threads))
        return hidden

    def logprobs(self, hidden: Floats, targets: NDArray[np.int32]) -> Floats:
        """Log-probabilities [n], in nats, of the tokens `targets` [n] after the hidden states [n, hidden]."""
        states = np.empty_like(hidden)
        with np.errstate(all="ignore"):
            _normalize(hidden, self.config.epsilon, states)
            states *= self._norm
        starts = range(0, self.config.vocabulary, _VOCABULARY_ROWS)
        largest = np.empty((len(starts), len(states)), np.float32)
        sums = np.empty_like(largest)

        def run(share: range) -> None:
            buffer = np.empty((_VOCABULARY_ROWS, len(states)), np.float32)
            for block in share:
                rows = self._projection[starts[block] : starts[block] + _VOCABULARY_ROWS]
                logits = buffer[: len(rows)]
                np.matmul(rows, states.T, out=logits)
                np.max(logits, axis=0, out=largest[block])
                logits -= largest[block]
                np.exp(logits, out=logits)
                np.sum(logits, axis=0, out=sums[block])

        self._on_threads(run, [range(i, len(starts), self.threads) for i in range(self.threads)])
        with np.errstate(all="ignore"):
            top = largest.max(axis=0)
            total = np.log((sums * np.exp(largest - top)).sum(axis=0)) + top
            chosen: Floats = np.einsum("ij,ij->i", states, self._projection[targets]) - total
        return chosen

    def _on_threads(self, run: Callable[[Share], None], shares: Sequence[Share]) -> None:
        """Run `run` once for each share, at the same time; the first error is raised when all have ended."""

        def quietly(share: Share) -> None:
            with np.errstate(all="ignore"):  # what is not finite shows in the result
                run(share)

        futures = [self._pool.submit(quietly, share) for share in shares]
        errors = [error for future in futures if (error := future.exception())]
        real = [error for error in errors if not isinstance(error, threading.BrokenBarrierError)]
        for error in real or errors:
            raise error

    def _extend_rotation(self, length: int) -> None:
        """Make the rotations [positions, head_dim / 2] reach `length` positions."""
        if length > len(self._rotation):
            positions = np.arange(1 << (length - 1).bit_length(), dtype=np.float32)
            angles = positions[:, None] * self.config.inverse_frequencies
            self._rotation = np.cos(angles) + 1j * np.sin(angles)


class _Rows:
    """One thread's rows of a chunk, taken through all layers."""

    def __init__(
        self,
        model: Llama,
        blocks: list[slice],
        ids: NDArray[np.int32],
        start: int,
        cache: KeyValues,
        hidden: Floats,
    ) -> None:
        config = model.config
        rows = np.concatenate([np.arange(block.start, block.stop) for block in blocks])
        n = len(rows)
        self._model, self._config, self._cache = model, config, cache
        self._rows, self._hidden = rows, hidden
        self._x = model._embedding[ids[rows]]
        self._rotation = model._rotation[rows + start][:, None]
        # (place among this thread's rows, first position) of each block
        self._blocks: list[tuple[slice, int]] = []
        place = 0
        for block in blocks:
            length = block.stop - block.start
            self._blocks.append((slice(place, place + length), start + block.start))
            place += length
        group = config.heads // config.kv_heads
        tallest = max(block.stop - block.start for block in blocks)
        last = start + max(block.stop for block in blocks)
        self._scores = np.empty(group * tallest * last, np.float32)
        self._normal = np.empty((n, config.hidden), np.float32)
        self._qkv = np.empty((n, (config.heads + 2 * config.kv_heads) * config.head_dim), np.float32)
        self._mixed = np.empty((n, config.heads * config.head_dim), np.float32)
        self._gate_up = np.empty((n, 2 * config.intermediate), np.float32)
        self._gate = np.empty((n, config.intermediate), np.float32)
        later = np.arange(tallest)[:, None] > np.arange(tallest)
        self._future = np.where(later, np.float32(-np.inf), np.float32(0))  # [keys, queries] of one block
        self._ones = np.ones(last, np.float32)

    def run(self, barrier: threading.Barrier) -> None:
        for number, layer in enumerate(self._model._layers):
            self._project(number, layer)
            barrier.wait()
            for place, position in self._blocks:
                self._attend(number, place, position)
            _add_product(self._x, self._mixed, layer.output, layer.output_bias, self._normal)
            self._feed_forward(layer)
        self._hidden[self._rows] = self._x

    def _project(self, number: int, layer: _Layer) -> None:
        """Queries, keys and values of these rows, rotated; keys and values go to the cache."""
        config = self._config
        _normalize(self._x, config.epsilon, self._normal)
        np.matmul(self._normal, layer.qkv, out=self._qkv)
        if layer.qkv_bias is not None:
            self._qkv += layer.qkv_bias
        rotated = (config.heads + config.kv_heads) * config.head_dim
        pairs = self._qkv.view(np.complex64)[:, : rotated // 2].reshape(
            len(self._qkv), config.heads + config.kv_heads, -1
        )
        np.multiply(pairs, self._rotation, out=pairs)
        by_head = self._qkv.reshape(len(self._qkv), -1, config.head_dim).swapaxes(0, 1)
        for place, position in self._blocks:
            at = slice(position, position + place.stop - place.start)
            self._cache.keys[number, :, at] = by_head[config.heads : -config.kv_heads, place]
            self._cache.values[number, :, at] = by_head[-config.kv_heads :, place]

    def _attend(self, number: int, place: slice, position: int) -> None:
        """Causal attention of one block of rows, the query heads of one key/value head at a time."""
        config = self._config
        n = place.stop - place.start
        group = config.heads // config.kv_heads
        end = position + n
        width = group * config.head_dim
        # Scores lie transposed, [keys, queries]: both products run faster so.
        scores = self._scores[: end * n * group].reshape(end, n * group)
        own = scores[position:].reshape(n, n, group)
        ones = self._ones[:end]
        for head in range(config.kv_heads):
            columns = slice(head * width, (head + 1) * width)
            queries = self._qkv[place, columns].reshape(n * group, config.head_dim).T
            keys, values = self._cache.keys[number, head, :end], self._cache.values[number, head, :end]
            np.matmul(keys, queries, out=scores)
            own += self._future[:n, :n, None]
            np.exp(scores, out=scores)
            sums = ones @ scores
            if not (sums.min() > _SMALLEST_SUM and sums.max() < _LARGEST_SUM):
                np.matmul(keys, queries, out=scores)
                own += self._future[:n, :n, None]
                scores -= scores.max(axis=0)
                np.exp(scores, out=scores)
                sums = ones @ scores
            mixed = scores.T @ values
            mixed /= sums[:, None]
            self._mixed[place, columns] = mixed.reshape(n, width)

    def _feed_forward(self, layer: _Layer) -> None:
        """SwiGLU: x + down(gate / (1 + exp(-gate)) * up), where the weights give -gate and -up."""
        _normalize(self._x, self._config.epsilon, self._normal)
        np.matmul(self._normal, layer.gate_up, out=self._gate_up)
        if layer.gate_up_bias is not None:
            self._gate_up += layer.gate_up_bias
        gate, up = (
            self._gate_up[:, : self._config.intermediate],
            self._gate_up[:, self._config.intermediate :],
        )
        np.exp(gate, out=self._gate)
        self._gate += 1
        np.divide(gate, self._gate, out=self._gate)
        self._gate *= up
        _add_product(self._x, self._gate, layer.down, layer.down_bias, self._normal)


def _normalize(x: Floats, epsilon: float, out: Floats) -> None:
    """RMSNorm without its weight: x / sqrt(mean(x^2) + epsilon)."""
    squares = np.einsum("ij,ij->i", x, x)
    scale = 1 / np.sqrt(squares / x.shape[1] + np.float32(epsilon))
    np.multiply(x, scale[:, None], out=out)


def _add_product(x: Floats, a: Floats, weights: Floats, bias: Floats | None, work: Floats) -> None:
    """x += a @ weights + bias, by way of `work`."""
    np.matmul(a, weights, out=work)
    x += work
    if bias is not None:
        x += bias


def _deal(rows: int, threads: int) -> list[list[slice]]:
    """Blocks of rows for each thread, dealt to and fro: later rows attend to more and cost more."""
    rounds = -(-rows // (2 * threads * _QUERY_ROWS))
    edges = np.linspace(0, rows, 2 * threads * rounds + 1).astype(int).tolist()
    shares: list[list[slice]] = [[] for _ in range(threads)]
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        turn = number % (2 * threads)
        if stop > start:
            shares[min(turn, 2 * threads - 1 - turn)].append(slice(start, stop))
    return shares


def _load(folder: ModelFolder, number: int) -> _Layer:
    config = folder.config
    prefix = f"model.layers.{number}."
    scale = np.float32(config.head_dim**-0.5)

    def interleaved(values: Floats, heads: int) -> Floats:
        """Rows of each head from [first halves, second halves] to pairs, which rotate as complex numbers."""
        halves = values.reshape(heads, 2, config.head_dim // 2, -1)
        return halves.swapaxes(1, 2).reshape(values.shape)

    def joined(parts: Iterator[Floats], norm: Floats | None = None) -> Floats:
        """The parts one below the other, transposed, each input scaled by its norm weight."""
        rows = np.concatenate(list(parts))
        weights: Floats = np.multiply(rows.T, np.float32(1) if norm is None else norm[:, None], order="C")
        return weights

    def attention(kind: str) -> Iterator[Floats]:
        yield interleaved(folder.read(f"{prefix}self_attn.q_proj.{kind}"), config.heads) * scale
        yield interleaved(folder.read(f"{prefix}self_attn.k_proj.{kind}"), config.kv_heads)
        yield folder.read(f"{prefix}self_attn.v_proj.{kind}")

    def feed_forward(kind: str) -> Iterator[Floats]:
        yield folder.read(f"{prefix}mlp.gate_proj.{kind}")
        yield folder.read(f"{prefix}mlp.up_proj.{kind}")

    def bias(name: str) -> Floats | None:
        if not (config.attention_bias if "attn" in name else config.mlp_bias):
            return None
        return np.array(folder.read(f"{prefix}{name}.bias"))

    return _Layer(
        qkv=joined(attention("weight"), folder.read(prefix + "input_layernorm.weight")),
        qkv_bias=np.concatenate(list(attention("bias"))) if config.attention_bias else None,
        output=joined(iter([folder.read(prefix + "self_attn.o_proj.weight")])),
        output_bias=bias("self_attn.o_proj"),
        gate_up=joined(feed_forward("weight"), -folder.read(prefix + "post_attention_layernorm.weight")),
        gate_up_bias=-np.concatenate(list(feed_forward("bias"))) if config.mlp_bias else None,
        down=joined(iter([folder.read(prefix + "mlp.down_proj.weight")])),
        down_bias=bias("mlp.down_proj"),
    )


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
