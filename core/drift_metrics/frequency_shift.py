"""Frequency shift: whether rows move from common categories to rare ones, or back."""

from core.drift_metrics import mann_whitney
from core.drift_metrics.base import Floats, Metric, Pair
from core.records import Kind


def value(pair: Pair) -> Floats:
    """``|P(current is the rarer category) - P(current is the more common one)|``, 0 to 1: Mann-Whitney of those ranks.

    It has one degree of freedom where chi-square has as many as categories less one, and so sees the commonest change
    of a mix sooner; chi-square sees every other. A trend in an ordered table: Cochran, Biometrics 1954; Armitage,
    Biometrics 1955. Cells are in the order of their frequency in both windows together: given how often each category
    occurs in all, which rows are in which window is chance, so that this order favours neither window.
    """
    return mann_whitney.value(pair)


METRIC = Metric(
    "frequency_shift",
    frozenset({Kind.CATEGORICAL}),
    "location",
    value,
    mann_whitney.tail,
    mann_whitney.limit,
    mann_whitney.floor,
    bins=3,
)
