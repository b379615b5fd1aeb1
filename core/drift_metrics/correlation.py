"""Correlation: how far a feature has stopped, or begun, to move together with another."""

import numpy as np

from core.drift_metrics.base import ANY, Floats, Links, Metric, Pair, normal_limit, normal_tail


def _links(pair: Pair) -> Links:
    """With the partner of each feature; of no use where the rows were not looked at together."""
    none = np.zeros(len(pair.time))
    return pair.links or Links(none, none + 1.0, none + np.inf, none + 1.0, none.astype(np.int64))


def value(pair: Pair) -> Floats:
    """``|atanh r' - atanh r|`` with the partner for which that is least likely by chance, 0 or more.

    Fisher, *On the probable error of a coefficient of correlation*, Metron 1921; as an effect size it is Cohen's q
    (*Statistical power analysis*, 1988, chapter 4: 0.1 small, 0.3 medium, 0.5 large). ``r`` are correlations of rank
    scores (`core.comovement`).
    """
    return _links(pair).change


def tail(found: Floats, pair: Pair) -> Floats:
    """Two-sided p-value, times the number of partners the feature was compared with (Bonferroni)."""
    links = _links(pair)
    return np.minimum(2.0 * links.partners * normal_tail(found / links.error, _with(pair, links)), 1.0)


def limit(level: Floats, pair: Pair) -> Floats:
    links = _links(pair)
    return np.asarray(normal_limit(level / 2.0 / np.maximum(links.partners, 1.0), _with(pair, links)) * links.error)


def floor(share: float) -> float:
    """Cohen's small q for the default smallest shift: 0.1 for 4 % of the rows."""
    return 2.5 * share


def _with(pair: Pair, links: Links) -> Pair:
    return pair.known(links.freedom)


METRIC = Metric("correlation", ANY, "location", value, tail, limit, floor)
