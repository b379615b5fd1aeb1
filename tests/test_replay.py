"""The loop over recorded history."""

import json

import numpy as np
import pandas as pd
import pytest

from core import replay
from core.errors import InvalidInput
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


# ---- what may be known when ----------------------------------------------------------------------
def test_a_label_that_has_not_arrived_changes_nothing_before_it_does(short):
    """Turn every label of the last windows round: what was answered and decided before they arrived is the same."""
    frame, labels = flipping(windows=14, change=99)
    altered = labels.copy()
    altered.iloc[900:] = np.where(labels.iloc[900:] == "yes", "no", "yes")
    first, second = play(short, (frame, labels), label_delay=2), play(short, (frame, altered), label_delay=2)
    # the labels of window 9 arrive after window 11 was answered; answers are kept from window 4 on
    assert (first.answers.labels[:800] == second.answers.labels[:800]).all()
    assert [s for s in first.steps if s.turn < 11] == [s for s in second.steps if s.turn < 11]
    assert [s for s in first.steps if s.turn >= 11] != [s for s in second.steps if s.turn >= 11]


def test_labels_that_come_later_teach_later(short):
    history = flipping(windows=20, change=10)
    at_once, late = play(short, history), play(short, history, label_delay=4)
    assert np.mean(at_once.losses) < np.mean(late.losses)


def test_only_rows_after_the_warm_up_count(short):
    played = play(short, flipping(windows=10))
    assert (played.first_scored, len(played.losses), len(played.answers.labels)) == (400, 6, 600)
    assert not pd.isna(played.answers.labels).any()


# ---- the command ---------------------------------------------------------------------------------
@pytest.fixture
def file(tmp_path):
    frame, labels = flipping(windows=12)
    order = np.random.default_rng(1).permutation(len(frame))
    path = tmp_path / "history.parquet"
    frame.assign(y=labels, order=np.arange(len(frame))).iloc[order].to_parquet(path)
    return str(path)


HOW = ["--target", "y", "--order", "order", "--window", "100", "--warm-up", "4", "--estimator", "logistic", "--json"]


def test_the_command_prints_what_was_done_and_how_it_scored(file, capsys):
    assert replay.main([file, *HOW]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["windows"], told["scored_rows"]) == (1200, 8, 800)
    assert set(told["score"]) == {"accuracy", "kappa", "auc"}
    assert told["score"]["accuracy"] > 0.95
    assert told["decisions"][3]["action"] == "retrain"
    assert "enough for a first model" in told["decisions"][3]["why"][0]
    assert {"retrains", "promotions", "rollbacks", "fit_seconds", "seconds"} <= set(told)


def test_the_first_model_is_no_retrain(file, capsys):
    assert replay.main([file, *HOW, "--policy", "never"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["retrains"], told["promotions"], told["rollbacks"]) == (0, 0, 0)


def test_the_command_orders_the_rows(file, tmp_path, capsys):
    ordered = str(tmp_path / "ordered.parquet")
    pd.read_parquet(file).sort_values("order").to_parquet(ordered)
    replay.main([file, *HOW])
    replay.main([ordered, *HOW])
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["decisions"] == second["decisions"]


def test_a_policy_file_is_followed(file, tmp_path, capsys):
    path = tmp_path / "mine.json"
    path.write_text('{"name": "mine", "period": 2, "on_performance": false, "gate": "none", "most_retrains": 1.0}')
    replay.main([file, *HOW, "--policy-file", str(path)])
    told = json.loads(capsys.readouterr().out)
    assert told["retrains"] == 4


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        (["--window", "1000"], "the warm-up alone takes 4"),
        (["--label-delay", "-1"], "label delay is -1"),
        (["--target", "z"], "'z'"),
        (["--order", "when"], "no column 'when'"),
        (["--policy-file", "nowhere.json"], "cannot be read"),
    ],
)
def test_what_cannot_be_replayed_is_said_and_ends_with_2(file, extra, what, capsys):
    assert replay.main([file, *HOW, *extra]) == 2
    assert what in json.loads(capsys.readouterr().out)["error"]


def test_numbers_are_scored_by_their_distance(tmp_path, capsys):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(1200, 2)), columns=["a", "b"])
    path = tmp_path / "numbers.csv"
    frame.assign(y=frame["a"] * 3 + draw.normal(0, 0.1, 1200)).to_csv(path, index=False)
    how = ["--target", "y", "--window", "100", "--warm-up", "4", "--estimator", "logistic", "--json"]
    assert replay.main([str(path), *how]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["score"]) == {"mae", "rmse"}
    assert 0.05 < told["score"]["mae"] < 0.12


def test_a_policy_of_an_earlier_version_can_still_be_read():
    policy = Policy.from_json('{"name": "balanced", "on_age": true, "longest_period": 12, "price": 0.25}')
    assert policy.price == 0.25
    with pytest.raises(InvalidInput, match="no setting 'on_rage'"):
        Policy.from_json('{"on_rage": true}')
