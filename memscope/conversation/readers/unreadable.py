"""What to tell of a file that is no conversation."""

_COMPRESSED = "it is compressed ({}); unpack it and give what is inside"
_UTF16 = "it is UTF-16 text; save it as UTF-8"
_OTHER = "it is {}; give a file with a conversation"
_BEGINNINGS = {
    b"\x1f\x8b": _COMPRESSED.format("gzip"),
    b"BZh": _COMPRESSED.format("bzip2"),
    b"\xfd7zXZ\0": _COMPRESSED.format("xz"),
    b"\x28\xb5\x2f\xfd": _COMPRESSED.format("zstd"),
    b"PK\x03\x04": _COMPRESSED.format("zip"),
    b"\xff\xfe": _UTF16,
    b"\xfe\xff": _UTF16,
    b"\x89PNG": _OTHER.format("a picture"),
    b"\xff\xd8\xff": _OTHER.format("a picture"),
    b"GIF8": _OTHER.format("a picture"),
    b"%PDF-": _OTHER.format("a PDF document"),
    b"SQLite format 3\0": _OTHER.format("an SQLite database"),
    b"\x7fELF": _OTHER.format("a program"),
}
HEAD = max(map(len, _BEGINNINGS))
"""How many bytes of a file tell what it is."""


def told_by(head: bytes) -> str | None:
    """What a file that begins so is and what to do, if it is of a kind that is no JSON."""
    return next((told for beginning, told in _BEGINNINGS.items() if head.startswith(beginning)), None)
