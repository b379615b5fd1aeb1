"""Gradient boosting on binned features, with several memories."""

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import TargetEncoder

from core import recent
from core.estimators.against_recent import AgainstRecent
from core.estimators.columns import against_recent, of_kind
from core.estimators.memories import MemoriesClassifier, MemoriesRegressor
from core.estimators.time_parts import TimeParts
from core.records import Kind, Schema, Task

TARGETS = {
    Task.BINARY: "binary",
    Task.MULTICLASS: "multiclass",
    Task.REGRESSION: "continuous",
}


def build(schema: Schema, seed: int) -> Pipeline:
    """Boosted trees, plain and detailed, for each memory.

    The plain ones alone are told what is usual of late: where that means nothing, it is noise that detailed trees would
    learn (0.4 point worse on a stream of independent rows), and where it means much, plain trees see it.

    A missing number takes the branch learned for it; an unseen category is average.

    Friedman, Greedy function approximation: a gradient boosting machine, Annals of Statistics 2001; binned as in
    Ke et al., LightGBM, NeurIPS 2017. No early stopping: its random hold-out would peek across time. Memories and
    their mixture: `core.estimators.memories`.
    """
    memories, leaves = (MemoriesClassifier, (6, 20)) if schema.task.is_classification else (MemoriesRegressor, (8, 31))
    plain, detailed = (_trees(schema, seed, most) for most in leaves)
    own = -len(recent.names(schema)) or None
    return _pipeline(schema, seed, memories([(plain, None), (detailed, own)]))


def yardstick(schema: Schema, seed: int) -> Pipeline:
    """Such trees with one memory: what a fresh model of this kind would do, for a part of the cost."""
    memories, leaves = (MemoriesClassifier, 15) if schema.task.is_classification else (MemoriesRegressor, 31)
    return _pipeline(schema, seed, memories([(_trees(schema, seed, leaves), None)], most_rungs=1))


def _trees(schema: Schema, seed: int, leaves: int) -> HistGradientBoostingClassifier | HistGradientBoostingRegressor:
    """Classes are noisier than numbers, and a rule that changes is followed better by a plain one: fewer trees."""
    if schema.task.is_classification:
        return HistGradientBoostingClassifier(
            max_iter=50, max_leaf_nodes=leaves, early_stopping=False, random_state=seed
        )
    return HistGradientBoostingRegressor(max_iter=100, max_leaf_nodes=leaves, early_stopping=False, random_state=seed)


def _pipeline(schema: Schema, seed: int, model: Any) -> Pipeline:
    """The columns as numbers, then the model.

    A category becomes its mean label, fitted across folds (Micci-Barreca, SIGKDD Explorations 2001): ordered that way,
    one cut finds the best split of two groups (Fisher, JASA 1958). The trees' own handling of categories cannot be
    saved without trusting `functools.partial`.
    """
    encoder = TargetEncoder(target_type=TARGETS[schema.task], cv=KFold(5, shuffle=True, random_state=seed))
    columns = ColumnTransformer(
        [
            ("categories", encoder, of_kind(schema, Kind.CATEGORICAL)),
            ("numbers", "passthrough", of_kind(schema, Kind.NUMERIC, Kind.BOOLEAN)),
            ("times", TimeParts(), of_kind(schema, Kind.TIMESTAMP)),
            ("recent", AgainstRecent(), against_recent(schema)),  # the last ones: see `build`
        ],
        verbose_feature_names_out=False,
    )
    return Pipeline([("columns", columns), ("model", model)])
