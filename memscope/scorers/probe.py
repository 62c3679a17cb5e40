"""Small prompts by which a scorer is tried out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memscope.scorers.base import ChatTokenizer, LogProbs, Scorer, ScoreRequest

PROBE = (
    {"role": "system", "content": "You know where people live."},
    {"role": "user", "content": "Nora lives in Bergen. Where does she live?"},
    {"role": "assistant", "content": "Nora lives in Bergen, on the west coast of Norway."},
)
"""A conversation that every scorer can be asked about."""
SCORED = 10
"""Tokens at the probe's end that are scored."""


def chat_request(
    tokenizer: ChatTokenizer,
    messages: Sequence[Mapping[str, Any]],
    *,
    scored: int = SCORED,
    longest: int = 0,
) -> ScoreRequest:
    """A conversation's tokens up to the end of its last content, at most `longest` if that is given, of which
    the last `scored` are to be scored."""
    text = tokenizer.render(messages)
    end = text.rindex(str(messages[-1]["content"])) + len(str(messages[-1]["content"]))
    encoded = tokenizer.encode(text[:end])
    length = min(len(encoded.ids), longest or len(encoded.ids))
    starts = [0, *encoded.ends]
    return ScoreRequest(
        np.array(encoded.ids[:length], np.int32),
        (np.arange(max(1, length - scored), length, dtype=np.intp),),
        texts=tuple(text[starts[at] : starts[at + 1]] for at in range(length)),
    )


def beginning(request: ScoreRequest, length: int) -> ScoreRequest:
    """The first tokens of a request, of which none is scored."""
    return ScoreRequest(request.ids[:length], (), texts=request.texts[:length])


def followed_by(request: ScoreRequest, token: int, text: str) -> ScoreRequest:
    """A request with one token more, which alone is scored."""
    ids = np.append(request.ids, np.int32(token))
    return ScoreRequest(ids, (np.array([len(ids) - 1], np.intp),), texts=(*request.texts, text))


async def score_once(scorer: Scorer, request: ScoreRequest) -> LogProbs:
    """The log-probabilities of a request's one span. Raises ScorerError."""
    (score,) = [score async for score in scorer.score(request)]
    return score.logprobs
