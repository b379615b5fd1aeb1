"""One model with several memories: learners fitted on all rows, the newer half, the newest quarter, ..., mixed.

No one training window suits every stream: on some a model of all history beats one of recent rows by as much as it
loses on others (`docs/policy.md`). So a ladder of windows of halving length is fitted side by side, each with every
learner (a plain and a detailed one, say: neither suits every stream), and mixed by how well each predicted the newest
rows when it had not seen them: stacking (Wolpert, Neural Networks 1992) with non-negative weights (Breiman, Machine
Learning 1996), pulled towards weights in proportion to the rows of each rung. Klinkenberg (Intelligent Data Analysis
2004) selects one such window; mixing was better on each stream we measured.

Rows must come in time order.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone

Floats = NDArray[np.float64]

MOST_RUNGS = 5  # the shortest memory is a sixteenth of the rows
HELD_OUT = (200, 600)  # at least and at most so many of the newest rows set the weights; a tenth in between
PULL = 0.2  # of the weights towards the prior, in units of the variance of what was predicted
SUM_TO_ONE = 100.0  # the same unit: how firmly


def ladder(rows: int, fewest_rows: int, most: int = MOST_RUNGS) -> list[int]:
    """Lengths of the memories: all rows, then halves of halves, none below ``fewest_rows``.

    >>> ladder(5000, 1000), ladder(300, 1000)
    ([5000, 2500, 1250], [300])
    """
    lengths = [rows // 2**rung for rung in range(most)]
    return [length for rung, length in enumerate(lengths) if rung == 0 or length >= fewest_rows]


def weights(said: Floats, truth: Floats, prior: Floats) -> Floats:
    """Non-negative weights, summing to 1, shape (members,), that mix ``said`` (members, n) nearest to ``truth`` (n,).

    Least squares with a ridge towards ``prior``: few or noisy rows leave the prior as it is.
    """
    count, size = said.shape
    unit = float(said.std()) * np.sqrt(size) or 1.0
    rows = [
        said.T,
        np.full((1, count), unit * np.sqrt(SUM_TO_ONE)),
        np.eye(count) * unit * np.sqrt(PULL),
    ]
    goal = [truth, [unit * np.sqrt(SUM_TO_ONE)], prior * unit * np.sqrt(PULL)]
    found, _ = nnls(np.vstack(rows), np.concatenate(goal))
    return np.asarray(found / found.sum() if found.sum() > 0 else prior, dtype=np.float64)


def _fitted(base: Any, rows: Floats, labels: NDArray[Any]) -> Any:
    """A copy of the learner, fitted. A column without any value cannot be binned; one that is constant is ignored."""
    return clone(base).fit(np.where(np.isnan(rows).all(axis=0), 0.0, rows), labels)


class _Memories(BaseEstimator):  # type: ignore[misc]
    """Each of ``bases`` fitted with each memory of the `ladder`, mixed by `weights`.

    A base is a learner and where the columns end that it is told of, None for all.
    """

    def __init__(
        self, bases: list[tuple[Any, int | None]], fewest_rows: int = 900, most_rungs: int = MOST_RUNGS
    ) -> None:
        self.bases = bases
        self.fewest_rows = fewest_rows
        self.most_rungs = most_rungs

    def _learn(self, features: Any, labels: NDArray[Any]) -> Self:
        rows = np.asarray(features, dtype=np.float64)
        lengths = [n for n in ladder(len(rows), self.fewest_rows, self.most_rungs) if self._is_whole(labels[-n:])]
        kinds = [(n, base) for n in lengths for base in self.bases]
        mixture = np.array([n for n, _ in kinds]) / sum(n for n, _ in kinds)
        before = len(rows) - int(np.clip(len(rows) // 10, *HELD_OUT))
        pasts = [slice(before - before * n // len(rows), before) for n, _ in kinds]
        enough = before >= len(rows) / 2  # to learn from; else the mixture stays what it is
        if len(kinds) > 1 and enough and all(self._is_whole(labels[past]) for past in pasts):
            said = np.stack(
                [
                    self._outcome(_fitted(base, rows[past, :end], labels[past]), rows[before:, :end]).ravel()
                    for past, (_, (base, end)) in zip(pasts, kinds, strict=True)
                ]
            )
            mixture = weights(said, self._target(labels[before:]).ravel(), mixture)
        counting = [(weight, n, base) for weight, (n, base) in zip(mixture, kinds, strict=True) if weight > 0]
        self.weights_ = np.array([weight for weight, _, _ in counting])
        self.members_ = [_fitted(base, rows[-n:, :end], labels[-n:]) for _, n, (base, end) in counting]
        self.ends_ = [end for _, _, (_, end) in counting]
        self.n_features_in_ = rows.shape[1]
        return self

    def _mixed(self, features: Any) -> Floats:
        rows = np.asarray(features, dtype=np.float64)
        ends = getattr(self, "ends_", [None] * len(self.members_))  # a model saved by an earlier release has none
        said = (self._outcome(member, rows[:, :end]) for member, end in zip(self.members_, ends, strict=True))
        mixed = [weight * outcome for weight, outcome in zip(self.weights_, said, strict=True)]
        return np.asarray(np.sum(mixed, axis=0), dtype=np.float64)


class MemoriesClassifier(ClassifierMixin, _Memories):  # type: ignore[misc]
    """Probabilities are mixed; the class with the highest is the answer."""

    def fit(self, features: Any, labels: Any) -> Self:
        self.classes_ = np.unique(np.asarray(labels))
        return self._learn(features, np.asarray(labels))

    def predict_proba(self, features: Any) -> Floats:
        """Shape (rows, classes), in the order of ``classes_``."""
        return self._mixed(features)

    def predict(self, features: Any) -> NDArray[Any]:
        return np.asarray(self.classes_[self._mixed(features).argmax(axis=1)])

    def _outcome(self, member: Any, rows: Floats) -> Floats:
        return np.asarray(member.predict_proba(rows))

    def _target(self, labels: NDArray[Any]) -> Floats:
        return (labels[:, None] == self.classes_[None, :]).astype(np.float64)

    def _is_whole(self, part: NDArray[Any]) -> bool:
        """A member must know every class, or its probabilities could not be mixed with the others'."""
        return len(np.unique(part)) == len(self.classes_)


class MemoriesRegressor(RegressorMixin, _Memories):  # type: ignore[misc]
    """Predicted numbers are mixed."""

    def fit(self, features: Any, labels: Any) -> Self:
        return self._learn(features, np.asarray(labels, dtype=np.float64))

    def predict(self, features: Any) -> Floats:
        return self._mixed(features)

    def _outcome(self, member: Any, rows: Floats) -> Floats:
        return np.asarray(member.predict(rows))

    def _target(self, labels: NDArray[Any]) -> Floats:
        return labels

    def _is_whole(self, part: NDArray[Any]) -> bool:
        return True
