"""The loop over recorded history."""

import numpy as np
import pandas as pd
import pytest

from core import replay
from core.policy import PRESETS, Evidence, Memory, Policy, decide
from core.records import Action, Column, Kind, Schema, Task

SCHEMA = Schema((Column("a", Kind.NUMERIC), Column("b", Kind.NUMERIC)), "y", Task.BINARY, ("no", "yes"))


def flipping(windows=24, rows=100, change=12, seed=0):
    """Features and labels; from window ``change`` on the labels mean the opposite."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(draw.normal(size=(windows * rows, 2)), columns=["a", "b"])
    yes = (frame["a"] + frame["b"] > 0).to_numpy(copy=True)
    yes[change * rows :] = ~yes[change * rows :]
    return frame, pd.Series(np.where(yes, "yes", "no"), dtype=object)


def play(policy, frame_and_labels, **how):
    frame, labels = frame_and_labels
    return replay.replay(frame, labels, SCHEMA, policy, **how)


@pytest.fixture(scope="module")
def short():
    return Policy(window_rows=100, warm_up_windows=4, estimator="logistic")


def test_a_world_turned_upside_down_is_learned_again(short):
    history = flipping()
    never = play(Policy(**{**vars(short), "retrains": False}), history)
    kept = play(short, history)
    assert np.mean(never.losses[-6:]) > 0.9
    assert np.mean(kept.losses[-6:]) < 0.1


def test_every_decision_replays_to_the_identical_verdict_from_what_was_stored(short):
    for step in play(short, flipping()).steps:
        if step.evidence is None:
            continue
        stored = Policy.from_json(short.to_json())
        evidence = Evidence.from_json(step.evidence.to_json())
        decision, _ = decide(stored, evidence, Memory.from_json(step.memory.to_json()))
        assert (decision.action, decision.reasons, decision.nearest_flip) == (
            step.action,
            step.reasons,
            step.nearest_flip,
        )


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains_a_first_model_after_the_warm_up(preset, short):
    policy = Policy(**{**vars(PRESETS[preset]), "window_rows": 100, "warm_up_windows": 4, "estimator": "logistic"})
    steps = play(policy, flipping(windows=6)).steps
    assert [step.action for step in steps[:3]] == [Action.WAIT] * 3
    assert [step.action for step in steps[3:5]] == [Action.RETRAIN, Action.PROMOTE]


def test_the_same_seed_gives_the_same_replay(short):
    assert play(short, flipping()).steps == play(short, flipping()).steps
