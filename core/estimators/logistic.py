"""Logistic regression, and ridge regression where the label is a number."""

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from core.estimators.against_recent import AgainstRecent
from core.estimators.columns import against_recent, of_kind
from core.estimators.memories import MemoriesClassifier, MemoriesRegressor
from core.estimators.time_parts import TimeParts
from core.records import Kind, Schema

MOST_CATEGORIES = 50  # one weight each; rarer ones share one
FEWEST_ROWS = 300  # a memory of a linear model may be shorter than one of trees


def build(schema: Schema, seed: int) -> Pipeline:
    """A linear model with several memories (`core.estimators.memories`) on standardised numbers and one-hot categories.

    With an L2 penalty. A missing number counts as the median and sets a flag of its own; an unseen category counts as
    none of the known.
    """
    line = _line(schema, seed)
    memories = MemoriesClassifier if schema.task.is_classification else MemoriesRegressor
    return _pipeline(schema, memories([(line, None)], fewest_rows=FEWEST_ROWS))


def yardstick(schema: Schema, seed: int) -> Pipeline:
    """The same with one memory."""
    return _pipeline(schema, _line(schema, seed))


def _line(schema: Schema, seed: int) -> LogisticRegression | Ridge:
    return LogisticRegression(max_iter=1000, random_state=seed) if schema.task.is_classification else Ridge()


def _pipeline(schema: Schema, model: Any) -> Pipeline:
    numbers = Pipeline(
        [
            ("fill", SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)),
            ("scale", StandardScaler()),
        ]
    )
    against = Pipeline([("difference", AgainstRecent()), *numbers.steps])
    times = Pipeline([("parts", TimeParts()), *numbers.steps])
    categories = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES, sparse_output=False
    )
    columns = ColumnTransformer(
        [
            ("categories", categories, of_kind(schema, Kind.CATEGORICAL)),
            ("numbers", numbers, of_kind(schema, Kind.NUMERIC, Kind.BOOLEAN)),
            ("recent", against, against_recent(schema)),
            ("times", times, of_kind(schema, Kind.TIMESTAMP)),
        ],
        verbose_feature_names_out=False,
    )
    return Pipeline([("columns", columns), ("model", model)])
