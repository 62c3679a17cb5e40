"""How much memory is free."""

import os
import re
import sys
from pathlib import Path

_FALLBACK = 2 << 30
"""Bytes taken to be free where the system does not tell."""
_CGROUPS = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes that this process may still take, as far as the system tells: of the machine's memory, and of
    what the process's control groups leave it."""
    return max(0, min(_of_machine(), _of_groups(_CGROUPS, _group())))


def _of_machine() -> int:
    if sys.platform == "win32":
        return _of_windows()
    if found := re.search(r"^MemAvailable:\s*(\d+) kB", _read(Path("/proc/meminfo")), re.MULTILINE):
        return int(found[1]) * 1024
    try:  # macOS tells only what there is; half of it is about what the system can free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError):
        return _FALLBACK


def _of_windows() -> int:
    """The available physical memory that GlobalMemoryStatusEx gives."""
    import ctypes

    status = (ctypes.c_uint64 * 8)()  # two 32-bit fields, then 64-bit ones; the third field is what is free
    ctypes.memset(status, 0, ctypes.sizeof(status))
    status[0] = ctypes.sizeof(status)
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - mypy knows it on Windows only
    return int(status[2]) if kernel.GlobalMemoryStatusEx(ctypes.byref(status)) else _FALLBACK


def _group() -> str:
    """The path of this process's control group, of version 2 or of version 1's memory controller."""
    lines = [line.split(":", 2) for line in _read(Path("/proc/self/cgroup")).splitlines()]
    paths = {line[1]: line[2] for line in lines if len(line) == 3}
    return next((paths[name] for name in ("memory", "") if name in paths), "/")


def _of_groups(root: Path, group: str) -> int:
    """What the control group at `group` and those above it leave free, the page cache counted as free."""
    free = sys.maxsize
    for folder, limit, usage in (
        (root, "memory.max", "memory.current"),
        (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        at = folder / group.lstrip("/")
        for one in (at, *at.parents):
            if one == folder.parent:
                break
            most, used = _read(one / limit).strip(), _read(one / usage).strip()
            if most.isdigit() and used.isdigit():
                cached = re.search(
                    r"^(?:total_)?inactive_file (\d+)$", _read(one / "memory.stat"), re.MULTILINE
                )
                free = min(free, int(most) - int(used) + (int(cached[1]) if cached else 0))
    return free


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
