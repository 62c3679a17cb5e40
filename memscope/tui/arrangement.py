"""How a matrix may be shown: orders, filters, normalisations, zooms, and the settings that hold them."""

from dataclasses import dataclass
from enum import StrEnum

from memscope.scoring.matrix import Metric


class RowOrder(StrEnum):
    """How rows are ordered; a memory's first use is the first response that it matters to."""

    WEIGHT = "by weight"
    CONVERSATION = "in order"
    STRONGEST = "by strongest cell"
    FIRST_USE = "by first use"
    KEY = "by key"
    STATE = "by state"


class ColumnOrder(StrEnum):
    """How columns are ordered."""

    TIME = "in time"
    DEPENDENCE = "by dependence"


class RowFilter(StrEnum):
    """Which rows are shown: those with at least one such cell."""

    ALL = "all"
    ABOVE_NOISE = "above noise"
    NEGATIVE = "negative"
    UNSCORED = "unscored"


class Normalisation(StrEnum):
    """What a cell's colour and number say: nats, nats for each of the response's tokens, or the percentage of
    the sum of all sizes in the response's column."""

    NATS = "nats"
    PER_TOKEN = "nats a token"
    SHARE = "% of column"


class Zoom(StrEnum):
    """How wide a cell is: all responses in the window, one character, two, or a number."""

    OVERVIEW = "overview"
    FINE = "fine"
    NORMAL = "normal"
    NUMBERS = "numbers"


@dataclass(frozen=True)
class ViewSettings:
    """What a user would like to find again as it was."""

    metric: Metric = Metric.SIGNED
    row_order: RowOrder = RowOrder.WEIGHT
    column_order: ColumnOrder = ColumnOrder.TIME
    normalisation: Normalisation = Normalisation.NATS
    zoom: Zoom = Zoom.NORMAL
