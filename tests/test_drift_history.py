"""Profiles of windows are kept as they are judged; any two spans compare from them, in the bins of one version."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core import context, drift, drift_history, ingest, loop, projects, schema
from core.errors import InvalidInput, NotFound
from core.policy import PRESETS, Policy
from core.records import SYSTEM, Project, Verdict
from core.store import models, profiles
from core.world import StoreWorld
from tests.server import ROOT

SIZE, WARM_UP = 200, 2
FIRST = 2  # the first champion; version 1 was the candidate that was checked for sanity


def history(windows: int, seed: int = 0) -> pd.DataFrame:
    """Two features; from window 6 on `x` is one standard deviation higher. `when` moves on, a minute a row."""
    draw = np.random.default_rng(seed)
    rows = windows * SIZE
    x, city = draw.normal(size=rows), draw.choice(np.array(["Bern", "Lima"], object), rows)
    x[6 * SIZE :] += 1.0
    target = np.where(x + draw.normal(0, 0.5, rows) > 0, "yes", "no")
    when = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(rows), unit="min")
    return pd.DataFrame({"row": np.arange(rows), "x": x, "city": city, "when": when, "target": target})


def started(ctx, now, **how) -> Project:
    policy = Policy(
        **{
            **vars(PRESETS["careful"]),
            "window_rows": SIZE,
            "warm_up_windows": WARM_UP,
            "estimator": "logistic",
            "on_staleness": False,
            **how,
        }
    )
    proposed = schema.infer(history(1), target="target", row_id="row").schema
    return projects.create(ctx, SYSTEM, name="History", schema=proposed, policy=policy, now=now)


def offer(ctx, project: Project, frame: pd.DataFrame, now, *, labels: bool = True) -> None:
    offered = frame if labels else frame.drop(columns="target")
    ingest.ingest(ctx, SYSTEM, project, offered, source="api", now=now)


def lived(ctx, now, windows: int) -> Project:
    project, frame = started(ctx, now), history(windows)
    for number in range(windows):
        now += timedelta(minutes=1)
        offer(ctx, project, frame.iloc[number * SIZE : (number + 1) * SIZE], now)
        loop.run_cycle(ctx, project, now)
    return project


def test_how_the_newest_window_stands(ctx, now):
    project = lived(ctx, now, 4)
    found = drift_history.standing(ctx, project)
    assert (found.window, found.verdict, found.moved) == (3, Verdict.STABLE, ())
    assert (found.judged, found.unjudged) == (("x", "city", "when"), ())
    offer(ctx, project, history(8).iloc[4 * SIZE :], now + timedelta(hours=1))
    loop.run_cycle(ctx, project, now + timedelta(hours=1))
    found = drift_history.standing(ctx, project)
    assert (found.window, found.verdict, found.moved) == (7, Verdict.DRIFTING, ("x",))


def test_where_hardly_a_feature_can_be_judged_nothing_is_called_stable(ctx, people, now, monkeypatch):
    project, frame = started(ctx, now), history(4)
    walk = np.cumsum(np.random.default_rng(1).normal(size=(len(frame), 2)), axis=0)  # rows hardly differ from the last
    frame["x"], frame["city"] = walk[:, 0], np.where(walk[:, 1] > np.median(walk[:400, 1]), "Bern", "Lima")
    offer(ctx, project, frame, now)
    loop.run_cycle(ctx, project, now)
    found = drift_history.standing(ctx, project)
    assert (found.verdict, found.judged, found.unjudged) == (Verdict.UNKNOWN, ("when",), ("x", "city"))
    monkeypatch.setitem(context._process, "context", ctx)
    page = AppTest.from_file(str(ROOT / "pages" / "monitoring.py"), default_timeout=180)
    page.session_state["signed_in"] = "viewer"
    said = " ".join(part.value for part in (*page.run().markdown, *page.caption))
    assert "Unknown" in said and "Too little of window 3 could be judged to call it stable." in said
    assert "Stable" not in said and "neighbours: x, city." in said


def test_nothing_judged_has_no_standing(ctx, now):
    assert drift_history.standing(ctx, started(ctx, now)) is None


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    from core import context
    from core.settings import Settings
    from tests.conftest import NOW

    ctx = context.opened(Settings(_env_file=None, CONTINUAL_DATA_DIR=tmp_path_factory.mktemp("history")))
    yield ctx, lived(ctx, NOW, 9), NOW + timedelta(days=1)
    ctx.close()


def test_two_spans_compare_without_their_rows(world):
    ctx, project, now = world
    found = drift_history.compare(ctx, project, (WARM_UP, 4), (4, 6), now=now, version=FIRST)
    assert found.counted == 0
    assert found.check.verdict is Verdict.STABLE
    moved = drift_history.compare(ctx, project, (WARM_UP, 6), (7, 9), now=now, version=FIRST)
    assert {score.feature for score in moved.check.scores if score.drifting} == {"x"}
    assert (moved.check.reference_rows, moved.check.current_rows) == (4 * SIZE, 2 * SIZE)
    told = {fact["name"]: fact for fact in moved.facts}
    assert told["x"]["mean_now"] - told["x"]["mean_before"] == pytest.approx(1.0, abs=0.3)


def test_what_was_kept_is_what_the_rows_would_give(world):
    ctx, project, now = world
    reference = StoreWorld(ctx, project, now, print, None).reference(FIRST)  # type: ignore[arg-type]
    with ctx.database.read() as con:
        kept = profiles.span(con, project.id, FIRST, 3, 5, rows=SIZE)
    frame = history(9).iloc[3 * SIZE : 5 * SIZE]
    counted = drift.merge(*map(drift.Profile.from_bytes, kept.values()))
    expected = drift.profile(reference, frame.assign(label=frame["target"]))
    names = reference.names
    bins = np.cumsum([feature.bins for feature in reference.features])
    upto = bins[names.index("prediction") - 1]
    assert (counted.counts[:upto] == expected.counts[:upto]).all()
    of_label = slice(bins[names.index("label") - 1], bins[names.index("label")])
    assert (counted.counts[of_label] == expected.counts[of_label]).all()
    assert counted.missing[names.index("prediction")] == 0


def test_the_answers_compare_too_when_they_are_asked_for(world):
    ctx, project, now = world
    found = drift_history.compare(
        ctx, project, (WARM_UP, 6), (7, 9), now=now, version=FIRST, features=("prediction", "label")
    )
    assert {score.feature for score in found.check.scores if score.drifting} >= {"prediction", "label"}


def test_windows_counted_in_other_bins_are_counted_anew_once(world):
    ctx, project, now = world
    with ctx.database.read() as con:
        assert profiles.versions(con, project.id, 0) == []  # the champion of window 0 was trained on it
    first = drift_history.compare(ctx, project, (0, 2), (7, 9), now=now, version=FIRST)
    again = drift_history.compare(ctx, project, (0, 2), (7, 9), now=now, version=FIRST)
    assert (first.counted > 0, again.counted) == (True, 0)
    assert first.check == again.check


def test_without_a_version_it_is_the_one_that_counted_most(world):
    ctx, project, now = world
    with ctx.database.read() as con:
        covered = profiles.coverage(con, project.id, ((2, 4), (4, 6)), rows=SIZE)
    found = drift_history.compare(ctx, project, (2, 4), (4, 6), now=now)
    assert covered[found.version] == max(covered.values())


def test_spans_that_cannot_be_compared_are_refused_in_words(world):
    ctx, project, now = world
    with pytest.raises(InvalidInput, match="9 windows are full"):
        drift_history.compare(ctx, project, (0, 2), (8, 12), now=now)
    with pytest.raises(InvalidInput, match="overlap"):
        drift_history.compare(ctx, project, (0, 4), (3, 6), now=now)
    with pytest.raises(NotFound, match="99"):
        drift_history.compare(ctx, project, (0, 4), (4, 6), now=now, version=99)


def test_the_heatmap_has_a_line_a_feature_and_judged_window(world):
    ctx, project, _ = world
    table = drift_history.heatmap(ctx, project)
    features = table[table["feature"].isin(project.schema.names)]
    assert sorted(features["window_number"].unique()) == list(range(WARM_UP, 9))
    assert (features.groupby("window_number")["feature"].nunique() == len(project.schema.names)).all()
    six = features[(features["window_number"] == 6) & (features["feature"] == "x")].iloc[0]
    assert (six["verdict"], six["ratio"] > 1) == ("drifting", True)
    judged = features[features["verdict"] != "unknown"]
    assert ((judged["ratio"] > 1) == (judged["verdict"] == "drifting")).all()
    assert features[features["verdict"] == "unknown"]["value"].isna().all()
    assert drift_history.heatmap(ctx, project, windows=3)["window_number"].nunique() == 3


def test_a_heatmap_of_nothing_is_empty(ctx, now):
    assert drift_history.heatmap(ctx, started(ctx, now)).empty


def test_labels_that_come_later_are_counted_in_the_kept_profile(ctx, now):
    project, frame = started(ctx, now), history(4)
    offer(ctx, project, frame.iloc[: WARM_UP * SIZE], now)
    loop.run_cycle(ctx, project, now)
    offer(ctx, project, frame.iloc[WARM_UP * SIZE : 3 * SIZE], now, labels=False)
    loop.run_cycle(ctx, project, now)

    def labels_missing() -> int:
        with ctx.database.read() as con:
            (kept,) = profiles.span(con, project.id, FIRST, 2, 3, rows=SIZE).values()
            reference = drift.Reference.from_bytes(models.reference(con, project.id, FIRST) or b"")
        return int(drift.Profile.from_bytes(kept).missing[reference.names.index("label")])

    assert labels_missing() == SIZE
    part = frame.iloc[WARM_UP * SIZE : 3 * SIZE - 20]
    values = pd.DataFrame({"row_id": part["row"], "value": part["target"]})
    ingest.record_labels(ctx, SYSTEM, project, values, source="api", now=now)
    loop.run_cycle(ctx, project, now)
    assert labels_missing() == 20
