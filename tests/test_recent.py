"""What was usual just before each row."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import ingest, prediction, projects, recent
from core.records import SYSTEM, Column, Kind, Schema, Task
from core.store import rows as row_store
from core.world import StoreWorld
from tests.conftest import NOW

SCHEMA = Schema(
    (Column("price", Kind.NUMERIC), Column("city", Kind.CATEGORICAL), Column("load", Kind.NUMERIC)),
    "up", Task.BINARY, ("no", "yes"),
)  # fmt: skip


def _rows(count, seed=0):
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "price": draw.normal(size=count) * 10.0 ** draw.integers(-9, 9, count),
            "city": pd.Series(draw.choice(["Bern", "Riga"], count), dtype=object),
            "load": draw.integers(0, 5, count).astype(float),
        }
    )
    frame.loc[draw.random(count) < 0.2, "load"] = np.nan
    return frame


def test_it_is_the_median_of_the_rows_before_and_of_no_other():
    frame = _rows(200)
    found = recent.with_recent(frame, SCHEMA)
    assert list(found.columns) == ["price", "city", "load", "←price", "←load"]
    for at in (1, 7, recent.ROWS, 130):
        before = frame.iloc[max(0, at - recent.ROWS) : at]
        assert found["←price"][at] == before["price"].median()
        assert found["←load"].iloc[at] == pytest.approx(before["load"].median(), nan_ok=True)
    assert np.isnan(found["←price"][0])
    pd.testing.assert_frame_equal(found[SCHEMA.names], frame)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_wherever_the_rows_are_cut_it_is_the_same_to_the_last_bit(first, last, seed):
    first, last = sorted((first, last))
    frame = _rows(300, seed)
    whole = recent.with_recent(frame, SCHEMA).iloc[first:last]
    part = recent.with_recent(frame.iloc[first:last], SCHEMA, frame.iloc[:first])
    pd.testing.assert_frame_equal(part, whole, check_exact=True)


def test_what_comes_later_changes_nothing():
    frame = _rows(120)
    other = frame.copy()
    other.loc[60:, ["price", "load"]] = 1e9
    before, after = recent.with_recent(frame, SCHEMA), recent.with_recent(other, SCHEMA)
    pd.testing.assert_frame_equal(after[:60], before[:60])


def test_a_feature_that_is_called_as_such_a_column_keeps_its_name():
    schema = Schema((Column("x", Kind.NUMERIC), Column("←x", Kind.NUMERIC)), "y", Task.REGRESSION)
    found = recent.with_recent(pd.DataFrame({"x": [1.0, 2.0], "←x": [5.0, 6.0]}), schema)
    assert found.columns.is_unique and found["←x"].tolist() == [5.0, 6.0]


def test_without_numbers_there_is_nothing_to_add():
    schema = Schema((Column("city", Kind.CATEGORICAL),), "y", Task.BINARY, ("no", "yes"))
    frame = _rows(3)[["city"]]
    pd.testing.assert_frame_equal(recent.with_recent(frame, schema, frame), frame)


@pytest.fixture
def project(ctx):
    return projects.create(ctx, SYSTEM, name="Prices", schema=SCHEMA, now=NOW)


def test_rows_that_wait_to_be_written_count_as_come_before(ctx, project, monkeypatch):
    """Asked one at a time, in pieces or at once: a row is always told of the same rows before it."""
    frame = _rows(180)
    told = []
    monkeypatch.setattr(prediction, "champion", lambda ctx, project: type("Model", (), {"version": 1}))

    def answered(inputs):
        told.append(inputs)
        return pd.DataFrame({"answer": ["no"] * len(inputs), "probabilities": [[0.5, 0.5]] * len(inputs)})

    monkeypatch.setattr(
        prediction, "answer",
        lambda ctx, project, model, features, before: answered(recent.with_recent(features, SCHEMA, before)),
    )  # fmt: skip
    for piece in (frame[:70], frame[70:71]):
        ingest.ingest(ctx, SYSTEM, project, piece, source="x", now=NOW)
    for piece in (frame[71:72], frame[72:73], frame[73:140]):
        prediction.predict(ctx, SYSTEM, project, piece, source="x", now=NOW)
    ingest.ingest(ctx, SYSTEM, project, [frame[140:150], frame[150:160]], source="x", now=NOW)
    prediction.predict(ctx, SYSTEM, project, frame[160:], source="x", now=NOW)
    expected = recent.with_recent(frame, SCHEMA)
    pd.testing.assert_frame_equal(pd.concat(told, ignore_index=True), expected)
    ctx.log.flush()
    with ctx.database.read() as con:
        assert row_store.count(con, project.id) == 180
    world = StoreWorld(ctx, project, NOW, lambda text: None, None)
    for first, last in ((0, 180), (30, 31), (100, 180)):
        pd.testing.assert_frame_equal(
            world._inputs(first, last).reset_index(drop=True), expected[first:last].reset_index(drop=True)
        )
