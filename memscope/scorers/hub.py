"""Model folders by name: a folder, an installed model, or a repository of the Hugging Face hub."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from memscope.errors import ModelError
from memscope.scorers.embedded.pull import models_dir
from memscope.scorers.files import weight_files

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json")
WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json")


def find_folder(name: str) -> Path | None:
    """The folder of that name, or of an installed model."""
    folders = (Path(name).expanduser(), models_dir() / name)
    return next((folder for folder in folders if (folder / "tokenizer.json").is_file()), None)


def fetch_folder(name: str, files: Sequence[str]) -> Path:
    """A folder with those `files` (patterns) of a model: one that is there, else fetched from the hub once.

    Blocks. Raises ModelError.
    """
    folder = find_folder(name)
    if folder is not None:
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # they would be drawn over the screen
    try:
        with suppress(LocalEntryNotFoundError):
            stored = Path(snapshot_download(name, allow_patterns=list(files), local_files_only=True))
            if _is_complete(stored, files):
                return stored
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except HFValidationError as error:
        raise ModelError(f"{name} is no model folder, no installed model and no name on the hub.") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelError(
            f"{name} is no model folder here and can't be fetched from the hub; give a folder."
        ) from error


def _is_complete(folder: Path, files: Sequence[str]) -> bool:
    """Whether an earlier fetch, perhaps of fewer files, has left all that is wanted."""
    try:
        if set(WEIGHT_FILES) <= set(files):
            weight_files(folder)
    except ModelError:
        return False
    return (folder / "tokenizer.json").is_file()
