"""What all tests share."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import settings

from memscope.conversation.readers import read_conversation
from memscope.demo import demo_path
from memscope.scorers.embedded.pull import DEFAULT_MODEL, models_dir
from memscope.scoring.session import Session

# Other work on the machine must not fail a test: no deadline for an example. `--hypothesis-profile deep`
# looks further.
settings.register_profile("memscope", deadline=None, max_examples=50)
settings.register_profile("deep", deadline=None, max_examples=1000)
settings.load_profile("memscope")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The demo scored by the embedded model, computed here and now: its store begins empty."""
    if not (models_dir() / DEFAULT_MODEL).is_dir():
        pytest.skip("`memscope model pull` has not been run")
    session = Session(read_conversation(str(demo_path())))

    async def score() -> None:
        await session.prepare()
        async for _ in session.score():
            pass

    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        (cache / "models").symlink_to(models_dir())
        patch.setenv("MEMSCOPE_CACHE_DIR", str(cache))
        asyncio.run(score())
    yield session
    session.close()
