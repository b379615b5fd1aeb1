"""Who is better on the same rows, how surely, and at what price."""

import json
import math
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import challenge, drift, gate, replay, sanity
from core.evidence import Contender, Memory, took_over
from core.gate import UNSEEN, Spread, Tally
from core.policy import PRESETS
from core.records import Action, Column, Kind, Reason, Schema, Task
from core.sanity import Trial
from core.turn import Answers

SCHEMA = Schema((Column("a", Kind.NUMERIC), Column("b", Kind.CATEGORICAL)), "y", Task.BINARY, ("no", "yes"))


def pair(rows, gain, disagreement, seed):
    """0/1 losses of champion and challenger: the challenger is better by ``gain`` on average."""
    place = np.random.default_rng(seed).random(rows)
    return (place < (disagreement + gain) / 2).astype(float), (place > 1 - (disagreement - gain) / 2).astype(float)


def verdict(name, rows, gain, seed, *, disagreement=0.1, level=0.05, **how):
    ours, theirs = (gate.blocks(losses) for losses in pair(rows, gain, disagreement, seed))
    return gate.compare(ours, theirs, metric="error", rows=rows, gate=name, level=level, **how)


# ---- the bounds ----------------------------------------------------------------------------------
@given(
    values=st.lists(st.floats(-1, 1), min_size=4, max_size=60),
    scale=st.floats(0.01, 1000.0),
    level=st.sampled_from([0.001, 0.025, 0.07]),
)
def test_a_bound_scales_with_the_losses_and_turns_with_their_sign(values, scale, level):
    tally, scaled = Tally().plus(values), Tally().plus([scale * value for value in values])
    assert scaled.low(level) == pytest.approx(scale * tally.low(level), rel=1e-6, abs=1e-6 * scale)
    high = -tally.turned().low(level)
    assert tally.low(level) <= tally.mean <= high or tally.error < 1e-9


def test_the_bound_is_that_of_students_t_unless_neighbours_go_together():
    from scipy import stats

    values = np.sort(np.random.default_rng(0).normal(0.1, 1, 20))
    apart = np.ravel([values[:10], values[:9:-1]], order="F")  # each is followed by one from the other half
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95).low
    assert Tally().plus(apart).low(0.025) == pytest.approx(expected)
    assert Tally().plus(values).low(0.025) < expected - 0.2


def test_the_order_of_windows_does_not_matter_and_their_spread_does():
    draw = np.random.default_rng(1)
    windows = [draw.normal(0.05 * (-1) ** at, 0.01, 20) for at in range(6)]
    forth, back = Tally(), Tally()
    for one, other in zip(windows, reversed(windows), strict=True):
        forth, back = forth.plus(one), back.plus(other)
    assert forth.low(0.05) == pytest.approx(back.low(0.05))
    alike = replace(forth, of_looks=forth.looks * forth.mean**2)
    assert forth.low(0.05) < alike.low(0.05)


@given(
    windows=st.lists(st.lists(st.floats(-1, 1), min_size=2, max_size=8), min_size=2, max_size=5),
    by=st.floats(-3, 3),
)
def test_a_shifted_tally_is_that_of_the_shifted_window(windows, by):
    before = Tally()
    for window in windows[:-1]:
        before = before.plus(window)
    moved = before.plus(windows[-1]).shifted(by, windows[-1])
    meant = before.plus([value + by for value in windows[-1]])
    for part in fields(Tally):
        assert getattr(moved, part.name) == pytest.approx(getattr(meant, part.name), abs=1e-9)


def test_the_covariance_of_neighbours_is_told_without_bias():
    """Windows of few blocks are where deviations from their own mean would show one that is not there."""
    draw, tally, runs = np.random.default_rng(2), Tally(), Tally()
    for _ in range(4000):
        noise = draw.normal(0.3, 1, 7)
        tally, runs = tally.plus(noise[1:]), runs.plus(noise[1:] + noise[:-1])
    assert tally.covariance == pytest.approx(0.0, abs=0.03)
    assert 0.5 < runs.covariance < 1.0  # it is 1, less what it adds to the windows' own means


def test_what_other_reigns_have_shown_widens_a_bound_and_never_narrows_it():
    tally = Tally().plus(np.random.default_rng(3).normal(0.1, 1, 20))
    steady, wobbling = Spread(20.0, 40.0), Spread(160.0, 40.0)
    assert tally.low(0.05, steady) == tally.low(0.05)
    assert tally.mean - tally.low(0.05, wobbling) == pytest.approx(math.sqrt(172 / 52) * (tally.mean - tally.low(0.05)))


def test_windows_that_differ_by_nothing_but_rounding_show_no_spread():
    tally = Tally()
    for _ in range(7):
        tally = tally.plus(np.full(20, 0.1))
    assert tally.spread == UNSEEN
    assert Tally().plus([0.1, 0.4, 0.2]).spread == UNSEEN  # one window tells nothing


def test_a_reign_leaves_to_the_next_what_its_windows_differed_by():
    ahead = Tally()
    for mean in (0.1, -0.1, 0.1):
        ahead = ahead.plus(np.random.default_rng(4).normal(mean, 0.1, 20))
    first, second = Contender(1, "all", 0, 0), Contender(2, "all", 0, 0)
    memory = Memory(champion=second, previous=first, ahead=ahead, spread=Spread(3.0, 2.0))
    after = took_over(memory, first, 5, forget=True)
    assert (after.ahead, after.spread) == (Tally(), Spread(3.0, 2.0).plus(ahead.spread))
    assert ahead.spread.squares > 10 * ahead.spread.freedom
    assert took_over(replace(memory, spread=Spread(300.0, 600.0)), first, 5).spread.freedom == gate.MOST_FREEDOM


@pytest.mark.parametrize("forget", [False, True])
def test_who_comes_back_is_held_to_what_was_normal_in_its_first_reign(forget):
    old, new = Contender(1, "all", 0, 0), Contender(2, "all", 0, 5)
    normal, compared = Tally().plus([0.1, 0.2]), Tally().plus([0.3])
    reigns = took_over(Memory(champion=old, baseline=normal), new, 5, baseline=compared)
    assert (reigns.baseline, reigns.resting) == (compared, normal)
    back = took_over(reigns, old, 6, forget=forget)
    assert (back.champion, back.baseline) == (old, normal)
    assert back.resting == (Tally() if forget else compared)
    assert took_over(reigns, Contender(3, "all", 0, 7), 7).baseline == Tally()


def test_a_tally_of_an_older_release_is_read():
    stored = json.loads(Memory(ahead=Tally().plus([0.1, 0.2, 0.4, 0.3])).to_json())
    del stored["spread"], stored["ahead"]["lagged"]
    read = Memory.from_json(json.dumps(stored))
    assert (read.spread, read.ahead.lagged, read.ahead.blocks) == (UNSEEN, 0.0, 4)


def test_the_error_spent_over_all_looks_is_the_level():
    assert sum(gate.spent(0.05, look) for look in range(1, 100_001)) == pytest.approx(0.05, rel=1e-4)


def test_looking_at_every_window_is_wrong_no_more_often_than_promised():
    wrong = 0
    for seed in range(300):
        draw, tally = np.random.default_rng(seed), Tally()
        for _ in range(20):
            tally = tally.plus(draw.normal(0, 1, 20))
            if gate.proven(tally, 0.05):
                wrong += 1
                break
    assert wrong <= 0.05 * 300


def false_rollbacks(differences, known=UNSEEN, *, runs=300):
    """The share of reigns over 20 windows that are ended though the true difference is 0 on average."""
    wrong = 0
    for seed in range(runs):
        draw, tally = np.random.default_rng(seed), Tally()
        for _ in range(20):
            tally = tally.plus(differences(draw))
            if gate.proven(tally, 0.05, known=known):
                wrong += 1
                break
    return wrong / runs


def runs_of(draw):
    """Block means that share half of what moves them with the next."""
    noise = draw.normal(0, 1, 21)
    return noise[1:] + noise[:-1]


def test_blocks_that_go_together_end_no_more_reigns_than_promised():
    assert false_rollbacks(runs_of) <= 0.05


def test_a_project_whose_differences_are_known_to_wobble_ends_few_reigns_by_mistake():
    def wobbling(draw):
        return draw.normal(draw.normal(0, 0.25), 1, 20)  # 2.25 times the variance that blocks explain

    assert false_rollbacks(wobbling) > 0.1  # a new project cannot know
    assert false_rollbacks(wobbling, Spread(2.25 * 60, 60)) <= 0.05


# ---- the gates -----------------------------------------------------------------------------------
def test_the_veto_holds_the_worse_and_lets_the_equal_pass():
    equal = [verdict("veto", 500, 0.0, seed).verdict for seed in range(200)]
    worse = [verdict("veto", 500, -0.08, seed).verdict for seed in range(200)]
    assert equal.count("promote") >= 180
    assert worse.count("hold") >= 196


def test_superiority_asks_for_the_rows_that_it_needs():
    few = verdict("superiority", 200, 0.03, 2)
    assert (few.verdict, few.reasons[0].code) == ("need_more_rows", "challenger_unproven")
    assert few.rows < few.rows_needed <= gate.MOST_TIMES * 200
    assert verdict("superiority", 20_000, 0.03, 2).verdict == "promote"


def test_superiority_wants_the_minimum_gain_itself_to_be_proven():
    gains = [verdict("superiority", 2000, 0.03, seed, minimum_gain=0.03).verdict for seed in range(200)]
    assert gains.count("promote") <= 0.05 * 200
    assert verdict("superiority", 2000, 0.06, 0, minimum_gain=0.03).verdict == "promote"


def test_neighbours_that_go_together_count_for_the_veto_and_not_for_superiority():
    gains = np.sort(np.random.default_rng(6).normal(0, 1, 20))
    gains += 0.6 * gains.std() - gains.mean()  # 2.6 standard errors
    mixed = np.ravel([gains[:10], gains[:9:-1]], order="F")
    nothing = np.zeros(20)

    def ruled(name, ours, theirs):
        found = gate.compare(ours, theirs, metric="error", rows=500, gate=name, level=0.05)
        return found.verdict, found.low > 0 or found.high < 0

    assert [ruled("veto", nothing, lost) for lost in (mixed, gains)] == [("hold", True), ("promote", False)]
    assert [ruled("superiority", won, nothing) for won in (mixed, gains)] == [("promote", True), ("promote", True)]


@pytest.mark.parametrize("name", ["veto", "superiority"])
@pytest.mark.parametrize("rows", [1, 19, 25, 79])
def test_few_rows_settle_nothing(name, rows):
    found = verdict(name, rows, 0.0, 0)
    assert (found.verdict, found.reasons[0].code) == ("need_more_rows", "too_few_to_compare")
    assert found.rows_needed == 80


def test_without_a_gate_everything_passes():
    assert verdict("none", 500, -0.1, 0).verdict == "promote"


def test_two_models_that_answer_alike_are_equal():
    same = np.full(20, 0.2)
    found = gate.compare(same, same, metric="error", rows=500)
    assert (found.verdict, found.gain, found.low, found.high) == ("promote", 0.0, 0.0, 0.0)
    assert gate.compare(same, same, metric="error", rows=500, gate="superiority").verdict == "hold"


# ---- what they cost ------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "gain"), [("veto", -0.04), ("veto", 0.0), ("superiority", 0.05)])
def test_the_price_is_what_is_seen_in_simulation(name, gain):
    told = gate.chance(name, gain, rows=500, level=0.07, disagreement=0.1)
    seen = np.mean([verdict(name, 500, gain, seed, level=0.07).verdict == "promote" for seed in range(1000)])
    assert seen == pytest.approx(told, abs=4 * math.sqrt(told * (1 - told) / 1000) + 0.015)


def test_the_price_says_what_passes_and_what_does_not():
    found = gate.price("superiority", rows=500, level=0.05, disagreement=0.1)
    assert found.equal == pytest.approx(0.025)
    veto = gate.price("veto", rows=500, level=0.05, disagreement=0.1)
    assert 0.95 < veto.equal < 0.96  # what neighbours seem to share by chance makes it err more rarely than its level
    assert found.worse < 0.001 < found.equal < found.better
    at_gain = gate.chance("superiority", found.gain, rows=500, level=0.05, disagreement=0.1)
    assert at_gain == pytest.approx(0.8, abs=1e-6)
    enough, less = (
        gate.chance("superiority", 0.04, rows=rows, level=0.05, disagreement=0.1)
        for rows in (found.rows_needed, found.rows_needed - 1)
    )
    assert enough >= 0.8 > less
    none = gate.price("none", rows=500, level=0.05, disagreement=0.1)
    assert (none.equal, none.harm, none.gain) == (1.0, None, 0.0)


@given(
    name=st.sampled_from(["veto", "superiority"]),
    rows=st.integers(80, 5000),
    level=st.floats(0.001, 0.2),
    disagreement=st.floats(0.02, 0.5),
    gain=st.floats(-0.02, 0.02),
)
def test_a_better_challenger_passes_more_often(name, rows, level, disagreement, gain):
    how = {"rows": rows, "level": level, "disagreement": disagreement}
    assert gate.chance(name, gain, **how) <= gate.chance(name, gain + 0.005, **how) + 1e-9


def test_disagreement_is_measured_on_blocks_and_larger_where_rows_depend():
    def measured(ours, theirs):
        return [
            gate.disagreement(gate.blocks(ours[at : at + 500]), gate.blocks(theirs[at : at + 500]), 500)
            for at in range(0, 100_000, 500)
        ]

    ours, theirs = pair(100_000, 0.02, 0.1, 3)
    assert np.mean(measured(ours, theirs)) == pytest.approx(0.1, rel=0.1)
    runs = [np.repeat(losses[:2_500], 40) for losses in (ours, theirs)]
    assert np.mean(measured(*runs)) > 25 * 0.1  # 40 where blocks are long enough; they are 25 rows


# ---- sanity --------------------------------------------------------------------------------------
def trial(**how):
    draw = np.random.default_rng(0)
    champion, challenger = draw.random((2, 500)) < 0.2
    return replace(Trial(challenger=challenger.astype(float), champion=champion.astype(float)), **how)


def codes(**how):
    return [reason.code for reason in sanity.findings(trial(**how))]


def test_a_challenger_like_the_champion_is_sane():
    draw = np.random.default_rng(1)
    alike = {
        "trivial": np.ones(500),
        "scores": tuple(draw.random((2, 500))),
        "past": tuple(draw.random((2, 40))),
        "slices": {f"slice {at}": draw.random(500) < 0.3 for at in range(30)},
    }
    assert codes(**alike) == []


def test_each_fault_of_a_challenger_has_its_check():
    draw = np.random.default_rng(2)
    scores = draw.random((2, 500))
    where = np.arange(500) % 3 == 0
    hurt = np.where(where, 1.0, trial().challenger)
    assert codes(strange=("colour", "maybe")) == ["schema_differs"]
    assert codes(missing=3) == ["answers_missing"]
    assert codes(trivial=np.zeros(500)) == ["worse_than_trivial"]
    assert codes(challenger=hurt, slices={"third": where}) == ["slice_worse"]
    assert codes(scores=(scores[0], scores[0] + 0.3)) == ["calibration_worse"]
    assert codes(past=(np.full(40, 0.2), draw.normal(0.4, 0.05, 40))) == ["forgets"]
    assert set(sanity.SANITY) == {
        "schema_differs", "answers_missing", "worse_than_trivial", "slice_worse", "calibration_worse", "forgets"
    }  # fmt: skip


def test_a_version_of_another_schema_is_named_by_what_is_strange():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0] * 40, "b": ["x", "y", "z"] * 40})
    same = drift.reference(frame, SCHEMA)
    assert challenge._strange(same, Answers(np.array(["no", "yes", None], dtype=object)), SCHEMA) == ()
    other = replace(SCHEMA, features=(Column("a", Kind.NUMERIC), Column("c", Kind.CATEGORICAL)))
    reference = drift.reference(frame.rename(columns={"b": "c"}), other)
    assert challenge._strange(reference, Answers(np.array(["maybe"], dtype=object)), SCHEMA) == ("b", "c", "maybe")


def test_a_model_of_the_newest_rows_has_forgotten_nothing_where_nothing_changed():
    """Its rival was trained on the old rows, and knows them by heart; that is no reason to hold the newer model."""
    draw = np.random.default_rng(5)
    frame = pd.DataFrame(draw.normal(size=(2400, 2)), columns=["a", "b"])
    yes = frame["a"] + frame["b"] + draw.normal(0, 1.0, 2400) > 0
    schema = Schema((Column("a", Kind.NUMERIC), Column("b", Kind.NUMERIC)), "y", Task.BINARY, ("no", "yes"))
    policy = replace(
        PRESETS["careful"], window_rows=100, warm_up_windows=8, estimator="hist_gradient_boosting", scope="sliding",
        gate="veto", period=5, on_performance=False, on_staleness=False, growth=None, most_retrains=1.0, cool_down=0,
    )  # fmt: skip
    labels = pd.Series(np.where(yes, "yes", "no"), dtype=object)
    played = replay.replay(frame, labels, schema, policy)
    told = [reason for step in played.steps for reason in step.reasons]
    assert played.count(Action.PROMOTE) >= 2
    assert "forgets" not in {reason.code for reason in told}
    assert Reason("schema_differs") not in told


def test_labels_of_one_class_say_nothing_of_skill():
    for share in (0.1, 0.3, 0.7):
        answers = np.where(np.arange(997) < share * 997, "yes", "no").astype(object)
        assert gate.skill(np.full(997, "no", dtype=object), answers) is None


def test_small_differences_of_numbers_have_a_price_too():
    found = gate.price("veto", rows=500, level=0.07, disagreement=1e-4, difference=0.001, bounded=False)
    assert found.harm is not None
    assert 0.0005 < found.harm < 0.003  # in units of the standard error, 0.01 / sqrt(500), about 3
