"""The live world that a turn of the loop looks at: rows, labels and models in the store, fits in a worker process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from core import drift, estimators, prediction, recent, training
from core.context import Context
from core.errors import NotFound
from core.records import Project, Schema
from core.store import labels, models, predictions, rows
from core.turn import Answers, Span


@dataclass
class StoreWorld:
    """`turn.World` over the database, as it is now. Made for one cycle; it keeps the references it
    has read and the profiles it has counted."""

    ctx: Context
    project: Project
    now: datetime
    progress: Callable[[str], None]
    hand: training.Worker
    _references: dict[int, drift.Reference] = field(default_factory=dict)
    _profiles: dict[tuple[int, int, int], drift.Profile] = field(default_factory=dict)

    @property
    def schema(self) -> Schema:
        return self.project.schema

    def rows_count(self) -> int:
        with self.ctx.database.read() as con:
            return rows.count(con, self.project.id)

    def rows(self, first: int, last: int) -> pd.DataFrame:
        with self.ctx.database.read() as con:
            return rows.span(con, self.project.id, self.schema, first, last)

    def _inputs(self, first: int, last: int) -> pd.DataFrame:
        """The rows as a model is told of them."""
        before = max(0, first - recent.ROWS)
        rows = self.rows(before, last)
        return recent.with_recent(rows.loc[first:], self.schema, rows.loc[: first - 1])

    def labels(self, first: int, last: int) -> "pd.Series[Any]":
        """Labels that have arrived, as text or float; missing where they have not."""
        with self.ctx.database.read() as con:
            found = labels.span(con, self.project.id, first, last)
        return found if self.schema.task.is_classification else found.astype(float)

    def answers(self, first: int, last: int) -> Answers:
        """What was answered when the rows were served; missing where nothing was."""
        with self.ctx.database.read() as con:
            found = predictions.span(con, self.project.id, first, last).set_index("position")
        said = found["answer"].astype(object).reindex(range(first, last))
        if not self.schema.task.is_classification:
            return Answers(said.to_numpy(dtype=float))
        probabilities = np.full((last - first, len(self.schema.classes)), np.nan)
        for position, values in found["probabilities"].items():
            probabilities[int(position) - first] = values  # type: ignore[call-overload]
        return Answers(said.where(said.notna(), None).to_numpy(dtype=object), probabilities)

    def predict(self, version: int, first: int, last: int) -> Answers:
        """What this version says of the rows now; nothing of it is kept."""
        model = prediction.version(self.ctx, self.project, version)
        pipeline = self.ctx.models.get(model, self.ctx.settings.data_dir)
        return Answers(*estimators.answers(pipeline, self._inputs(first, last), self.schema))

    def fit(self, spans: Sequence[Span], *, estimator: str, seed: int) -> int:
        """Train a new version on the labelled rows of these spans, and register it."""
        features, answers = self._labelled(spans)
        with self.ctx.database.read() as con:
            version = models.newest_version(con, self.project.id) + 1
        model, reference = training.fit(
            self.ctx, self.hand, self.project, features, answers, version=version, first=spans[0][0],
            last=spans[-1][1], estimator=estimator, seed=seed, now=self.now, progress=self.progress,
        )  # fmt: skip
        with self.ctx.database.write() as con:
            models.insert(con, model, reference)
        return model.version

    def yardstick(self, spans: Sequence[Span], first: int, last: int, *, estimator: str, seed: int) -> Answers:
        """What a light model, trained on the labelled rows of these spans, says of the rows of another."""
        self.progress("measuring the champion against a fresh model")
        return Answers(
            training.yardstick(
                self.ctx, self.hand, self.project, *self._labelled(spans), self._inputs(first, last), estimator=estimator,
                seed=seed,
            )
        )  # fmt: skip

    def _labelled(self, spans: Sequence[Span]) -> "tuple[pd.DataFrame, pd.Series[Any]]":
        """What a model is told of the rows of these spans whose labels are there, in order, and the labels."""
        features = pd.concat([self._inputs(*span) for span in spans], ignore_index=True)
        answers = pd.concat([self.labels(*span) for span in spans], ignore_index=True)
        known = answers.notna()
        return features[known], answers[known]

    def reference(self, version: int) -> drift.Reference:
        if version not in self._references:
            with self.ctx.database.read() as con:
                kept = models.reference(con, self.project.id, version)
            if kept is None:
                raise NotFound(f"Version {version} of {self.project.name!r} has no drift reference")
            self._references[version] = drift.Reference.from_bytes(kept)
        return self._references[version]

    def profile(self, version: int, first: int, last: int) -> drift.Profile:
        """With what was answered, and the labels that have arrived. Counted once, however often it is asked for."""
        if (version, first, last) not in self._profiles:
            frame = drift.with_answers(
                self.rows(first, last), self.schema, label=self.labels(first, last).to_numpy(),
                prediction=self.answers(first, last).labels,
            )  # fmt: skip
            self._profiles[version, first, last] = drift.profile(self.reference(version), frame)
        return self._profiles[version, first, last]
