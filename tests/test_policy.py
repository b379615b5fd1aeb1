"""What is decided, given what was seen: pure, so a few numbers tell the whole story."""

from dataclasses import replace

import pytest

from core.policy import PRESETS, Contender, Evidence, Judged, Memory, Policy, VersionLoss, decide
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
