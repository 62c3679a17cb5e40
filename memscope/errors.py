"""The errors that a user sees: one sentence each, saying where and what to do."""


class MemscopeError(Exception):
    """A problem the user can act on: `str(error)` is the whole sentence, `status` the exit status."""

    status = 2


class InputError(MemscopeError):
    """A file or setting that can't be read; the sentence names the line or byte and the field."""


class ModelError(MemscopeError):
    """A model that can't be fetched, read or run."""


class FetchError(ModelError):
    """The embedded model is not there and can't be fetched, so nothing can be scored."""

    status = 1


class NothingToScoreError(MemscopeError):
    """The conversation is fine but has no cell to score."""

    status = 1


class ScorerError(Exception):
    """One request to a scorer failed; the run retries it, then marks its row failed with this reason.

    `final` says that trying again is of no use; `retry_after` is how many seconds the scorer asked to wait.
    """

    def __init__(self, reason: str, *, final: bool = False, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.final = final
        self.retry_after = retry_after
