"""For whom the challenger is better: gains by slice, with intervals that hold for all slices at once."""

import numpy as np

from core.gate import FEWEST_BLOCKS
from core.sanity import Trial, by_slice


def trial(rows: int, slices, *, better=None, seed: int = 0) -> Trial:
    """Two models of the same error rate of 30 %; the challenger errs at 5 % where ``better`` says."""
    rng = np.random.default_rng(seed)
    ours, theirs = (rng.random(rows) < 0.3).astype(float), (rng.random(rows) < 0.3).astype(float)
    if better is not None:
        theirs[better] = rng.random(int(better.sum())) < 0.05
    return Trial(theirs, champion=ours, slices=slices)


def test_the_slice_where_the_challenger_is_better_shows_it_and_the_other_does_not():
    half = np.arange(1000) % 2 == 0
    east, west = by_slice(trial(1000, {"side = east": half, "side = west": ~half}, better=half))
    assert (east.name, east.rows) == ("side = east", 500)
    assert 0 < east.low < 0.25 < east.high
    assert west.low < 0 < west.high


def test_too_few_rows_and_all_rows_are_no_slice():
    few, everything = np.arange(1000) < 20 * FEWEST_BLOCKS - 1, np.ones(1000, dtype=bool)
    assert by_slice(trial(1000, {"few": few, "all": everything})) == ()
    assert by_slice(Trial(np.zeros(1000), slices={"few": few})) == ()


def test_a_slice_in_which_both_lose_alike_has_no_interval_of_no_width():
    alike = np.arange(1000) < 500
    whole = trial(1000, {"alike": alike, "other": ~alike})
    same = Trial(np.where(alike, whole.champion, whole.challenger), champion=whole.champion, slices=whole.slices)
    assert [part.name for part in by_slice(same)] == ["other"]


def test_over_many_slices_of_an_equal_model_some_interval_misses_zero_in_few_trials():
    """At 5 % in all: 200 trials of 20 slices each, with 3 standard errors of room."""
    missed = 0
    for seed in range(200):
        labels = np.random.default_rng(10_000 + seed).integers(0, 20, 8_000)
        found = by_slice(trial(8_000, {f"group = {g}": labels == g for g in range(20)}, seed=seed))
        assert len(found) == 20
        missed += any(part.low > 0 or part.high < 0 for part in found)
    assert missed <= 200 * 0.05 + 3 * np.sqrt(200 * 0.05 * 0.95)
