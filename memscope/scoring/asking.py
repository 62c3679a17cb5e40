"""Asks a scorer for responses' log-probabilities, and again for those that it failed to give."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import stamina

from memscope.errors import ScorerError
from memscope.scorers.base import LogProbs, Scorer, ScoreRequest

_ATTEMPTS = 12
"""Tries of a request: with the waits between them about a minute, in which a server may come back."""
_LONGEST_WAIT = 10.0
"""Seconds between two tries, unless the scorer asks for more."""


async def ask(
    scorer: Scorer,
    wanted: Sequence[int],
    request: Callable[[Sequence[int]], ScoreRequest],
    problem_with: Callable[[int, LogProbs], str | None],
) -> AsyncGenerator[tuple[int, LogProbs]]:
    """The `wanted` responses with their log-probabilities, as they come.

    `request` makes a request for some of them, a span each; `problem_with` says why log-probabilities can't
    be a response's, if they can't. Raises ScorerError when it has failed for good.
    """
    left = list(wanted)
    async for attempt in stamina.retry_context(
        on=_again, attempts=_ATTEMPTS, timeout=None, wait_max=_LONGEST_WAIT
    ):
        with attempt:
            asked = tuple(left)
            async with aclosing(scorer.score(request(asked))) as scores:
                async for score in scores:
                    if not 0 <= score.span < len(asked) or asked[score.span] not in left:
                        raise ScorerError("the scorer gave a span that it was not asked for")
                    response = asked[score.span]
                    if problem := problem_with(response, score.logprobs):
                        raise ScorerError(problem)
                    yield response, score.logprobs
                    left.remove(response)
            if left:
                raise ScorerError(f"{len(left)} of {len(asked)} responses came back without a score")


def _again(error: Exception) -> bool | float:
    """Whether to try a failed request again, or after how many seconds."""
    if not isinstance(error, ScorerError) or error.final:
        return False
    return True if error.retry_after is None else error.retry_after
