"""Decisions as the ledger stores them, for the test that a newer release judges them alike: python -m scripts.golden

Replays histories of the synthetic streams under the presets and label delays of `CASES`, and keeps `KEPT` checks drawn
from them, the rarer their action and reason the surer. A line is a policy and a ledger entry. Run it again only when the
logic was changed on purpose, raise `core.decide.LOGIC` with it, and keep the file of the release before beside it
(`decisions-<its logic>.jsonl`): what it holds must stay readable.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from core import replay, schema
from core.decide import LOGIC, decide
from core.policy import PRESETS, Approval, Policy
from core.records import SYSTEM
from core.sources import SOURCES
from core.store.codec import dump
from core.store.decisions import Entry

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "decisions.jsonl"
KEPT = 100
WINDOW, WINDOWS = 100, 26
MADE = datetime(2026, 1, 1, tzinfo=UTC)

# stream and its drift, preset, what is changed of it, label delay
CASES: tuple[tuple[str, str, str, dict[str, Any], int], ...] = (
    ("sea", "sudden", "balanced", {}, 0),
    ("sea", "gradual", "balanced", {"scope": "best"}, 1),
    ("sea", "recurring", "eager", {}, 0),
    ("sea", "sudden", "careful", {"price": 0.1}, 0),
    ("sea", "sudden", "careful", {"approval": Approval.MANUAL, "price": 0.1}, 2),
    ("sea", "none", "balanced", {"period": 3, "gate_level": 0.3, "rollback_level": 0.4}, 0),
    ("sea", "sudden", "eager", {"on_drift": True, "after_labels": 300, "quorum": 2}, 5),
    ("sea", "recurring", "never", {}, 1),
    ("sea", "gradual", "always", {"rollback_level": 0.3}, 0),
)


def played(case: int) -> Iterator[tuple[Policy, Entry]]:
    """The checks of one history, and what came of its challenges, as the live loop would store them."""
    stream, drift, preset, how, delay = CASES[case]
    frame = SOURCES[stream].draw(WINDOW * WINDOWS, seed=case, drift=drift, start=0.4, magnitude=2.0, noise=0.15)
    shape = schema.infer(frame, target="target").schema
    rows = schema.conform(frame, shape, with_target="required")
    policy = replace(PRESETS[preset], window_rows=WINDOW, warm_up_windows=3, estimator="logistic", **how)
    assert rows.labels is not None
    steps = replay.replay(rows.features, rows.labels, shape, policy, label_delay=delay).steps
    for step in steps:
        if step.evidence is not None and step.memory is not None:
            _, after = decide(policy, step.evidence, step.memory)
            stored = step.evidence.to_json(), step.memory.to_json(), after.to_json()
            yield policy, _entry(step, *stored)
        elif step.comparison:
            yield policy, _entry(step)


def _entry(
    step: replay.Step, evidence: str | None = None, before: str | None = None, after: str | None = None
) -> Entry:
    return Entry(
        "golden", MADE, step.action, SYSTEM.name, step.reasons, 1, step.turn, step.nearest_flip, evidence, before,
        after, step.comparison, step.version,
    )  # fmt: skip


def sampled(found: list[tuple[Policy, Entry]], seed: int = 0) -> list[tuple[Policy, Entry]]:
    """``KEPT`` of them in their order, drawn without return, each with a weight of one over how common its kind is."""
    kinds = [(entry.action, entry.reasons[0].code) for _, entry in found]
    common = Counter(kinds)
    weights = np.array([1 / common[kind] for kind in kinds])
    size = min(KEPT, len(found))
    chosen = np.random.default_rng(seed).choice(len(found), size, replace=False, p=weights / weights.sum())
    return [found[at] for at in sorted(chosen)]


def main() -> None:
    kept = sampled([pair for case in range(len(CASES)) for pair in played(case)])
    lines = [
        json.dumps({"policy": json.loads(policy.to_json()), "entry": json.loads(dump(entry))}) for policy, entry in kept
    ]
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(f"{len(lines)} decisions of logic {LOGIC} in {GOLDEN}:")
    for (action, code), count in sorted(Counter((e.action, e.reasons[0].code) for _, e in kept).items()):
        print(f"{count:>4} {action} {code}")


if __name__ == "__main__":
    main()
