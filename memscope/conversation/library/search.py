"""Looks for a text in files of any size, without reading one whole into memory."""

import re
from collections.abc import Iterable, Iterator
from threading import Event
from typing import BinaryIO

from memscope.conversation.library.listed import Listed
from memscope.conversation.readers import read_conversation
from memscope.conversation.readers.files import open_file
from memscope.errors import InputError

_PORTION = 1 << 20
_LONGEST = 400
"""Characters of the text looked for; so long a text is found or not by its beginning."""
_SHORT_ESCAPES = {'"': rb"\\\"", "\\": rb"\\\\", "/": rb"\\/", "\b": rb"\\b"}
_SPACE = rb"(?:[ \t\r\n]|\\[nrtf])++"


class Needle:
    """A text to be found in JSON or plain text, whatever the case, escapes and white space."""

    def __init__(self, text: str) -> None:
        words = " ".join(text.split())[:_LONGEST]
        self.empty = not words
        self._plain = words.casefold()
        self._pattern = re.compile(b"".join(map(_either, words)))
        # quick to look for, and in no file written otherwise
        self._sure = max(re.findall(r"[A-Za-z0-9]*", words), key=len).lower().encode()
        self._overlap = 18 * len(words) + 64

    def in_text(self, text: str) -> bool:
        """Whether it stands in a text."""
        return self._plain in " ".join(text.split()).casefold()

    def in_file(self, file: BinaryIO, stop: Event) -> bool:
        """Whether it stands in a file; no, if `stop` is set before it was found."""
        rest = b""
        while not stop.is_set() and (portion := file.read(_PORTION)):
            data = rest + portion
            if self._sure in data.lower() and self._pattern.search(data):
                return True
            rest = data[-self._overlap :]
        return False


def search(text: str, sessions: Iterable[Listed], stop: Event) -> Iterator[Listed]:
    """The sessions in whose title, folder, path or file a text stands, in their order, as they are found.
    What can't be read is passed over."""
    needle = Needle(text)
    for listed in sessions:
        if stop.is_set():
            return
        if needle.empty or _is_in(needle, listed, stop):
            yield listed


def _is_in(needle: Needle, listed: Listed, stop: Event) -> bool:
    if any(map(needle.in_text, (listed.title, listed.folder, listed.agent, listed.path))):
        return True
    try:
        if listed.branch:
            conversation = read_conversation(listed.path, listed.branch)
            return any(needle.in_text(entry.text) for entry in conversation.entries)
        with open_file(listed.path) as file:
            return needle.in_file(file, stop)
    except (InputError, OSError, ValueError):
        return False


def _either(character: str) -> bytes:
    """A pattern for a character in either case, as it is or as JSON writes it."""
    if character == " ":
        return _SPACE
    ways = []
    for one in dict.fromkeys((character, character.lower(), character.upper())):
        ways.append(re.escape(one.encode("utf-8", "replace")))
        if not (one.isascii() and one.isalnum()):
            ways.append(b"".join(map(_escaped, one)))
        if one in _SHORT_ESCAPES:
            ways.append(_SHORT_ESCAPES[one])
    return b"(?:" + b"|".join(ways) + b")"


def _escaped(character: str) -> bytes:
    """A pattern for a character's numbers in JSON, in either case."""
    units = character.encode("utf-16-be", "replace")
    numbers = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return b"".join(rb"\\u(?i:%s)" % number.encode() for number in numbers)
