"""Policies compared on a history, and which one to take."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core import backtest, reasons, replay
from core.backtest import Backtest, Trial, advise, standings
from core.errors import NotEnoughRows
from core.policy import PRESETS, Approval, Policy
from core.policy_words import NAMES
from core.records import Column, Kind, Schema, Task

SCHEMA = Schema((Column("a", Kind.NUMERIC), Column("b", Kind.NUMERIC)), "y", Task.BINARY, ("no", "yes"))
SHORT = Policy(window_rows=60, warm_up_windows=4, estimator="logistic")


def turning(windows=30, rows=60, change=7, noise=0.1, seed=0):
    """Features and labels, a share of them noise; from window ``change`` on they mean the opposite (never, if None)."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(draw.normal(size=(windows * rows, 2)), columns=["a", "b"])
    yes = (frame["a"] + frame["b"] > 0).to_numpy() ^ (draw.uniform(size=len(frame)) < noise)
    if change is not None:
        yes[change * rows :] = ~yes[change * rows :]
    return frame, pd.Series(np.where(yes, "yes", "no"), dtype=object)


def shape():
    return {"window_rows": 60, "warm_up_windows": 4, "estimator": "logistic"}


def few(current, *names):
    """Some of the contestants, to be quick."""
    policies = backtest.contestants(current)
    return {name: policies[name] for name in names}


@pytest.fixture(scope="module")
def turned():
    """The current policy never retrains, and the world turns."""
    never = replace(PRESETS["never"], **shape())
    return backtest.compare(*turning(), SCHEMA, never, policies=few(never, "never", "every_8", "balanced", "eager"))


def made(losses: dict[str, np.ndarray], retrains: dict[str, int], current="balanced", price=0.2) -> Backtest:
    """A backtest of these losses; retrains are spread evenly."""
    trials = tuple(
        Trial(
            name,
            replace(PRESETS["balanced"], price=price),
            tuple(map(float, series)),
            tuple(int(at) for at in np.linspace(0, len(series) - 1, retrains[name])),
            0, 0, 0.0,
        )
        for name, series in losses.items()
    )  # fmt: skip
    return Backtest("error", False, 1000, 50, 8, current, trials)


def noise(windows=60, scale=0.01, seed=0):
    return np.random.default_rng(seed).normal(0, scale, windows)


# ---- playing -------------------------------------------------------------------------------------
def test_each_policy_does_what_it_does_in_a_replay_of_its_own(turned):
    features, labels = turning()
    for trial in turned.trials[1:3]:
        alone = replay.replay(features, labels, SCHEMA, trial.policy)
        assert trial.losses == pytest.approx(alone.losses), trial.name
        assert len(trial.retrained) == alone.count(replay.Action.RETRAIN)


def test_all_policies_are_played_in_the_projects_own_windows_and_the_current_goes_by_its_presets_name():
    own = replace(PRESETS["careful"], name="mine", window_rows=77, estimator="logistic", approval=Approval.MANUAL)
    policies = backtest.contestants(own)
    assert list(policies) == ["never", "always", "every_8", "careful", "balanced", "eager"]
    assert {(p.window_rows, p.estimator, p.approval) for p in policies.values()} == {(77, "logistic", "automatic")}
    assert list(backtest.contestants(replace(own, price=0.33)))[0] == "current"


def test_in_a_world_that_turns_a_policy_that_never_retrains_is_to_be_changed(turned):
    assert turned.current == "never"
    lines = {line.name: line for line in standings(turned)}
    assert lines["never"].retrains == 0
    assert lines["every_8"].retrains == 3
    assert lines["balanced"].score.mean > lines["never"].score.mean + 0.2
    assert lines["balanced"].gain.low > 0
    advice = advise(turned)
    assert advice.change
    assert advice.name != "never"
    assert advice.reasons[0].code == "backtest_change"


def test_in_a_world_that_stands_still_retraining_always_is_to_be_changed():
    always = replace(PRESETS["always"], **shape())
    test = backtest.compare(*turning(change=None), SCHEMA, always, policies=few(always, "never", "always", "every_8"))
    assert test.current == "always"
    advice = advise(test)
    assert advice.change
    assert len(test.trial(advice.name).retrained) <= 3


def test_late_labels_cost():
    at_once, late = (
        backtest.compare(*turning(), SCHEMA, SHORT, label_delay=delay, policies=few(SHORT, "balanced", "every_8"))
        for delay in (0, 3)
    )
    for name in ("balanced", "every_8"):
        assert np.mean(at_once.trial(name).losses) < np.mean(late.trial(name).losses)
    assert late.delay == 3


def test_labels_as_late_as_they_were_are_the_same_as_a_delay_of_that_many_windows():
    features, labels = turning(windows=24)
    full_at = pd.date_range("2026-01-01", periods=24, freq="D").to_numpy()
    arrived = np.append(full_at, np.repeat(np.datetime64("NaT", "ns"), 2))[np.arange(len(labels)) // 60 + 2]
    usable = backtest.usable_turns(full_at, arrived, 60)
    policies = few(SHORT, "balanced", "every_8")
    recorded = backtest.compare(features, labels, SCHEMA, SHORT, usable=usable, policies=policies)
    counted = backtest.compare(features, labels, SCHEMA, SHORT, label_delay=2, policies=policies)
    assert [t.losses for t in recorded.trials] == [t.losses for t in counted.trials]
    assert recorded.as_recorded
    assert recorded.delay == 2


def test_no_label_is_usable_before_its_own_window_was_served():
    draw = np.random.default_rng(3)
    full = np.sort(draw.integers(0, 100, 20)).astype("datetime64[D]")
    arrived = draw.integers(-50, 150, 200).astype("datetime64[D]")
    usable = backtest.usable_turns(full, arrived, 10)
    assert (usable >= np.arange(200) // 10).all()
    known = usable < backtest.NEVER_USABLE
    assert (full[usable[known]] >= arrived[known]).all()
    assert (arrived[~known] > full[-1]).all()


def test_windows_without_labels_are_not_scored_and_their_retrains_still_count():
    features, labels = turning(windows=20)
    labels.iloc[12 * 60 : 14 * 60] = None
    always = replace(PRESETS["always"], **shape())
    test = backtest.compare(features, labels, SCHEMA, always, policies=few(always, "never", "always"))
    assert test.windows == 14
    assert all(np.isfinite(trial.losses).all() for trial in test.trials)
    assert max(test.trial("always").retrained) == 13


def test_policies_are_compared_from_where_all_have_a_model():
    features, labels = turning(windows=20, change=None)
    labels.iloc[: 7 * 60] = "no"
    always = replace(PRESETS["always"], **shape())
    test = backtest.compare(features, labels, SCHEMA, always, policies=few(always, "never", "always"), first_window=100)
    assert test.first_window == 109  # window 107 is the first with two answers, and one is held out to compare on
    assert {len(trial.losses) for trial in test.trials} == {11}


def test_progress_counts_over_all_policies_and_may_end_it():
    seen = []

    class Enough(BaseException):
        pass

    def watch(name, done, total):
        seen.append((name, done, total))
        if len(seen) == 30:
            raise Enough

    with pytest.raises(Enough):
        backtest.compare(*turning(windows=24), SCHEMA, SHORT, progress=watch)
    assert [done for _, done, _ in seen] == list(range(30))
    assert {total for _, _, total in seen} == {24 * 6}


def test_the_newest_windows_are_taken_as_far_as_the_work_allows():
    assert backtest.newest(SHORT, 60, 2) == 60
    assert backtest.newest(SHORT, 10_000, 2) == backtest.MOST_WINDOWS
    few = backtest.newest(Policy(window_rows=5000), 10_000, 50)
    assert few == backtest.LEAST_WINDOWS


@pytest.mark.parametrize(("windows", "what"), [(4, "at least 5 are needed"), (30, "a model needs two answers")])
def test_what_cannot_be_played_is_said(windows, what):
    features, labels = turning(windows=windows)
    if windows == 30:
        labels[:] = "no"
    with pytest.raises(NotEnoughRows, match=what):
        backtest.compare(features, labels, SCHEMA, SHORT)


# ---- judging -------------------------------------------------------------------------------------
@pytest.mark.parametrize(("depends", "windows", "least"), [(0.0, 24, 0.93), (0.5, 40, 0.92), (0.8, 84, 0.89)])
def test_the_interval_holds_for_windows_that_depend_on_their_neighbours(depends, windows, least):
    draw, held = np.random.default_rng(1), 0
    for _ in range(500):
        series = np.zeros(windows + 100)
        for at in range(1, len(series)):
            series[at] = depends * series[at - 1] + draw.normal()
        found = backtest.interval(series[100:])
        held += found.low <= 0 <= found.high
    assert least <= held / 500 <= 0.98


def test_too_few_windows_tell_nothing_however_large_the_difference():
    test = made({"balanced": 0.5 + noise(19), "eager": 0.1 + noise(19)}, {"balanced": 0, "eager": 1})
    advice = advise(test)
    assert (advice.name, advice.change, advice.reasons[0].code) == (None, False, "backtest_short")


def test_equal_policies_leave_the_current_one_in_place():
    found = [
        advise(
            made(
                {"balanced": 0.2 + noise(seed=seed), "eager": 0.2 + noise(seed=seed + 1000)},
                {"balanced": 5, "eager": 6},
            )
        )
        for seed in range(100)
    ]
    assert sum(advice.change for advice in found) <= 5


def test_a_difference_that_chance_alone_can_give_is_unknown():
    walk = np.cumsum(noise(40, scale=0.04, seed=4))
    test = made({"balanced": 0.3 + noise(40), "eager": 0.27 + walk - walk.mean()}, {"balanced": 5, "eager": 5})
    advice = advise(test)
    assert (advice.name, advice.reasons[0].code) == (None, "backtest_unknown")


def test_the_price_of_a_retrain_decides_whether_a_better_score_is_worth_it():
    base = noise()
    test = made({"balanced": 0.3 + base, "always": 0.24 + base + noise(seed=1)}, {"balanced": 6, "always": 60})
    dear, cheap = advise(test, price=0.5), advise(test, price=0.01)
    assert (dear.name, dear.change) == ("balanced", False)
    assert dear.reasons[-1].code == "backtest_costs_more"
    assert (cheap.name, cheap.change) == ("always", True)


def test_of_those_not_worse_than_the_best_the_one_that_retrains_least_is_taken():
    base = noise()
    losses = {"balanced": 0.4 + base, "eager": 0.2 + base, "careful": 0.2 + noise(seed=2), "never": 0.9 + base}
    test = made(losses, {"balanced": 5, "eager": 9, "careful": 8, "never": 0})
    advice = advise(test)
    assert advice.name == "careful"
    assert [reason.code for reason in advice.reasons] == ["backtest_change", "backtest_fewest"]


def test_the_worst_stretch_is_found_where_it_is():
    losses = np.full(40, 0.1)
    losses[20:24] = 0.6
    (line,) = standings(made({"balanced": losses}, {"balanced": 0}))
    assert (line.worst, line.worst_at) == (pytest.approx(0.4), 28)


def test_every_reason_can_be_put_into_words_with_the_policies_labels(turned):
    for reason in advise(turned).reasons:
        said = reasons.sentence(backtest.told(reason))
        assert reason.code not in said
        assert "every_8" not in said


# ---- the command ---------------------------------------------------------------------------------
@pytest.fixture
def file(tmp_path):
    frame, labels = turning()
    path = tmp_path / "history.parquet"
    frame.assign(y=labels, order=np.arange(len(frame))).to_parquet(path)
    return str(path)


HOW = ["--target", "y", "--order", "order", "--window", "60", "--warm-up", "4", "--estimator", "logistic"]


def test_the_command_prints_every_policy_and_ends_with_1_where_another_is_recommended(file, capsys):
    assert backtest.main([file, *HOW, "--policy", "never", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["windows"], told["current"]) == (1800, 26, "never")
    assert len(told["policies"]) == 6
    assert told["change"] is True
    assert told["recommended"] in {line["name"] for line in told["policies"]}
    assert "significantly better than your policy" in told["why"][0]


def test_the_command_in_words_has_a_line_a_policy(file, capsys):
    backtest.main([file, *HOW])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:7]] == [
        NAMES[name] for name in backtest.contestants(PRESETS["balanced"])
    ]


def test_the_command_ends_with_2_where_it_cannot_tell(file, capsys):
    assert backtest.main([file, *HOW[:4], "--window", "1000", "--json"]) == 2
    assert "at least 9 are needed" in json.loads(capsys.readouterr().out)["error"]


def test_what_has_no_bound_is_null_in_json(file, capsys):
    assert backtest.main([file, *HOW, "--warm-up", "26", "--json"]) == 2
    told = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert told["windows"] == 4
    assert {line["gain"]["low"] for line in told["policies"]} == {None}
