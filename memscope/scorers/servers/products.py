"""Which program a server is, told by what it says of itself, and what can be had from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from memscope.scorers.servers.client import ServerClient, ServerError


@dataclass(frozen=True)
class Product:
    """A server program; `kinds` of scorers that may work with it, none if it can't score prompts at all."""

    name: str
    kinds: tuple[str, ...] = ()


_OWNERS = {
    "vllm": Product("vLLM", ("vllm",)),
    "sglang": Product("SGLang", ("sglang",)),
    "llamacpp": Product("llama-server (llama.cpp)"),
    "library": Product("Ollama"),
    "organization_owner": Product("LM Studio"),
}
_ROUTES = (
    ("/get_model_info", "model_path", _OWNERS["sglang"]),
    ("/model_info", "model_path", _OWNERS["sglang"]),
    ("/props", "default_generation_settings", _OWNERS["llamacpp"]),
    ("/api/tags", "models", _OWNERS["library"]),
    ("/api/v0/models", "data", _OWNERS["organization_owner"]),
)
"""A route that only one program has, and a field of its answer."""


async def recognise(client: ServerClient) -> Product | None:
    """The program, or None if nothing tells. Raises ServerError if the server can't be reached or wants a
    key."""
    listed = await _read(client, "/v1/models")
    if isinstance(listed, dict) and isinstance(listed.get("data"), list):
        for model in listed["data"]:
            if isinstance(model, dict) and model.get("owned_by") in _OWNERS:
                return _OWNERS[model["owned_by"]]
    for route, field, product in _ROUTES:
        found = await _read(client, route)
        if isinstance(found, dict) and field in found:
            return product
    return None


def explain(label: str, product: Product | None, refusals: Mapping[str, str]) -> str:
    """Why a server can't score, by the reasons of the kinds of scorers that were tried, and what would do
    instead, in one sentence."""
    what = f"{label} is {product.name}, which" if product else label
    kinds: dict[str, list[str]] = {}
    for kind, reason in refusals.items():
        kinds.setdefault(reason, []).append(kind)
    said = "; ".join(f"{', '.join(of_reason)}: {reason}" for reason, of_reason in kinds.items())
    reasons = f" in any way known here ({said})" if said else ""
    return (
        f"{what} gives no log-probabilities of a prompt's tokens{reasons}; serve the model with vLLM or"
        " SGLang, or score on this machine with --scorer transformers or the embedded model."
    )


async def _read(client: ServerClient, path: str) -> Any:
    """The JSON at a path, None where there is none."""
    try:
        return msgspec.json.decode(await client.get(path))
    except ServerError as error:
        if error.status is None or error.status in (401, 403):
            raise
    except (msgspec.DecodeError, RecursionError):
        pass
    return None
