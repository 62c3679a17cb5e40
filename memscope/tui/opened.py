"""One session as the app has it open: its view, its work, and its file if that is followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memscope.conversation.follow import Follower
from memscope.conversation.model import Conversation
from memscope.scoring.matrix import CellState, ScoreMatrix
from memscope.tui.following import Following
from memscope.tui.measurement import Measurement
from memscope.tui.safe import one_line
from memscope.tui.sets import Sets
from memscope.tui.view import MatrixView, Members
from memscope.tui.workers import Choice, SessionWorkers
from memscope.wording import counted

if TYPE_CHECKING:
    from memscope.scoring.session import Session
    from memscope.tui.host import Host

_MISSING = (CellState.PENDING, CellState.RUNNING, CellState.FAILED)


class Opened:
    """What the screens of a session share, and what can be said of it."""

    def __init__(
        self,
        app: Host,
        session: Session,
        follower: Follower | None,
        *,
        score_at_once: bool = False,
        auto: bool = False,
    ) -> None:
        """`follower` has read the session's conversation; None if its file is not followed. With
        `score_at_once` it is scored as soon as the model is open, with `auto` whatever comes later."""
        self._app = app
        self.session = session
        self.view = MatrixView(session.conversation, session.matrix, session.metric)
        self.work = SessionWorkers(app, session)
        self.sets = Sets(app, session, self._plan)
        self.measurement = Measurement(app, session)
        self._together: list[Members] = []
        """The sets that have a row in the matrix."""
        self.following = None if follower is None else Following(app, follower)
        self.first_new = len(session.conversation.entries)
        """The entry from which on everything came after the session was opened."""
        self.cell = (0, 0)
        """The memory and the response that the user looks at, whatever the screen."""
        self._score_at_once = score_at_once
        self._auto = auto
        self._problem = ""

    @property
    def scoring(self) -> bool:
        """Whether anything is being scored."""
        return self.work.scoring or self.sets.scoring or self.measurement.running

    @property
    def busy(self) -> bool:
        """Whether anything is being prepared or scored."""
        return self.work.busy or self.sets.scoring or self.measurement.running

    @property
    def missing(self) -> int:
        """Cells that could be scored and are not."""
        return int(np.isin(self.view.matrix.states, _MISSING).sum())

    @property
    def missing_of_new(self) -> int:
        """How many of those belong to responses that came after the session was opened."""
        matrix = self.view.matrix
        return int((matrix.states[self._new(matrix)] == CellState.PENDING).sum())

    @property
    def exportable(self) -> bool:
        """Whether there is anything to write to a file."""
        return self.view.matrix.count(CellState.SCORED) > 0

    @property
    def problem(self) -> str:
        """What went wrong last, one printable sentence; empty if nothing did."""
        if self._problem:
            return self._problem
        return "" if self.following is None else one_line(self.following.problem)

    def fail(self, sentence: str) -> None:
        """Say what went wrong; an empty sentence takes that back."""
        again = f" Press {self._score_key} to try again." if sentence and not self.work.ready else ""
        self._problem = one_line(sentence) + again

    @property
    def cost(self) -> str:
        """What scoring everything takes, once it is known, and what it would take without any reuse."""
        cost = self.session.cost
        if cost is None:
            return ""
        naive = f" ({cost.tokens_naive:,} naive)" if cost.tokens_needed < cost.tokens_naive else ""
        return f"{cost.tokens_needed:,} tokens{naive}"

    @property
    def idle(self) -> str:
        """What the activity bar says while nothing goes on."""
        if not self.work.ready:
            return f"{self._score_key} tries again" if self._problem else ""
        if not self.missing:
            return "all cells scored"
        cells = f"{self._score_key} scores {counted(self.missing, 'cell')}"
        return f"{cells}: {self.work.tokens_missing:,} tokens" if self.session.is_planned else cells

    @property
    def follow_state(self) -> str:
        """`FOLLOW`, or `PAUSED` with how many entries wait; empty if the file is not followed."""
        if self.following is None:
            return ""
        if not self.following.paused:
            return "FOLLOW"
        waiting = self.following.waiting
        if waiting is None:
            return "PAUSED"
        more = len(waiting.entries) - len(self.session.conversation.entries)
        return f"PAUSED +{more:,}" if more > 0 else "PAUSED, changed"

    def adopt(self, conversation: Conversation) -> None:
        """Show the conversation as it has become."""
        if self.following is not None:
            self.following.waiting = None
        self.first_new = min(self.first_new, len(conversation.entries))
        before = self.session.conversation
        self.session.adopt(conversation)
        self.sets.adopt(before)
        self.show_matrix()
        memories, responses = self.view.matrix.shape
        self.cell = max(0, min(self.cell[0], memories - 1)), max(0, min(self.cell[1], responses - 1))

    def show_matrix(self) -> None:
        """Draw the session's matrix, which may be another one."""
        self.view.adopt(self.session.conversation, self.session.matrix)
        self._show_together()
        self.measurement.forget()

    def leave_out_together(self, members: Members) -> None:
        """Score these memories left out together, in a row of their own."""
        self.fail("")
        if members not in self._together:
            self._together.append(members)
        self.sets.score(members)
        self._show_together()

    def forget_together(self, members: Members) -> None:
        """Let go of such a row."""
        self._together.remove(members)
        self.sets.forget(members)
        self._show_together()

    def show_set(self, members: Members) -> None:
        """Cells of a set have changed."""
        shown = {each: (row, matrix) for row, (each, matrix) in enumerate(self.view.sets)}
        row, matrix = shown.get(members, (None, None))
        if row is not None and matrix is self.sets.matrix_of(members):
            self.view.update([len(self.view.matrix.keys) + row])
        elif members in self._together:
            self._show_together()

    def _show_together(self) -> None:
        rows = [(members, self.sets.matrix_of(members)) for members in self._together]
        kept = [(members, matrix) for members, matrix in rows if matrix is not None]
        self._together = [members for members, _ in kept]
        if kept or self.view.sets:
            self.view.set_sets(kept)

    def prepare(self) -> None:
        """Open the model and lay the plan."""
        self.fail("")
        self.work.prepare()

    def prepared(self) -> None:
        """The session is ready: show its matrix, filled from the store, and score what was asked for."""
        self.show_matrix()
        self.sets.go_on()
        if self._score_at_once and self.missing:
            self._score_at_once = False
            self.score()
        elif self._auto and self.missing_of_new:
            self.score(only=self._new)

    def score(self, *, fresh: bool = False, only: Choice | None = None) -> None:
        """Score what is missing, or everything again, of all cells or those that `only` chooses."""
        self.fail("")
        self.measurement.stop()
        self.work.score(fresh=fresh, only=only)

    def score_missing(self) -> None:
        """Score what is missing, once the model is open; if it could not be opened, try that again."""
        if self.work.ready:
            self.score()
        elif self.work.busy:
            self._score_at_once = True
            self.notify("scoring begins when the model is open")
        else:
            self.prepare()

    def ended(self) -> None:
        """Nothing is prepared or scored any more but sets, which may have waited for that."""
        self.show_matrix()
        self.sets.go_on()

    def stop(self) -> None:
        """Stop scoring; what is done stays."""
        self.work.stop()
        self.sets.stop()
        self.measurement.stop()

    def notify(self, text: str) -> None:
        """Say something in the activity bar for a while."""
        self.session.activities.notify(text)

    @property
    def _score_key(self) -> str:
        return self._app.key("session.score")

    def _new(self, matrix: ScoreMatrix) -> NDArray[np.bool_]:
        new = np.array(matrix.responses, np.int64) >= self.first_new
        return np.broadcast_to(new, matrix.shape)

    def close(self) -> None:
        """Stop all work and let go of the session."""
        if self.following is not None:
            self.following.stop()
        self.sets.stop()
        self.measurement.stop()
        self.work.close()

    def _plan(self) -> None:
        """Open the model and lay the plan, unless something is under way that is followed by that."""
        if not self.work.busy:
            self.prepare()
