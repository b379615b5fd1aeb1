"""What kind of change: each cause leaves its own signs, and what nobody can know is unknown."""

import numpy as np
import pandas as pd
import pytest

from core import diagnosis, replay
from core.diagnosis import Seen
from core.policy import Policy
from core.records import Column, Kind, Schema, Task
from core.sources import SOURCES

ROWS = 400
SCHEMA = Schema(
    (Column("a", Kind.NUMERIC), Column("b", Kind.NUMERIC), Column("c", Kind.CATEGORICAL)), "y", Task.BINARY, ("0", "1")
)
NUMBER = Schema(SCHEMA.features, "y", Task.REGRESSION)


def chance(rows: pd.DataFrame) -> np.ndarray:
    """The true probability of a 1."""
    return 1 / (1 + np.exp(-2.5 * rows["a"].to_numpy() - rows["b"].to_numpy()))


def drawn(seed: int, count: int = ROWS) -> tuple[pd.DataFrame, np.ndarray]:
    draw = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {"a": draw.normal(size=count), "b": draw.normal(size=count), "c": draw.choice(list("uvw"), count)}
    )
    return rows, draw.random(count) < chance(rows)


def seen(rows: pd.DataFrame, ones: np.ndarray) -> Seen:
    """The answers are those of a perfect model of the world as it was."""
    said = chance(rows)
    return Seen(rows, np.stack([~ones, ones], axis=1).astype(float), np.stack([1 - said, said], axis=1))


KNOWN = [seen(*drawn(seed)) for seed in range(10)]


def covariate(seed):
    rows, _ = drawn(seed)
    rows["a"] += 0.8
    return rows, np.random.default_rng(seed).random(ROWS) < chance(rows)


def label(seed):
    rows, ones = drawn(seed, 6 * ROWS)
    picked = np.sort(np.r_[np.flatnonzero(ones)[:320], np.flatnonzero(~ones)[:80]])
    return rows.iloc[picked].reset_index(drop=True), ones[picked]


def concept(seed):
    rows, ones = drawn(seed)
    return rows, ones ^ (rows["a"].to_numpy() > 0)


def noise(seed):
    rows, ones = drawn(seed)
    mixed = np.random.default_rng(seed).random(ROWS) < 0.6
    ones[mixed] = np.random.default_rng(seed).permutation(ones[mixed])
    return rows, ones


@pytest.mark.parametrize("change", [drawn, covariate, label, concept, noise])
def test_the_cause_is_named(change):
    expected = "none" if change is drawn else change.__name__
    named = [diagnosis.diagnose(7, KNOWN, seen(*change(seed)), SCHEMA).cause for seed in range(100, 120)]
    assert named.count(expected) >= 17


def test_the_feature_that_moved_and_on_which_the_answers_hang_comes_first():
    rows, ones = covariate(100)
    rows["c"] = "u"  # moves further, and says nothing
    found = diagnosis.diagnose(7, KNOWN, seen(rows, ones), SCHEMA)
    assert [mover.feature for mover in found.movers[:2]] == ["a", "c"]
    assert found.movers[0].importance > 0.5 > 0.1 > found.movers[1].importance
    assert found.movers[1].drift > found.movers[0].drift > 1


def test_without_labels_only_the_inputs_can_be_told():
    for change, cause in ((covariate, "covariate"), (concept, "none"), (noise, "none")):
        now = seen(*change(100))
        found = diagnosis.diagnose(7, KNOWN, Seen(now.rows, None, now.said), SCHEMA)
        assert (found.cause, found.labelled, found.worst) == (cause, False, None)


def test_few_known_windows_tell_nothing():
    found = diagnosis.diagnose(7, KNOWN[: diagnosis.FEWEST - 1], seen(*concept(100)), SCHEMA)
    assert found.cause == "unknown"
    unlabelled = [Seen(one.rows, None, one.said) for one in KNOWN]
    assert diagnosis.diagnose(7, unlabelled, seen(*concept(100)), SCHEMA).cause == "unknown"


def test_the_slice_hit_hardest_is_the_one_whose_labels_were_turned_over():
    worst = diagnosis.diagnose(7, KNOWN, seen(*concept(100)), SCHEMA).worst
    assert worst.slice.startswith("a > ")
    assert worst.loss > worst.rest
    assert 0 < worst.low < worst.loss - worst.rest < worst.high


def test_chance_alone_rarely_makes_a_slice():
    draw = np.random.default_rng(0)
    found = [
        diagnosis.hit_hardest(drawn(seed)[0], (draw.random(ROWS) < 0.3).astype(float), SCHEMA) for seed in range(200)
    ]
    assert sum(hit is not None for hit in found) <= 14  # 5 % is the level; 7 % is 1.3 standard errors above


def test_numbers_have_causes_too():
    def number(seed, way=None):
        rows, _ = drawn(seed)
        said = 3 * rows["a"].to_numpy() + rows["b"].to_numpy()
        draw = np.random.default_rng(seed + 1000)
        truth = said + draw.normal(size=ROWS)
        if way == "concept":
            truth = np.where(rows["a"] > 0, -truth, truth)
        if way == "noise":
            mixed = draw.random(ROWS) < 0.6
            truth[mixed] = draw.permutation(truth[mixed])
        return Seen(rows, truth[:, None], said[:, None])

    known = [number(seed) for seed in range(10)]
    for way, expected in ((None, "none"), ("concept", "concept"), ("noise", "noise")):
        named = [diagnosis.diagnose(7, known, number(seed, way), NUMBER).cause for seed in range(100, 110)]
        assert named.count(expected) >= 8, (way, named)


def test_importance_is_the_share_of_the_answers_variance():
    rows, _ = drawn(0, 20_000)
    part = diagnosis._binned([rows], rows.head(1), SCHEMA)[0]
    found = diagnosis.importance(part, (3 * rows["a"] + rows["b"]).to_numpy()[:, None])
    assert found[0] == pytest.approx(0.9 * 0.9, abs=0.03)  # fifths hold 90 % of a normal variable's variance
    assert found[1] == pytest.approx(0.1 * 0.9, abs=0.03)
    assert found[2] < 0.01


@pytest.mark.parametrize("delay", [0, 2])
def test_a_rule_that_changes_is_named_when_the_labels_come(delay):
    frame = SOURCES["sea"].draw(24 * 200, seed=5, drift="sudden", start_row=18 * 200, magnitude=2.0, noise=0.05)
    features, labels = frame.drop(columns="target"), frame["target"].astype(str)
    policy = Policy(window_rows=200, warm_up_windows=6, estimator="logistic")
    played = replay.replay(features, labels, SOURCES["sea"].schema, policy, label_delay=delay)
    diagnosed = {
        found.window: (step, found)
        for step in played.steps
        if step.evidence
        for found in step.evidence.diagnoses
        if found.labelled
    }
    step, found = diagnosed[18]
    assert step.turn == 18 + delay
    assert found.cause == "concept"
    assert "change_concept" in [reason.code for reason in step.reasons]
    assert {diagnosed[at][1].cause for at in range(12, 18)} == {"none"}
