"""The errors that a user sees: one sentence each, saying where and what to do."""


class MemscopeError(Exception):
    """A problem the user can act on; `str(error)` is the whole sentence. The command line exits with 2."""


class InputError(MemscopeError):
    """A file or setting that can't be read; the sentence names the line or byte and the field."""


class ModelError(MemscopeError):
    """A model that can't be fetched, read or run."""


class ScorerError(Exception):
    """One request to a scorer failed; the run retries it, then marks its row failed with this reason."""
