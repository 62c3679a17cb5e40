"""Opens a server: finds out which protocol it speaks, tries it out, and says plainly where none will do."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import httpx

from memscope.activity import Activities
from memscope.errors import ModelError
from memscope.scorers.base import ChatTokenizer
from memscope.scorers.hub import TOKENIZER_FILES, fetch_folder, find_folder
from memscope.scorers.probe import PROBE, chat_request, score_once
from memscope.scorers.servers.client import ServerClient, ServerError
from memscope.scorers.servers.echo import EchoScorer, echoes
from memscope.scorers.servers.products import explain, recognise
from memscope.scorers.servers.score_protocol import (
    MessagesScorer,
    MessagesTokenizer,
    ScoreProtocolScorer,
    listed_or,
)
from memscope.scorers.servers.scorer import Served, ServerScorer, served_model
from memscope.scorers.servers.sglang import SglangScorer, model_info, server_info
from memscope.scorers.servers.tokenizer import ServerTokenizer
from memscope.scorers.servers.vllm import VllmScorer
from memscope.scorers.tokenizer import FolderTokenizer
from memscope.settings import ScorerChoice

TOLERANCE = 0.5
"""Nats by which a token's log-probability in a prompt may differ from that as a continuation: servers differ
from themselves by up to 0.36 nats a token, an answer about other tokens differs by more."""
_UNKNOWN = 4096
"""A context length in tokens until another one is known."""
_SERIAL = 2.5
"""Where four prompts at once take so many times as long as one, the server works at them one by one."""
_FEW, _MANY = 4, 8
_YIELDING = 100
"""A priority that lets everything else go first: lower runs first, and others' is 0."""
S = TypeVar("S", bound=ServerScorer)


async def open_server(choice: ScorerChoice, url: str, activities: Activities) -> ServerScorer:
    """The scorer for the server at `url`, tried out: what it gives was checked against what it generates.

    Raises MemscopeError, which says what the server is and what would do instead.
    """
    client = ServerClient(url, api_key=choice.api_key, timeout=choice.timeout)
    try:
        with activities.track(f"asking {client.label}"):
            try:
                return await _open(client, choice)
            except ServerError as error:
                raise ModelError(f"{error}.") from error
    except BaseException:
        await client.aclose()
        raise


async def _open(client: ServerClient, choice: ScorerChoice) -> ServerScorer:
    product = await recognise(client)
    if choice.kind is not None:
        kinds: tuple[str, ...] = (choice.kind,)
    elif product is not None and not product.kinds:
        raise ModelError(explain(client.label, product, {}))
    else:
        kinds = product.kinds if product is not None else tuple(_OPENERS)
    refusals: dict[str, str] = {}
    for kind in kinds:
        try:
            scorer = await _OPENERS[kind](client, choice)
            await _settle_concurrency(scorer, choice)
            return scorer
        except ServerError as error:
            unreachable = error.status is None and not error.final
            if unreachable or error.status in (401, 403) or (product is not None and product.kinds):
                raise
            refusals[kind] = str(error).removeprefix(client.label).strip()
    raise ModelError(explain(client.label, product, refusals))


async def _open_vllm(client: ServerClient, choice: ScorerChoice) -> ServerScorer:
    served = await served_model(client, choice.model)
    tokenizer = await asyncio.to_thread(_vllm_tokenizer, client, served, choice.tokenizer)
    scorer = await _with_priority(VllmScorer(client, served, tokenizer, _UNKNOWN), _YIELDING)
    # with a prompt as long as the context there would be no room for the one token to generate
    scorer.context_length = choice.context or _told(client, served) - 1
    return scorer


async def _open_sglang(client: ServerClient, choice: ScorerChoice) -> ServerScorer:
    served = await served_model(client, choice.model)
    info = await model_info(client)
    if info is None:
        raise ServerError(f"{client.label} has no /model_info", status=404, final=True)
    name = choice.tokenizer or info.tokenizer_path or info.model_path or served.model
    tokenizer = await asyncio.to_thread(_folder_tokenizer, name)
    told = await server_info(client)
    scorer = SglangScorer(client, served, tokenizer, _UNKNOWN)
    scorer.served = await scorer.identify()
    if told.enable_priority_scheduling:
        scorer.priority = _YIELDING if told.schedule_low_priority_values_first else -_YIELDING
    await _try_out(scorer)
    scorer.context_length = choice.context or told.max_req_input_len or _told(client, served) - 1
    return scorer


async def _open_echo(client: ServerClient, choice: ScorerChoice) -> ServerScorer:
    served = await served_model(client, choice.model)
    await echoes(client, served.model)
    name = choice.tokenizer or _folder_of(served) or served.root or served.model
    tokenizer = await asyncio.to_thread(_folder_tokenizer, name)
    context, notes = _context(client, choice, served)
    scorer = EchoScorer(client, served, tokenizer, context, notes=notes)
    await scorer.find_form(chat_request(tokenizer, PROBE))
    if not scorer.takes_ids:
        scorer.notes.append(f"{client.label} takes no token ids: it tokenizes each prompt's text by itself.")
    await _try_out(scorer)
    return scorer


async def _open_score(client: ServerClient, choice: ScorerChoice) -> ServerScorer:
    served = await listed_or(client, choice.model)
    context, notes = _context(client, choice, served)
    notes.append("This scorer gives only the total of each response, not its tokens.")
    name = choice.tokenizer or _folder_of(served)
    refusal: ServerError | None = None
    if name is not None:
        tokenizer = await asyncio.to_thread(_folder_tokenizer, name)
        by_ids = ScoreProtocolScorer(client, served, tokenizer, context, notes=[*notes])
        try:
            return await _with_priority(by_ids, _YIELDING)
        except ServerError as error:
            if error.status in (401, 403):
                raise
            refusal = error
    notes.append("It takes messages, not tokens: counts of tokens are counts of words.")
    by_messages = MessagesScorer(client, served, MessagesTokenizer(), context, notes=notes)
    try:
        await _try_out(by_messages)
    except ServerError as error:
        if refusal is not None and refusal.status == httpx.codes.OK:
            raise refusal from error  # it takes ids, but its answers are wrong
        if choice.model is None and error.status is not None:
            raise ServerError(f"{error} (--model names the model)", status=error.status) from error
        raise
    return by_messages


_OPENERS: dict[str, Callable[[ServerClient, ScorerChoice], Awaitable[ServerScorer]]] = {
    VllmScorer.name: _open_vllm,
    SglangScorer.name: _open_sglang,
    EchoScorer.name: _open_echo,
    ScoreProtocolScorer.name: _open_score,
}


def _told(client: ServerClient, served: Served) -> int:
    """The context length that the server tells. Raises ServerError if it does not."""
    if served.context_length is None:
        raise ServerError(
            f"{client.label} does not tell its context length; give it with --context", final=True
        )
    return served.context_length


def _context(client: ServerClient, choice: ScorerChoice, served: Served) -> tuple[int, list[str]]:
    """The longest prompt, and a note if that had to be assumed."""
    known = choice.context or (served.context_length and served.context_length - 1)
    if known:
        return known, []
    told = f"{client.label} does not tell its context length"
    note = f"{told}: {_UNKNOWN:,} tokens are assumed; --context sets it."
    return _UNKNOWN, [note]


def _folder_of(served: Served) -> str | None:
    """The model's folder, if it is on this machine too."""
    folders = (find_folder(name) for name in (served.root, served.model) if name)
    return next((str(folder) for folder in folders if folder is not None), None)


def _folder_tokenizer(name: str) -> ChatTokenizer:
    """Raises ServerError if no tokenizer of that name can be had."""
    try:
        return FolderTokenizer(fetch_folder(name, TOKENIZER_FILES))
    except ModelError as error:
        reason = f"no tokenizer is known here (--tokenizer gives one): {str(error).rstrip('.')}"
        raise ServerError(reason, final=True) from error


def _vllm_tokenizer(client: ServerClient, served: Served, name: str | None) -> ChatTokenizer:
    """The one that was named; else the model's folder if it is here and agrees with the server; else the
    server's own, which knows the template that the operator may have given."""
    if name is not None:
        return _folder_tokenizer(name)
    own = ServerTokenizer(client, served.model)
    folder = _folder_of(served)
    if folder is not None:
        local = FolderTokenizer(Path(folder))
        text = own.render(PROBE)
        if local.render(PROBE) == text and local.encode(text).ids == own.encode(text).ids:
            return local
    return own


async def _with_priority(scorer: S, priority: int) -> S:
    """The scorer tried out, with the priority if the server takes one."""
    scorer.priority = priority
    try:
        await _try_out(scorer)
    except ServerError as error:
        if error.status not in (400, 422):
            raise
        scorer.priority = None
        await _try_out(scorer)
    return scorer


async def _try_out(scorer: ServerScorer) -> None:
    """Score the probe; hold what the server gives for the token that it would generate next as a prompt's
    against what it gave as the continuation's. Raises ServerError if they don't agree."""
    probe = chat_request(scorer.tokenizer, PROBE)
    scorer.signature = await score_once(scorer, probe)
    guessed = await scorer.guessed(probe)
    if guessed is not None:
        prompt, logprob = guessed
        again = await score_once(scorer, prompt)
        if abs(float(again[-1]) - logprob) > TOLERANCE:
            raise ServerError(
                f"{scorer.client.label} gives {again[-1]:.2f} nats for a token of a prompt and"
                f" {logprob:.2f} for the same one generated: its answers are about other tokens",
                final=True,
            )


async def _settle_concurrency(scorer: ServerScorer, choice: ScorerChoice) -> None:
    """As many prompts at once as was asked for, else by how much longer four take than one."""
    if choice.concurrency is not None:
        scorer.take(choice.concurrency)
        return
    probe = chat_request(scorer.tokenizer, PROBE)
    scorer.take(_FEW, together=1)
    took = []
    for count in (1, _FEW):
        began = time.monotonic()
        await asyncio.gather(*(score_once(scorer, probe) for _ in range(count)))
        took.append(time.monotonic() - began)
    scorer.take(_MANY if took[1] < _SERIAL * took[0] else _FEW)
