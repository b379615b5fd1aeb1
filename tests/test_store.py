"""The store keeps what it was given: rows by position, labels by id in any order, the ledger word for word."""

from datetime import timedelta

import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.db import Database
from core.migrations import migrate
from core.records import Action, Column, Comparison, Kind, Project, Reason, Schema, Task
from core.store import arrivals, decisions, labels, models, predictions, projects, rows
from core.store.arrivals import Arrival
from core.store.decisions import Entry
from tests.conftest import NOW

SCHEMA = Schema(
    (Column("x", Kind.NUMERIC), Column('select "1"; --', Kind.CATEGORICAL), Column("seen 🐟", Kind.TIMESTAMP)),
    "y", Task.BINARY, ("no", "yes"), row_id="id",
)  # fmt: skip
PROJECT = Project("fish", "Fish", SCHEMA, NOW)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "continual.duckdb"
    migrate(path)
    made = Database(path)
    yield made
    made.close()


@pytest.fixture
def con(database):
    """A transaction that is never committed."""
    with database.read() as cursor:
        cursor.begin()
        projects.insert(cursor, PROJECT)
        yield cursor
        cursor.rollback()


def arrive(con, ids, values=None):
    frame = pd.DataFrame(
        {
            "x": pd.Series(range(len(ids)), dtype=float), 'select "1"; --': [None, *["a"] * (len(ids) - 1)],
            "seen 🐟": pd.Series([NOW] * len(ids)).astype("datetime64[us, UTC]"),
        }
    )  # fmt: skip
    taken = None if values is None else pd.Series(values, dtype=object)
    return arrivals.write(
        con, Arrival("fish", frame, "test", NOW, "ana", row_ids=pd.Series(ids, dtype=object), labels=taken)
    )


def offer(con, *pairs):
    return labels.record(con, "fish", pd.DataFrame(pairs, columns=["row_id", "value"]), arrived_at=NOW, source="test")


def test_rows_come_back_by_position_in_their_types_under_their_names(con):
    assert arrive(con, ["a", "b"]) == (0, 2, 0)
    assert arrive(con, ["c"]) == (2, 3, 0)
    frame = rows.span(con, "fish", SCHEMA, 1, 3)
    assert list(frame.index) == [1, 2]
    assert list(frame.columns) == SCHEMA.names
    assert frame["x"].tolist() == [1.0, 0.0]
    assert frame['select "1"; --'].tolist() == ["a", None]
    assert frame["seen 🐟"].dt.tz is not None


def test_a_label_before_its_row_waits_for_it(con):
    assert offer(con, ("a", "yes")).waiting == 1
    assert labels.count(con, "fish") == 0
    assert arrive(con, ["a", "b"]) == (0, 2, 1)
    assert labels.span(con, "fish", 0, 2).tolist() == ["yes", None]
    assert labels.waiting(con, "fish") == 0


def test_the_same_label_twice_changes_nothing_and_another_is_a_conflict(con):
    arrive(con, ["a", "b"], ["yes", None])
    told = offer(con, ("a", "yes"), ("b", "no"), ("b", "no"), ("b", "yes"), ("z", "no"), ("z", "yes"))
    assert (told.recorded, told.repeated, told.conflicting, told.waiting) == (1, 2, 2, 1)
    assert labels.span(con, "fish", 0, 2).tolist() == ["yes", "no"]
    assert sorted(labels.conflicts(con, "fish")["row_id"]) == ["b", "z"]
    assert offer(con, ("z", "yes")).conflicting == 1


@given(offers=st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["yes", "no"])), min_size=1, max_size=12),
       cut=st.integers(0, 12))  # fmt: skip
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_however_labels_are_cut_into_calls_the_first_of_each_row_stands(database, offers, cut):
    with database.read() as con:
        con.begin()
        projects.insert(con, PROJECT)
        arrive(con, list("abcd"))
        told = [offer(con, *part) for part in (offers[:cut], offers[cut:]) if part]
        kept = labels.span(con, "fish", 0, 4)
        con.rollback()
    first = {}
    for row_id, value in offers:
        first.setdefault(row_id, value)
    assert kept.tolist() == [first.get(row_id) for row_id in "abcd"]
    assert sum(sum(vars(each).values()) for each in told) == len(offers)


def test_ids_that_are_stored_are_named(con):
    arrive(con, ["a", "b"])
    assert rows.known_ids(con, "fish", pd.Series(["b", "q"])) == ["b"]


def test_answers_come_back_with_their_probabilities(con):
    frame = pd.DataFrame({"position": [0, 1], "answer": ["yes", "no"], "probabilities": [[0.2, 0.8], [0.9, 0.1]]})
    predictions.append(con, "fish", frame, version=3, predicted_at=NOW, latency_ms=1.5)
    found = predictions.span(con, "fish", 0, 5)
    assert found["answer"].tolist() == ["yes", "no"]
    assert list(found["probabilities"][1]) == [0.9, 0.1]
    assert predictions.count(con, "fish", since=NOW + timedelta(seconds=1)) == 0


def test_the_ledger_gives_back_what_was_written(con):
    comparison = Comparison(0.2, 0.1, 0.1, 0.05, 0.15, 500, "accuracy", "promote", (Reason("better", {"gain": 0.1}),))
    entry = Entry(
        "fish", NOW, Action.PROMOTE, "ana", (Reason("gate_passed", {"rows": 500}),), 2, 7, Reason("flip", {}),
        '{"a": 1}', "{}", '{"b": 2}', comparison, 4, 11, None,
    )  # fmt: skip
    written = decisions.insert(con, entry)
    found = decisions.get(con, written)
    assert found is not None
    assert vars(found) | {"id": None} == vars(entry)
    assert decisions.memory(con, "fish") == '{"b": 2}'
    assert decisions.latest(con, "fish", actions=(Action.HOLD,)) == []


def test_the_newest_reign_is_champion_and_older_ones_tell_who_answered_when(con):
    for hours, version in ((0, 1), (2, 2), (4, 1)):
        models.enthrone(con, "fish", version, "sha", NOW + timedelta(hours=hours), 0)
    assert models.reign(con, "fish").version == 1
    assert models.reign(con, "fish", as_of=NOW + timedelta(hours=3)).version == 2
    assert models.reign(con, "fish", as_of=NOW - timedelta(hours=1)) is None
    assert [reign.version for reign in models.unmirrored(con)] == [1]
