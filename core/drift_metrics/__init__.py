"""How drift is measured: one file a metric, one line here. All point one way: higher is more drift."""

from core.drift_metrics import (
    chi_square,
    correlation,
    frequency_shift,
    jensen_shannon,
    ks,
    mann_whitney,
    missing_rate,
    mood,
    psi,
    total_variation,
    wasserstein,
)
from core.drift_metrics.base import Metric, Pair

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        mann_whitney.METRIC,
        ks.METRIC,
        mood.METRIC,
        chi_square.METRIC,
        frequency_shift.METRIC,
        missing_rate.METRIC,
        correlation.METRIC,
        psi.METRIC,
        jensen_shannon.METRIC,
        wasserstein.METRIC,
        total_variation.METRIC,
    )
}

__all__ = ["METRICS", "Metric", "Pair"]
