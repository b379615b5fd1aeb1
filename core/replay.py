"""The loop over recorded history: the same judgement as the live app, over a frame.

Prequential (Gama, Sebastião & Rodrigues, Machine Learning 2013): each window is answered by the champion of the
moment before any of its labels may be used; its labels arrive ``label_delay`` windows after it was served. Only the
warm-up windows are history whose labels are known when the replay begins.

``python -m core.replay FILE --target y --json`` does the same from a shell.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics

from core import commands, drift, estimators, reading, reasons, recent, turn
from core import schema as schemas
from core.challenge import challenge
from core.decide import Decision, decide
from core.errors import InvalidInput, NotEnoughRows
from core.evidence import Evidence, Memory
from core.observe import observe
from core.policy import PRESETS, Policy
from core.records import Action, Comparison, Reason, Schema, Task
from core.turn import Answers, Span

LONGEST_DELAY = 1000  # windows
MOST_SEED = 2**32 - 1

Key = tuple[Any, ...]
Shared = dict[Key, Any]


@dataclass(frozen=True)
class Fitted:
    """A pipeline, the positions of the rows it was fitted on, and how long that took."""

    pipeline: Any
    rows: NDArray[np.int64]
    seconds: float


class History:
    """A `turn.World` over frames that are held in memory.

    ``usable`` is the turn at whose end each row's label may be looked at; ``now`` the turn that is being played.
    ``shared`` is what replays of the same history have in common: the same rows, labels and seed make the same model.
    """

    def __init__(
        self,
        features: pd.DataFrame,
        labels: "pd.Series[Any]",
        schema: Schema,
        usable: NDArray[np.int64],
        shared: Shared | None = None,
    ) -> None:
        self.schema = schema
        self.now = -1
        self.served = 0  # rows that have been answered
        self.fit_seconds = 0.0
        self._features = features.reset_index(drop=True)
        self._inputs = recent.with_recent(self._features, schema)
        self._labels = labels.reset_index(drop=True)
        self._usable = usable
        self._shared: Shared = {} if shared is None else shared
        self._versions: list[Key] = []
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
        key = self._versions[version - 1]
        return self._once((*key, "said", first, last), lambda: self._said(self._shared[key].pipeline, first, last))

    def _said(self, model: Any, first: int, last: int) -> Answers:
        return Answers(*estimators.answers(model, self._inputs.iloc[first:last], self.schema))

    def fit(self, spans: Sequence[Span], *, estimator: str, seed: int) -> int:
        self._versions.append(self._fitted(estimators.build, spans, estimator, seed))
        return len(self._versions)

    def yardstick(self, spans: Sequence[Span], first: int, last: int, *, estimator: str, seed: int) -> Answers:
        key = self._fitted(estimators.yardstick, spans, estimator, seed)
        return self._once((*key, "said", first, last), lambda: self._said(self._shared[key].pipeline, first, last))

    def _fitted(
        self, build: Callable[[str, Schema, int], Any], spans: Sequence[Span], estimator: str, seed: int
    ) -> Key:
        """The key of the model in ``_shared``. Labels only ever become more: their number tells which ones were known."""
        at = np.concatenate([np.arange(*span) for span in spans])
        at = at[(self._usable[at] <= self.now) & self._labels.iloc[at].notna().to_numpy()]
        key = (build.__name__, tuple(spans), len(at), estimator, seed)
        fitted = self._once(key, lambda: self._fit(build(estimator, self.schema, seed), at))
        self.fit_seconds += fitted.seconds
        return key

    def _fit(self, pipeline: Any, at: NDArray[np.int64]) -> "Fitted":
        began = time.perf_counter()
        model = pipeline.fit(self._inputs.iloc[at], self._labels.iloc[at])
        return Fitted(model, at, time.perf_counter() - began)

    def reference(self, version: int) -> drift.Reference:
        key = self._versions[version - 1]
        rows = self._shared[key].rows
        return self._once((*key, "reference"), lambda: drift.reference(self._features.iloc[rows], self.schema))

    def profile(self, version: int, first: int, last: int) -> drift.Profile:
        reference, key = self.reference(version), self._versions[version - 1]
        return self._once((*key, "profile", first, last), lambda: drift.profile(reference, self.rows(first, last)))

    def _once(self, key: Key, make: Callable[[], Any]) -> Any:
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

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
    """What a policy would have done with a history.

    ``losses`` is the mean served loss of each window after the warm-up over its rows that have both an answer and a
    label; NaN where none has.
    """

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
        """How often that was decided after the first model: the first one is trained whatever the policy."""
        first = next((step.turn for step in self.steps if step.action is Action.RETRAIN), -1)
        return sum(step.action is action and step.turn > first for step in self.steps)


def replay(
    features: pd.DataFrame,
    labels: "pd.Series[Any]",
    schema: Schema,
    policy: Policy,
    *,
    label_delay: int = 0,
    seed: int = 0,
    usable: NDArray[np.int64] | None = None,
    shared: Shared | None = None,
    progress: Callable[[int, int], None] = lambda done, windows: None,
) -> Replay:
    """What ``policy`` would have done with this history, whose labels came ``label_delay`` windows late.

    ``features`` has the schema's columns in order of arrival, ``labels`` text or float. Rows that fill no whole window
    are left out. ``usable``, where it is known, is the turn at whose end each row's label was there, in place of the
    delay. Replays of the same rows, labels and schema may hand on one dict as ``shared``: what one has fitted, the
    next need not fit again (``fit_seconds`` counts it all the same). ``progress`` is told how many windows have been
    played; what it raises ends the replay. Raises NotEnoughRows when nothing is left after the warm-up, or nothing of it
    could be scored, InvalidInput.
    """
    windows = len(features) // policy.window_rows
    if windows <= policy.warm_up_windows:
        raise NotEnoughRows(
            f"{len(features):,} rows are {windows} windows of {policy.window_rows:,}; the warm-up alone takes "
            f"{policy.warm_up_windows}. Bring more rows, or make the window or the warm-up smaller"
        )
    if not 0 <= label_delay <= LONGEST_DELAY:
        raise InvalidInput(f"The label delay is {label_delay} windows; it must be 0 to {LONGEST_DELAY:,}")
    if not 0 <= seed <= MOST_SEED:
        raise InvalidInput(f"The seed is {seed}; it must be 0 to {MOST_SEED:,}")
    number = np.arange(len(features)) // policy.window_rows
    arrives = number + label_delay if usable is None else np.maximum(number, usable)
    arrives = np.where(number < policy.warm_up_windows, policy.warm_up_windows - 1, arrives)
    played = _play(History(features, labels, schema, arrives, shared), labels, policy, windows, seed, progress)
    if not _answered(played).any():
        raise NotEnoughRows(_why_nothing(played, policy, labels))
    return played


def _why_nothing(played: Replay, policy: Policy, labels: "pd.Series[Any]") -> str:
    """Why no row after the warm-up has both an answer and a label, and the way out."""
    if not pd.isna(played.answers.labels).all():
        return "No row that was answered has its label. Bring labels of the rows after the warm-up"
    if (first := next((step.turn for step in played.steps if step.action is Action.PROMOTE), None)) is not None:
        return f"The first model came after window {first}, the last one: nothing is left to score. Bring more rows"
    last = played.steps[-1]
    told = " ".join(["No model was ever trained.", *(reasons.sentence(reason) for reason in last.reasons)])
    if last.reasons[0].code != "warming_up":
        return f"{told} Bring more rows and labels"
    return (
        f"{told} A window counts once it has {policy.mature_share:.0%} of its labels (mature_share of the policy), and "
        f"{labels.notna().mean():.0%} of these rows have one. Bring more labels, or give a policy with a lower mature_share"
    )


def _play(
    world: History,
    labels: "pd.Series[Any]",
    policy: Policy,
    windows: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> Replay:
    began = time.perf_counter()
    memory, steps = Memory(), []
    for number in range(windows):
        progress(number, windows)
        world.serve(memory.serving.version if memory.serving else None, *turn.span(policy, number))
        world.now = number
        more, memory = play_turn(world, policy, memory, number, seed=seed)
        steps += more
    scored = [turn.span(policy, number) for number in range(policy.warm_up_windows, windows)]
    losses = [_loss(world.answers(*span), labels.iloc[slice(*span)], world.schema) for span in scored]
    first, last = policy.warm_up_windows * policy.window_rows, windows * policy.window_rows
    return Replay(
        len(labels),
        first,
        policy.window_rows,
        world.answers(first, last),
        labels.iloc[first:last].to_numpy(),
        tuple(losses),
        tuple(steps),
        world.fit_seconds,
        time.perf_counter() - began,
    )


def _loss(answers: Answers, labels: "pd.Series[Any]", schema: Schema) -> float:
    """The mean loss of the rows that have both an answer and a label; NaN where none has."""
    losses = turn.row_losses(answers, labels.where(~pd.isna(answers.labels)), schema)
    return float(losses.mean()) if len(losses) else float("nan")


def play_turn(
    world: turn.World, policy: Policy, memory: Memory, number: int, *, seed: int = 0
) -> tuple[list[Step], Memory]:
    """The ledger lines of one whole turn, and the memory after it."""
    seen = observe(world, policy, memory, number, seed=seed)
    decision, after = decide(policy, seen.evidence, memory)
    steps = [_step(number, decision, seen.evidence, memory)]
    if decision.action is Action.RETRAIN:
        tried = challenge(world, policy, after, number, seed=seed)
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


# ---- scores --------------------------------------------------------------------------------------
def scores(played: Replay, schema: Schema) -> dict[str, float | None]:
    """accuracy, kappa and auc, or mae and rmse, of what was answered before its label was usable.

    ``auc`` is the mean over the windows that hold all classes (one against the rest, where they are more than two);
    None without any. ``kappa`` is None where labels and answers are all of one class.
    """
    known = _answered(played)
    truth, said = played.labels[known], played.answers.labels[known]
    if schema.task is Task.REGRESSION:
        off = truth.astype(np.float64) - said.astype(np.float64)
        return {"mae": float(np.abs(off).mean()), "rmse": float(np.sqrt((off**2).mean()))}
    truth, said = truth.astype(str), said.astype(str)
    differ = len(np.unique([*truth, *said])) > 1  # else chance alone agrees on every row
    return {
        "accuracy": float((truth == said).mean()),
        "kappa": float(metrics.cohen_kappa_score(truth, said, labels=list(schema.classes))) if differ else None,
        "auc": _auc(played, known, schema),
    }


def _answered(played: Replay) -> NDArray[np.bool_]:
    """The rows that have both an answer and a label."""
    return ~(pd.isna(played.labels) | pd.isna(played.answers.labels))


def _auc(played: Replay, known: NDArray[np.bool_], schema: Schema) -> float | None:
    probabilities, found = played.answers.probabilities, []
    assert probabilities is not None
    for first in range(0, len(known), played.window_rows):
        rows = np.flatnonzero(known[first : first + played.window_rows]) + first
        truth = played.labels[rows].astype(str)
        if len(np.unique(truth)) < len(schema.classes):
            continue
        values = probabilities[rows]
        if len(schema.classes) == 2:
            found.append(metrics.roc_auc_score(truth == schema.classes[1], values[:, 1]))
        else:
            found.append(metrics.roc_auc_score(truth, values, multi_class="ovr", labels=list(schema.classes)))
    return float(np.mean(found)) if found else None


# ---- the command ---------------------------------------------------------------------------------
def as_json(played: Replay, schema: Schema) -> dict[str, Any]:
    """What the command prints."""
    return {
        "rows": played.rows,
        "windows": len(played.losses),
        "scored_rows": int(_answered(played).sum()),
        "score": scores(played, schema),
        "retrains": played.count(Action.RETRAIN),
        "promotions": played.count(Action.PROMOTE),
        "rollbacks": played.count(Action.ROLL_BACK),
        "fit_seconds": round(played.fit_seconds, 3),
        "seconds": round(played.seconds, 3),
        "decisions": [_told(step) for step in played.steps],
    }


def _told(step: Step) -> dict[str, Any]:
    return {
        "turn": step.turn,
        "action": step.action.value,
        "why": [reasons.sentence(reason) for reason in step.reasons],
        "reasons": [asdict(reason) for reason in step.reasons],
        "nearest_flip": asdict(step.nearest_flip) if step.nearest_flip else None,
        "version": step.version,
        "champion": step.champion,
        "comparison": asdict(step.comparison) if step.comparison else None,
    }


def read(path: str, target: str, order: str | None) -> tuple[pd.DataFrame, "pd.Series[Any]", Schema]:
    """Features, labels and schema of a CSV or Parquet file, in the order of arrival. Raises ContinualError."""
    if not Path(path).is_file():
        raise InvalidInput(f"There is no file {path!r}. Give the path of a CSV or Parquet file")
    try:
        frame = pd.concat(reading.frames(path, Path(path).name, max_bytes=1 << 50), ignore_index=True)
    except OSError as error:
        raise InvalidInput(f"{path!r} cannot be read ({error.strerror})") from None
    if order is not None:
        frame = _ordered(frame, order, target, Path(path).name)
    schema = schemas.infer(frame, target=target).schema
    conformed = schemas.conform(frame, schema, with_target="required")
    assert conformed.labels is not None
    return conformed.features, conformed.labels, schema


def _ordered(frame: pd.DataFrame, order: str, target: str, name: str) -> pd.DataFrame:
    """The rows by the numbers or times in a column, which is left out; ties stay as they stand. Raises InvalidInput."""
    if order == target:
        raise InvalidInput(f"{order!r} is the answer: it cannot be the order too. Choose another column to order by")
    if order not in frame:
        raise InvalidInput(f"{name} has no column {order!r} to order by. It has: {', '.join(map(str, frame))}")
    places = schemas.places(frame[order]).argsort(kind="stable")
    return frame.iloc[places].reset_index(drop=True).drop(columns=order)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A history, the policy to judge it by, and how its labels came."""
    parser.add_argument("file", help="CSV or Parquet file with features and labels")
    parser.add_argument("--target", required=True, help="column with the labels")
    parser.add_argument(
        "--order", help="column of numbers or times to order the rows by (default: as they stand in the file)"
    )
    parser.add_argument("--policy", choices=list(PRESETS), default="balanced")
    parser.add_argument("--policy-file", help="a policy as JSON, instead of a preset")
    parser.add_argument("--estimator", choices=["auto", *estimators.ESTIMATORS], help="default: as the policy says")
    parser.add_argument("--window", type=int, help="rows a window (500)")
    parser.add_argument("--warm-up", type=int, help="windows before the first model (8)")
    parser.add_argument("--label-delay", type=int, default=0, help="windows until labels come (0)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def policy_of(given: argparse.Namespace) -> Policy:
    """The preset or the policy file, with what the command line says on top."""
    if given.policy_file:
        try:
            chosen = Policy.from_json(Path(given.policy_file).read_text(encoding="utf-8"))
        except OSError as error:
            raise InvalidInput(f"{given.policy_file!r} cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise InvalidInput(f"{given.policy_file!r} is no text. Give a policy as JSON, in UTF-8") from None
    else:
        chosen = PRESETS[given.policy]
    said = {"estimator": given.estimator, "window_rows": given.window, "warm_up_windows": given.warm_up}
    return replace(chosen, **{name: value for name, value in said.items() if value is not None}).checked()


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 2 when the history or the policy cannot be used."""
    parser = argparse.ArgumentParser(
        "python -m core.replay", description="What a policy would have done with a history, window by window."
    )
    add_arguments(parser)
    given = parser.parse_args(arguments)

    def work() -> tuple[str, int]:
        policy = policy_of(given)
        features, labels, schema = read(given.file, given.target, given.order)
        played = replay(features, labels, schema, policy, label_delay=given.label_delay, seed=given.seed)
        return commands.to_json(as_json(played, schema)) if given.json else in_words(played, schema), 0

    return commands.end(work, as_json=given.json)


def in_words(played: Replay, schema: Schema) -> str:
    """What was done, a line each, and how it ended."""
    lines = [
        f"{step.turn:>5}  {step.action.value:<10} {' '.join(reasons.sentence(reason) for reason in step.reasons)}"
        for step in played.steps
        if step.action not in (Action.WAIT, Action.NOTHING)
    ]
    score = ", ".join(f"{name} {value:.4g}" for name, value in scores(played, schema).items() if value is not None)
    return "\n".join([*lines, f"{score}; {played.count(Action.RETRAIN)} retrains in {len(played.losses)} windows"])


if __name__ == "__main__":
    sys.exit(main())
