"""Drift over time, read from what was kept: any two spans of windows compared, and a map of features by windows.

When a window is judged, its profile is kept in the bins of the version that was champion then. Profiles in the bins of
one version add up, so spans of any length compare without a row being read. A new champion has bins of its own: windows
on both sides of a promotion are compared in the bins of the version that most of them were counted in already, and
those it has not counted are counted anew from their rows, once, and kept. The answer says in whose bins it is.

What the comparison assumes is what `core.drift` assumes, with the dependence between neighbouring rows, and the shape of
the bins, taken from that version's reference.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import pandas as pd

from core import drift, projects
from core.context import Context
from core.errors import InvalidInput, NotFound
from core.evidence import Evidence
from core.records import DriftCheck, Project, Verdict
from core.store import decisions, models, profiles, rows
from core.training import Worker
from core.world import StoreWorld

Windows = tuple[int, int]  # [first, last), by window number


@dataclass(frozen=True)
class Compared:
    """Two spans of windows. ``version``: in whose bins; ``counted``: how many windows had to be read from their rows.

    ``facts`` are plain numbers a feature, before and now (`drift.facts`).
    """

    before: Windows
    after: Windows
    version: int
    counted: int
    check: DriftCheck
    facts: list[dict[str, Any]]


def compare(
    ctx: Context,
    project: Project,
    before: Windows,
    after: Windows,
    *,
    now: datetime,
    version: int | None = None,
    budget: float | None = None,
    features: tuple[str, ...] | None = None,
) -> Compared:
    """Has anything changed between two spans of windows? ``features`` may name `prediction` and `label` too.

    ``budget`` is the policy's without one. Raises InvalidInput when the spans overlap, are empty or not full yet,
    NotFound when no version has been trained, or ``version`` is none of them.
    """
    _, policy = projects.policy(ctx, project.id)
    size = policy.window_rows
    with ctx.database.read() as con:
        _check_spans(before, after, rows.count(con, project.id) // size)
        covered = profiles.coverage(con, project.id, (before, after), rows=size)
        chosen = version or max(covered, key=lambda one: (covered[one], one), default=0)
        chosen = chosen or models.champion_number(con, project.id)
        data = models.reference(con, project.id, chosen)
        if data is None:
            raise NotFound(f"Project {project.name!r} has no version {chosen} with a drift reference. Train one first")
        kept = [profiles.span(con, project.id, chosen, *span, rows=size) for span in (before, after)]
    counted = 0
    for span, found in zip((before, after), kept, strict=True):
        missing = [number for number in range(*span) if number not in found]
        found |= _count(ctx, project, chosen, missing, size, now)
        counted += len(missing)
    reference = _reference(data)
    then, current = (drift.merge(*map(drift.Profile.from_bytes, found.values())) for found in kept)
    known = drift.against(reference, then)
    check = drift.check(known, current, budget=budget or policy.drift_budget, features=features)
    return Compared(before, after, chosen, counted, check, drift.facts(known, current))


def _check_spans(before: Windows, after: Windows, full: int) -> None:
    for first, last in (before, after):
        if not 0 <= first < last <= full:
            raise InvalidInput(
                f"Windows {first} to {last - 1} cannot be compared: {full} windows are full, 0 to {full - 1}."
            )
    if before[0] < after[1] and after[0] < before[1]:
        raise InvalidInput(
            f"Windows {before[0]} to {before[1] - 1} and {after[0]} to {after[1] - 1} overlap. Choose two spans apart."
        )


def _count(
    ctx: Context, project: Project, version: int, windows: list[int], size: int, now: datetime
) -> dict[int, bytes]:
    """The profiles of these windows in the bins of this version, from their rows; they are kept."""
    world = StoreWorld(ctx, project, now, lambda _text: None, Worker())  # nothing is fitted, so none is started
    found = {number: world.profile(version, number * size, (number + 1) * size).to_bytes() for number in windows}
    if found:
        with ctx.database.write() as con:
            for number, profile in found.items():
                profiles.insert(con, project.id, version, number, size, profile, now)
    return found


@lru_cache(maxsize=8)
def _reference(data: bytes) -> drift.Reference:
    return drift.Reference.from_bytes(data)


@dataclass(frozen=True)
class Standing:
    """How the newest window that was judged for drift stands: the verdict of that check, the features past their limit,
    those that were judged, and those that could not be.
    """

    window: int
    verdict: Verdict
    moved: tuple[str, ...]
    judged: tuple[str, ...]
    unjudged: tuple[str, ...]


def standing(ctx: Context, project: Project) -> Standing | None:
    """How the newest window stands; None while none was judged.

    The verdict is the check's own: unknown where too little could be judged, drifting also where no feature alone has
    moved enough but all together have.
    """
    with ctx.database.read() as con:
        scores = decisions.scores(con, project.id, windows=1)
        entry = decisions.get(con, int(scores["decision"].max())) if len(scores) else None
    if entry is None or entry.evidence is None:
        return None
    past, names = set(scores.loc[scores["drifting"], "feature"]), project.schema.names
    judged = tuple(name for name in names if name in set(scores["feature"]))
    return Standing(
        int(scores["window_number"].max()),
        Evidence.from_json(entry.evidence).drift,
        tuple(name for name in judged if name in past),
        judged,
        tuple(name for name in names if name not in judged),
    )


def heatmap(ctx: Context, project: Project, *, windows: int = 90) -> pd.DataFrame:
    """One line a feature and window of the newest judged windows, as they were judged then.

    Columns: window_number, checked_at, feature, metric, value, limit, ratio, verdict. Of several metrics the one
    furthest above its limit (or closest below) is shown; ``ratio`` is its value over its limit. A feature that could
    not be judged in a window that others were judged in is there with verdict `unknown` and no number.
    """
    with ctx.database.read() as con:
        scores = decisions.scores(con, project.id, windows=windows)
    columns = ["window_number", "checked_at", "feature", "metric", "value", "limit", "ratio", "verdict"]
    if scores.empty:
        return pd.DataFrame(columns=columns)
    scores = scores.rename(columns={"threshold": "limit"})
    scores["ratio"] = scores["value"] / scores["limit"].clip(lower=1e-300)
    worst = scores.sort_values("ratio").drop_duplicates(["window_number", "feature"], keep="last")
    verdicts = worst["drifting"].map({True: str(Verdict.DRIFTING), False: str(Verdict.STABLE)})
    worst = worst.assign(verdict=verdicts).set_index(["window_number", "feature"])
    times = scores.groupby("window_number")["checked_at"].max()
    names = [*project.schema.names, *dict.fromkeys(scores["feature"])]
    every = pd.MultiIndex.from_product([times.index, dict.fromkeys(names)], names=["window_number", "feature"])
    table = worst.reindex(every).reset_index()
    always = table["feature"].isin(project.schema.names)  # the features together, and the answers, only where judged
    table = table[always | table["verdict"].notna()]
    table = table.assign(
        verdict=table["verdict"].fillna(str(Verdict.UNKNOWN)), checked_at=table["window_number"].map(times)
    )
    return table[columns].reset_index(drop=True)
