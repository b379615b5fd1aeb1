"""The loop over recorded history: the same judgement as the live app, over a frame.

Prequential (Gama, Sebastião & Rodrigues, Machine Learning 2013): each window is answered by the champion of the
moment before any of its labels may be used; its labels arrive ``label_delay`` windows after it was served. Only the
warm-up windows are history whose labels are known when the replay begins.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core import drift, estimators, turn
from core.policy import Decision, Evidence, Memory, Policy, decide
from core.records import Action, Comparison, Reason, Schema
from core.turn import Answers, Span


class History:
    """A `turn.World` over frames that are held in memory.

    ``usable`` is the turn at whose end each row's label may be looked at; ``now`` the turn that is being played.
    """

    def __init__(
        self, features: pd.DataFrame, labels: "pd.Series[Any]", schema: Schema, usable: NDArray[np.int64]
    ) -> None:
        self.schema = schema
        self.now = -1
        self.served = 0  # rows that have been answered
        self.fit_seconds = 0.0
        self._features = features.reset_index(drop=True)
        self._labels = labels.reset_index(drop=True)
        self._usable = usable
        self._models: list[Any] = []
        self._training: list[pd.DataFrame] = []
        self._references: dict[int, drift.Reference] = {}
        self._answers: NDArray[Any] = np.full(
            len(labels), None if schema.task.is_classification else np.nan, dtype=_dtype(schema)
        )
        self._probabilities = (
            np.full((len(labels), len(schema.classes)), np.nan) if schema.task.is_classification else None
        )

    def rows_count(self) -> int:
        return self.served

    def rows(self, first: int, last: int) -> pd.DataFrame:
        return self._features.iloc[first:last]

    def labels(self, first: int, last: int) -> "pd.Series[Any]":
        return self._labels.iloc[first:last].where(self._usable[first:last] <= self.now)

    def answers(self, first: int, last: int) -> Answers:
        probabilities = None if self._probabilities is None else self._probabilities[first:last]
        return Answers(self._answers[first:last], probabilities)

    def predict(self, version: int, first: int, last: int) -> Answers:
        model, rows = self._models[version - 1], self.rows(first, last)
        if not self.schema.task.is_classification:
            return Answers(model.predict(rows).astype(np.float64))
        probabilities = np.zeros((len(rows), len(self.schema.classes)))
        probabilities[:, [self.schema.classes.index(name) for name in model.classes_]] = model.predict_proba(rows)
        return Answers(np.asarray(self.schema.classes, dtype=object)[probabilities.argmax(1)], probabilities)

    def fit(self, spans: Sequence[Span], *, estimator: str, seed: int) -> int:
        began = time.perf_counter()
        rows = pd.concat([self.rows(*span) for span in spans])
        labels = pd.concat([self.labels(*span) for span in spans])
        known = labels.notna()
        model = estimators.build(estimator, self.schema, seed).fit(rows[known], labels[known])
        self._models.append(model)
        self._training.append(rows[known])
        self.fit_seconds += time.perf_counter() - began
        return len(self._models)

    def reference(self, version: int) -> drift.Reference:
        if version not in self._references:
            self._references[version] = drift.reference(self._training[version - 1], self.schema)
        return self._references[version]

    def profile(self, version: int, first: int, last: int) -> drift.Profile:
        return drift.profile(self.reference(version), self.rows(first, last))

    def serve(self, version: int | None, first: int, last: int) -> None:
        """Let this version answer the rows, as they arrive."""
        if version is not None:
            answers = self.predict(version, first, last)
            self._answers[first:last] = answers.labels
            if self._probabilities is not None and answers.probabilities is not None:
                self._probabilities[first:last] = answers.probabilities
        self.served = last


def _dtype(schema: Schema) -> type:
    return object if schema.task.is_classification else np.float64


@dataclass(frozen=True)
class Step:
    """One line of a replay's ledger: what was decided at a turn, or what came of a challenge."""

    turn: int
    action: Action
    reasons: tuple[Reason, ...]
    nearest_flip: Reason | None = None
    version: int | None = None
    comparison: Comparison | None = None
    evidence: Evidence | None = None
    memory: Memory | None = None  # before
    champion: int | None = None


@dataclass(frozen=True)
class Replay:
    """What a policy would have done with a history. ``losses`` is the served loss of each scored window."""

    rows: int
    first_scored: int
    window_rows: int
    answers: Answers
    labels: NDArray[Any]
    losses: tuple[float, ...]
    steps: tuple[Step, ...] = field(repr=False)
    fit_seconds: float = 0.0
    seconds: float = 0.0

    def count(self, action: Action) -> int:
        return sum(step.action is action for step in self.steps)


def replay(
    features: pd.DataFrame,
    labels: "pd.Series[Any]",
    schema: Schema,
    policy: Policy,
    *,
    label_delay: int = 0,
    seed: int = 0,
) -> Replay:
    """What ``policy`` would have done with this history, whose labels came ``label_delay`` windows late.

    ``features`` has the schema's columns in order of arrival, ``labels`` text or float. Rows that fill no whole window
    are left out.
    """
    windows = len(features) // policy.window_rows
    number = np.arange(len(features)) // policy.window_rows
    usable = np.where(number < policy.warm_up_windows, policy.warm_up_windows - 1, number + label_delay)
    return _play(History(features, labels, schema, usable), labels, policy, windows, seed)


def _play(world: History, labels: "pd.Series[Any]", policy: Policy, windows: int, seed: int) -> Replay:
    began = time.perf_counter()
    memory, steps = Memory(), []
    for number in range(windows):
        world.serve(memory.champion.version if memory.champion else None, *turn.span(policy, number))
        world.now = number
        more, memory = play_turn(world, policy, memory, number, seed=seed)
        steps += more
    scored = range(policy.warm_up_windows, windows)
    losses = [
        turn.row_losses(world.answers(*turn.span(policy, at)), labels.iloc[slice(*turn.span(policy, at))], world.schema)
        for at in scored
    ]
    first, last = policy.warm_up_windows * policy.window_rows, windows * policy.window_rows
    return Replay(
        len(labels),
        first,
        policy.window_rows,
        world.answers(first, last),
        labels.iloc[first:last].to_numpy(),
        tuple(float(loss.mean()) for loss in losses),
        tuple(steps),
        world.fit_seconds,
        time.perf_counter() - began,
    )


def play_turn(
    world: turn.World, policy: Policy, memory: Memory, number: int, *, seed: int = 0
) -> tuple[list[Step], Memory]:
    """The ledger lines of one whole turn, and the memory after it."""
    seen = turn.observe(world, policy, memory, number)
    decision, after = decide(policy, seen.evidence, memory)
    steps = [_step(number, decision, seen.evidence, memory)]
    if decision.action is Action.RETRAIN:
        tried = turn.challenge(world, policy, after, number, seed=seed)
        steps.append(Step(number, tried.action, tried.reasons, None, tried.version, tried.comparison))
        after = tried.memory
    return steps, after


def _step(number: int, decision: Decision, evidence: Evidence, memory: Memory) -> Step:
    return Step(
        number,
        decision.action,
        decision.reasons,
        decision.nearest_flip,
        decision.version,
        None,
        evidence,
        memory,
        memory.champion.version if memory.champion else None,
    )
