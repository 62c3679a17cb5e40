"""Conversations of a given size, made from the demo's words, with their memories in one of three layouts."""

import json
import random
import tempfile

from memscope.conversation.model import Conversation
from memscope.conversation.readers import read_conversation
from memscope.demo import demo_path
from memscope.scorers.base import ChatTokenizer

SEED = 20
TURNS = 10
MEMORY_TOKENS = 24
LAYOUTS = {"front": (0.0, 0.0), "spread": (0.0, 1.0), "late": (0.5, 1.0)}
"""Before which turns the memories stand, as shares of the conversation."""


def conversation(layout: str, memories: int, tokens: int, tokenizer: ChatTokenizer) -> Conversation:
    """`TURNS` turns, `memories` memories and about `tokens` tokens of the demo's words."""
    chance = random.Random(f"{SEED} {layout} {memories} {tokens}")
    demo = [json.loads(line) for line in demo_path().read_text("utf-8").splitlines()]
    sentences = [line["content"].removeprefix("Memory: ").split() for line in demo[1:]]
    chance.shuffle(sentences)
    words = [word for sentence in sentences for word in sentence]
    lengths = {word: len(tokenizer.encode(f" {word}").ids) for word in set(words)}
    at = 0

    def text(wanted: float) -> str:
        nonlocal at
        taken: list[str] = []
        while wanted > 0 or not taken:
            taken.append(words[at % len(words)])
            wanted -= lengths[taken[-1]]
            at += 1
        return " ".join(taken)

    def message(role: str, content: str, **more: str) -> dict[str, str]:
        return {"role": role, "content": content, **more}

    system = message("system", demo[0]["content"])
    head, framed = (
        len(tokenizer.encode(tokenizer.render(messages)).ids)
        for messages in ([system], [system, message("user", "")])
    )
    frame = framed - head
    of_turn = (tokens - head - memories * (MEMORY_TOKENS + frame)) / TURNS - 2 * frame
    if of_turn < 6:
        raise SystemExit(f"{memories} memories do not fit a conversation of {tokens} tokens")
    first, last = LAYOUTS[layout]
    start, stop = first * TURNS, last * TURNS
    before = [int(start + (stop - start) * number / memories) for number in range(memories)]
    lines = [system]
    for turn in range(TURNS):
        lines += [
            message("system", f"Memory: {text(MEMORY_TOKENS - 2)}", memory_key=f"memory/{number}")
            for number, place in enumerate(before)
            if place == turn
        ]
        lines += [message("user", text(of_turn / 3)), message("assistant", text(of_turn * 2 / 3))]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
        file.flush()
        return read_conversation(file.name)
