"""Kinds of model one can train. One file each, one line in `ESTIMATORS`.

An estimator is a function ``build(schema, seed)`` that gives an unfitted sklearn Pipeline: preprocessing inside, so
that the pipeline is the whole model. It takes a frame with the schema's feature columns in their canonical dtypes
(`core.records.Kind`), their recent medians beside them (`core.recent.with_recent`), in time order, and labels as text (classification) or float (regression). Every part can be
saved by skops with the types in `TRUSTED_TYPES`; nothing is pickled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from core.errors import InvalidInput
from core.estimators import hist_gradient_boosting, logistic
from core.records import Schema


@dataclass(frozen=True)
class Estimator:
    """A kind of model: what it is called, in words, and how to build one.

    ``yardstick`` builds a light one of the kind: fitted on the newest rows it tells what a fresh model would do, and
    never serves.
    """

    name: str
    label: str
    description: str
    build: Callable[[Schema, int], Pipeline]
    yardstick: Callable[[Schema, int], Pipeline]


ESTIMATORS: dict[str, Estimator] = {
    "hist_gradient_boosting": Estimator(
        "hist_gradient_boosting",
        "Gradient boosting",
        "Many small trees, each mending the errors of those before, with long and short memories mixed.",
        hist_gradient_boosting.build,
        hist_gradient_boosting.yardstick,
    ),
    "logistic": Estimator(
        "logistic",
        "Logistic regression",
        "A weighted sum of the features (ridge regression for numbers), with long and short memories mixed. Quick, plain, needs few rows.",
        logistic.build,
        logistic.yardstick,
    ),
}

AUTO = "hist_gradient_boosting"

TRUSTED_TYPES: tuple[str, ...] = (
    "core.estimators.against_recent.AgainstRecent",
    "core.estimators.memories.MemoriesClassifier",
    "core.estimators.memories.MemoriesRegressor",
    "core.estimators.time_parts.TimeParts",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.model_selection._split.KFold",
)


def resolve(name: str) -> str:
    """The estimator meant by a name; ``auto`` is gradient boosting. Raises InvalidInput.

    >>> resolve("auto"), resolve("logistic")
    ('hist_gradient_boosting', 'logistic')
    """
    found = AUTO if name == "auto" else name
    if found not in ESTIMATORS:
        raise InvalidInput(f"There is no estimator {name!r}. Choose one of: auto, {', '.join(ESTIMATORS)}")
    return found


def build(name: str, schema: Schema, seed: int) -> Pipeline:
    """An unfitted pipeline for the schema. Raises InvalidInput for an estimator that does not exist."""
    return ESTIMATORS[resolve(name)].build(schema, seed)


def yardstick(name: str, schema: Schema, seed: int) -> Pipeline:
    """An unfitted light pipeline of the same kind. Raises InvalidInput for an estimator that does not exist."""
    return ESTIMATORS[resolve(name)].yardstick(schema, seed)


def answers(pipeline: Any, features: pd.DataFrame, schema: Schema) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """What the pipeline says of conformed features: labels (object of text, or float), and probabilities or None.

    Probabilities have shape (rows, classes) in the order of ``schema.classes``; a class that was not in the training
    rows has 0.
    """
    if not schema.task.is_classification:
        return np.asarray(pipeline.predict(features), dtype=np.float64), None
    probabilities = np.zeros((len(features), len(schema.classes)))
    columns = [schema.classes.index(name) for name in pipeline.classes_]
    probabilities[:, columns] = pipeline.predict_proba(features)
    return np.asarray(schema.classes, dtype=object)[probabilities.argmax(axis=1)], probabilities
