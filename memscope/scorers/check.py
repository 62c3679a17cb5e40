"""Tries a scorer and says what it can do: what `memscope check` prints."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np

from memscope.errors import ModelError, ScorerError
from memscope.scorers.base import Scorer, ScoreRequest
from memscope.scorers.probe import PROBE, chat_request, score_once
from memscope.scorers.servers.products import recognise
from memscope.scorers.servers.score_protocol import MessagesTokenizer
from memscope.scorers.servers.scorer import ServerScorer
from memscope.scorers.servers.tokenizer import ServerTokenizer
from memscope.scorers.tokenizer import FolderTokenizer

_LENGTH = 512
"""Tokens of the prompt that is timed."""
_SCORED = 64
_SENTENCE = "Nora lives in Bergen and keeps a small boat there. She sails when the wind is from the west. "
_ORIGINS: dict[type, str] = {
    FolderTokenizer: "from the model's folder",
    ServerTokenizer: "the server's own",
    MessagesTokenizer: "none: the server takes messages",
}
_ROUNDS = 2
_NOISE_SAMPLES = 3
Finding = tuple[str, str]
"""What was looked at, and what was found, in words."""


async def check(scorer: Scorer) -> AsyncIterator[Finding]:
    """Look at an open scorer, one finding after the other as they are made. Raises ModelError if it fails."""
    try:
        if isinstance(scorer, ServerScorer):
            async for finding in _server(scorer):
                yield finding
        else:
            yield "scorer", f"{scorer.name}, on this machine"
        yield "model", scorer.model
        yield "context length", f"{scorer.context_length:,} tokens"
        yield "tokenizer", _tokenizer(scorer)
        yield "log-probabilities", await _log_probabilities(scorer)
        yield "prefix reuse", await _reuse(scorer)
        yield "noise floor", await _noise(scorer)
        yield "speed", await _speed(scorer)
        for note in scorer.notes:
            yield "note", note
    except ScorerError as error:
        raise ModelError(f"{scorer.model} ({scorer.name}) failed while it was checked: {error}.") from error


async def _server(scorer: ServerScorer) -> AsyncIterator[Finding]:
    product = await recognise(scorer.client)
    name = product.name if product else "a server that does not say what it is"
    yield "server", " ".join(filter(None, [name, await scorer.version(), "at", scorer.client.base]))
    together = f"up to {scorer.together} in a request"
    yield "scorer", f"{scorer.name}, {scorer.concurrency} prompts at once, {together}"
    sent = "not taken" if scorer.priority is None else f"{scorer.priority}, so that other work goes first"
    yield "priority", sent
    if scorer.served.root:
        yield "loaded from", scorer.served.root


def _tokenizer(scorer: Scorer) -> str:
    """Where it comes from, and what its chat template takes."""
    origin = _ORIGINS.get(type(scorer.tokenizer), "another one")
    calls = "renders" if scorer.tokenizer.takes_tool_calls else "does not render"
    return f"{origin}; the chat template {calls} tool calls"


async def _log_probabilities(scorer: Scorer) -> str:
    """Whether a prompt's come back for the tokens sent, and whether one agrees with what is generated."""
    probe = chat_request(scorer.tokenizer, PROBE)
    scored = await score_once(scorer, probe)
    if not scorer.per_token:
        return f"the total of a response only: {scored[0]:.4f} nats"
    what = f"of {len(scored)} tokens"
    guessed = await scorer.guessed(probe) if isinstance(scorer, ServerScorer) else None
    if guessed is None:
        return f"right: {what}, length and ids as sent"
    prompt, logprob = guessed
    again = await score_once(scorer, prompt)
    return (
        f"right: {what}, length and ids as sent; a generated token had {logprob:.4f} nats and as a"
        f" prompt's {again[-1]:.4f}"
    )


async def _reuse(scorer: Scorer) -> str:
    """How much of a prompt is not computed again when another one shares its beginning."""
    first = _long(scorer)
    shared = len(first.ids) - _SCORED - 1
    await score_once(scorer, replace(first, keep=True))
    before = scorer.tokens_computed
    began = time.monotonic()
    order = [*range(shared), *np.roll(np.arange(shared, len(first.ids)), 1).tolist()]
    texts = tuple(first.texts[at] for at in order)
    await score_once(scorer, replace(first, ids=first.ids[order], texts=texts, shared=shared))
    computed, seconds = scorer.tokens_computed - before, time.monotonic() - began
    reused = len(first.ids) - computed
    told = f"yes: {reused} of" if reused else "no: none of"
    return f"{told} {len(first.ids)} tokens, {seconds:.2f} s"


async def _noise(scorer: Scorer) -> str:
    """How far the same prompt's total differs, scored as often as run at once."""
    if scorer.exact:
        return f"{scorer.noise_floor:g} nats: equal requests give equal numbers"
    probe, times = _long(scorer), max(_NOISE_SAMPLES, scorer.concurrency)
    scored = await asyncio.gather(*(score_once(scorer, probe) for _ in range(times)))
    totals = [float(one.sum(dtype=np.float64)) for one in scored]
    spread = max(totals) - min(totals)
    return f"{spread:.2g} nats over {_SCORED} tokens, {len(scored)} times the same prompt"


async def _speed(scorer: Scorer) -> str:
    """Requests and tokens a second, one after another and as many at once as is the default."""
    figures = []
    for at_once in sorted({1, scorer.concurrency}):
        requests = [_long(scorer, salt) for salt in range(_ROUNDS * at_once)]
        began = time.monotonic()
        limit = asyncio.Semaphore(at_once)

        async def one(request: ScoreRequest, limit: asyncio.Semaphore = limit) -> None:
            async with limit:
                await score_once(scorer, request)

        await asyncio.gather(*map(one, requests))
        seconds = time.monotonic() - began
        tokens = sum(len(request.ids) for request in requests)
        rates = f"{len(requests) / seconds:.2f} requests/s, {tokens / seconds:,.0f} tokens/s"
        figures.append(f"{rates} with {at_once} at once")
    return "; ".join(figures) + f" ({_LENGTH} tokens each)"


def _long(scorer: Scorer, salt: int = 0) -> ScoreRequest:
    """A prompt of `_LENGTH` tokens, another one for each `salt`, whose last tokens are scored."""
    question = {"role": "user", "content": f"{salt} times the same story, please."}
    told = {"role": "assistant", "content": (_SENTENCE * (_LENGTH // 8)).strip()}
    longest = min(_LENGTH, scorer.context_length)
    return chat_request(scorer.tokenizer, [question, told], scored=_SCORED, longest=longest)
