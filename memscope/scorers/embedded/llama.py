"""A Llama-architecture forward pass in numpy, float32, chunk by chunk with a key/value cache."""

import functools
import itertools
import operator
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
from memscope.scorers.kept import Stretch

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
    """The keys and values of a prompt's positions from `first` on: [layers, kv_heads, capacity, head_dim]."""

    def __init__(self, config: LlamaConfig, first: int, capacity: int) -> None:
        shape = (config.layers, config.kv_heads, capacity, config.head_dim)
        self.first = first
        self.keys = np.empty(shape, np.float32)
        self.values = np.empty(shape, np.float32)

    @property
    def capacity(self) -> int:
        """How many positions fit."""
        return self.keys.shape[2]

    @property
    def position_bytes(self) -> int:
        """Bytes that a position takes."""
        return 2 * self.keys[:, :, :1].nbytes

    def copy(self, other: "KeyValues", start: int, stop: int) -> None:
        """Take over the positions [start, stop) of another cache."""
        for ours, theirs in ((self.keys, other.keys), (self.values, other.values)):
            ours[:, :, start - self.first : stop - self.first] = theirs[
                :, :, start - other.first : stop - other.first
            ]


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
        self.threads = threads or default_threads()
        self._pool = ThreadPoolExecutor(self.threads, "memscope-engine")
        threadpoolctl.threadpool_limits(1, user_api="blas")
        self._embedding = folder.read("model.embed_tokens.weight")
        self._projection = self._embedding if self.config.tied else folder.read("lm_head.weight")
        self._norm = np.array(folder.read("model.norm.weight"))
        self._layers = list(self._pool.map(lambda layer: _load(folder, layer), range(self.config.layers)))
        self._rotation = np.empty((0, self.config.head_dim // 2), np.complex64)

    def forward(self, stretches: Sequence[Stretch[KeyValues]]) -> Floats:
        """Hidden states [n, hidden] after the last layer for the positions of all stretches, in order."""
        self._extend_rotation(max(stretch.stop for stretch in stretches))
        rows = sum(stretch.stop - stretch.start for stretch in stretches)
        threads = max(1, min(self.threads, rows // 16))
        hidden = np.empty((rows, self.config.hidden), np.float32)
        barrier = threading.Barrier(threads)

        def run(blocks: list[_Block]) -> None:
            try:
                _Rows(self, blocks, hidden).run(barrier)
            except BaseException:
                barrier.abort()
                raise

        self._on_threads(run, [_blocks(share, stretches) for share in _deal(rows, threads)])
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


@dataclass(frozen=True)
class _Block:
    """Rows [start, stop) of a chunk that belong to one stretch, the first at a `position` of its prompt."""

    stretch: Stretch[KeyValues]
    start: int
    stop: int
    position: int

    @property
    def end(self) -> int:
        """The position after the last row's."""
        return self.position + self.stop - self.start


class _Rows:
    """One thread's rows of a chunk, taken through all layers."""

    def __init__(self, model: Llama, blocks: list[_Block], hidden: Floats) -> None:
        config = model.config
        rows = np.concatenate([np.arange(block.start, block.stop) for block in blocks])
        positions = np.concatenate([np.arange(block.position, block.end) for block in blocks])
        n = len(rows)
        self._model, self._config = model, config
        self._rows, self._hidden = rows, hidden
        ids = np.concatenate([block.stretch.ids[block.position : block.end] for block in blocks])
        self._x = model._embedding[ids]
        self._rotation = model._rotation[positions][:, None]
        self._blocks: list[tuple[_Block, slice]] = []
        """Each with its place among this thread's rows."""
        place = 0
        for block in blocks:
            length = block.stop - block.start
            self._blocks.append((block, slice(place, place + length)))
            place += length
        group = config.heads // config.kv_heads
        tallest = max(block.stop - block.start for block in blocks)
        last = max(block.end for block in blocks)
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
            for block, place in self._blocks:
                self._attend(number, block, place)
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
        for block, place in self._blocks:
            cache = block.stretch.cache
            at = slice(block.position - cache.first, block.end - cache.first)
            cache.keys[number, :, at] = by_head[config.heads : -config.kv_heads, place]
            cache.values[number, :, at] = by_head[-config.kv_heads :, place]

    def _attend(self, number: int, block: _Block, place: slice) -> None:
        """Causal attention of one block of rows, the query heads of one key/value head at a time."""
        config = self._config
        n, end = block.stop - block.start, block.end
        group = config.heads // config.kv_heads
        width = group * config.head_dim
        # Scores lie transposed, [keys, queries]: both products run faster so.
        scores = self._scores[: end * n * group].reshape(end, n * group)
        own = scores[block.position :].reshape(n, n, group)
        ones = self._ones[:end]
        parts = [
            (scores[cache.first : stop], cache.keys[number], cache.values[number], stop - cache.first)
            for cache, stop in (*block.stretch.before, (block.stretch.cache, end))
        ]
        for head in range(config.kv_heads):
            columns = slice(head * width, (head + 1) * width)
            queries = self._qkv[place, columns].reshape(n * group, config.head_dim).T
            for out, keys, _, length in parts:
                np.matmul(keys[head, :length], queries, out=out)
            own += self._future[:n, :n, None]
            np.exp(scores, out=scores)
            sums = ones @ scores
            if not (sums.min() > _SMALLEST_SUM and sums.max() < _LARGEST_SUM):
                for out, keys, _, length in parts:
                    np.matmul(keys[head, :length], queries, out=out)
                own += self._future[:n, :n, None]
                scores -= scores.max(axis=0)
                np.exp(scores, out=scores)
                sums = ones @ scores
            mixed = functools.reduce(
                operator.iadd, (weights.T @ values[head, :length] for weights, _, values, length in parts)
            )
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


def _blocks(share: list[slice], stretches: Sequence[Stretch[KeyValues]]) -> list[_Block]:
    """The rows of a share, cut where another stretch begins."""
    blocks = []
    first = 0
    for stretch in stretches:
        last = first + stretch.stop - stretch.start
        for rows in share:
            start, stop = max(rows.start, first), min(rows.stop, last)
            if start < stop:
                blocks.append(_Block(stretch, start, stop, stretch.start + start - first))
        first = last
    return blocks


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


def default_threads() -> int:
    """The processors that this process may use, at most 8."""
    if hasattr(os, "sched_getaffinity"):
        return min(8, len(os.sched_getaffinity(0)))
    return min(8, os.cpu_count() or 1)
