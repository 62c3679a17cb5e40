"""Measures how far the open session's matrix can be trusted, without the screen waiting for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from textual.worker import Worker

from memscope.errors import MemscopeError
from memscope.tui.safe import one_line

if TYPE_CHECKING:
    from memscope.scoring.fidelity import Fidelity, FidelityPlan
    from memscope.scoring.session import Session
    from memscope.tui.host import Host


class Measurement:
    """Of one session; `plan` and `result` hold for the matrix as it was when they were made."""

    def __init__(self, app: Host, session: Session) -> None:
        self._app = app
        self._session = session
        self._work: Worker[None] | None = None
        self._changed: Callable[[], None] | None = None
        self.plan: FidelityPlan | None = None
        self.result: Fidelity | None = None
        self.problem = ""
        """Why it can't be measured, one sentence; empty if nothing is wrong."""

    @property
    def running(self) -> bool:
        """Whether figures are being measured, or planned to be."""
        return self._work is not None and not self._work.is_finished

    def watch(self, changed: Callable[[], None] | None) -> None:
        """Call this whenever there is something new, and nothing else; plans unless there are figures."""
        self._changed = changed
        if changed is not None and self.result is None and not self.running:
            self._start(self._make_plan())

    def measure(self) -> None:
        """Carry out the plan."""
        if self.plan is not None and not self.running:
            self._start(self._measure(self.plan))

    def stop(self) -> None:
        """Stop; what is scored stays in the store."""
        if self._work is not None:
            self._work.cancel()

    def forget(self) -> None:
        """The matrix is another one: what was said of it no longer holds."""
        self.stop()
        self.plan = self.result = None
        self.problem = ""

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self.problem = ""
        self._work = self._app.run_worker(self._told(work), group="fidelity", exit_on_error=False)
        self._tell()

    async def _told(self, work: Coroutine[Any, Any, None]) -> None:
        """Say how it went, once it is over."""
        try:
            await work
        except MemscopeError as error:
            self.problem = one_line(str(error))
        finally:
            self._app.call_later(self._tell)

    async def _make_plan(self) -> None:
        # Only here, because the first paint does not need it.
        from memscope.scoring.fidelity import plan_fidelity

        self.plan = await plan_fidelity(self._session)

    async def _measure(self, plan: FidelityPlan) -> None:
        from memscope.scoring.fidelity import measure_fidelity

        self.result = await measure_fidelity(self._session, plan)
        self._session.activities.notify(f"fidelity is measured: {self._app.key('matrix.fidelity')} shows it")

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed()
