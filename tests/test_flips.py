"""The nearest flip is a counterfactual: what it names, changed to what it says, ends in another action."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core import decide as deciding
from core import replay
from core.evidence import Evidence, Memory, VersionLoss, note
from core.policy import PRESETS, Policy
from core.records import Column, Kind, Reason, Schema, Task, Verdict

SCHEMA = Schema((Column("a", Kind.NUMERIC), Column("b", Kind.NUMERIC)), "y", Task.BINARY, ("no", "yes"))
POLICIES = {
    **{name: PRESETS[name] for name in ("balanced", "careful", "eager", "always")},
    "quorum": replace(PRESETS["balanced"], quorum=2, growth=1.3),
    "counting": replace(PRESETS["balanced"], on_staleness=False, growth=None, after_labels=350),
    "drift": replace(PRESETS["balanced"], on_staleness=False, growth=None, on_drift=True, drift_checks=2),
    "saturated": replace(PRESETS["balanced"], most_rows=600),
}


def history(windows=36, rows=100):
    """A world that stands still, turns round, comes to rest, and whose rows then drift."""
    draw = np.random.default_rng(4)
    frame = pd.DataFrame(draw.normal(size=(windows * rows, 2)), columns=["a", "b"])
    frame.iloc[26 * rows :, 0] += 1.0
    yes = (frame["a"] + frame["b"] + draw.normal(0, 0.5, len(frame)) > 0).to_numpy(copy=True)
    yes[12 * rows : 20 * rows] = (frame["a"] - frame["b"] > 0).iloc[12 * rows : 20 * rows]
    return frame, pd.Series(np.where(yes, "yes", "no"), dtype=object)


def moved(evidence: Evidence, window: int, version: int, by: float) -> Evidence:
    """The evidence with this version's blocks on this window shifted."""

    def shifted(loss: VersionLoss) -> VersionLoss:
        return replace(loss, blocks=tuple(block + by for block in loss.blocks)) if loss.version == version else loss

    judged = (
        replace(one, losses=tuple(map(shifted, one.losses))) if one.window == window else one for one in evidence.judged
    )
    return replace(evidence, judged=tuple(judged))


def changed(
    policy: Policy, evidence: Evidence, before: Memory, noted: Memory, code: str, params: dict
) -> tuple[Evidence, Memory]:
    """Evidence, and memory with it in, after the change that a flip names; ``before`` is the memory without it."""
    turn = evidence.turn
    if code == "flip_stale":
        return evidence, replace(noted, stale=params["needed"])
    if code == "flip_fresh":  # "less than": a loss that the same flip moved may have taken it there already
        return evidence, replace(noted, stale=min(noted.stale, params["needed"] - 1e-9))
    if code == "flip_labels":
        newest = noted.labelled[-params["needed"] :] if params["needed"] else ()
        more = range(-(params["needed"] - len(newest)), 0)  # older ones
        return evidence, replace(noted, labelled=(*more, *newest))
    if code == "flip_label_count":
        return evidence, replace(noted, labels=noted.labels_then + params["needed"])
    if code == "flip_younger":
        return evidence, replace(noted, challenged=turn - params["needed"])
    if code == "flip_age_reached" and "needed" in params:
        return evidence, replace(noted, challenged=turn - params["needed"])
    if code == "flip_age_reached":  # what is in the way is gone by then
        return evidence, replace(noted, challenged=turn - policy.cool_down, credit=3.0, challenger=None)
    if code == "flip_drift_lasts":
        return replace(evidence, drift=Verdict.DRIFTING), replace(noted, drifts=params["needed"])
    if code == "flip_drift_ends":
        return replace(evidence, drift=Verdict.STABLE), replace(noted, drifts=0)
    if code.startswith(("flip_loss", "flip_alert")):
        by = params["needed"] - params["seen"] + (1e-6 if code.endswith("above") else -1e-6)
        seen = moved(evidence, params["window"], before.champion.version, by)
    elif code in ("flip_gain", "flip_advantage"):
        rival = before.previous if code == "flip_advantage" else before.challenger
        seen = moved(evidence, params["window"], rival.version, params["seen"] - params["needed"] + 1e-6)
    elif code == "flip_skill":
        judged = (
            replace(one, skill=params["needed"]) if one.window == params["window"] else one for one in evidence.judged
        )
        seen = replace(evidence, judged=tuple(judged))
    else:
        raise AssertionError(f"nobody knows how to try {code}")
    return seen, note(policy, seen, before)


def flips_of(flip: Reason) -> list[tuple[str, dict]]:
    several = flip.params.get("flips")
    return [(one["code"], one["params"]) for one in several] if several else [(flip.code, flip.params)]


@pytest.mark.parametrize("name", POLICIES)
def test_the_nearest_flip_would_have_decided_otherwise(name: str) -> None:
    policy = replace(POLICIES[name], window_rows=100, warm_up_windows=4, estimator="logistic")
    tried: Counter[str] = Counter()
    for delay in (0, 2):
        for step in replay.replay(*history(), SCHEMA, policy, label_delay=delay).steps:
            if not (step.evidence and step.memory and step.nearest_flip) or step.nearest_flip.code == "flip_measured":
                continue
            evidence, noted = step.evidence, note(policy, step.evidence, step.memory)
            for code, params in flips_of(step.nearest_flip):
                evidence, noted = changed(policy, evidence, step.memory, noted, code, params)
                tried[code] += 1
            decision, _ = next(found for judge in deciding.STEPS if (found := judge(policy, evidence, noted)))
            if step.nearest_flip.code == "flip_skill":  # labels that are right may still tell of something to alert to
                assert decision.reasons[0] != step.reasons[0]
                continue
            assert decision.action is not step.action, (delay, step.turn, step.action, step.nearest_flip)
    assert sum(tried.values()) > 20, tried
