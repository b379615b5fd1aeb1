"""Guesses while labels are missing, reconciled when they come; and where answers go wrong."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from core import breakdown, charts, context, ingest, loop, monitoring, projects, schema
from core.breakdown import Answered
from core.policy import PRESETS
from core.records import SYSTEM, Column, Kind, Project, Schema, Task
from core.settings import Settings
from core.sources import SOURCES
from core.store import models

WINDOW, WARM_UP, BROKEN, WINDOWS = 200, 5, 15, 19
POLICY = replace(PRESETS["never"], window_rows=WINDOW, warm_up_windows=WARM_UP, estimator="logistic")


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A project whose labels come one window late, and mean the opposite from window 15 on; states by window."""
    from tests.conftest import NOW

    ctx = context.opened(Settings(_env_file=None, CONTINUAL_DATA_DIR=tmp_path_factory.mktemp("lived"), TASK_RETRIES=0))
    frame = SOURCES["sea"].draw(WINDOWS * WINDOW, seed=3, drift="none", noise=0.1)
    frame = frame.assign(row=np.arange(len(frame)))
    late = frame.index >= BROKEN * WINDOW
    frame.loc[late, "target"] = np.where(frame.loc[late, "target"].astype(str) == "1", "0", "1").astype(
        frame["target"].dtype
    )
    proposed = schema.infer(frame, target="target", row_id="row").schema
    project = projects.create(ctx, SYSTEM, name="Lived", schema=proposed, policy=POLICY, now=NOW)
    states = []
    for number in range(WINDOWS):
        now = NOW + timedelta(minutes=number)
        for part, columns in ((number, ["target"]), (number - 1, None)):
            rows = frame.iloc[max(part, 0) * WINDOW : (part + 1) * WINDOW]
            if columns:
                ingest.ingest(ctx, SYSTEM, project, rows.drop(columns=columns), source="api", now=now)
            elif len(rows) and part >= 0:
                offered = pd.DataFrame({"row_id": rows["row"], "value": rows["target"]})
                ingest.record_labels(ctx, SYSTEM, project, offered, source="api", now=now)
        loop.run_cycle(ctx, project, now)
        states.append(monitoring.estimates(ctx, project, POLICY))
    yield ctx, project, states
    ctx.close()


def test_a_window_is_guessed_before_its_labels_come(lived: tuple[context.Context, Project, list]) -> None:
    _, _, states = lived
    guessed, _ = states[BROKEN - 1]
    assert guessed[-1].window == BROKEN - 1 and guessed[-1].realised is None
    assert all(one.realised is not None for one in guessed[:-1])
    assert guessed[0].window > WARM_UP  # the first needs a labelled window that was answered


def test_in_a_steady_world_guesses_hold_and_are_valid(lived: tuple[context.Context, Project, list]) -> None:
    guessed, trust = lived[2][BROKEN - 1]
    held = [one.guess.low <= one.realised <= one.guess.high for one in guessed if one.realised is not None]
    assert len(held) >= 6 and np.mean(held) >= 0.75
    assert trust.valid is True


def test_two_labelled_windows_of_another_concept_make_guesses_invalid(
    lived: tuple[context.Context, Project, list],
) -> None:
    _, trust = lived[2][BROKEN + 2]
    assert trust.valid is False and trust.trusted is False


def test_trust_is_judged_by_all_windows_however_few_are_shown(lived: tuple[context.Context, Project, list]) -> None:
    ctx, project, states = lived
    shown, trust = monitoring.estimates(ctx, project, POLICY, windows=2)
    assert [one.window for one in shown] == [WINDOWS - 2, WINDOWS - 1]
    assert trust == states[-1][1] and trust.windows > 2


def test_a_guess_knows_how_old_the_newest_labels_were(lived: tuple[context.Context, Project, list]) -> None:
    guessed, _ = lived[2][-1]
    assert {one.guess.age for one in guessed} == {1}


def test_guesses_stand_once_they_are_made(lived: tuple[context.Context, Project, list]) -> None:
    ctx, project, states = lived
    before = {one.window: one.guess for one in states[BROKEN][0]}
    after = {one.window: one.guess for one in monitoring.estimates(ctx, project, POLICY)[0]}
    assert before.items() <= after.items()


def test_the_watch_on_a_reign_proves_a_rise_only_after_it(lived: tuple[context.Context, Project, list]) -> None:
    ctx, project, _ = lived
    with ctx.database.read() as con:
        champion = models.champion_number(con, project.id)
    seen = monitoring.watched(ctx, project, POLICY, champion)
    assert seen is not None and seen.loss is not None and seen.low is not None and seen.high is not None
    began = WARM_UP + 2  # the first window after the one that sets the limit
    turned = (BROKEN - began) * WINDOW
    assert seen.rows == (WINDOWS - 1 - began) * WINDOW  # the newest window has no labels yet
    assert seen.risen_after is not None and turned < seen.risen_after <= turned + WINDOW
    assert seen.low < seen.loss < seen.high and seen.loss > seen.limit
    assert monitoring.watched(ctx, project, POLICY, champion + 1) is None  # which has never served


# ---- where answers go wrong ----------------------------------------------------------------------
def told(wrong_above: float) -> tuple[Answered, Schema]:
    """Answers that are always wrong where x is above ``wrong_above``, with a confidence of 0.8 everywhere."""
    x = np.random.default_rng(0).uniform(size=600)
    truth = np.where(np.arange(600) % 2 == 0, "yes", "no").astype(object)
    other = np.where(truth == "yes", "no", "yes").astype(object)
    said = np.where(x > wrong_above, other, truth).astype(object)
    chances = np.where((said == "yes")[:, None], [[0.2, 0.8]], [[0.8, 0.2]])
    rows = pd.DataFrame({"x": x, "kind": pd.Series(["a", "b", "c"] * 200, dtype="str")})
    features = (Column("x", Kind.NUMERIC), Column("kind", Kind.CATEGORICAL))
    return Answered(rows, truth, said, chances), Schema(features, "y", Task.BINARY, ("no", "yes"))


def test_the_slice_that_is_hit_comes_first() -> None:
    answered, of = told(0.75)
    worst = breakdown.by_slice(answered, of)[0]
    assert worst.name.startswith("x > ") and worst.worse
    assert not any(one.worse for one in breakdown.by_slice(answered, of) if one.name.startswith("kind"))


def test_confidence_is_held_against_what_happened() -> None:
    answered, of = told(0.75)
    found = breakdown.reliability(answered, of)
    assert np.allclose(found["said"], 0.8)
    assert found["rows"].sum() == 600
    assert np.average(found["happened"], weights=found["rows"]) == pytest.approx(
        (answered.labels == answered.answers).mean()
    )


def test_confusion_counts_every_labelled_row_once() -> None:
    answered, of = told(0.75)
    labels = answered.labels.copy()
    labels[:100] = None
    found = breakdown.confusion(replace(answered, labels=labels), of)
    assert list(found.index) == list(found.columns) == ["no", "yes"]
    assert found.to_numpy().sum() == 500


def test_the_shares_of_the_confusion_are_white_on_full_cells_and_muted_on_faint_ones() -> None:
    figure = charts.confusion(pd.DataFrame([[9, 1], [0, 4]], ["a", "b"], ["a", "b"]), true="True", answered="Answered")
    cells, texts = figure.data
    assert list(zip(texts.x, texts.y, texts.text, strict=True)) == [
        ("a", "a", "90%"), ("b", "a", "10%"), ("a", "b", "0%"), ("b", "b", "100%"),
    ]  # fmt: skip
    assert texts.textfont.color == ("#FFFFFF", charts.MUTED, charts.MUTED, "#FFFFFF")
    assert cells.texttemplate is None  # whose colour would be chosen as if the ground were white


def test_too_few_labels_tell_nothing_of_slices() -> None:
    answered, of = told(0.75)
    labels = np.full(600, None, dtype=object)
    labels[:20] = "yes"
    assert breakdown.by_slice(replace(answered, labels=labels), of) == []


def test_a_cell_of_the_heatmap_that_could_not_be_judged_says_so() -> None:
    cells = pd.DataFrame(
        [(7, "x", 0.4, "stable"), (7, "y", np.nan, "unknown"), (8, "x", 1.6, "drifting"), (8, "y", np.nan, "unknown")],
        columns=["window_number", "feature", "ratio", "verdict"],
    )
    drawn = charts.drift_heatmap(cells).data[0]
    assert list(drawn.y) == ["y", "x"]
    assert drawn.text.tolist() == [["?", "?"], ["", ""]]
