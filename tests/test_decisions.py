"""The ledger is found again, as sentences, and shows what a decision was measured against."""

from datetime import timedelta

import pytest

from core import ingest, limits, loop, projects, reasons
from core.decide import decide
from core.evidence import Contender as Model
from core.evidence import Evidence, Judged, Memory, VersionLoss, took_over
from core.policy import PRESETS, Policy
from core.records import SYSTEM, Action, Reason, Verdict
from core.sources import SOURCES
from core.store import decisions, runs
from core.store.decisions import Entry
from jobs import JOBS
from jobs.scheduler import tick


@pytest.fixture
def ledger(ctx, now):
    """Ten entries, an hour apart: a retrain and what followed it, waits between, and another project's."""
    with ctx.database.write() as con:

        def put(hours, action, *found, project="sea", actor="continual-ml", **more):
            return decisions.insert(con, Entry(project, now + timedelta(hours=hours), action, actor, found, **more))

        put(0, Action.WAIT, Reason("window_filling", {"seen": 3, "needed": 50}))
        put(1, Action.NOTHING, Reason("drift_seen", {"features": "wind, Température"}))
        why = put(2, Action.RETRAIN, Reason("asked_by_hand", {"user": "Amina", "why": "new sensors"}), actor="amina")
        put(3, Action.WAIT, Reason("window_filling", {"seen": 9, "needed": 50}))
        put(4, Action.PROMOTE, Reason("trained_on", {"rows": 100, "scope": "all"}), version=14, cause=why)
        put(5, Action.ALERT, Reason("broken_feed", {"what": "wind"}), project="other")
    return ctx


def found(ctx, *words, **more) -> list[int]:
    asked = tuple((word, reasons.codes_with(word, "en")) for word in words)
    with ctx.database.read() as con:
        entries, total = decisions.search(con, "sea", words=asked, **more)
    assert total >= len(entries)
    return [entry.id for entry in entries]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (("sensors",), [3]),
        (("température",), [2]),  # a value, whatever its case
        (("drifted",), [2]),  # a word of the sentence that no value holds
        (("drifted", "wind"), [2]),
        (("drifted", "sensors"), []),
        (("#3",), [3]),
        (("v14",), [5]),
        (("Amina",), [3]),
        (("params",), []),  # how it is stored is not what it says
        (("%",), []),
        (("'; DROP TABLE decisions; --",), []),
    ],
)
def test_the_ledger_is_searched_by_what_its_sentences_say(ledger, words, ids):
    assert found(ledger, *words) == ids


def test_the_ledger_is_filtered_by_action_and_time_and_comes_in_pages(ledger, now):
    assert found(ledger) == [5, 4, 3, 2, 1]
    assert found(ledger, actions=(Action.WAIT,)) == [4, 1]
    assert found(ledger, since=now + timedelta(hours=3)) == [5, 4]
    assert found(ledger, limit=2, offset=2) == [3, 2]
    with ledger.database.read() as con:
        assert decisions.search(con, "sea", limit=1)[1] == 5


def test_a_decision_knows_its_story_and_its_neighbours(ledger):
    with ledger.database.read() as con:
        assert [entry.id for entry in decisions.story(con, 3)] == [3, 5]
        assert [entry.id for entry in decisions.story(con, 5)] == [3, 5]
        assert decisions.story(con, 99) == []
        assert decisions.neighbours(con, decisions.get(con, 3)) == (2, 5)  # not the one that only waited
        assert decisions.neighbours(con, decisions.get(con, 2)) == (None, 3)
        assert decisions.neighbours(con, decisions.get(con, 5)) == (3, None)


def test_a_decision_names_the_run_that_made_it(ctx, now):
    project = _sea(ctx, now, rows=100)
    cycle = [job for job in JOBS if job.name == "cycle"]
    (run,) = tick(ctx, now, cycle)
    with ctx.database.read() as con:
        entries, _ = decisions.search(con, project.id)
        tries = runs.attempts(con, run)
    assert {entry.run for entry in entries} == {run}
    assert [(attempt.id, attempt.attempt) for attempt in tries] == [(run, 1)]


def _sea(ctx, now, *, rows, **policy):
    sea = SOURCES["sea"]
    chosen = Policy(window_rows=50, warm_up_windows=2, estimator="logistic", **policy)
    project = projects.create(ctx, SYSTEM, name="Sea", schema=sea.schema, policy=chosen, now=now)
    ingest.ingest(ctx, SYSTEM, project, sea.draw(rows, seed=1), source="test", now=now)
    return project


def test_every_stored_decision_says_what_was_seen_and_what_was_needed_as_it_decided(ctx, now):
    project = _sea(ctx, now, rows=400, period=2, on_drift=True, quorum=1)
    loop.run_cycle(ctx, project, now)
    with ctx.database.read() as con:
        judged = [entry for entry in decisions.latest(con, project.id) if entry.evidence]
    assert {entry.action for entry in judged} >= {Action.WAIT, Action.RETRAIN}
    assert len(judged) == 8
    policy = projects.policy(ctx, project.id)[1]
    for entry in judged:
        read = limits.against(policy, Evidence.from_json(entry.evidence), Memory.from_json(entry.memory_before))
        reached = [limit for limit in read if limit.reached and limit.part is limits.Part.TRIGGER]
        assert read
        assert reached or entry.action not in (Action.RETRAIN, Action.ROLL_BACK)
        for limit in read:
            if limit.reached:
                assert limit.seen >= limit.needed - 1e-9, limit


def test_the_bars_hold_the_numbers_of_the_reason(now):
    policy, blocks = PRESETS["eager"], (0.3, 0.35, 0.32, 0.31)
    memory = took_over(Memory(labelled=(0, 1), next_window=2), Model(1, "all", 1000, 1), 1)
    for window in (2, 3):
        evidence = Evidence(
            window, 500 * (window + 1), judged=(Judged(window, 500, (VersionLoss(1, blocks),)),), drift=Verdict.STABLE
        )
        decision, after = decide(policy, evidence, memory)
        read = limits.against(policy, evidence, memory)
        memory, blocks = after, (0.9, 0.95, 0.92, 0.91)
    fell = next(reason for reason in decision.reasons if reason.code == "performance_fell")
    loss = next(limit for limit in read if limit.params.get("window") == 3)
    assert (loss.seen, loss.needed, loss.reached) == (fell.params["seen"], fell.params["limit"], True)
    assert decision.action is Action.RETRAIN
