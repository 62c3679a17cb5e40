"""The transformers scorer: any causal language model that transformers runs, on a processor or a GPU."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memscope.errors import ModelError
from memscope.scorers.base import ChatTokenizer, LogProbs
from memscope.scorers.files import fingerprint, weight_files
from memscope.scorers.hub import TOKENIZER_FILES, WEIGHT_FILES, fetch_folder
from memscope.scorers.kept import Stretch
from memscope.scorers.local import LocalScorer
from memscope.scorers.tokenizer import FolderTokenizer

if TYPE_CHECKING:
    from memscope.scorers.torch_cache import KeyValues


class TransformersScorer(LocalScorer["KeyValues"]):
    """Scores prompts with transformers and torch, which are imported when the first one is made.

    A model that needs more of a prompt's beginning than keys and values (recurrent layers, or a rotary
    encoding that depends on the prompt's length) computes every prompt from its first token.
    """

    name = "transformers"
    noise_floor = 5e-4

    def __init__(
        self,
        model: str | Path,
        tokenizer: ChatTokenizer | None = None,
        *,
        device: str | None = None,
        dtype: str | None = None,
        reuse: bool = True,
        kv_budget: int | None = None,
    ) -> None:
        """Open a model by its folder or its name, here or on the Hugging Face hub, and fetch it from there if
        need be; the weights are read by the first request.

        `device` ("cpu", "cuda:1", "mps") is by default the first there is of CUDA, MPS and the processor,
        `dtype` ("float32", "bfloat16", ...) float32 on the processor and the checkpoint's own elsewhere.
        `reuse=False` computes every prompt from its first token, for comparison. `kv_budget` bytes are for
        the keys and values that stay; None stands for a quarter of the free memory. Blocks.

        Raises ModelError.
        """
        try:
            from memscope.scorers.torch_model import TorchModel
        except (ImportError, OSError) as error:
            raise ModelError(
                "The transformers scorer needs torch and transformers; install them with"
                f" `pip install 'memscope[transformers]'` ({error})."
            ) from error
        folder = fetch_folder(str(model), (*TOKENIZER_FILES, *WEIGHT_FILES))
        called = folder.resolve().name if Path(model).expanduser().is_dir() else str(model)
        self.tokenizer: ChatTokenizer = tokenizer or FolderTokenizer(folder)
        files = [folder / "config.json", folder / "tokenizer.json", *weight_files(folder)]
        self._torch = TorchModel(folder, called, device, dtype)
        super().__init__(
            called,
            self._torch.vocabulary,
            self._torch.context_length,
            reuse=reuse and self._torch.keeps_prefix,
            kv_budget=kv_budget,
        )
        kind, precision = self._torch.device.type, str(self._torch.dtype).removeprefix("torch.")
        self.fingerprint = fingerprint(f"memscope transformers 1 {kind} {precision}", files)
        self.exact = self._torch.exact
        if not self._torch.keeps_prefix:
            self.notes = (
                f"Every prompt is computed from its first token, because {called} can't go on from the keys"
                " and values of another prompt's beginning.",
            )

    @property
    def batch_tokens(self) -> int:
        """As many as a chunk, once it is known that this model takes several prompts together."""
        return self._torch.chunk if self._torch.together else 0

    def _open(self) -> None:
        self._torch.load()

    def _chunk(self) -> int:
        return self._torch.chunk

    def _new_cache(self, first: int, capacity: int) -> "KeyValues":
        return self._torch.new_cache(first, capacity)

    def _free_memory(self) -> int:
        return self._torch.free_memory

    def _compute(
        self, stretches: Sequence[Stretch["KeyValues"]], left: Callable[[], bool]
    ) -> Sequence[LogProbs]:
        return self._torch.logprobs(stretches, left)
