"""Opens a file to be read, and only what can be read without waiting for somebody else."""

import os
import stat
from typing import BinaryIO


def open_file(path: str) -> BinaryIO:
    """An ordinary file, to be read: opening a pipe or a device may block for ever. Raises OSError."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(0, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(0, "it is not an ordinary file")
    return open(path, "rb")
