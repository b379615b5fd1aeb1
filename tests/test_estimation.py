"""Guesses without labels: their interval, when they are called not valid, and when they are trusted."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from core import estimation
from core.estimation import Reconciled
from core.records import Column, Guess, Kind, Schema, Task
from core.store.codec import load

OF_NUMBERS = Schema((Column("x", Kind.NUMERIC), Column("kind", Kind.CATEGORICAL)), "y", Task.REGRESSION)
GUESS = Guess("accuracy", value=0.8, low=0.77, high=0.83, rows=400, deviation=0.02, last=0.84)


def surprised(*deviations: float, age: int = 1) -> list[Reconciled]:
    guess = replace(GUESS, age=age)
    return [Reconciled(guess, guess.value + one * guess.deviation) for one in deviations]


def nearer(*leads: float, age: int = 1) -> list[Reconciled]:
    """Reconciled guesses that were nearer than the last value by these shares of their distance."""
    guess = replace(GUESS, age=age)
    distance = guess.last - guess.value
    return [Reconciled(guess, guess.value + (1 - lead) / 2 * distance) for lead in leads]


# ---- the interval --------------------------------------------------------------------------------
def drawn(rows: int, seed: int, *, high: float = 0.5, noise: float = 1.0) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Rows of which a share of ``high`` has a label that is noisier than elsewhere, which answers do not tell."""
    rng = np.random.default_rng(seed)
    is_high = rng.uniform(size=rows) < high
    x = np.where(is_high, 2.0, 0.0) + rng.uniform(size=rows)
    labels = noise * np.where(is_high, 3.0, 1.0) * rng.normal(size=rows)
    return pd.DataFrame({"x": x, "kind": np.where(is_high, "high", "low").astype(object)}), labels


def guessed(known: tuple[pd.DataFrame, NDArray[np.float64]], rows: pd.DataFrame, **given: object) -> Guess:
    answers = np.zeros(len(known[1]))
    calibration = estimation.calibrate(known[1], answers, None, OF_NUMBERS, window_rows=200, rows=known[0])
    found = estimation.guess(calibration, np.zeros(len(rows)), None, OF_NUMBERS, rows=rows, **given)  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize("moved", [0.0, 1.0])
def test_an_interval_allows_for_the_misfit_of_a_mix_that_moved_and_for_no_other(moved: float) -> None:
    known = drawn(800, 0)
    still, away = guessed(known, drawn(200, 1)[0]), guessed(known, drawn(200, 2, high=moved)[0])
    assert away.deviation > 2 * still.deviation
    assert away.low < np.abs(drawn(200, 2, high=moved)[1]).mean() < away.high


def test_nine_of_ten_intervals_hold_while_the_mix_stands_still() -> None:
    held = []
    for seed in range(300):
        rows, labels = drawn(200, 2 * seed)
        found = guessed(drawn(800, 2 * seed + 1), rows)
        held.append(found.low <= np.abs(labels).mean() <= found.high)
    assert 0.86 <= np.mean(held) <= 0.95


def test_values_that_were_missing_or_unheard_of_are_a_mix_that_moved() -> None:
    known = drawn(800, 0)
    rows = drawn(200, 1)[0]
    strange = rows.assign(x=np.nan, kind=pd.Series([None, "new"] * 100, dtype=object))
    assert guessed(known, strange).deviation > 2 * guessed(known, rows).deviation


def test_an_interval_that_was_widened_stays_so_while_errors_are_as_large() -> None:
    known, rows = drawn(800, 0), drawn(200, 1)[0]
    errors = surprised(*[3.0, -3.0] * 6)
    widened = [Reconciled(replace(one.guess, deviation=2 * 0.02, widened=2.0), one.realised) for one in errors]
    assert guessed(known, rows, past=widened) == guessed(known, rows, past=errors)
    assert guessed(known, rows, past=errors).deviation > 2 * guessed(known, rows).deviation


def test_guesses_that_were_kept_before_ages_were_are_read() -> None:
    text = '{"metric":"mae","value":1.0,"low":0.5,"high":1.5,"rows":9,"deviation":0.3,"last":1.1}'
    assert load(Guess, text) == Guess("mae", 1.0, 0.5, 1.5, 9, 0.3, 1.1, age=1, widened=1.0)


# ---- valid ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("surprises", "valid"),
    [
        ([1.0, -2.5, 2.5], True),
        ([1.0, 5.1], False),
        ([-5.1], False),
        ([3.2, 3.2], False),
        ([-3.2, -3.2], False),
        ([3.2, -3.2], True),
        ([5.1, 1.0], False),
        ([5.1, 1.0, -1.0], True),
        ([5.1, 1.0, 2.0, 1.0], False),
    ],
)
def test_guesses_are_not_valid_from_a_large_surprise_or_some_to_one_side(surprises: list[float], valid: bool) -> None:
    assert estimation.validity(surprised(*surprises))[-1] is valid


def test_surprises_of_guesses_made_before_the_last_was_known_do_not_add_up() -> None:
    assert estimation.validity(surprised(3.2, 3.2, age=2)) == [True, True]
    assert estimation.validity(surprised(3.2, 0.0, 3.2, age=2)) == [True, True, False]
    assert estimation.validity(surprised(3.2, 5.1, age=2)) == [True, False]


def test_surprises_by_chance_leave_guesses_valid() -> None:
    rng = np.random.default_rng(0)
    runs = [estimation.validity(surprised(*rng.normal(size=100))) for _ in range(100)]
    assert sum(not all(run) for run in runs) <= 4  # 1.3 are expected


@pytest.mark.parametrize("seed", range(5))
def test_a_rise_of_a_half_in_absolute_errors_is_seen_within_two_labelled_windows(seed: int) -> None:
    windows = [drawn(200, 100 * seed + t, noise=1.5 if t >= 12 else 1.0) for t in range(14)]
    past: list[Reconciled] = []
    for t in range(4, len(windows)):
        known = windows[t - 4 : t]
        joined = pd.concat([one[0] for one in known], ignore_index=True), np.concatenate([one[1] for one in known])
        past.append(Reconciled(guessed(joined, windows[t][0], past=past), float(np.abs(windows[t][1]).mean())))
    valid = estimation.validity(past)
    assert all(valid[:8]) and not valid[-1]


# ---- trusted -------------------------------------------------------------------------------------
def ever_trusted(past: list[Reconciled]) -> bool:
    return any(estimation.trust(past[:seen]).trusted for seen in range(1, len(past) + 1))


@pytest.mark.parametrize(
    ("age", "draw"),
    [
        (1, lambda rng: rng.uniform(-1, 1, size=60)),
        (1, lambda rng: rng.choice([-1.0, 1.0], size=60)),
        (5, lambda rng: np.repeat(rng.choice([-1.0, 1.0], size=12), 5)),  # guesses of one labelled window err together
    ],
)
def test_guesses_without_a_lead_are_hardly_ever_trusted(
    age: int, draw: Callable[[np.random.Generator], NDArray[np.float64]]
) -> None:
    rng = np.random.default_rng(0)
    trusted = [ever_trusted(nearer(*draw(rng), age=age)) for _ in range(200)]
    assert np.mean(trusted) <= estimation.LEVEL + 0.02


def test_a_lead_is_proven_and_the_sooner_the_fresher_the_labels() -> None:
    assert not estimation.trust(nearer(*[1.0] * 8)).trusted
    assert estimation.trust(nearer(*[1.0] * 9)).trusted
    assert not estimation.trust(nearer(*[1.0] * 24, age=3)).trusted
    assert estimation.trust(nearer(*[1.0] * 25, age=3)).trusted


def test_trust_is_lost_when_guesses_fall_behind_and_has_to_be_earned_anew() -> None:
    behind = nearer(*[1.0] * 12, *[-0.4] * 9)
    assert estimation.trust(behind[:-1]).trusted
    lost = estimation.trust(behind)
    assert lost.valid and not lost.trusted
    assert not estimation.trust([*behind, *nearer(*[1.0] * 8)]).trusted
    assert estimation.trust([*behind, *nearer(*[1.0] * 9)]).trusted


def test_what_guesses_lost_by_being_behind_delays_their_proof() -> None:
    late = nearer(*[-1.0] * 3, *[1.0] * 9)
    assert not estimation.trust(late).trusted


def test_trust_is_lost_at_once_when_guesses_part_from_what_was_realised() -> None:
    parted = [*nearer(*[1.0] * 9), *surprised(-6.0)]
    assert estimation.trust(parted[:-1]).trusted and not estimation.trust(parted).trusted
    again = estimation.trust([*parted, *nearer(1.0, 1.0)])
    assert again.valid and not again.trusted
