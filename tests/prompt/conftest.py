"""A tokenizer for each chat template."""

import pytest

from memscope.scorers.tokenizer import FolderTokenizer
from tests.model_folder import TEMPLATES, open_folder


@pytest.fixture(scope="session")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FolderTokenizer]:
    return {
        name: open_folder(tmp_path_factory.mktemp(name), template) for name, template in TEMPLATES.items()
    }
