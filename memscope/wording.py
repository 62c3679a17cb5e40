"""Amounts, durations and activities in words, for the screen and the command line alike."""

import math

from memscope.activity import ActivitySnapshot, ActivityState
from memscope.text import one_line


def amount(value: float, unit: str = "") -> str:
    """How much of something: `43,500`, or with the unit `bytes` `34.2 MB`."""
    if unit != "bytes":
        return f"{value:,.0f}"
    for power, name in ((9, "GB"), (6, "MB"), (3, "kB")):
        if value >= 10**power:
            return f"{value / 10**power:.1f} {name}"
    return f"{value:.0f} B"


def duration(seconds: float) -> str:
    """`12 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


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
