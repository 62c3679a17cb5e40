"""Code in Markdown: what stands in it is quoted."""

import re
from bisect import bisect_left
from functools import cached_property

FENCE = r"^[ ]{0,3}(?P<fence>`{3,}+|~{3,}+)(?P<info>[^`\n]*+)$"
"""A line that begins or ends a block of code; for `re.MULTILINE`."""
TICKS = r"(?P<ticks>`++)"
"""What begins or ends code inside a line."""

_FENCE = re.compile(FENCE, re.MULTILINE)
_TICKS = re.compile(TICKS)


class Code:
    """Where the code in a text ends. Its closings are listed once, and only if they are needed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._unclosed: dict[str, int] = {}
        """From the kind of fence to the least length for which no closing one follows."""

    @cached_property
    def _fences(self) -> dict[str, list[tuple[int, int, int]]]:
        """By kind, where closing fences begin, where they end, and their lengths."""
        fences: dict[str, list[tuple[int, int, int]]] = {}
        for match in _FENCE.finditer(self._text):
            if not match["info"].strip():
                fences.setdefault(match["fence"][0], []).append(
                    (match.start(), match.end(), len(match["fence"]))
                )
        return fences

    @cached_property
    def _ticks(self) -> dict[int, list[int]]:
        """By length, where runs of backticks begin."""
        ticks: dict[int, list[int]] = {}
        for match in _TICKS.finditer(self._text):
            ticks.setdefault(len(match[0]), []).append(match.start())
        return ticks

    def end(self, opening: re.Match[str]) -> int:
        """Where the code ends that a `FENCE` or `TICKS` begins; its own end if that is never closed."""
        found = self._fence_end(opening) if opening["fence"] else self._ticks_end(opening)
        return opening.end() if found is None else found

    def _fence_end(self, opening: re.Match[str]) -> int | None:
        kind, length = opening["fence"][0], len(opening["fence"])
        if length >= self._unclosed.get(kind, length + 1):
            return None
        fences = self._fences.get(kind, [])
        for at in range(bisect_left(fences, (opening.end(), 0, 0)), len(fences)):
            if fences[at][2] >= length:
                return fences[at][1]
        self._unclosed[kind] = length
        return None

    def _ticks_end(self, opening: re.Match[str]) -> int | None:
        runs = self._ticks[len(opening["ticks"])]
        at = bisect_left(runs, opening.end())
        if at == len(runs):
            return None
        closed = self._text.find("\n", opening.end(), runs[at]) < 0
        return runs[at] + len(opening["ticks"]) if closed else None
