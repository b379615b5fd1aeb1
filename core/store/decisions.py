"""The ledger: one row for everything that was judged or done, never changed afterwards."""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from duckdb import DuckDBPyConnection

from core.records import Action, Comparison, Reason, Score
from core.store.codec import dump, load


@dataclass(frozen=True)
class Entry:
    """A ledger row. ``evidence``, ``memory_before`` and the policy version are what a replay needs (JSON text).

    ``cause`` is the decision this one follows from: a promotion from its retrain, a retrain from its check.
    """

    project: str
    decided_at: datetime
    action: Action
    actor: str
    reasons: tuple[Reason, ...]
    policy_version: int | None = None
    window_number: int | None = None
    nearest_flip: Reason | None = None
    evidence: str | None = None
    memory_before: str | None = None
    memory_after: str | None = None
    comparison: Comparison | None = None
    version: int | None = None
    run: int | None = None
    cause: int | None = None
    id: int | None = None


_COLUMNS = """id, project, decided_at, action, actor, policy_version, window_number, reasons, nearest_flip, evidence,
    memory_before, memory_after, comparison, version, run, cause"""


def insert(con: DuckDBPyConnection, entry: Entry) -> int:
    """Write the entry; return its id."""
    return con.execute(
        f"""INSERT INTO decisions ({_COLUMNS})
        VALUES (nextval('decision_ids'), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
        [
            entry.project, entry.decided_at, entry.action, entry.actor, entry.policy_version, entry.window_number,
            dump(entry.reasons, tuple[Reason, ...]), entry.nearest_flip and dump(entry.nearest_flip), entry.evidence,
            entry.memory_before, entry.memory_after, entry.comparison and dump(entry.comparison), entry.version,
            entry.run, entry.cause,
        ],
    ).fetchall()[0][0]  # fmt: skip


def get(con: DuckDBPyConnection, decision: int) -> Entry | None:
    found = con.execute(f"SELECT {_COLUMNS} FROM decisions WHERE id = ?", [decision]).fetchall()
    return _entry(found[0]) if found else None


def latest(
    con: DuckDBPyConnection,
    project: str,
    *,
    limit: int = 50,
    actions: tuple[Action, ...] = (),
    before: int | None = None,
) -> list[Entry]:
    """The newest entries first, of these ``actions`` only if given, older than the entry ``before`` if given."""
    query = f"""SELECT {_COLUMNS} FROM decisions WHERE project = ? AND id < coalesce(?, 9223372036854775807)
        AND (len(?::VARCHAR[]) = 0 OR list_contains(?::VARCHAR[], action)) ORDER BY id DESC LIMIT ?"""
    names = [str(action) for action in actions]
    return [_entry(row) for row in con.execute(query, [project, before, names, names, limit]).fetchall()]


def during(
    con: DuckDBPyConnection, project: str, since: datetime, until: datetime, *, actions: tuple[Action, ...], limit: int
) -> list[Entry]:
    """The newest entries of these ``actions`` written in ``[since, until)``, newest first."""
    query = f"""SELECT {_COLUMNS} FROM decisions WHERE project = ? AND decided_at >= ? AND decided_at < ?
        AND list_contains(?::VARCHAR[], action) ORDER BY id DESC LIMIT ?"""
    names = [str(action) for action in actions]
    return [_entry(row) for row in con.execute(query, [project, since, until, names, limit]).fetchall()]


def counts_during(con: DuckDBPyConnection, project: str, since: datetime, until: datetime) -> dict[str, int]:
    """How many entries of each action were written in ``[since, until)``."""
    query = """SELECT action, count(*) FROM decisions WHERE project = ? AND decided_at >= ? AND decided_at < ?
        GROUP BY action ORDER BY action"""
    return dict(con.execute(query, [project, since, until]).fetchall())


def search(
    con: DuckDBPyConnection,
    project: str,
    *,
    actions: tuple[Action, ...] = (),
    since: datetime | None = None,
    words: tuple[tuple[str, tuple[str, ...]], ...] = (),
    limit: int = 25,
    offset: int = 0,
) -> tuple[list[Entry], int]:
    """The newest entries that match everything asked for, and how many match in all.

    Each of ``words`` is a word with the codes of the reasons whose sentence holds it: it matches an entry by one of
    these codes, by a value in the entry's reasons, by its number ("#12"), its model version ("v3") or its actor.
    """
    names = [str(action) for action in actions]
    where = """project = ? AND (len(?::VARCHAR[]) = 0 OR list_contains(?::VARCHAR[], action))
        AND decided_at >= coalesce(?, '-infinity'::TIMESTAMPTZ)"""
    given: list[object] = [project, names, names, since]
    for word, codes in words:
        where += """ AND (list_has_any(json_extract_string(reasons, '$[*].code'), ?::VARCHAR[])
            OR contains(lower(array_to_string(json_extract_string(reasons, '$[*].params.*'), ' ')), ?)
            OR lower(?) IN ('#' || id, 'v' || version) OR contains(lower(actor), ?))"""
        given += [list(codes), word.lower(), word, word.lower()]
    total = con.execute(f"SELECT count(*) FROM decisions WHERE {where}", given).fetchall()[0][0]
    query = f"SELECT {_COLUMNS} FROM decisions WHERE {where} ORDER BY id DESC LIMIT ? OFFSET ?"
    return [_entry(row) for row in con.execute(query, [*given, limit, offset]).fetchall()], total


def story(con: DuckDBPyConnection, decision: int) -> list[Entry]:
    """The decision with what it follows from and what followed from that, oldest first; empty when there is none."""
    query = f"""WITH root AS (SELECT coalesce(cause, id) AS id FROM decisions WHERE id = ?)
        SELECT {_COLUMNS} FROM decisions WHERE id = (FROM root) OR cause = (FROM root) ORDER BY id"""
    return [_entry(row) for row in con.execute(query, [decision]).fetchall()]


def about(con: DuckDBPyConnection, project: str, version: int) -> list[Entry]:
    """The decisions a model version was part of, as challenger, champion compared with, or successor; oldest first."""
    query = f"""SELECT {_COLUMNS} FROM decisions WHERE project = ? AND (version = ?
        OR list_contains(comparison->'$.versions[*]', ?::VARCHAR::JSON)) ORDER BY id"""
    return [_entry(row) for row in con.execute(query, [project, version, version]).fetchall()]


def neighbours(con: DuckDBPyConnection, entry: Entry) -> tuple[int | None, int | None]:
    """The decisions of the project before and after this one; checks that only waited are passed over."""
    query = """SELECT max(id) FILTER (id < $id), min(id) FILTER (id > $id) FROM decisions
        WHERE project = $project AND action <> 'wait'"""
    return con.execute(query, {"id": entry.id, "project": entry.project}).fetchall()[0]


def following(con: DuckDBPyConnection, decision: int) -> list[Entry]:
    """What followed from this decision, oldest first."""
    query = f"SELECT {_COLUMNS} FROM decisions WHERE cause = ? ORDER BY id"
    return [_entry(row) for row in con.execute(query, [decision]).fetchall()]


def memory(con: DuckDBPyConnection, project: str) -> str | None:
    """What the project's judgement remembers (JSON text), as its newest decision left it."""
    query = """SELECT memory_after FROM decisions WHERE project = ? AND memory_after IS NOT NULL
        ORDER BY id DESC LIMIT 1"""
    found = con.execute(query, [project]).fetchall()
    return found[0][0] if found else None


def counts(con: DuckDBPyConnection) -> list[tuple[str, str, int]]:
    """(project, action, how many) over the whole ledger."""
    return con.execute("SELECT project, action, count(*) FROM decisions GROUP BY ALL ORDER BY ALL").fetchall()


def insert_scores(
    con: DuckDBPyConnection,
    decision: int,
    project: str,
    checked_at: datetime,
    window_number: int,
    scores: tuple[Score, ...],
) -> None:
    """Keep the drift scores a decision was made on, feature by feature, for the charts."""
    if not scores:
        return
    con.register("offered_scores", pd.DataFrame([vars(score) for score in scores]))
    con.execute(
        """INSERT INTO drift_scores SELECT ?, ?, ?, ?, feature, metric, value, "limit", drifting FROM offered_scores""",
        [decision, project, checked_at, window_number],
    )
    con.unregister("offered_scores")


def scores(con: DuckDBPyConnection, project: str, *, windows: int = 60) -> pd.DataFrame:
    """Drift scores of the newest windows: window_number, checked_at, feature, metric, value, threshold, drifting."""
    query = """SELECT window_number, checked_at, feature, metric, value, threshold, drifting, decision FROM drift_scores
        WHERE project = $project AND window_number > (SELECT max(window_number) FROM drift_scores WHERE project = $project) - $windows
        ORDER BY window_number, feature, metric"""
    return con.execute(query, {"project": project, "windows": windows}).df()


def scores_during(con: DuckDBPyConnection, project: str, since: datetime, until: datetime) -> pd.DataFrame:
    """Drift scores of the checks in ``[since, until)``: window_number, feature, metric, value, threshold, drifting."""
    query = """SELECT window_number, feature, metric, value, threshold, drifting FROM drift_scores
        WHERE project = ? AND checked_at >= ? AND checked_at < ? ORDER BY window_number, feature, metric"""
    return con.execute(query, [project, since, until]).df()


def scores_of(con: DuckDBPyConnection, decision: int) -> pd.DataFrame:
    """The drift scores this decision was made on: feature, metric, value, threshold, drifting."""
    query = """SELECT feature, metric, value, threshold, drifting FROM drift_scores WHERE decision = ?
        ORDER BY value / nullif(threshold, 0) DESC NULLS LAST, feature, metric"""
    return con.execute(query, [decision]).df()


def _entry(row: tuple) -> Entry:  # type: ignore[type-arg]
    (id_, project, decided_at, action, actor, policy_version, window_number, reasons, flip, evidence, before, after,
     comparison, version, run, cause) = row  # fmt: skip
    return Entry(
        project, decided_at, Action(action), actor, load(tuple[Reason, ...], reasons), policy_version, window_number,
        load(Reason, flip) if flip else None, evidence, before, after,
        load(Comparison, comparison) if comparison else None, version, run, cause, id_,
    )  # fmt: skip
