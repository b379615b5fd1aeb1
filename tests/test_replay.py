"""The loop over recorded history."""

import json

import numpy as np
import pandas as pd
import pytest

from core import replay
from core.decide import decide
from core.errors import InvalidInput, NotEnoughRows
from core.evidence import Evidence, Memory
from core.policy import PRESETS, Policy
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
        (["--label-delay", "1000000"], "0 to 1,000"),
        (["--seed", "-1"], "seed is -1; it must be 0 to 4,294,967,295"),
        (["--order", "y"], "cannot be the order too"),
        (["--target", "z"], "'z'"),
        (["--order", "when"], "no column 'when'"),
        (["--policy-file", "nowhere.json"], "cannot be read"),
    ],
)
def test_what_cannot_be_replayed_is_said_and_ends_with_2(file, extra, what, capsys):
    assert replay.main([file, *HOW, *extra]) == 2
    assert what in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize(
    ("write", "same"),
    [
        (str, True),  # else 10 would come before 2
        (lambda at: f"{at},5", True),
        (lambda at: f"2026-01-{1 + at // 96:02} {at // 4 % 24:02}:{at % 4 * 15:02}", True),
        (lambda at: f"{1 + at // 96}.1.2026 {at // 4 % 24}:{at % 4 * 15:02}", True),
        (lambda at: None if at == 7 else str(at), "is empty, and such a row has no place"),
        (lambda at: f"step {at}", "neither numbers only nor times only"),
        (lambda at: "2026-01-01" if at == 7 else str(at), "'2026-01-01' in row"),
    ],
)
def test_rows_are_ordered_by_what_a_column_means_or_not_at_all(file, tmp_path, capsys, write, same):
    frame = pd.read_parquet(file)
    path = tmp_path / "texts.csv"
    frame.assign(order=frame["order"].map(write)).to_csv(path, index=False)
    code = replay.main([str(path), *HOW])
    told = json.loads(capsys.readouterr().out)
    if same is True:
        replay.main([file, *HOW])
        assert told["score"] == json.loads(capsys.readouterr().out)["score"]
    else:
        assert (code, same in told["error"]) == (2, True), told


def test_a_policy_whose_triggers_could_never_agree_is_refused(file, tmp_path, capsys):
    path = tmp_path / "strict.json"
    path.write_text('{"quorum": 3}')
    assert replay.main([file, *HOW, "--policy-file", str(path)]) == 2
    assert "quorum is 3, but 2 triggers are on (on_staleness, growth)" in json.loads(capsys.readouterr().out)["error"]


def test_what_nobody_foresaw_ends_with_2_and_not_with_a_verdict(file, capsys, monkeypatch):
    monkeypatch.setattr(replay, "as_json", lambda *_: 1 / 0)
    assert replay.main([file, *HOW]) == 2
    told = capsys.readouterr()
    assert "ZeroDivisionError" in json.loads(told.out)["error"]
    assert "Traceback" in told.err


def test_a_file_that_cannot_be_opened_and_a_policy_that_is_no_text_are_told(file, tmp_path, capsys, monkeypatch):
    policy = tmp_path / "latin.json"
    policy.write_bytes('{"name": "é"}'.encode("latin-1"))
    assert replay.main([file, *HOW, "--policy-file", str(policy)]) == 2
    assert "in UTF-8" in json.loads(capsys.readouterr().out)["error"]

    def locked(*_args, **_how):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(replay.reading, "frames", locked)
    assert replay.main([file, *HOW]) == 2
    assert "cannot be read (Permission denied)" in json.loads(capsys.readouterr().out)["error"]


# ---- labels that do not make a model -------------------------------------------------------------
def test_the_first_model_waits_until_there_are_two_answers_and_then_all_goes_on(short):
    frame, labels = flipping(windows=12, change=99)
    labels.iloc[:600] = "no"
    played = play(short, (frame, labels))
    assert [step.action for step in played.steps[:9]] == [Action.WAIT] * 7 + [Action.RETRAIN, Action.PROMOTE]
    assert [step.reasons[0].code for step in played.steps[3:7]] == ["one_answer"] * 4
    assert played.steps[3].reasons[0].params["seen"] == "400 x 'no'"
    assert np.isnan(played.losses[:4]).all()
    assert np.isfinite(played.losses[4:]).all()


def test_a_retrain_on_one_answer_alone_waits_and_the_champion_stays():
    policy = Policy(
        window_rows=100, warm_up_windows=4, estimator="logistic", scope="sliding", sliding_windows=2, period=1,
        cool_down=0, most_retrains=1.0,
    )  # fmt: skip
    frame, labels = flipping(windows=10, change=99)
    labels.iloc[400:] = "no"
    steps = [step for step in play(policy, (frame, labels)).steps if step.turn >= 6]
    waited = [step for step in steps if step.action is Action.WAIT]
    assert [step.reasons[0].code for step in waited] == ["one_answer"] * 4
    assert {step.champion for step in steps if step.evidence} == {steps[0].champion}
    assert not [step for step in steps if step.action is Action.FAIL]


def half(labels, share=0.6):
    """A share of the labels, the others missing."""
    return labels.where(np.random.default_rng(3).uniform(size=len(labels)) < share, None)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (half, "80% of its labels (mature_share of the policy), and 6"),
        (lambda labels: labels.where(labels.index < 1150, "yes").where(labels.index >= 1150, "no"), "1,100 x 'no'"),
        (lambda labels: labels.where(labels.index < 400, None), "No row that was answered has its label"),
        (lambda labels: labels.where(labels.index >= 1000, "no"), "came after window 11, the last one"),
    ],
)
def test_a_history_of_which_nothing_can_be_scored_says_why(short, spoil, what):
    frame, labels = flipping(windows=12, change=99)
    with pytest.raises(NotEnoughRows) as told:
        play(short, (frame, spoil(labels)))
    assert what in str(told.value)
    assert "Bring " in str(told.value)


def test_kappa_is_not_known_where_all_rows_and_answers_are_of_one_class(short):
    frame, labels = flipping(windows=6, change=99)
    played = play(short, (frame, labels))
    one = np.full(len(played.labels), "no", dtype=object)
    found = replay.scores(
        replay.replace(played, labels=one, answers=replay.Answers(one, played.answers.probabilities)), SCHEMA
    )
    assert found == {"accuracy": 1.0, "kappa": None, "auc": None}


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


def test_superiority_is_not_proven_on_the_window_that_started_the_challenge(short):
    policy = Policy(**{**vars(short), "gate": "superiority", "price": 0.05, "growth": None})
    played = play(policy, flipping(windows=24, change=10))
    started = [step for step in played.steps if any(reason.code == "window_chosen" for reason in step.reasons)]
    assert started and all(step.comparison.verdict != "promote" for step in started)
    on_trial = next(step for step in started if step.comparison.verdict == "need_more_rows")
    after = [step for step in played.steps if step.turn == on_trial.turn + 1 and step.memory]
    assert after[0].memory.challenger and after[0].memory.trial.looks == 0
    assert played.count(Action.PROMOTE) >= 1  # on the windows that follow
