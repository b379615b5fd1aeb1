"""The ledger read again: is a stored decision what judgement says today of what was seen then?

A check is judged from what is stored with it: the policy of its version, the evidence, the memory before. What came of a
challenge is judged from the block losses in its comparison (`core.gate`); its sanity findings and its slices rest on rows and models
and are taken as they were found. A decision names the logic that made it (`core.decide.LOGIC`), so that a difference can be
told apart: under the same logic it is a fault, under an older one a release that decides otherwise on purpose.
"""

import json
import math
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from core.challenge import CHOSEN, ruling
from core.context import Context
from core.decide import LOGIC, decide
from core.errors import NotFound
from core.evidence import Evidence, Memory
from core.gate import FEWEST_BLOCKS, GATES, Price, disagreement, price
from core.policy import Approval, Policy
from core.records import Action, Project
from core.sanity import SANITY
from core.store import decisions, policies
from core.store.codec import dump
from core.store.decisions import Entry

PRECISION = 1e-9  # relative: the last bits of a number may change with the machine's libraries

Tree = Any  # what JSON holds: dicts, lists, text, numbers, None


@dataclass(frozen=True)
class Difference:
    """One value that came out otherwise; ``where`` is its path, such as ``memory.trial.total``."""

    where: str
    stored: Any
    again: Any


@dataclass(frozen=True)
class Replayed:
    """A stored decision judged again. ``logic`` made it (0: a release that did not say), ``now`` is that of today."""

    decision: int | None
    differences: tuple[Difference, ...]
    logic: int
    now: int = LOGIC

    @property
    def same(self) -> bool:
        return not self.differences

    @property
    def faulty(self) -> bool:
        """It differs, and no change of the logic explains that."""
        return not self.same and self.logic == self.now


def replay_decision(ctx: Context, decision: int) -> Replayed:
    """The decision judged again from what was stored; raises NotFound where there is nothing to judge it from."""
    with ctx.database.read() as con:
        entry = decisions.get(con, decision)
        if entry is None:
            raise NotFound(f"There is no decision {decision}. Decisions lists those there are")
        if not replayable(entry):
            raise NotFound(
                f"Decision {decision} was made by a person, or compared nothing: there is nothing to replay. "
                "Replay the check or the comparison it belongs to"
            )
        policy = Policy.from_json(policies.get(con, entry.project, entry.policy_version))  # type: ignore[arg-type]
    return replay_entry(entry, policy)


@dataclass(frozen=True)
class Prices:
    """What each gate costs a project. ``disagreement`` is that of its ``comparisons`` so far, or assumed if there are 0."""

    disagreement: float
    comparisons: int
    gates: dict[str, Price]


ASSUMED = 0.1  # of the rows have two models disagree, until a project has comparisons of its own
PRICED = 20  # comparisons, the newest
DIFFERENCE, RELATIVE = 0.04, 0.1  # priced: points for right or wrong, a share of the champion's error for numbers


def prices(ctx: Context, project: Project, policy: Policy) -> Prices:
    """Each gate's price (`core.gate.price`) at this policy's windows and levels, as this project's models differ.

    Without a comparison yet nothing can be said of numbers: no gates then.
    """
    with ctx.database.read() as con:
        entries = decisions.latest(con, project.id, actions=(Action.PROMOTE, Action.HOLD), limit=PRICED)
    kept = [entry.comparison for entry in entries if entry.comparison and len(entry.comparison.losses) == 2]
    seen = [
        disagreement(found.losses[0], found.losses[1], found.rows)
        for found in kept
        if len(found.losses[0]) >= FEWEST_BLOCKS
    ]
    bounded = project.schema.task.is_classification
    if not seen and not bounded:
        return Prices(0.0, 0, {})
    apart = max(median(seen), 1e-9) if seen else ASSUMED
    difference = DIFFERENCE if bounded else RELATIVE * median(found.champion for found in kept)
    return Prices(apart, len(seen), {
        name: price(
            name, rows=policy.window_rows, level=policy.gate_level, disagreement=apart, difference=difference,
            minimum_gain=policy.minimum_gain, rollback_level=policy.rollback_level, bounded=bounded,
        )
        for name in GATES
    })  # fmt: skip


def replayable(entry: Entry) -> bool:
    """Is everything stored that its verdict was made from?"""
    if entry.policy_version is None:
        return False
    return (entry.evidence is not None and entry.memory_before is not None) or _compared(entry)


def _compared(entry: Entry) -> bool:
    return entry.comparison is not None and bool(entry.comparison.losses)


def replay_entry(entry: Entry, policy: Policy) -> Replayed:
    """A replayable entry judged again by its policy; changes nothing and reads nothing."""
    stored, again, logic = _challenge(entry, policy) if entry.evidence is None else _check(entry, policy)
    return Replayed(entry.id, tuple(differences(stored, again)), logic)


def _check(entry: Entry, policy: Policy) -> tuple[Tree, Tree, int]:
    evidence, before = Evidence.from_json(entry.evidence or ""), Memory.from_json(entry.memory_before or "")
    decision, after = decide(policy, evidence, before)
    stored = {
        "action": entry.action,
        "reasons": [asdict(reason) for reason in entry.reasons],
        "nearest_flip": entry.nearest_flip and asdict(entry.nearest_flip),
        "version": entry.version,
        "memory": asdict(Memory.from_json(entry.memory_after or "{}")),
    }
    return _plain(stored), _plain({**asdict(decision), "memory": asdict(after)}), evidence.logic


def _challenge(entry: Entry, policy: Policy) -> tuple[Tree, Tree, int]:
    assert entry.comparison
    kept = entry.comparison
    found = tuple(reason for reason in entry.reasons if reason.code in {*SANITY, CHOSEN})
    again = ruling(policy, *kept.losses, metric=kept.metric, rows=kept.rows, found=found)
    again = replace(again, slices=kept.slices, versions=kept.versions)
    promoted = again.verdict == "promote" and policy.approval is Approval.AUTOMATIC
    action = Action.PROMOTE if promoted else Action.HOLD
    return (
        {"action": str(entry.action), "comparison": {**json.loads(dump(kept)), "logic": 0}},
        {"action": str(action), "comparison": {**json.loads(dump(again)), "logic": 0}},
        kept.logic,
    )


def _plain(tree: Tree) -> Tree:
    """The tree as JSON gives it back: lists for tuples, text for what is counted by name."""
    return json.loads(json.dumps(tree))


def differences(stored: Tree, again: Tree, where: str = "") -> list[Difference]:
    """What differs between two trees of plain values, leaf by leaf; numbers to nine digits.

    >>> differences({"mean": 0.3, "of": [1, 2]}, {"mean": 0.1 + 0.2, "of": [1, 3]})
    [Difference(where='of.1', stored=2, again=3)]
    """
    if isinstance(stored, dict) and isinstance(again, dict):
        names = [*stored, *(name for name in again if name not in stored)]
        return [
            found
            for name in names
            for found in differences(stored.get(name), again.get(name), f"{where}.{name}".lstrip("."))
        ]
    if isinstance(stored, list) and isinstance(again, list) and len(stored) == len(again):
        pairs = enumerate(zip(stored, again, strict=True))
        return [found for at, (one, other) in pairs for found in differences(one, other, f"{where}.{at}".lstrip("."))]
    return [] if _equal(stored, again) else [Difference(where, stored, again)]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=PRECISION, abs_tol=1e-12)
    return type(one) is type(other) and one == other
