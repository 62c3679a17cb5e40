"""The sessions of all agents on this machine, found without reading their files whole."""

from memscope.conversation.library.library import COUNTABLE, Library, open_library
from memscope.conversation.library.listed import Listed
from memscope.conversation.library.places import Place, places
from memscope.conversation.library.preview import Preview

__all__ = ["COUNTABLE", "Library", "Listed", "Place", "Preview", "open_library", "places"]
