"""The activity of a run: tokens done, and which memory is being left out."""

from collections.abc import Callable, Sequence

from memscope.activity import Activity


class RunProgress:
    """Tells an activity how far a run is."""

    def __init__(
        self, activity: Activity, keys: Sequence[str], total: int, tokens_computed: Callable[[], int]
    ) -> None:
        """`keys` names the rows, of which a `total` of so many lacks something; `tokens_computed` counts."""
        self._activity = activity
        self._keys = keys
        self._total = total
        self._tokens_computed = tokens_computed
        self._before = tokens_computed()
        self._rows = 0

    def row(self, row: int) -> None:
        """Another row begins."""
        self._rows = min(self._rows + 1, self._total)
        self._activity.update(title=f"scoring {self._keys[row]} {self._rows}/{self._total}")
        self.update()

    def update(self) -> None:
        """Tokens have been computed."""
        self._activity.update(done=self._tokens_computed() - self._before)
