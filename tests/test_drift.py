"""The drift check: what it says, that it keeps to its budget, and that it survives storage."""

import json
import zlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from core import cells, drift, profiles
from core.errors import InvalidInput, InvalidRows, NotEnoughRows
from core.one_thread import one_thread
from core.records import Column, Kind, Schema, Task, Verdict
from core.values import Codes, _by_bytes, category_codes, few, hashed

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


def test_constant_columns_of_few_rows_are_unknown() -> None:
    one = rows(10, 1, age=7.0, income=7.0, hour=7.0, city="Bern", member=1.0)[
        ["age", "income", "hour", "city", "member"]
    ]
    schema = Schema(tuple(c for c in SCHEMA.features if c.name in one), "bought", Task.BINARY, ("no", "yes"))
    known = drift.reference(one, schema)
    assert drift.check(known, drift.profile(known, one)).verdict is Verdict.UNKNOWN
    many = pd.concat([one] * 50)
    known = drift.reference(many, schema)
    found = drift.check(known, drift.profile(known, many))
    assert found.verdict is Verdict.STABLE
    assert 0.04 < (found.detectable or 0.0) < 0.1


def test_no_shift_is_seen_4_times_out_of_5_that_is_hardly_above_the_smallest() -> None:
    """Of two equally frequent values 4 % of the rows move: that is the limit, which half of such windows exceed."""
    schema = Schema((Column("age", Kind.NUMERIC), Column("member", Kind.BOOLEAN)), "y", Task.REGRESSION)
    draw = np.random.default_rng(0)

    def moved(share: float) -> pd.DataFrame:
        return pd.DataFrame({"age": draw.normal(size=10_000), "member": draw.random(10_000) < 0.5 + share})

    known = drift.reference(moved(0.0), schema)
    found = drift.check(known, drift.profile(known, moved(0.0)), features=("member",))
    assert found.detectable == pytest.approx(0.04 + 0.84 * np.sqrt(0.25 / 5_000) / np.sqrt(1), rel=0.02)
    assert "in half of the features" in found.note


def test_spread_is_seen_in_numbers_that_a_float32_does_not_hold() -> None:
    draw = np.random.default_rng(0)
    for count in (2000, 20_000):
        large = 1e300 * draw.normal(size=(3, count))
        assert drifting(rows(count, 1, age=large[0]), rows(count, 2, age=5.0 * large[1])) == {"age"}
        assert drifting(rows(count, 1, age=large[0]), rows(count, 2, age=large[2])) == set()


def outages(frame: pd.DataFrame, starts: dict[str, list[int]]) -> pd.DataFrame:
    """The rows with 15 values missing from each of these on."""
    gone = {name: {at + i for at in ats for i in range(15)} for name, ats in starts.items()}
    return frame.assign(**{name: frame[name].mask(frame.index.isin(rows_)) for name, rows_ in gone.items()})


def test_values_that_go_missing_in_runs_count_as_runs() -> None:
    """Three outages of one feature are three events, also where none came before: others have had theirs."""
    others = {name: list(range(50 * i, 2000, 200)) for i, name in enumerate(("income", "hour", "member"), 1)}
    known = drift.reference(outages(rows(2000, 1), others), SCHEMA)
    now = outages(rows(1000, 2), {name: [at for at in ats if at < 1000] for name, ats in others.items()})
    found = drift.check(known, drift.profile(known, outages(now, {"age": [100, 400, 700]})))
    assert found.verdict is Verdict.STABLE
    broken = drift.check(known, drift.profile(known, outages(now, {"age": list(range(0, 1000, 45))})))
    assert {score.feature for score in broken.scores if score.drifting} == {"age"}


def test_a_column_that_was_never_there_is_judged_by_its_gaps() -> None:
    assert verdict(rows(500, 1, age=np.nan), rows(500, 2, age=np.nan)) is Verdict.STABLE
    assert drifting(rows(500, 1, age=np.nan), rows(500, 2)) == {"age"}


def test_every_feature_has_a_score_or_is_named_as_unjudged() -> None:
    slow = np.repeat(np.arange(10.0), 100)
    before, now = rows(1000, 1, age=7.0, income=slow), rows(1000, 2, age=7.0, income=slow)
    known = drift.reference(before, SCHEMA)
    found = drift.check(known, drift.profile(known, now))
    assert {s.feature for s in found.scores} - {drift.JOINT} == set(SCHEMA.names) - {"income"}
    assert found.unjudged == ("income",)
    printed = {row["name"]: row for row in drift.as_json(found, 0.0)["features"]}
    assert list(printed) and set(printed) == set(SCHEMA.names)
    assert (printed["age"]["drifting"], printed["age"]["score"]) == (False, 0.0)
    assert (printed["income"]["drifting"], printed["income"]["score"]) == (None, None)


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
    assert parts.sampled == 900
    assert np.allclose(whole.cross, parts.cross, rtol=1e-4, atol=0.05)


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


def test_what_the_command_cannot_judge_exits_with_2(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    path, lists, wide = (f"{tmp_path}/{name}.parquet" for name in ("rows", "lists", "wide"))
    rows(200, 1).to_parquet(path)
    rows(200, 1).assign(city=[[1, 2]] * 200).to_parquet(lists)
    rows(200, 1).assign(city=[f"v{i}" for i in range(200)]).to_parquet(wide)
    assert drift.main([path, path, "--ignore", "town", "--json"]) == 2
    assert "town" in json.loads(capsys.readouterr().out)["error"]
    assert drift.main([lists, lists, "--json"]) == 2
    assert "'city'" in json.loads(capsys.readouterr().out)["error"]
    assert drift.main([wide, wide, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["judged"], printed["unjudged"]) == (6, [])
    assert drift.main([wide, wide, "--strict"]) == 0  # 200 names, but every bin of the rest is full enough


def test_an_error_nobody_foresaw_is_no_drift(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    path = f"{tmp_path}/rows.parquet"
    rows(50, 1).to_parquet(path)
    monkeypatch.setattr(drift, "report", broken)
    assert drift.main([path, path]) == 2


def test_a_feature_without_a_frequent_value_is_not_judged_and_the_note_says_so(tmp_path: object) -> None:
    before, now = (rows(60, seed).assign(city=[f"v{seed}{i}" for i in range(60)]) for seed in (1, 2))
    known = drift.reference(before, SCHEMA)
    found = drift.check(known, drift.profile(known, now))
    assert found.unjudged == ("city",)
    assert "5 of 6 features judged; not city (no value is frequent enough" in found.note
    paths = [f"{tmp_path}/{name}.parquet" for name in ("before", "now")]
    for path, frame in zip(paths, (before, now), strict=True):
        frame.to_parquet(path)
    assert drift.main(paths) == 0
    assert drift.main([*paths, "--strict"]) == 2


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


# ---- a timestamp that moves on ---------------------------------------------------------------------------------------
def clocked(count: int, seed: int, start: str, seconds: float) -> pd.DataFrame:
    steps = np.random.default_rng((seed, 9)).exponential(seconds, count)
    return rows(count, seed, joined=pd.Timestamp(start, tz="UTC") + pd.to_timedelta(np.cumsum(steps), unit="s"))


def test_a_timestamp_that_only_moves_on_does_not_drift() -> None:
    before = clocked(1000, 1, "2026-01-01", 60)
    known = drift.reference(before, SCHEMA)
    found = drift.check(known, drift.profile(known, clocked(1000, 2, "2026-02-01", 60)))
    assert found.verdict is Verdict.STABLE
    assert found.unjudged == ()
    assert "joined" in {score.feature for score in found.scores}
    hourly = rows(1000, 1, joined=pd.date_range("2026-01-01", periods=1000, freq="h", tz="UTC"))
    later = rows(1000, 2, joined=pd.date_range("2026-03-01", periods=1000, freq="h", tz="UTC"))
    assert verdict(hourly, later) is Verdict.STABLE


@pytest.mark.parametrize(
    "change",
    [
        lambda f: clocked(1000, 2, "2026-02-01", 120)["joined"],  # half as often
        lambda f: f.joined.sample(frac=1.0, random_state=0).to_numpy(),  # out of order
        lambda f: f.joined.dt.floor("h"),  # an hour at a time
        lambda f: f.joined.where(np.arange(len(f)) % 10 != 0),
    ],
)
def test_a_timestamp_drifts_when_its_steps_do(change: Any) -> None:
    now = clocked(1000, 2, "2026-02-01", 60)
    assert drifting(clocked(1000, 1, "2026-01-01", 60), now.assign(joined=change(now))) == {"joined"}


# ---- categories of many values ---------------------------------------------------------------------------------------
def many(rng: np.random.Generator, values: int, count: int, exponent: float = 1.0) -> pd.DataFrame:
    """One column of so many values, with shares of 1, 1/2, 1/3 ... to the power of ``exponent``."""
    share = np.arange(1.0, values + 1.0) ** -exponent
    return pd.DataFrame(
        {"c": np.array([f"v{i}" for i in range(values)], object)[rng.choice(values, count, p=share / share.sum())]}
    )


ONE = Schema((Column("c", Kind.CATEGORICAL),), "y", Task.REGRESSION)


@pytest.mark.parametrize(
    ("values", "exponent", "before", "now"),
    [
        (200, 1.0, 500, 500),
        (500, 1.0, 4000, 500),
        (2000, 1.0, 4000, 500),
        (500, 0.0, 9000, 9000),
        (1000, 0.0, 9000, 9000),
    ],
)
def test_a_category_of_many_values_does_not_drift_by_chance(
    values: int, exponent: float, before: int, now: int
) -> None:
    """20 checks at 5 % expect at most 1 alarm; 5 or more come once in 400. Bins read as they are alarm every time."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(20):
        known = drift.reference(many(rng, values, before, exponent), ONE)
        window = drift.profile(known, many(rng, values, now, exponent))
        alarms += drift.check(known, window, budget=0.05, smallest_shift=0.0).verdict is Verdict.DRIFTING
    assert alarms < 5


def test_a_category_of_many_values_that_changed_is_told() -> None:
    rng = np.random.default_rng(0)
    known = drift.reference(many(rng, 500, 4000), ONE)
    flatter = drift.profile(known, many(rng, 500, 1000, 0.8))
    newcomer = drift.profile(known, many(rng, 500, 1000).assign(c=lambda f: f.c.mask(f.index % 15 == 0, "never seen")))
    for window in (flatter, newcomer):
        assert drift.check(known, window).verdict is Verdict.DRIFTING


def test_names_of_their_own_in_every_row_are_no_drift() -> None:
    frames = [pd.DataFrame({"c": [f"id{i}" for i in range(start, start + 2000)]}) for start in (0, 2000)]
    known = drift.reference(frames[0], ONE)
    found = drift.check(known, drift.profile(known, frames[1]))
    assert (found.verdict, found.unjudged) == (Verdict.STABLE, ())


def test_the_bin_of_a_rare_name_is_the_same_for_ever() -> None:
    """Profiles that are kept were counted in it."""
    assert hashed(["Bern", "Lima", "Oslo", "Zürich"], 32).tolist() == [3, 25, 4, 0]
    spread = np.bincount(hashed([f"id{i}" for i in range(32_000)], 32), minlength=32)
    assert spread.min() > 850
    assert spread.max() < 1150


def test_a_reference_of_before_has_one_bin_for_the_rest() -> None:
    rng = np.random.default_rng(0)
    known = drift.reference(many(rng, 20, 2000), ONE)
    body = json.loads(zlib.decompress(known.to_bytes()[4:]))
    for feature in body["features"]:
        del feature["rests"]
    kept = drift.Reference.from_bytes(b"CMR1" + zlib.compress(json.dumps(body).encode()))
    windows = [drift.profile(kept, many(rng, 25, 500)) for _ in range(2)]
    assert drift.check(kept, drift.merge(*windows)) == drift.check(known, drift.merge(*windows))


# ---- features together -----------------------------------------------------------------------------------------------
def pairs(count: int, seed: int, correlation: float) -> pd.DataFrame:
    """`age` and `income` correlated, `city` following `hour`; each alone is always distributed alike."""
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(2, count))
    frame = rows(count, seed)
    return frame.assign(
        age=40 + 10 * one, income=np.exp(10 + 0.5 * (correlation * one + np.sqrt(1 - correlation**2) * other))
    )


@pytest.mark.parametrize(("before", "after"), [(0.7, -0.7), (0.7, 0.0), (0.0, 0.5)])
def test_two_features_that_no_longer_move_together_are_named(before: float, after: float) -> None:
    known = drift.reference(pairs(1000, 1, before), SCHEMA)
    found = drift.check(known, drift.profile(known, pairs(600, 2, after)))
    drifted = {(score.feature, score.metric) for score in found.scores if score.drifting}
    assert drifted == {("age", "correlation"), ("income", "correlation")}
    assert "age and income" in found.note


def test_a_category_that_follows_a_number_no_longer_is_seen() -> None:
    def tied(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(city=np.where(frame.hour < 12, "Bern", np.where(frame.hour < 19, "Lima", "Oslo")))

    known = drift.reference(tied(rows(1000, 1)), SCHEMA)
    now = tied(rows(1000, 2))
    assert drift.check(known, drift.profile(known, now)).verdict is Verdict.STABLE
    apart = now.assign(hour=np.random.default_rng(0).permutation(now.hour))
    found = drift.check(known, drift.profile(known, apart))
    assert {score.feature for score in found.scores if score.drifting} == {"hour", "city"}


def test_a_feature_that_moved_takes_no_partner_with_it() -> None:
    before, now = pairs(2000, 1, 0.9), pairs(2000, 2, 0.9)
    assert drifting(before, now.assign(age=now.age + 10)) == {"age"}


def test_the_correlation_is_that_of_ranks_and_its_limit_that_of_fisher() -> None:
    from scipy import special, stats

    before, now = pairs(1000, 1, 0.6), pairs(1000, 2, 0.3)
    known = drift.reference(before, SCHEMA)
    found = drift.check(known, drift.profile(known, now), metrics={"correlation": 1.0}, features=("age", "income"))
    by_rank = [np.arctanh(stats.spearmanr(frame.age, frame.income).statistic) for frame in (before, now)]
    (score, other) = found.scores
    assert (score.value, score.limit) == (other.value, other.limit)
    assert score.value == pytest.approx(by_rank[0] - by_rank[1], abs=0.02)
    fisher = -special.ndtri(0.01 / 2) * np.sqrt(2 / 997)  # both are named, so that each has the whole budget
    assert fisher <= score.limit < 1.15 * fisher  # at 0.6 Spearman's varies 6 % more than independent ranks do


def test_correlations_without_change_keep_to_the_budget() -> None:
    """40 checks of 5 tied features at 5 % expect at most 2 alarms; 7 or more come once in 200 such tests."""
    columns = [f"x{i}" for i in range(5)]
    schema = Schema(tuple(Column(c, Kind.NUMERIC) for c in columns), "y", Task.REGRESSION)
    rng = np.random.default_rng(0)

    def tied() -> pd.DataFrame:
        z = rng.normal(size=(300, 5)) + rng.normal(size=(300, 1))
        z[:, 1] *= np.abs(z[:, 0])  # spread that follows another: products vary more than Gaussian ones
        return pd.DataFrame(z, columns=columns)

    alarms = 0
    for _ in range(40):
        known = drift.reference(tied(), schema)
        found = drift.check(
            known, drift.profile(known, tied()), budget=0.05, smallest_shift=0.0, metrics={"correlation": 1.0}
        )
        alarms += any(score.drifting for score in found.scores)
    assert alarms < 7


def test_a_reference_of_before_judges_as_it_did() -> None:
    known = drift.reference(pairs(1000, 1, 0.7), SCHEMA)
    body = json.loads(zlib.decompress(known.to_bytes()[4:]))
    old = {key: value for key, value in body.items() if key not in ("variances", "loose", "kurtosis")}
    kept = drift.Reference.from_bytes(b"CMR1" + zlib.compress(json.dumps(old).encode()))
    found = drift.check(kept, drift.profile(kept, pairs(600, 2, -0.7)))
    assert found.verdict is Verdict.STABLE
    assert "correlation" not in {score.metric for score in found.scores}


# ---- large columns ---------------------------------------------------------------------------------------------------
def test_a_large_column_is_counted_like_its_rows_one_by_one() -> None:
    draw = np.random.default_rng(0)
    for values in (
        draw.lognormal(0, 2, 40_001),
        draw.integers(-40, 40, 40_001).astype(float),
        draw.normal(1e6, 1, 40_001),
    ):
        values[:3] = np.nan, np.inf, -np.inf
        feature, counted = profiles.place_bins(Column("x", Kind.NUMERIC), values)
        alone = np.bincount(profiles.bins_of(feature, values), minlength=feature.bins + 1)
        assert (counted.counts == alone[:-1]).all()
        assert alone[-1] == 1
        by_search = np.concatenate([profiles.bins_of(feature, values[i : i + 500]) for i in range(0, 40_001, 500)])
        assert (np.bincount(by_search, minlength=feature.bins + 1) == alone).all()


def test_sums_of_a_large_column_are_those_of_its_values() -> None:
    draw = np.random.default_rng(0)
    for values in (
        draw.integers(0, 30, 50_003).astype(float),
        draw.lognormal(3, 1, 50_003),
        1e-25 * draw.normal(5, 1, 50_003),
    ):
        feature, counted = profiles.place_bins(Column("x", Kind.NUMERIC), values)
        standard = (values - feature.centre) / feature.scale
        assert counted.total == pytest.approx(standard.sum(), abs=1e-5 * len(values))
        assert counted.squares == pytest.approx((standard**2).sum(), rel=1e-5)
        if len(counted.blocks):
            length = len(values) // cells.BLOCKS
            means = standard[: cells.BLOCKS * length].reshape(cells.BLOCKS, length).mean(axis=1)
            assert counted.blocks == pytest.approx(means, abs=1e-5)


def test_blocks_of_categories_are_counted() -> None:
    codes = np.random.default_rng(0).integers(-1, 3, 20_077).astype(np.int8)
    length = 20_077 // cells.BLOCKS
    known = [(codes[i * length : (i + 1) * length] == 2).sum() for i in range(cells.BLOCKS)]
    assert profiles.block_counts(codes, 2).tolist() == known


def test_rows_that_depend_over_thousands_of_rows_are_not_taken_for_many() -> None:
    """Windows of a slow wave: neighbours within 1,024 rows look like any, only blocks tell."""
    draw = np.random.default_rng(0)
    slow = np.repeat(draw.normal(size=40), 2500)
    frame = pd.DataFrame({"x": draw.normal(size=100_000) + 0.2 * slow, "n": draw.normal(size=100_000)})
    known = drift.reference(frame, Schema((Column("x", Kind.NUMERIC), Column("n", Kind.NUMERIC)), "y", Task.REGRESSION))
    assert known.times[0, 0] > 20
    assert known.times[0, 1] == 1.0


def test_numbers_are_counted() -> None:
    numbers = np.random.default_rng(0).integers(0, 300, 5_000).astype(np.int32)
    counts = np.zeros(400, np.int32)
    cells.add_counts(counts, numbers[:2_000])
    cells.add_counts(counts, numbers[2_000:])
    assert counts.tolist() == np.bincount(numbers, minlength=400).tolist()


def test_a_report_keeps_to_one_thread_and_gives_back_the_others() -> None:
    def threads() -> list[int]:
        return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]

    with threadpool_limits(limits=2, user_api="blas"):
        before = threads()
        assert one_thread(threads)() == [1] * len(before)
        assert threads() == before


@pytest.mark.parametrize("size", [1, 5, 200])
def test_few_keys_are_told_apart_wherever_they_come(size: int) -> None:
    rng = np.random.default_rng(size)
    known = np.r_[np.uint64(0), rng.integers(0, 1 << 63, size, np.uint64)]
    of = np.r_[rng.integers(0, size, 20_000), size, rng.integers(0, size, 5_000), size]  # one is rare, and late
    found = few(known[of])
    assert found is not None
    codes, rows = found
    assert (known[of][rows[codes]] == known[of]).all()
    assert len(np.unique(codes)) == len(rows) == size + 1
    assert codes.dtype == (np.int8 if size < 127 else np.int16)


def test_many_keys_are_not_few() -> None:
    assert few(np.arange(20_000, dtype=np.uint64)) is None
    late = np.r_[np.zeros(20_000, np.uint64), np.arange(20_000, dtype=np.uint64)]
    assert few(late) is None


TEXTS = {  # and whether their bytes tell them apart
    "short": (["a", "b", ""], True),
    "to_the_byte": (["1234567", "12345678", "123456789", "y" * 15 + "z", "y" * 16], True),
    "not_ascii": (["ä", "aé", "日本", "\u200b"], True),
    "one": (["same"], True),
    "long": (["x" * 17, "a"], False),
    "with_a_zero": (["a\0", "a", "b"], False),
    "many": ([str(i) for i in range(400)], False),
    "empty": ([""], False),
}


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_told_apart_by_their_bytes(name: str, missing: float) -> None:
    pool, quick = TEXTS[name]
    rng = np.random.default_rng(0)
    texts = pd.Series(np.array(pool, object)[rng.integers(0, len(pool), 20_000)], dtype=object)
    texts = texts.mask(rng.random(len(texts)) < missing, None)
    held = pd.concat(
        [texts[100:9_000].astype("str"), texts[9_000:-7].astype("str")]
    )  # two pieces, neither from its start
    codes, names = category_codes(held)
    told = np.array([*names, None], object)[codes]
    assert told.tolist() == texts[100:-7].where(texts.notna(), None).tolist()
    assert len(set(names)) == len(names) == len(pool)
    assert (_by_bytes(held) is not None) is quick


def test_a_file_of_texts_is_judged_as_the_texts_in_memory(tmp_path: Any) -> None:
    before, now = rows(3_000, 1), rows(2_000, 2).assign(city="Oslo")
    before.loc[::7, "city"] = None
    for name, frame in (("before", before), ("now", now)):
        frame.to_parquet(tmp_path / f"{name}.parquet")
    read = [drift.read(str(tmp_path / f"{name}.parquet")) for name in ("before", "now")]
    assert isinstance(read[0]["city"].dtype, pd.CategoricalDtype)
    assert drift.report(*read, [], 0.01, 0.04) == drift.report(before, now, [], 0.01, 0.04)


@pytest.mark.parametrize("size", [3, 30, 300])
def test_codes_are_counted_and_missing_ones_are_not(size: int) -> None:
    codes: Any = np.random.default_rng(0).integers(-1, size, 300_000).astype("i1" if size < 100 else "i2")
    known = np.bincount(codes[codes >= 0], minlength=size).tolist()
    assert profiles.count_codes(Codes(codes, [str(i) for i in range(size)])).tolist() == known
