"""A causal language model in transformers and torch; the scorer `transformers` imports it when it is used."""

import inspect
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from memscope.errors import ModelError, ScorerError
from memscope.scorers import torch_attention
from memscope.scorers.base import LogProbs, TokenIds
from memscope.scorers.kept import Stretch, asked_ids, asked_rows, by_stretch
from memscope.scorers.memory import free_memory
from memscope.scorers.torch_cache import KeyValues, Together, raise_out_of_memory

_THREAD_TOKENS = 256
"""Tokens for each thread of a processor at once, of a model with `_PARAMETERS`: about a second together."""
_PARAMETERS = 135e6
_CHUNK_LIMITS = (128, 2048)
"""Fewer tokens at once waste time on reading the weights, more waste memory."""
_LOGITS = 1 << 26
"""Logits at once: a quarter of a gigabyte in float32."""
_SOFTMAX_ROWS = 64
_PROBE = 32
"""Tokens on which one way to compute is held against another."""
_NO_LIMIT = 1 << 20
"""The context length of a model that states none."""
_FIXED_ROTATIONS = {"default", "linear", "llama3", "yarn"}
"""Rotary encodings that turn a key by its position alone, however long the prompt becomes."""


class TorchModel:
    """A model folder on one device; its configuration is checked at once, the weights are read by `load`.

    `keeps_prefix` says whether the keys and values of a prompt's beginning are all that its later tokens
    need; other models compute every prompt at once, from its first token to its last. `exact` says whether
    equal prompts give equal numbers.
    """

    def __init__(self, folder: Path, name: str, device: str | None, dtype: str | None) -> None:
        """`dtype` defaults to float32 on a processor and to the checkpoint's own elsewhere.

        Raises ModelError if transformers knows no such model, or torch no such device or dtype.
        """
        transformers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()
        self.name = name
        self.device = _device(device)
        self._folder = folder
        try:
            self._config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            text = self._config.get_text_config(decoder=True)
            # the other implementations may leave a cap on attention's logits out
            self._attention = "eager" if getattr(text, "attn_logit_softcapping", None) else None
            with torch.device("meta"):
                self._shape = transformers.AutoModelForCausalLM.from_config(
                    self._config, attn_implementation=self._attention
                )
            self.vocabulary = int(self._shape.get_input_embeddings().weight.shape[0])
            self.context_length = int(getattr(text, "max_position_embeddings", None) or _NO_LIMIT)
            self._layers = int(text.num_hidden_layers)
            layers = DynamicCache(config=self._config).layers
            self.keeps_prefix = self._keeps_prefix(text, layers)
            plain = all(type(layer) is DynamicLayer for layer in layers)
        except Exception as error:  # a model is code: it can raise anything
            raise ModelError(f"transformers can't make a model of {folder}: {_line(error)}") from error
        self.dtype = _dtype(dtype, self.device, self._config)
        quantised = getattr(self._config, "quantization_config", None) is not None
        self.exact = self.device.type == "cpu" and self.dtype == torch.float32 and not quantised
        taken = inspect.signature(self._shape.forward).parameters
        self._cache_argument = "cache" if "cache" in taken else "past_key_values"
        self._picks_logits = "logits_to_keep" in taken
        usual = self._shape.config._attn_implementation
        plain = plain and "position_ids" in taken
        self._may_attend_fast = self.keeps_prefix and plain and usual == "sdpa" and self.exact
        self._fast = False
        self._model: Any = None
        self._left: Callable[[], bool] = lambda: False

    def load(self) -> None:
        """Read the weights unless they are there. Raises ModelError, or MemoryError if they do not fit."""
        if self._model is not None:
            return
        try:
            model, report = transformers.AutoModelForCausalLM.from_pretrained(
                self._folder,
                config=self._config,
                dtype=self.dtype,
                local_files_only=True,
                use_safetensors=True,
                attn_implementation=self._attention,
                output_loading_info=True,
            )
            model = model.to(self.device).eval()
        except Exception as error:
            raise_out_of_memory(error)
            raise ModelError(f"The weights of {self.name} can't be read: {_line(error)}") from error
        if missing := sorted(report["missing_keys"]):
            raise ModelError(f"{self._folder} has no tensor `{missing[0]}`; fetch the complete model again.")
        lists = (module for module in model.modules() if isinstance(module, torch.nn.ModuleList))
        for layer in next((layers for layers in lists if len(layers) == self._layers), ()):
            layer.register_forward_pre_hook(self._stop_if_left)
        self._model = model
        if self._may_attend_fast:
            self._use_fast_attention()

    @property
    def chunk(self) -> int:
        """About how many tokens to compute at once."""
        if not self.keeps_prefix:
            return sys.maxsize
        smallest, largest = _CHUNK_LIMITS
        if self.device.type == "cpu":
            work = _THREAD_TOKENS * torch.get_num_threads() * _PARAMETERS
            largest = min(largest, max(smallest, round(work / self._shape.num_parameters())))
        return max(1, min(largest, _LOGITS // self.vocabulary))

    @property
    def free_memory(self) -> int:
        """Bytes free where the keys and values are."""
        return torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else free_memory()

    def new_cache(self, first: int, capacity: int) -> KeyValues:
        """An empty cache for `capacity` positions from `first` on."""
        return KeyValues(self._layers if self.keeps_prefix else 0, first, capacity)

    @property
    def together(self) -> bool:
        """Whether stretches of several prompts can be computed as one."""
        return self._fast

    def logprobs(self, stretches: Sequence[Stretch[KeyValues]], left: Callable[[], bool]) -> list[LogProbs]:
        """Compute stretches of prompts; for each the log-probabilities [n], in nats, of the tokens asked for.

        Once `left()` it ends within one layer, with CancelledError. Raises MemoryError or ScorerError.
        """
        self._left = left
        try:
            with torch.inference_mode():
                if self._fast:
                    targets = self._tensor(asked_ids(stretches))
                    return by_stretch(_chosen(self._logits_together(stretches), targets), stretches)
                return [_chosen(self._logits(one), self._tensor(one.ids[one.scored])) for one in stretches]
        except CancelledError:
            raise
        except Exception as error:
            raise_out_of_memory(error)
            tokens = max(len(one.ids) for one in stretches)
            raise ScorerError(f"{self.name} failed on {tokens} tokens: {_line(error)}", final=True) from error
        finally:
            for one in stretches:
                one.cache.let_go()

    def _logits(self, stretch: Stretch[KeyValues]) -> Any:
        """The logits [n, vocabulary] from which the tokens asked for come."""
        arguments: dict[str, Any] = {"use_cache": self.keeps_prefix}
        if self.keeps_prefix:
            arguments[self._cache_argument] = stretch.cache.rewound(stretch.start, stretch.before)
        ids = stretch.ids[stretch.start : stretch.stop]
        return self._run(ids, stretch.scored - 1 - stretch.start, arguments)

    def _logits_together(self, stretches: Sequence[Stretch[KeyValues]]) -> Any:
        """The same for all stretches, one after the other, by attention without masks."""
        for one in stretches:
            one.cache.rewound(one.start, one.before)
        layers = [
            Together([(one.cache.rooms[number], one.stop - one.start) for one in stretches])
            for number in range(self._layers)
        ]
        positions = np.concatenate([np.arange(one.start, one.stop) for one in stretches])
        arguments = {
            "use_cache": True,
            self._cache_argument: Cache(layers=layers),
            "position_ids": self._tensor(positions)[None],
        }
        ids = np.concatenate([one.ids[one.start : one.stop] for one in stretches])
        return self._run(ids, asked_rows(stretches), arguments)

    def _run(self, ids: TokenIds, rows: TokenIds, arguments: dict[str, Any]) -> Any:
        """The logits [n, vocabulary] at `rows` [n] of the tokens `ids`."""
        chosen = self._tensor(rows)
        if self._picks_logits:
            arguments["logits_to_keep"] = chosen
        logits = self._model(input_ids=self._tensor(ids)[None], **arguments).logits[0]
        return logits if self._picks_logits else logits[chosen]

    def _use_fast_attention(self) -> None:
        """Attend without masks, unless that fails or gives other numbers on a few tokens of two prompts."""
        half, common = _PROBE // 2, _PROBE // 4
        ids = np.arange(_PROBE, dtype=np.int32) % self.vocabulary
        other = np.concatenate([ids[:common], ids[: _PROBE - common]])

        def scored(start: int, stop: int) -> TokenIds:
            return np.arange(start + 1, stop, dtype=np.int32)

        def logits() -> Any:
            cache, branch = self.new_cache(0, _PROBE), self.new_cache(common, _PROBE)
            first = Stretch(ids, 0, half, cache, scored=scored(0, half))
            later = [
                Stretch(ids, half, _PROBE, cache, scored=scored(half, _PROBE)),
                Stretch(other, common, half, branch, ((cache, common),), scored(common, half)),
            ]
            if self._fast:
                return torch.cat([self._logits_together([first]), self._logits_together(later)])
            return torch.cat([self._logits(stretch) for stretch in (first, *later)])

        with torch.inference_mode(), suppress(Exception):  # the kernel is torch's own affair and may change
            usual = logits()
            self._model.set_attn_implementation(torch_attention.NAME)
            self._fast = True
            self._fast = torch.allclose(logits(), usual, rtol=1e-4, atol=1e-3)
            if self._fast:
                return
        self._fast = False
        self._model.set_attn_implementation("sdpa")

    def _tensor(self, numbers: TokenIds) -> Any:
        return torch.from_numpy(numbers.astype(np.int64)).to(self.device)

    def _keeps_prefix(self, text: Any, layers: list[Any]) -> bool:
        """Whether each layer keeps only keys and values, and these depend only on the tokens before.

        A layer with a sliding window does, if its cache is not cut to the window: its mask is.
        """
        return (
            bool(getattr(self._shape, "_supports_attention_backend", False))
            and not getattr(self._shape, "_is_stateful", False)
            and set(getattr(text, "layer_types", None) or ()) <= {"full_attention", "sliding_attention"}
            and len(layers) == self._layers
            and {type(layer) for layer in layers} <= {DynamicLayer, DynamicSlidingWindowLayer}
            and _rotations(text) <= _FIXED_ROTATIONS
        )

    def _stop_if_left(self, *_: Any) -> None:
        if self._left():
            raise CancelledError


def _chosen(logits: Any, targets: Any) -> LogProbs:
    """Log-probabilities [n] of the tokens `targets` [n] under logits [n, vocabulary]."""
    parts = [
        torch.nn.functional.cross_entropy(rows.float(), chosen, reduction="none")
        for rows, chosen in zip(logits.split(_SOFTMAX_ROWS), targets.split(_SOFTMAX_ROWS), strict=True)
    ]
    logprobs: LogProbs = torch.cat(parts).neg_().cpu().numpy()
    return logprobs


def _device(name: str | None) -> Any:
    """The named device, or the best there is."""
    if name is None:
        best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(best)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except Exception as error:  # torch raises RuntimeError, AssertionError and others
        raise ModelError(f"torch can't use the device {name!r}: {_line(error)}") from error
    return device


def _dtype(name: str | None, device: Any, config: Any) -> Any:
    """The named dtype, or the one that suits the device; "auto" if only the weights know."""
    if name is None:
        return torch.float32 if device.type == "cpu" else getattr(config, "dtype", None) or "auto"
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ModelError(f"torch knows no dtype {name!r}; use float32, bfloat16 or float16.")
    return dtype


def _rotations(text: Any) -> set[Any]:
    """The kinds of rotary encoding in a configuration, which may give one for each kind of layer."""
    given = [getattr(text, "rope_parameters", None), getattr(text, "rope_scaling", None)]
    ropes = [rope for rope in given if isinstance(rope, dict)]
    ropes += [nested for rope in ropes for nested in rope.values() if isinstance(nested, dict)]
    kinds = [rope.get("rope_type", rope.get("type")) for rope in ropes]
    return {kind for kind in kinds if kind is not None}


def _line(error: Exception) -> str:
    """The first line of what an error says, as the end of a sentence."""
    first = next(iter(str(error).splitlines()), "").strip() or type(error).__name__
    return first.rstrip(".") + "."
