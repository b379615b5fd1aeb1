"""Every estimator in the registry keeps the promises of the registry."""

import numpy as np
import pandas as pd
import pytest
import skops.io

from core import estimators, recent
from core.errors import InvalidInput
from core.estimators import memories
from core.estimators.time_parts import TimeParts
from core.records import Column, Kind, Schema, Task

FEATURES = (
    Column("size", Kind.NUMERIC),
    Column("colour", Kind.CATEGORICAL),
    Column("new", Kind.BOOLEAN),
    Column("made at", Kind.TIMESTAMP),
    Column("😀", Kind.NUMERIC),
)
BINARY = Schema(FEATURES, "y", Task.BINARY, ("no", "yes"))
MULTICLASS = Schema(FEATURES, "y", Task.MULTICLASS, ("1", "2", "3"))
REGRESSION = Schema(FEATURES, "y", Task.REGRESSION)
SCHEMAS = [BINARY, MULTICLASS, REGRESSION]


def _rows(n=400, seed=0):
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "size": draw.normal(size=n),
            "colour": pd.Series(draw.choice(["red", "blue", "green"], n), dtype=object),
            "new": draw.integers(0, 2, n).astype(float),
            "made at": pd.Timestamp("2024-01-01", tz="UTC")
            + pd.to_timedelta(draw.integers(0, 10_000, n), unit="h").astype("timedelta64[us]"),
            "😀": draw.normal(size=n),
        }
    )
    holes = draw.random((n, 5)) < 0.05
    for at, name in enumerate(frame.columns):
        frame.loc[holes[:, at], name] = None if name == "colour" else pd.NaT if name == "made at" else np.nan
    return recent.with_recent(frame, BINARY)


def _labels(frame, schema):
    signal = frame["size"].fillna(0) + (frame["colour"] == "red")
    if schema.task is Task.REGRESSION:
        return signal.astype(float)
    cut = np.digitize(signal, np.quantile(signal, np.linspace(0, 1, len(schema.classes) + 1)[1:-1]))
    return pd.Series(np.asarray(schema.classes, dtype=object)[cut])


@pytest.mark.parametrize("name", estimators.ESTIMATORS)
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.task)
def test_it_learns_and_answers_rows_with_holes_and_unseen_categories(name, schema):
    train, new = _rows(), _rows(seed=1)
    new.loc[:20, "colour"] = "mauve"
    new.loc[21:40] = None
    new.loc[41:60, list(recent.names(BINARY).values())] = np.nan  # nothing came before
    pipeline = estimators.build(name, schema, 0).fit(train, _labels(train, schema))
    answers = pipeline.predict(new)
    assert len(answers) == len(new)
    held = new.iloc[41:]
    truth = _labels(held, schema).to_numpy()
    if schema.task is Task.REGRESSION:
        assert np.corrcoef(answers[41:].astype(float), truth)[0, 1] > 0.9
    else:
        assert list(pipeline.classes_) == list(schema.classes)
        assert np.allclose(pipeline.predict_proba(new).sum(1), 1)
        assert (answers[41:] == truth).mean() > 0.8


@pytest.mark.parametrize("name", estimators.ESTIMATORS)
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.task)
def test_the_same_seed_gives_the_same_model(name, schema):
    train = _rows()
    first, second = (estimators.build(name, schema, 3).fit(train, _labels(train, schema)).predict(train) for _ in "ab")
    assert (first == second).all()


@pytest.mark.parametrize("name", estimators.ESTIMATORS)
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.task)
def test_skops_saves_it_with_our_trusted_types_only(name, schema, tmp_path):
    train = _rows()
    pipeline = estimators.build(name, schema, 0).fit(train, _labels(train, schema))
    skops.io.dump(pipeline, tmp_path / "model.skops")
    assert set(skops.io.get_untrusted_types(file=tmp_path / "model.skops")) <= set(estimators.TRUSTED_TYPES)
    again = skops.io.load(tmp_path / "model.skops", trusted=list(estimators.TRUSTED_TYPES))
    assert (again.predict(train) == pipeline.predict(train)).all()


@pytest.mark.parametrize("name", estimators.ESTIMATORS)
def test_a_column_that_is_empty_or_constant_in_training_does_no_harm(name):
    train = _rows()
    train["😀"] = train["←😀"] = np.nan
    train["new"] = 1.0
    train["colour"] = pd.Series([None] * len(train), dtype=object)
    pipeline = estimators.build(name, BINARY, 0).fit(train, _labels(_rows(), BINARY))
    assert set(pipeline.predict(_rows(seed=2))) <= set(BINARY.classes)


@pytest.mark.parametrize("name", estimators.ESTIMATORS)
def test_a_schema_of_one_kind_is_enough(name):
    schema = Schema((Column("colour", Kind.CATEGORICAL),), "y", Task.BINARY, ("no", "yes"))
    train = _rows()[["colour"]]
    labels = pd.Series(np.where(train["colour"] == "red", "yes", "no"), dtype=object)
    assert (estimators.build(name, schema, 0).fit(train, labels).predict(train) == labels).all()


def test_more_than_two_hundred_categories_are_taken():
    schema = Schema((Column("id", Kind.CATEGORICAL),), "y", Task.BINARY, ("no", "yes"))
    train = pd.DataFrame({"id": pd.Series([f"c{i % 700}" for i in range(1400)], dtype=object)})
    labels = pd.Series(["yes", "no"] * 700, dtype=object)
    for name in estimators.ESTIMATORS:
        assert len(estimators.build(name, schema, 0).fit(train, labels).predict(train)) == 1400


def test_auto_is_gradient_boosting_and_an_unknown_name_is_refused():
    assert estimators.resolve("auto") == "hist_gradient_boosting"
    with pytest.raises(InvalidInput, match="no estimator 'prophet'"):
        estimators.build("prophet", BINARY, 0)


def test_the_ladder_halves_down_to_the_fewest_rows_a_member_may_have():
    assert memories.ladder(16_000, 900) == [16_000, 8_000, 4_000, 2_000, 1_000]
    assert memories.ladder(1_000_000, 900)[-1] == 62_500
    assert memories.ladder(100, 900) == [100]


def test_weights_follow_the_member_that_was_right_and_stay_near_the_prior_when_nothing_tells_them_apart():
    draw = np.random.default_rng(0)
    truth = draw.normal(size=500)
    right, wrong = truth + draw.normal(0, 0.1, 500), draw.normal(size=500)
    found = memories.weights(np.stack([wrong, right]), truth, np.array([0.7, 0.3]))
    assert found.sum() == pytest.approx(1) and found[1] > 0.8
    same = memories.weights(np.stack([right, right]), truth, np.array([0.7, 0.3]))
    assert same == pytest.approx([0.7, 0.3], abs=0.02)


def test_after_a_change_the_newest_rows_outweigh_a_long_history():
    schema = Schema((Column("x", Kind.NUMERIC),), "y", Task.REGRESSION)
    draw = np.random.default_rng(0)
    frame = recent.with_recent(pd.DataFrame({"x": draw.normal(size=16_000)}), schema)
    slope = np.where(np.arange(16_000) < 13_000, 1.0, -1.0)
    pipeline = estimators.build("auto", schema, 0).fit(frame, frame["x"] * slope)
    assert np.corrcoef(pipeline.predict(frame), frame["x"])[0, 1] < -0.9


def test_a_class_that_only_old_rows_hold_is_still_known():
    train = _rows(4000)
    labels = _labels(train, BINARY)
    labels[1500:] = "no"
    pipeline = estimators.build("auto", BINARY, 0).fit(train, labels)
    assert list(pipeline.classes_) == ["no", "yes"]
    assert pipeline.predict_proba(train).shape == (4000, 2)


def test_a_part_of_a_date_is_used_once_it_has_come_round_twice():
    quarter = pd.DataFrame({"at": pd.date_range("2026-01-01", periods=24 * 90, freq="h", tz="UTC")})
    three_years = pd.DataFrame({"at": pd.date_range("2023-01-01", periods=365 * 3, freq="D", tz="UTC")})
    assert TimeParts().fit(quarter).get_feature_names_out().tolist() == ["at_hour", "at_weekday"]
    assert TimeParts().fit(three_years).get_feature_names_out().tolist() == ["at_hour", "at_weekday", "at_day_of_year"]
    assert TimeParts().fit(quarter).transform(quarter.iloc[26:27]).tolist() == [[2.0, 4.0]]


def test_times_that_have_not_come_round_are_no_column_of_their_own_and_missing_ones_stay_missing():
    moment = pd.DataFrame({"at": pd.to_datetime(["2026-01-01", None], utc=True)})
    assert TimeParts().fit(moment).transform(moment).tolist() == [[0.0], [0.0]]
    days = pd.DataFrame({"at": pd.date_range("2026-01-01", periods=100, freq="D", tz="UTC")})
    assert np.isnan(TimeParts().fit(days).transform(moment)[1]).all()


@pytest.mark.parametrize("count", [60, 150, 390, 410, 900])
@pytest.mark.parametrize("schema", [BINARY, REGRESSION], ids=["binary", "regression"])
def test_rows_too_few_to_hold_any_out_are_enough_to_learn_from(schema, count):
    frame = _rows(count)
    model = estimators.build("hist_gradient_boosting", schema, 0).fit(frame, _labels(frame, schema))
    assert len(model.predict(frame)) == count
    assert model[-1].weights_.sum() == pytest.approx(1.0)


def test_a_column_that_went_missing_for_good_does_not_stop_the_short_memories():
    train = _rows(4000)
    train.loc[3000:, ["size", "←size"]] = np.nan
    model = estimators.build("hist_gradient_boosting", BINARY, 0).fit(train, _labels(_rows(4000), BINARY))
    assert len(model.predict(train)) == 4000


@pytest.mark.parametrize("name", estimators.ESTIMATORS)
def test_a_rule_about_what_is_usual_of_late_stays_true_when_the_level_wanders(name):
    """Above the level of the day is "yes"; a model that is told of the rows before has learned it at any level."""
    schema = Schema((Column("price", Kind.NUMERIC),), "up", Task.BINARY, ("no", "yes"))
    draw = np.random.default_rng(1)
    level = draw.normal(0, 0.1, 9000).cumsum()
    price = level + draw.normal(size=9000)
    labels = pd.Series(np.where(price > level, "yes", "no"), dtype=object)
    told = recent.with_recent(pd.DataFrame({"price": price}), schema)
    untold = told.assign(**{"←price": 0.0})

    def right(rows):
        model = estimators.build(name, schema, 0).fit(rows[:6000], labels[:6000])
        return (model.predict(rows[6000:]) == labels[6000:]).mean()

    assert right(told) > 0.8 > 0.7 > right(untold)


def test_a_model_of_an_earlier_release_whose_members_are_told_of_every_column_still_answers():
    train = _rows()
    model = estimators.build("logistic", BINARY, 0).fit(train, _labels(train, BINARY))
    said = model.predict(train)
    del model[-1].ends_
    assert (model.predict(train) == said).all()
