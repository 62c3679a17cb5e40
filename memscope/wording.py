"""Amounts, durations and activities in words, for the screen and the command line alike."""

import math
import re

from memscope.activity import ActivitySnapshot, ActivityState
from memscope.errors import InputError
from memscope.text import one_line


def amount(value: float, unit: str = "") -> str:
    """How much of something: `43,500`, or with the unit `bytes` `34.2 MB`."""
    if unit != "bytes":
        return f"{value:,.0f}"
    for power, name in ((9, "GB"), (6, "MB"), (3, "kB")):
        if value >= 10**power:
            return f"{value / 10**power:.1f} {name}"
    return f"{value:.0f} B"


def counted(number: int, what: str) -> str:
    """`1 run`, `2,000 runs`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """`12 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str, name: str) -> float:
    """The seconds that `3600`, `90s`, `30m`, `1.5h` or `7d` says. Raises InputError beginning with `name`."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd]?)", text.strip())
    if match is None:
        raise InputError(f"{name} is {text!r}; it must be an age such as 3600, 90s, 30m, 12h or 7d.")
    return float(match[1]) * _SECONDS[match[2]]


def age(seconds: float) -> str:
    """How long ago: `just now`, `5 min ago`, `3 h ago`, `2 d ago`; `in the future` where a clock is wrong."""
    if seconds < -60:
        return "in the future"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "just now"


def activity_line(activity: ActivitySnapshot) -> str:
    """An activity without its mark, on one printable line: how far, how long yet, how fast."""
    title = one_line(activity.title)
    if activity.state is ActivityState.FAILED:
        return f"{title}: {one_line(activity.error or 'failed')}"
    if activity.state is ActivityState.NOTICE:
        return title
    if activity.state is not ActivityState.RUNNING:
        return f"{title} ({'complete' if activity.state is ActivityState.COMPLETE else 'stopped'})"
    unit = activity.unit
    name = "" if unit in ("", "bytes") else f" {unit}"
    parts = []
    if activity.total:
        parts.append(f"{min(100.0, 100.0 * activity.done / activity.total):.0f}%")
    if activity.remaining is not None:
        parts.append(f"{duration(activity.remaining)} left")
    elif activity.total is None and activity.elapsed >= 1:
        parts.append(duration(activity.elapsed))
    if activity.speed is not None and unit:
        parts.append(f"{amount(activity.speed, unit)}{name}/s")
    if activity.total:
        parts.append(f"{amount(activity.done, unit)} of {amount(activity.total, unit)}{name}")
    elif activity.done:
        parts.append(f"{amount(activity.done, unit)}{name}")
    return " · ".join([title, *parts])
