"""Scores with their intervals, and those that have none."""

import numpy as np
import pytest

from benchmarks.performance import LOOKS, ROWS, WRONG, errors, watched
from core import performance
from core.records import Schema, Task

NUMBERS = Schema((), "y", Task.REGRESSION)
CLASSES = Schema((), "y", Task.BINARY, ("no", "yes"))
TRUTH = np.random.default_rng(0).normal(size=40)


def scored(off: np.ndarray) -> dict[str, tuple[float, float, float]]:
    found = performance.score(TRUTH, TRUTH + off, None, NUMBERS)
    return {one.metric: (one.low, one.value, one.high) for one in found}


def test_every_interval_has_a_width_and_holds_its_score() -> None:
    found = scored(np.random.default_rng(1).normal(scale=0.1, size=40))
    assert set(found) == {"mae", "rmse", "r2"}
    assert all(low < value < high for low, value, high in found.values())


@pytest.mark.parametrize(("off", "left"), [(0.0, set()), (0.1, {"r2"}), (-3.0, {"r2"})])
def test_losses_that_are_all_equal_do_not_tell_how_far_their_mean_may_be_off(off: float, left: set[str]) -> None:
    found = scored(np.full(40, off))
    assert set(found) == left
    assert all(low < value < high for low, value, high in found.values())


def test_answers_that_are_all_right_have_an_accuracy_that_may_be_lower_and_no_loss() -> None:
    labels = np.array(["no", "yes"] * 20, dtype=object)
    sure = (labels[:, None] == np.array(CLASSES.classes, dtype=object)).astype(float)
    found = {one.metric: one for one in performance.score(labels, labels, sure, CLASSES)}
    assert found["accuracy"].low < found["accuracy"].value == 1.0
    assert {"log_loss", "brier"}.isdisjoint(found)


def test_the_watch_tells_the_mean_of_losses_as_they_were_and_bets_on_cut_ones() -> None:
    draw = np.random.default_rng(0)
    losses = draw.lognormal(0.0, 1.0, 3_000)
    begun = performance.watch(losses[:500])
    state = performance.look(begun, losses[500:])
    assert losses[500:].max() > state.cap
    found = performance.loss_so_far(state)
    assert found is not None
    assert found[0] == pytest.approx(losses[500:].mean())
    assert state.evidence == performance.look(begun, np.minimum(losses[500:], begun.cap)).evidence


def test_a_watch_carried_on_in_pieces_sees_what_it_sees_at_once() -> None:
    losses = (np.convolve(np.random.default_rng(1).normal(size=4_019), np.ones(20), "valid") > 4).astype(float)
    begun = performance.watch(losses[:1_000])
    assert begun.block > 8  # rows that follow each other
    once, pieces = performance.look(begun, losses[1_000:]), begun
    for first in range(1_000, 4_000, 333):
        pieces = performance.look(pieces, losses[first : first + 333])
    assert pieces.evidence == pytest.approx(once.evidence)
    assert (pieces.blocks, pieces.total) == (once.blocks, pytest.approx(once.total))


def test_limits_of_the_watch_hold_where_rows_follow_each_other() -> None:
    """300 histories of 20 looks: 5 % may miss, 2 points of that by chance. Blocks of two autocorrelation times missed 12 %."""
    missed = [watched(errors(np.random.default_rng(seed), ROWS * (LOOKS + 1), 0.9), WRONG)[0] for seed in range(300)]
    assert np.mean(missed) < 0.1
