"""Conversations of fine-tuning sets in ShareGPT's form."""

import json

import pytest

from memscope.conversation.model import Entry, Role
from memscope.errors import InputError
from tests.conversation.messages import parse
from tests.conversation.properties import check_format

TURNS = [
    {"from": "system", "value": "You plan trips."},
    {"from": "human", "value": "Where do I start?"},
    {"from": "gpt", "value": "You start from Bergen."},
]
ENTRIES = (
    Entry(Role.SYSTEM, "You plan trips."),
    Entry(Role.USER, "Where do I start?"),
    Entry(Role.ASSISTANT, "You start from Bergen."),
)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"id": "1", "conversations": TURNS}),
        json.dumps([{"conversations": TURNS}], indent=2),
        "".join(json.dumps(turn) + "\n" for turn in TURNS),
    ],
)
def test_each_layout_reads_the_same(text: str) -> None:
    conversation = parse(text)
    assert conversation.entries == ENTRIES
    assert conversation.source.format == "sharegpt"


def test_an_unknown_speaker_is_named() -> None:
    with pytest.raises(InputError, match="field `from` is 'parrot'"):
        parse(json.dumps({"conversations": [{"from": "parrot", "value": "hi"}]}))


def test_it_holds_to_what_every_format_promises() -> None:
    check_format([json.dumps(turn).encode() for turn in TURNS])
