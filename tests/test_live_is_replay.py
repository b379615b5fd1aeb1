"""The same history, fed through the store with a fake clock and played over a frame, is judged alike, turn by turn."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import context, ingest, loop, projects, replay, schema
from core.policy import PRESETS, Policy
from core.records import SYSTEM, Action, Project
from core.settings import Settings
from core.sources import SOURCES
from core.store import decisions

WINDOW = 100

Line = tuple[int | None, Action, tuple[object, ...], object, int | None, object]


def history(windows: int, seed: int, drift: str) -> pd.DataFrame:
    frame = SOURCES["sea"].draw(windows * WINDOW, seed=seed, drift=drift, start=0.5, magnitude=2.0, noise=0.1)
    return frame.assign(row=np.arange(len(frame)))


def live(ctx: context.Context, frame: pd.DataFrame, policy: Policy, delay: int, now) -> tuple[list[Line], list[str]]:
    """What the app decides when each window comes without its labels, and those of ``delay`` windows before follow."""
    proposed = schema.infer(frame, target="target", row_id="row").schema
    project = projects.create(ctx, SYSTEM, name="History", schema=proposed, policy=policy, now=now)
    for number in range(len(frame) // WINDOW):
        now += timedelta(minutes=1)
        rows = frame.iloc[number * WINDOW : (number + 1) * WINDOW]
        ingest.ingest(ctx, SYSTEM, project, rows.drop(columns="target"), source="api", now=now)
        for labelled in _labels_due(number, policy.warm_up_windows, delay):
            part = frame.iloc[labelled * WINDOW : (labelled + 1) * WINDOW]
            offered = pd.DataFrame({"row_id": part["row"], "value": part["target"]})
            ingest.record_labels(ctx, SYSTEM, project, offered, source="api", now=now)
        loop.run_cycle(ctx, project, now)
    return _ledger(ctx, project), _answers(ctx, project, len(frame))


def _labels_due(number: int, warm_up: int, delay: int) -> range:
    """The windows whose labels come after window ``number`` was answered; the warm-up is history, known at its end."""
    if number < warm_up - 1:
        return range(0)
    if number == warm_up - 1:
        return range(warm_up)
    return range(number - delay, number - delay + 1) if number - delay >= warm_up else range(0)


def _ledger(ctx: context.Context, project: Project) -> list[Line]:
    with ctx.database.read() as con:
        entries = decisions.latest(con, project.id, limit=10_000)
    lines = [
        (entry.window_number, entry.action, entry.reasons, entry.nearest_flip, entry.version, entry.comparison)
        for entry in reversed(entries)
    ]
    return [line for line in lines if line[0] is not None]  # without "the next window is filling"


def _answers(ctx: context.Context, project: Project, rows: int) -> list[str]:
    ctx.log.flush()
    with ctx.database.read() as con:
        found = con.execute("SELECT position, answer FROM predictions WHERE project = ?", [project.id]).fetchall()
    answered = dict(found)
    return [answered[position] for position in range(rows) if position in answered]


def replayed(frame: pd.DataFrame, policy: Policy, delay: int) -> tuple[list[Line], list[str]]:
    shape = schema.infer(frame, target="target", row_id="row").schema
    conformed = schema.conform(frame, shape, with_target="required")
    played = replay.replay(conformed.features, conformed.labels, shape, policy, label_delay=delay)
    lines = [
        (step.turn, step.action, step.reasons, step.nearest_flip, step.version, step.comparison)
        for step in played.steps
    ]
    return lines, [answer for answer in played.answers.labels if answer is not None]


def check(tmp_path, frame: pd.DataFrame, policy: Policy, delay: int, now) -> list[Line]:
    ctx = context.opened(Settings(_env_file=None, CONTINUAL_DATA_DIR=tmp_path))
    try:
        lived, said = live(ctx, frame, policy, delay, now)
    finally:
        ctx.close()
    expected, answers = replayed(frame, policy, delay)
    assert lived == expected
    assert said == answers
    return lived


def small(name: str, **how: object) -> Policy:
    return Policy(
        **{**vars(PRESETS[name]), "window_rows": WINDOW, "warm_up_windows": 3, "estimator": "logistic", **how}
    )


@pytest.mark.parametrize(("name", "delay"), [("balanced", 0), ("careful", 2)])
def test_the_app_decides_what_a_replay_decides(tmp_path, now, name, delay):
    lines = check(tmp_path, history(12, 1, "sudden"), small(name, price=0.02), delay, now)
    assert {Action.WAIT, Action.NOTHING, Action.RETRAIN, Action.PROMOTE} <= {line[1] for line in lines}


def test_a_challenger_that_wins_its_trial_answers_from_then_on(tmp_path, now):
    policy = small("careful", price=0.1, growth=1.3, most_retrains=0.5)
    lines = check(tmp_path, history(9, 0, "none"), policy, 0, now)
    held = next(line for line in lines if line[2][0].code == "challenger_unproven")
    won = next(line for line in lines if line[2][0].code == "challenger_better")
    assert (won[1], won[4]) == (Action.PROMOTE, held[4]), "and it answers the rows after that as in a replay"


def test_a_predecessor_that_stands_in_answers_the_same_rows_as_in_a_replay(tmp_path, now):
    policy = small("balanced", price=0.02, stand_in=0.0, rollback_level=1e-9, most_retrains=0.5)
    lines = check(tmp_path, history(10, 5, "none"), policy, 0, now)
    told = [reason.code for line in lines for reason in line[2]]
    assert "stands_in" in told and "steps_back" in told


def test_where_the_warm_up_has_one_answer_the_app_waits_as_a_replay_does(tmp_path, now):
    frame = history(8, 1, "none")
    frame.loc[: 5 * WINDOW - 1, "target"] = frame["target"].iloc[0]
    lines = check(tmp_path, frame, small("balanced"), 0, now)
    assert [line[1] for line in lines[:7]] == [Action.WAIT] * 6 + [Action.RETRAIN]
    assert [line[2][0].code for line in lines[2:6]] == ["one_answer"] * 4


@pytest.mark.soak
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(PRESETS)),
    delay=st.integers(0, 4),
    windows=st.integers(5, 14),
    seed=st.integers(0, 1_000),
    drift=st.sampled_from(["none", "sudden", "gradual", "recurring"]),
    estimator=st.sampled_from(["logistic", "hist_gradient_boosting"]),
)
def test_whatever_the_history_the_app_decides_what_a_replay_decides(
    tmp_path_factory, now, name, delay, windows, seed, drift, estimator
):
    folder = tmp_path_factory.mktemp("history")
    check(folder, history(windows, seed, drift), small(name, estimator=estimator), delay, now)
