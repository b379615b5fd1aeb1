"""The drift check: what it says, that it keeps to its budget, and that it survives storage."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core import drift
from core.errors import InvalidInput, InvalidRows, NotEnoughRows
from core.records import Column, Kind, Schema, Task, Verdict

SCHEMA = Schema(
    (
        Column("age", Kind.NUMERIC),
        Column("income", Kind.NUMERIC),
        Column("hour", Kind.NUMERIC),
        Column("city", Kind.CATEGORICAL),
        Column("member", Kind.BOOLEAN),
        Column("joined", Kind.TIMESTAMP),
    ),
    "bought",
    Task.BINARY,
    ("no", "yes"),
)


def rows(count: int, seed: int, **changed: Any) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, count),
            "income": rng.lognormal(10, 0.5, count),
            "hour": rng.integers(0, 24, count).astype(float),
            "city": rng.choice(np.array(["Bern", "Lima", "Oslo"], object), count, p=[0.5, 0.3, 0.2]),
            "member": rng.integers(0, 2, count).astype(float),
            "joined": pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 10**6, count), unit="s"),
        }
    )
    return frame.assign(**changed)


def verdict(before: pd.DataFrame, now: pd.DataFrame, **how: Any) -> Verdict:
    known = drift.reference(before, SCHEMA)
    return drift.check(known, drift.profile(known, now), **how).verdict


def drifting(before: pd.DataFrame, now: pd.DataFrame) -> set[str]:
    known = drift.reference(before, SCHEMA)
    found = drift.check(known, drift.profile(known, now))
    return {score.feature for score in found.scores if score.drifting} - {drift.JOINT}


def test_rows_like_the_reference_are_stable() -> None:
    assert verdict(rows(1000, 1), rows(1000, 2)) is Verdict.STABLE


@pytest.mark.parametrize(
    ("feature", "change"),
    [
        ("age", lambda f: f.age + 5),
        ("income", lambda f: f.income * 10),
        ("hour", lambda f: f.hour // 2),
        ("city", lambda f: np.where(np.arange(len(f)) % 4 == 0, "Oslo", f.city)),
        ("city", lambda f: np.where(np.arange(len(f)) % 10 == 0, "Rome", f.city)),
        ("member", lambda f: 1.0),
        ("joined", lambda f: f.joined + pd.Timedelta(days=3)),
        ("age", lambda f: f.age.where(np.arange(len(f)) % 20 != 0)),
        ("city", lambda f: f.city.where(np.arange(len(f)) % 20 != 0, None)),
        ("age", lambda f: 40.0),
        ("age", lambda f: np.nan),
        ("age", lambda f: np.inf),
    ],
)
def test_the_feature_that_changed_is_named_and_no_other(feature: str, change: Any) -> None:
    now = rows(1000, 2)
    assert drifting(rows(1000, 1), now.assign(**{feature: change})) == {feature}


def test_a_constant_column_that_moved_has_drifted() -> None:
    assert drifting(rows(500, 1, age=7.0), rows(500, 2, age=7.5)) == {"age"}


def test_a_constant_column_that_stayed_is_stable() -> None:
    assert verdict(rows(500, 1, age=7.0), rows(500, 2, age=7.0)) is Verdict.STABLE


def test_a_column_that_was_never_there_is_judged_by_its_gaps() -> None:
    assert verdict(rows(500, 1, age=np.nan), rows(500, 2, age=np.nan)) is Verdict.STABLE
    assert drifting(rows(500, 1, age=np.nan), rows(500, 2)) == {"age"}


def test_too_few_rows_are_unknown_and_the_note_says_so() -> None:
    known = drift.reference(rows(1000, 1), SCHEMA)
    found = drift.check(known, drift.profile(known, rows(5, 2)))
    assert found.verdict is Verdict.UNKNOWN
    assert "5 rows" in found.note
    known = drift.reference(rows(12, 1), SCHEMA)
    assert drift.check(known, drift.profile(known, rows(12, 2))).verdict is Verdict.UNKNOWN


def test_a_counter_that_always_moves_on_cannot_be_judged_and_is_no_alarm() -> None:
    now = np.arange(2000, dtype=float)
    assert verdict(rows(1000, 1, age=now[:1000]), rows(1000, 2, age=now[1000:])) is Verdict.STABLE


def test_many_small_shifts_together_are_drift() -> None:
    rng = np.random.default_rng(0)
    columns = [f"x{i}" for i in range(20)]
    schema = Schema(tuple(Column(c, Kind.NUMERIC) for c in columns), "y", Task.REGRESSION)
    known = drift.reference(pd.DataFrame(rng.normal(size=(1000, 20)), columns=columns), schema)
    found = drift.check(known, drift.profile(known, pd.DataFrame(rng.normal(0.12, 1, (1000, 20)), columns=columns)))
    assert any(score.feature == drift.JOINT and score.drifting for score in found.scores)


def test_a_trivial_shift_is_no_drift_however_many_rows_there_are() -> None:
    now = rows(50_000, 2)
    assert verdict(rows(50_000, 1), now.assign(age=now.age + 0.5)) is Verdict.STABLE
    assert verdict(rows(50_000, 1), now.assign(age=now.age + 0.5), smallest_shift=0.0) is Verdict.DRIFTING


def test_value_above_limit_is_what_drifting_means() -> None:
    known = drift.reference(rows(800, 1), SCHEMA)
    now = rows(800, 2)
    found = drift.check(known, drift.profile(known, now.assign(age=now.age * 1.1, city="Lima")))
    assert found.scores
    assert all(score.drifting == (score.value > score.limit) for score in found.scores)
    assert all(np.isfinite([score.value, score.limit]).all() for score in found.scores)


def test_a_larger_budget_has_no_higher_limit() -> None:
    known = drift.reference(rows(800, 1), SCHEMA)
    now = drift.profile(known, rows(800, 2))
    strict, lax = (drift.check(known, now, budget=b) for b in (0.001, 0.1))
    assert all(a.limit >= b.limit for a, b in zip(strict.scores, lax.scores, strict=True))
    assert strict.detectable >= lax.detectable  # type: ignore[operator]


def test_profiles_of_parts_add_up_to_the_profile_of_the_whole() -> None:
    known = drift.reference(rows(1000, 1), SCHEMA)
    frame = rows(900, 2)
    whole = drift.profile(known, frame)
    parts = drift.merge(*(drift.profile(known, frame[i : i + 300]) for i in (0, 300, 600)))
    assert parts.rows == 900
    for name in ("counts", "missing", "unseen"):
        assert (getattr(whole, name) == getattr(parts, name)).all()
    assert np.allclose(whole.sums, parts.sums)
    assert np.allclose(whole.squares, parts.squares)


def test_reference_and_profile_survive_storage_to_the_identical_check() -> None:
    known = drift.reference(rows(700, 1), SCHEMA)
    now = drift.profile(known, rows(300, 2))
    kept = drift.Reference.from_bytes(known.to_bytes())
    again = drift.Profile.from_bytes(now.to_bytes())
    assert drift.check(kept, again) == drift.check(known, now)
    assert (drift.profile(kept, rows(300, 2)).counts == now.counts).all()


def test_profiles_of_another_reference_are_refused() -> None:
    one, other = (drift.reference(rows(300, seed), SCHEMA) for seed in (1, 2))
    with pytest.raises(InvalidInput, match="Profile the rows again"):
        drift.check(one, drift.profile(other, rows(300, 3)))
    with pytest.raises(InvalidInput, match="Profile the rows again"):
        drift.merge(one.profile, other.profile)


def test_what_is_no_profile_is_refused() -> None:
    with pytest.raises(InvalidInput):
        drift.Profile.from_bytes(b"nonsense")
    with pytest.raises(InvalidInput):
        drift.Reference.from_bytes(b"nonsense")


def test_what_cannot_be_judged_is_refused_in_words() -> None:
    with pytest.raises(NotEnoughRows):
        drift.reference(rows(0, 1), SCHEMA)
    with pytest.raises(InvalidRows, match="age"):
        drift.reference(rows(10, 1).drop(columns="age"), SCHEMA)
    known = drift.reference(rows(100, 1), SCHEMA)
    with pytest.raises(InvalidInput, match="budget"):
        drift.check(known, known.profile, budget=0)
    with pytest.raises(InvalidInput, match="magic"):
        drift.check(known, known.profile, metrics=("magic",))


def test_the_prediction_is_profiled_but_judged_only_when_asked_for() -> None:
    before = rows(1000, 1).assign(prediction=np.linspace(0, 1, 1000)[np.random.default_rng(0).permutation(1000)])
    now = rows(1000, 2).assign(prediction=0.9)
    known = drift.reference(before, SCHEMA)
    window = drift.profile(known, now)
    assert drift.check(known, window).verdict is Verdict.STABLE
    assert drift.check(known, window, features=("prediction",)).verdict is Verdict.DRIFTING


def test_facts_are_those_of_the_rows() -> None:
    known = drift.reference(rows(1000, 1), SCHEMA)
    now = rows(500, 2)
    now.loc[:49, "age"] = np.nan
    now.loc[:99, "city"] = "Rome"
    told = {row["name"]: row for row in drift.facts(known, drift.profile(known, now))}
    assert told["age"]["missing_now"] == 0.1
    assert told["age"]["mean_now"] == pytest.approx(now.age.mean())
    assert told["age"]["std_now"] == pytest.approx(now.age.std(ddof=0))
    assert told["city"]["unseen_share"] == 0.2
    assert told["city"]["mean_now"] is None


def test_the_command_prints_a_verdict_and_exits_with_it(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [f"{tmp_path}/{name}.parquet" for name in ("before", "same", "other")]
    for path, frame in zip(paths, (rows(1000, 1), rows(1000, 2), rows(1000, 3, age=3.0)), strict=True):
        frame.assign(order=range(len(frame))).to_parquet(path)
    assert drift.main([paths[0], paths[1], "--ignore", "order", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "stable"
    assert drift.main([paths[0], paths[2], "--ignore", "order", "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in printed["features"] if row["drifting"]} == {"age"}
    assert set(printed["features"][0]) == {"name", "drifting", "score", "limit", "metric"}
    assert drift.main([paths[0], "nowhere.parquet", "--json"]) == 2


def test_a_feature_that_is_called_label_is_a_feature_like_any_other() -> None:
    schema = Schema((Column("label", Kind.NUMERIC),), "y", Task.BINARY, ("no", "yes"))
    frame = pd.DataFrame({"label": np.random.default_rng(0).normal(size=500)})
    known = drift.reference(drift.with_answers(frame, schema, label=["no"] * 500, prediction=["no"] * 500), schema)
    assert known.names == ["label", "prediction"]
    found = drift.check(known, drift.profile(known, frame + 1))
    assert {score.feature for score in found.scores if score.drifting} == {"label"}


def test_what_the_label_does_moves_no_limit_of_a_feature() -> None:
    before, now = rows(1000, 1), rows(1000, 2)
    slow = np.repeat(np.arange(10.0), 100)
    plain, answered = drift.reference(before, SCHEMA), drift.reference(before.assign(label=slow), SCHEMA)
    assert (
        drift.check(plain, drift.profile(plain, now)).scores
        == drift.check(answered, drift.profile(answered, now)).scores
    )
