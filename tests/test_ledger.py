"""Decisions that were stored are judged again, by the same release and by a newer one."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from core import context, ingest, ledger, loop, projects, schema
from core.decide import LOGIC
from core.errors import NotFound
from core.evidence import Evidence, Memory
from core.policy import PRESETS, Policy
from core.records import SYSTEM, Action
from core.settings import Settings
from core.sources import SOURCES
from core.store import decisions, policies
from core.store.codec import load
from core.store.decisions import Entry
from scripts.golden import GOLDEN, KEPT
from tests.conftest import NOW

WINDOW = 100


def lived(ctx, now, *, preset="balanced", windows=9, **how):
    """The ledger entries of a project that lived through a sudden change, oldest first."""
    frame = SOURCES["sea"].draw(windows * WINDOW, seed=1, drift="sudden", start=0.5, magnitude=2.0, noise=0.1)
    frame = frame.assign(row=np.arange(len(frame)))
    policy = replace(
        PRESETS[preset], **{"window_rows": WINDOW, "warm_up_windows": 3, "estimator": "logistic", "price": 0.02, **how}
    )
    shape = schema.infer(frame, target="target", row_id="row").schema
    project = projects.create(ctx, SYSTEM, name=preset, schema=shape, policy=policy, now=now)
    for number in range(windows):
        now += timedelta(minutes=1)
        rows = frame.iloc[number * WINDOW : (number + 1) * WINDOW]
        ingest.ingest(ctx, SYSTEM, project, rows, source="api", now=now)
        loop.run_cycle(ctx, project, now)
    with ctx.database.read() as con:
        return decisions.latest(con, project.id, limit=1_000)[::-1]


@pytest.fixture(scope="module")
def restarted(tmp_path_factory):
    """A context opened anew over what two projects lived through, and their ledgers."""
    settings = Settings(_env_file=None, CONTINUAL_DATA_DIR=tmp_path_factory.mktemp("ledger"))
    ctx = context.opened(settings)
    kept = [entry for preset in ("balanced", "careful") for entry in lived(ctx, NOW, preset=preset)]
    ctx.close()
    ctx = context.opened(settings)
    yield ctx, kept
    ctx.close()


@pytest.fixture
def check(restarted):
    """One stored check that found nothing to do, and its policy."""
    ctx, kept = restarted
    entry = next(entry for entry in kept if entry.evidence and entry.action is Action.NOTHING)
    with ctx.database.read() as con:
        return entry, Policy.from_json(policies.get(con, entry.project, entry.policy_version))


def test_after_a_restart_every_decision_replays_to_the_identical_verdict_and_numbers(restarted):
    ctx, kept = restarted
    asked = [entry for entry in kept if ledger.replayable(entry)]
    again = [ledger.replay_decision(ctx, entry.id) for entry in asked]
    assert [found.differences for found in again] == [()] * len(asked)
    assert {entry.action for entry in asked} >= {Action.WAIT, Action.NOTHING, Action.RETRAIN, Action.PROMOTE}
    assert any(entry.comparison for entry in asked)
    assert {found.logic for found in again} == {LOGIC}


def test_what_judged_nothing_has_nothing_to_replay(restarted, now):
    ctx, kept = restarted
    loop.run_cycle(ctx, projects.get(ctx, kept[0].project), now)
    with ctx.database.read() as con:
        filling = decisions.latest(con, kept[0].project, limit=1)[0]
    assert filling.reasons[0].code == "window_filling"
    for number in (filling.id, 999_999):
        with pytest.raises(NotFound, match=f"ecision {number}"):
            ledger.replay_decision(ctx, number)


def test_a_number_that_was_changed_is_named_and_is_a_fault(check):
    entry, policy = check
    altered = json.loads(entry.memory_after)
    altered["credit"] += 1e-6
    found = ledger.replay_entry(replace(entry, memory_after=json.dumps(altered)), policy)
    assert [difference.where for difference in found.differences] == ["memory.credit"]
    assert found.faulty
    assert not ledger.replay_entry(replace(entry, action=Action.ALERT), policy).same


def test_a_comparison_whose_verdict_was_changed_is_found_out(restarted):
    ctx, kept = restarted
    entry = next(entry for entry in kept if entry.comparison)
    with ctx.database.read() as con:
        policy = Policy.from_json(policies.get(con, entry.project, entry.policy_version))
    altered = replace(entry.comparison, verdict="hold", gain=entry.comparison.gain + 0.01)
    found = ledger.replay_entry(replace(entry, comparison=altered), policy)
    assert {difference.where for difference in found.differences} == {"comparison.verdict", "comparison.gain"}


def test_a_decision_of_an_older_logic_says_so_and_what_differs_is_no_fault(check):
    entry, policy = check
    before = json.loads(entry.evidence)
    del before["logic"]
    old = replace(entry, evidence=json.dumps(before))
    assert ledger.replay_entry(old, policy).same
    otherwise = ledger.replay_entry(replace(old, action=Action.ALERT), policy)
    assert (otherwise.logic, otherwise.now, otherwise.same, otherwise.faulty) == (0, LOGIC, False, False)


def test_each_gate_has_its_price_at_the_disagreement_that_the_project_has_shown(restarted):
    ctx, kept = restarted
    project = projects.get(ctx, kept[0].project)
    told = ledger.prices(ctx, project, replace(PRESETS["balanced"], window_rows=500))
    assert told.comparisons == sum(bool(entry.comparison) for entry in kept if entry.project == project.id) > 0
    assert 0.0 < told.disagreement < 1.0
    assert 0.93 < told.gates["veto"].equal < 0.95
    assert told.gates["superiority"].equal < told.gates["veto"].equal < told.gates["none"].equal == 1.0
    young = ledger.prices(ctx, replace(project, id="nobody"), PRESETS["balanced"])
    assert (young.comparisons, young.disagreement) == (0, 0.1)


def test_100_sampled_decisions_replay_to_the_identical_verdict_and_numbers():
    """What an older logic decided (`decisions-<logic>.jsonl`) has to stay readable, and a difference be explained."""
    current = []
    for line in "".join(
        path.read_text("utf-8") for path in sorted(GOLDEN.parent.glob("decisions*.jsonl"))
    ).splitlines():
        kept = json.loads(line)
        entry, policy = load(Entry, json.dumps(kept["entry"])), Policy.from_json(json.dumps(kept["policy"]))
        found = ledger.replay_entry(entry, policy)
        assert not found.faulty, (entry.action, entry.window_number, found.differences)
        current += [entry] * (found.logic == LOGIC)
    assert len(current) >= KEPT, "the logic was changed on purpose? python -m scripts.golden, and keep the old file"
    assert {entry.action for entry in current} >= set(Action) - {Action.FAIL, Action.ACCEPT}
    assert len({entry.reasons[0].code for entry in current}) >= 12


def test_what_an_earlier_release_did_not_store_takes_its_default():
    """A newer release adds fields; a database of before does not have them, and one of after may have more."""
    for kind in (Policy, Memory):
        assert kind.from_json("{}") == kind()
    assert Evidence.from_json('{"turn": 3, "rows": 400, "judged": [{"window": 3, "rows": 90}]}').judged[0].losses == ()
    assert Memory.from_json('{"credit": 0.5, "a_field_of_later": 1}').credit == 0.5
