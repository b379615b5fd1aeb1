"""What is decided, given what was seen: pure, so a few numbers tell the whole story."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.decide import decide
from core.evidence import Contender, Evidence, Judged, Memory, VersionLoss, performance_limit, took_over
from core.gate import Tally, blocks
from core.policy import PRESETS, Approval, Policy
from core.records import Action

CHAMPION = Contender(version=1, scope="all", trained_to=0, born=0)
BEGAN = Memory(
    champion=CHAMPION, learned=100, labelled=tuple(range(8)), next_window=8, challenged=7
)  # learned: no growth for long
BALANCED = Policy()


def seen(window: int, loss: float, yardstick: float) -> Evidence:
    """A window of five blocks around this loss, and what a light fresh model lost on it."""
    spread = (-0.02, -0.01, 0.0, 0.01, 0.02)
    blocks = tuple(loss + by for by in spread)
    judged = Judged(window, 500, (VersionLoss(1, blocks),), tuple(yardstick + by for by in spread))
    return Evidence(turn=window, rows=500 * (window + 1), judged=(judged,))


def lived(policy: Policy, losses: list[tuple[float, float]]) -> list[tuple[Action, tuple[str, ...]]]:
    """What was decided window by window, as long as nothing is carried out."""
    memory, told = BEGAN, []
    for number, (loss, yardstick) in enumerate(losses, start=8):
        decision, memory = decide(policy, seen(number, loss, yardstick), memory)
        told.append((decision.action, tuple(reason.code for reason in decision.reasons)))
    return told


STEADY, HARDER = (0.2, 0.2), (0.4, 0.4)  # harder for everyone: a fresh model would lose as much


def test_a_loss_that_rose_for_any_model_is_an_alert_and_no_retrain() -> None:
    told = lived(BALANCED, [STEADY, STEADY, STEADY, HARDER, HARDER])
    assert [action for action, _ in told] == [Action.NOTHING] * 3 + [Action.ALERT] * 2
    assert told[2][1][:2] == ("healthy", "fresh")
    assert told[4][1][:2] == ("performance_fell", "fresh")


def test_a_loss_that_a_fresh_model_would_not_have_is_a_retrain() -> None:
    assert lived(BALANCED, [STEADY, STEADY, STEADY, (0.4, 0.2)])[-1] == (Action.RETRAIN, ("stale",))


def test_the_rise_itself_may_be_a_trigger() -> None:
    policy = replace(BALANCED, on_performance=True)
    assert lived(policy, [STEADY, STEADY, STEADY, HARDER])[-1] == (Action.RETRAIN, ("performance_fell",))


@pytest.mark.parametrize("policy", PRESETS.values(), ids=PRESETS)
def test_a_risen_loss_is_never_passed_over_in_silence(policy: Policy) -> None:
    action, codes = lived(policy, [STEADY] * 4 + [HARDER] * policy.performance_checks)[-1]
    assert action in (Action.ALERT, Action.RETRAIN)
    assert "performance_fell" in codes or action is Action.RETRAIN


def test_what_was_quiet_again_is_healthy_again() -> None:
    assert lived(BALANCED, [STEADY] * 3 + [HARDER, STEADY])[-1][0] is Action.NOTHING


def test_drift_that_could_not_be_judged_is_told_once_and_counts_as_no_drift() -> None:
    policy = replace(BALANCED, on_drift=True)
    (_, codes), *_ = lived(policy, [STEADY])
    assert codes.count("drift_unknown") == 1


def test_what_a_fresh_champion_loses_more_than_its_yardstick_is_no_staleness() -> None:
    fresh = replace(BEGAN, fresh=True, crowned=7)
    _, after = decide(BALANCED, seen(8, 0.3, 0.2), fresh)
    assert (after.handicaps, after.stale, after.fresh) == ((0.4,), 0.0, False)
    late = replace(fresh, crowned=9)  # window 8 came before it served: its labels were late
    _, after = decide(BALANCED, seen(8, 0.3, 0.2), late)
    assert (after.handicaps, after.stale, after.fresh) == ((), 0.4, True)


def test_one_wrong_row_more_than_none_is_no_reason_to_retrain() -> None:
    one = (0.0,) * 19 + (0.04,)
    judged = Judged(8, 500, (VersionLoss(1, one),), (0.0,) * 20)
    decision, after = decide(BALANCED, Evidence(turn=8, rows=4500, judged=(judged,)), BEGAN)
    assert decision.action is Action.NOTHING
    assert after.stale < 1.0


def test_however_stale_the_champion_the_budget_holds() -> None:
    memory, retrains = replace(BEGAN, credit=Memory().credit), 0
    for number in range(8, 108):
        decision, memory = decide(BALANCED, seen(number, 0.9, 0.1), memory)
        if decision.action is Action.RETRAIN:
            retrains += 1
            memory = replace(
                memory, owed=(), challenged=number, credit=memory.credit - 1, stale=0.0, stale_variance=0.0
            )
    assert 17 <= retrains <= 20


def test_a_champion_that_learned_from_all_it_may_is_not_retrained_for_more_rows() -> None:
    policy = replace(BALANCED, most_rows=4000)  # 8 windows
    full = replace(BEGAN, learned=8, labelled=tuple(range(60)), next_window=60, credit=3.0)
    decision, _ = decide(policy, seen(60, 0.2, 0.2), full)
    assert decision.action is Action.NOTHING
    assert not {"grown", "not_grown"} & {reason.code for reason in decision.reasons}


@pytest.mark.parametrize("rows", [100, 200, 500])
def test_a_steady_loss_is_called_risen_no_more_often_than_the_level_says(rows: int) -> None:
    policy = replace(BALANCED, performance_margin=0.0, performance_level=0.01)
    draw, repeats, risen = np.random.default_rng(rows), 4000, 0
    for _ in range(repeats):
        steady = Tally()
        for _ in range(3):
            steady = steady.plus(blocks(draw.normal(1.0, 0.3, rows)))
        newest = tuple(blocks(draw.normal(1.0, 0.3, rows)).tolist())
        limit = performance_limit(policy, Memory(baseline=steady), newest)
        assert limit is not None
        risen += np.mean(newest) > limit
    assert risen / repeats < 0.015  # three standard errors above


def test_a_window_of_few_rows_is_not_judged() -> None:
    steady = Tally().plus([0.2, 0.3, 0.2, 0.3])
    assert performance_limit(BALANCED, Memory(baseline=steady), (0.2, 0.9)) is None


# ---- who answers ----------------------------------------------------------------------------------
def answering(policy: Policy, losses: list[tuple[float, float]]) -> list[tuple[int, tuple[str, ...]]]:
    """Who answers after each window of (champion's, predecessor's) loss, and what is told of it."""
    memory = took_over(BEGAN, Contender(2, "all", 4000, 8), 8)
    told = []
    for number, (champion, before) in enumerate(losses, start=9):
        judged = Judged(number, 500, (VersionLoss(2, (champion,) * 5), VersionLoss(1, (before,) * 5)))
        decision, memory = decide(policy, Evidence(turn=number, rows=500 * (number + 1), judged=(judged,)), memory)
        assert memory.serving
        codes = (reason.code for reason in decision.reasons)
        told.append((memory.serving.version, tuple(code for code in codes if code in ("stands_in", "steps_back"))))
    return told


UNDOES_NOTHING = replace(PRESETS["balanced"], rollback_level=0.0, on_staleness=False)


def test_the_predecessor_answers_while_it_has_lost_less_of_late() -> None:
    losses = [(0.20, 0.201), (0.30, 0.20), (0.20, 0.20), (0.20, 0.30), (0.20, 0.30), (0.20, 0.20)]
    assert answering(UNDOES_NOTHING, losses) == [
        (2, ()), (1, ("stands_in",)), (1, ()), (2, ("steps_back",)), (2, ()), (2, ()),
    ]  # fmt: skip


@pytest.mark.parametrize("how", [{"stand_in": None}, {"approval": Approval.MANUAL}, {"stand_in": 0.5}])
def test_nobody_stands_in_where_the_policy_does_not_say_so(how: dict[str, Any]) -> None:
    assert {who for who, _ in answering(replace(UNDOES_NOTHING, **how), [(0.30, 0.20)] * 4)} == {2}


def test_a_policy_that_ends_a_stand_in_says_so_and_claims_no_lead() -> None:
    memory = took_over(BEGAN, Contender(2, "all", 4000, 8), 8)
    judged = Judged(9, 500, (VersionLoss(2, (0.3,) * 5), VersionLoss(1, (0.2,) * 5)))
    evidence = Evidence(turn=9, rows=5000, judged=(judged,))
    _, memory = decide(UNDOES_NOTHING, evidence, memory)
    assert memory.stands_in
    again = replace(evidence, turn=10, rows=5500, judged=(replace(judged, window=10),))
    decision, memory = decide(replace(UNDOES_NOTHING, stand_in=None), again, memory)
    assert not memory.stands_in
    assert "answers_again" in [reason.code for reason in decision.reasons]


def test_a_new_champion_answers_whoever_stood_in_before() -> None:
    memory = took_over(BEGAN, Contender(2, "all", 4000, 8), 8)
    memory = replace(memory, stands_in=True, lead=0.6, lead_windows=1.5)
    after = took_over(memory, Contender(3, "all", 4500, 9), 9)
    assert after.serving and after.serving.version == 3
    assert (after.lead, after.lead_windows, after.previous and after.previous.version) == (0.0, 0.0, 2)
