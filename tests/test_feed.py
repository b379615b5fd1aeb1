"""Is the feed whole: what must always be caught, and what the world may do without being taken for a fault."""

import numpy as np
import pandas as pd
import pytest

from core import feed, ingest, loop, projects, replay
from core.errors import Conflict, Forbidden, InvalidInput
from core.evidence import Contender, Evidence, Judged, Memory, note
from core.policy import Policy
from core.records import Action, Column, Kind, Role, Schema, Task
from core.sources import SOURCES
from core.store import decisions

ROWS = 200
SCHEMA = Schema(
    (
        Column("size", Kind.NUMERIC),
        Column("count", Kind.NUMERIC),
        Column("flag", Kind.BOOLEAN),
        Column("city", Kind.CATEGORICAL),
        Column("season", Kind.NUMERIC),
        Column("at", Kind.TIMESTAMP),
    ),
    "y",
    Task.BINARY,
    ("no", "yes"),
)


def rows(window: int = 0, count: int = ROWS) -> pd.DataFrame:
    draw = np.random.default_rng(window)
    start = pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(days=window)
    return pd.DataFrame(
        {
            "size": draw.lognormal(1.0, 0.5, count),
            "count": draw.poisson(2.0, count).astype(float),
            "flag": (draw.random(count) < 0.5).astype(float),
            "city": draw.choice(["Bern", "Riga", "Oslo"], count),
            "season": np.full(count, float(window // 13)),
            "at": start + pd.to_timedelta(np.arange(count), unit="min"),
        }
    )


KNOWN = {window: rows(window) for window in range(8)}


def faults(changed: pd.DataFrame, **how) -> list[tuple[str, str]]:
    return [(fault.feature, fault.what) for fault in feed.faults(KNOWN, changed, SCHEMA, **how)]


BREAKS = {
    "size x 10": ("size", lambda v: v * 10, "unit"),
    "size x 1000": ("size", lambda v: v * 1000, "unit"),
    "size / 100": ("size", lambda v: v / 100, "unit"),
    "size in minutes": ("size", lambda v: v * 60, "unit"),
    "count x 10": ("count", lambda v: v * 10, "unit"),
    "size is its mean": ("size", lambda v: v * 0 + v.mean(), "stuck"),
    "size is 0": ("size", lambda v: v * 0, "stuck"),
    "size stuck in the second half": ("size", lambda v: v.where(np.arange(len(v)) < len(v) * 0.4, 3.0), "stuck"),
    "count is its last value": ("count", lambda v: v * 0 + v.iloc[-1], "stuck"),
    "flag is 1": ("flag", lambda v: v * 0 + 1.0, "stuck"),
    "city is Bern": ("city", lambda v: v.where(v == "Bern", "Bern"), "stuck"),
    "at stands still": ("at", lambda v: v.where(v == v.iloc[0], v.iloc[0]), "stuck"),
    "size is gone": ("size", lambda v: v * np.nan, "missing"),
    "half of count is gone": ("count", lambda v: v.where(np.arange(len(v)) % 2 == 0), "missing"),
    "city is gone": ("city", lambda v: v.where(v == "nowhere", None), "missing"),
    "at is gone": ("at", lambda v: v.where(v < v.iloc[0]), "missing"),
    "city in other words": ("city", lambda v: "CH-" + v, "unseen"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_column_is_named_and_so_is_what_is_wrong_with_it(name):
    feature, change, what = BREAKS[name]
    broken = rows(8)
    broken[feature] = change(broken[feature])
    assert faults(broken) == [(feature, what)]


def test_the_factor_of_the_unit_is_told():
    broken = rows(8)
    broken["size"] *= 1000
    fault = feed.faults(KNOWN, broken, SCHEMA)[0]
    assert (fault.seen, fault.usual) == (1000.0, 1.0)


CHANGES = {
    "nothing": lambda frame: frame,
    "half as much again": lambda frame: frame.assign(size=frame["size"] * 1.5),
    "three standard deviations": lambda frame: frame.assign(size=frame["size"] + 3 * frame["size"].std()),
    "wider": lambda frame: frame.assign(size=frame["size"] ** 2),
    "counts of another mean": lambda frame: frame.assign(count=frame["count"] + 4),
    "a season of its own": lambda frame: frame.assign(season=1.0),
    "a tenth missing": lambda frame: frame.assign(size=frame["size"].where(np.arange(len(frame)) % 10 > 0)),
    "another city": lambda frame: frame.assign(city=frame["city"].where(frame["city"] != "Riga", "Rome")),
    "fewer cities": lambda frame: frame.assign(city=frame["city"].where(frame["city"] != "Riga", "Bern")),
    "flag nine times in ten": lambda frame: frame.assign(flag=(np.arange(len(frame)) % 10 > 0).astype(float)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_world_that_changes_is_no_broken_feed(name):
    assert faults(CHANGES[name](rows(8))) == []


def test_few_windows_tell_nothing():
    broken = rows(8).assign(size=np.nan)
    few = {window: KNOWN[window] for window in range(feed.FEWEST - 1)}
    assert feed.faults(few, broken, SCHEMA) == ()
    assert feed.faults({**few, 7: KNOWN[7]}, broken, SCHEMA)


def test_accepted_values_are_the_usual_ones_from_then_on():
    new = {window: rows(window).assign(size=rows(window)["size"] * 10) for window in range(8, 13)}
    assert faults(new[12], since={"size": 12}) == []
    known = {**KNOWN, **new}
    assert feed.faults(known, rows(13), SCHEMA, since={"size": 8})[0].seen == 0.1


def test_a_column_that_wanders_is_left_alone():
    """A random walk over twenty windows: its level and spread in a window say little about the next."""
    for seed in range(20):
        walk = np.random.default_rng(seed).normal(size=20 * ROWS).cumsum()
        schema = Schema((Column("walk", Kind.NUMERIC),), "y", Task.BINARY, ("no", "yes"))
        parts = {at: pd.DataFrame({"walk": walk[at * ROWS : (at + 1) * ROWS]}) for at in range(20)}
        for at in range(feed.FEWEST, 20):
            assert feed.faults({before: parts[before] for before in range(at)}, parts[at], schema) == ()


@pytest.mark.parametrize("source", ["electricity", "weather", "bikes", "employment"])
def test_no_real_stream_is_taken_for_broken(source):
    """Every third window of the bundled streams, as they are."""
    stream, size = SOURCES[source], 500
    frame = stream.read(0, stream.rows)[stream.schema.names]
    parts = {at: frame.iloc[at * size : (at + 1) * size] for at in range(len(frame) // size)}
    for at in range(feed.FEWEST, len(parts), 3):
        known = {before: parts[before] for before in range(max(0, at - feed.KNOWN), at)}
        assert feed.faults(known, parts[at], stream.schema) == ()


# ---- in the loop -------------------------------------------------------------------------------
def broken_history(at: int, windows: int = 16, size: int = 100):
    frame = SOURCES["sea"].draw(windows * size, seed=3, noise=0.1)
    frame.loc[at * size : (at + 1) * size - 1, "x0"] *= 10
    features, labels = frame.drop(columns="target"), frame["target"].astype(str)
    return features, labels, SOURCES["sea"].schema


@pytest.mark.parametrize("delay", [0, 2])
def test_a_broken_window_blocks_alerts_and_is_never_learned_from(delay):
    policy = Policy(window_rows=100, warm_up_windows=5, estimator="logistic", period=1, most_retrains=1.0)
    played = replay.replay(*broken_history(9), policy, label_delay=delay)
    (alert,) = [step for step in played.steps if step.action is Action.ALERT]
    assert alert.turn == 9
    assert [reason.code for reason in alert.reasons][:2] == ["broken_feed", "feed_unit"]
    later = [step.memory for step in played.steps if step.memory and step.turn > 9 + delay + 1]
    assert later
    for memory in later:
        assert 9 not in memory.labelled
        assert memory.quarantined == (9,)
    assert any(step.action is Action.RETRAIN for step in played.steps if step.turn > 10 + delay)


def test_a_feed_that_breaks_in_the_warm_up_is_told_and_set_aside():
    policy = Policy(window_rows=100, warm_up_windows=6, estimator="logistic")
    played = replay.replay(*broken_history(4), policy)
    assert [step.turn for step in played.steps if step.action is Action.ALERT] == [4]
    first = next(step for step in played.steps if step.action is Action.RETRAIN)
    assert first.turn == 6
    assert first.memory.quarantined == (4,)
    assert set(first.memory.labelled) <= {0, 1, 2, 3, 5}


def test_an_accepted_feed_blocks_no_longer_and_its_windows_are_learned_from(ctx, operator, people, now):
    frame = SOURCES["sea"].draw(1600, seed=3, noise=0.1)
    frame.loc[900:, "x0"] *= 10  # for good: the world has changed
    schema = SOURCES["sea"].schema
    policy = Policy(window_rows=100, warm_up_windows=4, estimator="logistic", retrains=False)
    project = projects.create(ctx, operator, name="Sea", schema=schema, policy=policy, now=now)
    ingest.ingest(ctx, operator, project, frame.iloc[:1100], source="upload", now=now)
    loop.run_cycle(ctx, project, now)
    blocked = memory(ctx, project)
    assert (blocked.faulty, blocked.quarantined) == ((("x0", 9),), (9, 10))

    with pytest.raises(Forbidden):
        loop.accept_feed(ctx, people[Role.VIEWER], project, reason="new sensor", now=now)
    with pytest.raises(InvalidInput):
        loop.accept_feed(ctx, operator, project, reason=" ", now=now)
    loop.accept_feed(ctx, operator, project, reason="new sensor", now=now)
    with pytest.raises(Conflict):
        loop.accept_feed(ctx, operator, project, reason="twice", now=now)
    ingest.ingest(ctx, operator, project, frame.iloc[1100:], source="upload", now=now)
    loop.run_cycle(ctx, project, now)

    after = memory(ctx, project)
    assert (after.faulty, after.quarantined, after.accepted) == ((), (), (("x0", 9),))
    assert set(range(9, 16)) <= set(after.labelled)
    with ctx.database.read() as con:
        told = decisions.latest(con, project.id, actions=(Action.ACCEPT,))
    assert told[0].reasons[0].params == {"user": operator.display, "why": "new sensor", "features": "x0"}


@pytest.mark.parametrize(("accepted", "set_aside"), [((), True), ((("x0", 9),), False), ((("x0", 3),), True)])
def test_labels_are_no_fault_where_a_person_has_said_that_the_world_changed_and_the_champion_has_not_seen_it(
    accepted, set_aside
):
    """A champion trained on windows 0 to 7 knows nothing of values that are new since window 9."""
    policy = Policy(window_rows=100)
    before = Memory(champion=Contender(1, "all", 800, 8), next_window=9, skill=11.0, accepted=accepted)
    after = note(policy, Evidence(9, 1000, (Judged(9, 100, (), (), 1.3),)), before)
    assert after.quarantined == ((9,) if set_aside else ())
    assert after.labelled == (() if set_aside else (9,))
    assert after.skill == 11.0


def memory(ctx, project) -> Memory:
    with ctx.database.read() as con:
        return Memory.from_json(decisions.memory(con, project.id))


@pytest.mark.parametrize(("share", "broken"), [(0.8, True), (0.95, False)])
def test_a_value_that_was_common_but_never_stayed_is_stuck_when_it_fills_the_window(share: float, broken: bool) -> None:
    """Rain that falls in 5 % of the hours may stay away for a window; what four in five have, not all will."""
    draw = np.random.default_rng(3)
    schema = Schema((Column("flag", Kind.NUMERIC),), "y", Task.BINARY, ("no", "yes"))
    known = {window: pd.DataFrame({"flag": (draw.random(1000) > share).astype(float)}) for window in range(8)}
    found = feed.faults(known, pd.DataFrame({"flag": np.zeros(1000)}), schema)
    assert [fault.what for fault in found] == (["stuck"] if broken else [])
