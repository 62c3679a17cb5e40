"""An independent computation of a conversation's matrix, to hold memscope's against.

transformers and torch, one full forward for the baseline and for each ablation, no reuse, and tokens from the
model's own chat template and tokenizer applied to whole conversations. Nothing of memscope is imported.

    pip install -r benchmarks/requirements.txt
    memscope model pull
    python benchmarks/reference.py memscope/demo/trip-planner.jsonl --model FOLDER \\
        --to tests/fixtures/demo_reference.npz

FOLDER is what `memscope model pull` prints. The file holds, for each response's entry index E, its token
ids as `baseline/E`, their log-probabilities in nats as `logprobs/E`, and those without memory M (by first
place) as `without/M/E`; `sha256` is the conversation's.

It takes the native log with whole-entry memories that fit the model's context; tool calls are appended to a
response's text in memscope's form.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def content_of(message: dict[str, Any]) -> str:
    calls = []
    for call in message.get("tool_calls") or []:
        function = call["function"]
        name = json.dumps(function["name"], ensure_ascii=False)
        calls.append(f'<tool_call>\n{{"name": {name}, "arguments": {function["arguments"]}}}\n</tool_call>')
    return "\n".join(filter(None, [message.get("content") or "", *calls]))


def spoken_range(content: str) -> tuple[int, int]:
    """A response's characters after its thinking."""
    start = content.rfind("</think>")
    start = 0 if start < 0 else start + len("</think>")
    while 0 < start < len(content) and content[start].isspace():
        start += 1
    return start, len(content)


class Reference:
    def __init__(self, folder: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def render(self, messages: list[dict[str, str]], prompt: bool = False) -> str:
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)

    @torch.inference_mode()
    def score(self, messages: list[tuple[int, dict[str, str]]]) -> dict[int, tuple[list[int], np.ndarray]]:
        """Token ids and log-probabilities of each response, by entry index."""
        plain = [message for _, message in messages]
        text = self.render(plain)
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids = torch.tensor([encoded["input_ids"]])
        logprobs = torch.log_softmax(self.model(ids).logits[0].double(), dim=-1)
        scores = {}
        for at, (entry, message) in enumerate(messages):
            if message["role"] != "assistant":
                continue
            opening = len(self.render(plain[:at], prompt=True))
            assert text[opening:].startswith(message["content"]), (
                f"entry {entry} was rewritten by the template"
            )
            start, end = (opening + offset for offset in spoken_range(message["content"]))
            positions = [
                t
                for t, (a, b) in enumerate(encoded["offset_mapping"])
                if start <= a and b <= end and t > 0 and b > a
            ]
            chosen = [encoded["input_ids"][t] for t in positions]
            scores[entry] = (
                chosen,
                np.array([logprobs[t - 1, encoded["input_ids"][t]].item() for t in positions]),
            )
        return scores


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("conversation", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    data = arguments.conversation.read_bytes()
    lines = [json.loads(line) for line in data.splitlines() if line.strip()]
    messages = [(i, {"role": line["role"], "content": content_of(line)}) for i, line in enumerate(lines)]
    keys = [line.get("memory_key") for line in lines]
    reference = Reference(arguments.model)
    arrays: dict[str, Any] = {"sha256": np.array(hashlib.sha256(data).hexdigest())}
    baseline = reference.score(messages)
    for entry, (ids, logprobs) in baseline.items():
        arrays[f"baseline/{entry}"] = np.array(ids, np.int32)
        arrays[f"logprobs/{entry}"] = logprobs.astype(np.float32)
    for number, key in enumerate(dict.fromkeys(key for key in keys if key)):
        without = reference.score([message for message in messages if keys[message[0]] != key])
        for entry, (ids, logprobs) in without.items():
            assert ids == baseline[entry][0]
            if entry > keys.index(key):
                arrays[f"without/{number}/{entry}"] = logprobs.astype(np.float32)
        print(f"{number + 1} {key}", file=sys.stderr)
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.to, **arrays)


if __name__ == "__main__":
    main()
