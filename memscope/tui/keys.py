"""The keys of memscope's screens and widgets, read from their bindings."""

from collections.abc import Iterator

from textual.binding import Binding
from textual.dom import DOMNode


def bindings_of(node: type[DOMNode]) -> Iterator[Binding]:
    """The bindings of a class and of memscope's classes that it inherits from, one for each key; its own
    come first."""
    for owner in node.__mro__:
        if owner.__module__.startswith("memscope."):
            yield from Binding.make_bindings(owner.__dict__.get("BINDINGS", ()))
