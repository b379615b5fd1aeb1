"""Scores with their intervals, and those that have none."""

import numpy as np
import pytest

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
