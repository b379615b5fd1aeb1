"""Has the world changed? A reference profile and a current profile in, a DriftCheck out.

The user sets a *false-alarm budget*, how often at most a check may cry wolf, and the *smallest shift* worth caring
about. Limits follow from these, from the reference itself, from the number of rows and features, and from how much
neighbouring rows depend on each other:

* every decisive metric of every feature is a test, so is the sum of all features (`_together`), and so is whether a
  feature still moves together with the others (`_links`);
* a test's p-value counts rows as many times less as the reference's autocorrelation time says, and pays for that time
  being an estimate with Student's t in place of the normal distribution (`core/dependence.py`);
* a weighted Benjamini-Hochberg step over all tests (Benjamini & Hochberg, JRSS B 1995; weights: Genovese, Roeder &
  Wasserman, Biometrika 2006) makes the level of each: without drift *some* alarm then comes with at most the budget's
  probability (Simes, Biometrika 1986), and with drift at most that share of the features named is wrong;
* tests that cannot reject, given what both windows hold together, take no share of the budget (Tarone, Biometrics 1990),
  nor do the features together take more than the smallest shift lets them use;
* whatever is below the smallest shift is no drift, however many rows make it certain.

What is assumed: the reference's rows are in order, and the current window's rows depend on each other as the
reference's do; features are independent or positively dependent, as far as the Simes inequality needs it. docs/drift.md has the numbers.

Pure: frames and profiles in, records out. As a command, for scripts and CI (exit 0 stable, 1 drifting, 2 unknown)::

    python -m core.drift REFERENCE.parquet CURRENT.parquet --ignore order,target --budget 0.01 --json
"""

import argparse
import hashlib
import json
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri, chndtrinc, ndtr, ndtri, stdtr

from core import comovement, dependence, profiles
from core.drift_metrics import METRICS, Pair
from core.drift_metrics import chi_square as chi_square_metric
from core.drift_metrics import mann_whitney as mann_whitney_metric
from core.drift_metrics.base import CATEGORIES, Links, squares_limit
from core.errors import ContinualError, InvalidInput, InvalidRows, NotEnoughRows
from core.profiles import Feature, Profile, Values, merge
from core.records import Column, DriftCheck, Kind, Schema, Score, Task, Verdict

__all__ = [
    "ANSWERS",
    "DECISIVE",
    "JOINT",
    "Profile",
    "Reference",
    "against",
    "check",
    "facts",
    "merge",
    "profile",
    "reference",
    "with_answers",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ANSWERS = ("prediction", "label")  # profiled when the frame holds them; judged only when asked for by name
JOINT = "all features"  # the name under which the joint score is reported
DECISIVE: Mapping[str, float] = {  # what decides by default, and its share of a feature's part of the budget
    "mann_whitney": 0.7,
    "ks": 0.15,
    "mood": 0.15,
    "chi_square": 0.8,
    "frequency_shift": 0.2,
    "missing_rate": 0.1,
    "correlation": 0.05,
    "joint_shift": 1.0,
}
JOINT_PART = 0.25  # of the budget goes to the features together, or what the smallest shift lets them use of it
SMALLEST_SHIFT = 0.04  # of the rows: what a mean shift by a tenth of a standard deviation moves
POWER = 0.8
BLIND = 0.5  # a check that would miss a shift of half of the rows judges nothing
FEWEST = 10  # independent rows the current window must be worth
LONG = 30  # autocorrelation times the reference must last, to know them
ASPECTS = ("location", "shape", "missing")
STRETCH, STRETCHES = 1024, 4  # neighbouring rows the dependence is estimated from
SAMPLED = 2_000  # rows of a window that features are looked at together in, at least, where it has them
TAILS = 10.0  # a mean of products of scores is normal from so many times the product of their kurtoses in rows
LEADING = 4  # categories whose dependence is looked at


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference window: its bins, what it looks like in them, and how its rows depend on each other.

    ``times`` and ``freedoms`` are (3, F): autocorrelation time and its degrees of freedom for each of ASPECTS.
    ``overlap`` (F, F) is the correlation of the features' test statistics, 0 (independent) to 1.
    ``variances`` (F, F), ``loose`` (F, F) and ``kurtosis`` (F,) say how much the correlation of two features varies
    (`core.comovement.variances`); empty where the rows were not looked at together.
    ``placed`` is the profile that all this was read from, when it is not ``profile`` (`against`).
    """

    id: str
    features: tuple[Feature, ...]
    profile: Profile
    times: Floats
    freedoms: Floats
    overlap: Floats
    variances: Floats = field(default_factory=lambda: profiles.NO_FLOATS)
    loose: Floats = field(default_factory=lambda: profiles.NO_FLOATS)
    kurtosis: Floats = field(default_factory=lambda: profiles.NO_FLOATS)
    placed: Profile | None = None

    @property
    def rows(self) -> int:
        return self.profile.rows

    @property
    def known_from(self) -> int:
        """How many rows bins and dependence were read from."""
        return (self.placed or self.profile).rows

    @cached_property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """Which of (F, B) bins exist: a profile's counts run over them."""
        bins = np.array([feature.bins for feature in self.features])
        return np.asarray(np.arange(max(bins, default=1))[None, :] < bins[:, None])

    @cached_property
    def points(self) -> Floats:
        out = np.zeros(self.used.shape)
        for row, feature in zip(out, self.features, strict=True):
            if len(feature.points):
                row[: feature.bins], row[feature.bins :] = feature.points, feature.points[-1]
        return out

    def table(self, window: Profile) -> Floats:
        """The counts of a profile as (F, B); zero in bins that do not exist."""
        if window.reference != self.id:
            raise InvalidInput(
                f"The profile belongs to reference {window.reference}, not to {self.id}. Profile the rows again."
            )
        out = np.zeros(self.used.shape)
        out[self.used] = window.counts
        return out

    @cached_property
    def counts(self) -> Floats:
        return self.table(self.profile)

    @cached_property
    def scores(self) -> Floats:
        """The rank score of each bin, (F, B + 1): mean 0 and variance 1 for evenly spread values; 0 where missing."""
        counts = self.counts if self.placed is None else self.table(self.placed)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
        middle = np.cumsum(share, axis=1) - share / 2.0
        scores = np.where(self.used, np.sqrt(3.0) * (2.0 * middle - 1.0), 0.0)
        return np.c_[scores, np.zeros(len(middle))]

    def to_bytes(self) -> bytes:
        """The reference as bytes; read by `Reference.from_bytes`."""
        features = [
            asdict(replace(f, borders=profiles.NO_INTS, edges=profiles.NO_FLOATS, points=profiles.NO_FLOATS))
            for f in self.features
        ]
        for row, feature in zip(features, self.features, strict=True):
            row |= {"borders": feature.borders.tolist(), "edges": feature.edges.tolist()}
            row |= {"points": feature.points.tolist()}
        body = {"id": self.id, "features": features, "profile": self.profile.to_bytes().hex()} | {
            name: getattr(self, name).tolist() for name in ("times", "freedoms", "overlap")
        }
        body |= {name: getattr(self, name).tolist() for name in ("variances", "loose", "kurtosis")}
        return b"CMR1" + zlib.compress(json.dumps(body).encode(), 6)

    @staticmethod
    def from_bytes(data: bytes) -> "Reference":
        """The reference that `to_bytes` wrote. Raises InvalidInput on anything else."""
        if data[:4] != b"CMR1":
            raise InvalidInput(f"{len(data)} bytes are no drift reference of this release. Build the reference again.")
        body = json.loads(zlib.decompress(data[4:]))
        features = tuple(
            Feature(
                **row
                | {
                    "kind": Kind(row["kind"]),
                    "borders": np.array(row["borders"], np.int64),
                    "edges": np.array(row["edges"], np.float64),
                    "points": np.array(row["points"], np.float64),
                    "categories": tuple(row["categories"]),
                }
            )
            for row in body["features"]
        )
        count = len(features)
        together = [np.array(body.get(name, []), np.float64) for name in ("variances", "loose", "kurtosis")]
        return Reference(
            body["id"],
            features,
            Profile.from_bytes(bytes.fromhex(body["profile"])),
            np.array(body["times"]).reshape(len(ASPECTS), count),
            np.array(body["freedoms"]).reshape(len(ASPECTS), count),
            np.array(body["overlap"]).reshape(count, count),
            together[0],
            together[1],
            together[2],
        )


# ---- reference and profile -----------------------------------------------------------------------------------------
def reference(frame: pd.DataFrame, schema: Schema) -> Reference:
    """The reference of these rows, which must be in their order: dependence between neighbours is read from it.

    Profiled are the schema's features, and the columns `prediction` and `label` where the frame has them.
    Raises NotEnoughRows without rows, InvalidRows when a column is missing.
    """
    if not len(frame):
        raise NotEnoughRows("0 rows in the reference window; at least 1 is needed. Add rows on Data.")
    extra = [Column(name, _kind(frame[name])) for name in ANSWERS if name in frame.columns]
    known = set(schema.names)
    columns = [*schema.features, *(column for column in extra if column.name not in known)]
    stretches, sampled = _stretches(len(frame)), np.arange(0, len(frame), _step(len(frame)))
    looked_at = np.concatenate([stretches.ravel(), sampled])
    placed: list[tuple[Feature, profiles.Counted]] = []
    bins: list[Ints] = []  # of the rows looked at
    for column in columns:  # one at a time: what it takes is small beside the rows, and they stay in the cache
        values = profiles.values_of(frame, column.name, column.kind)
        clock = column.kind is Kind.TIMESTAMP and not isinstance(values, profiles.Codes) and profiles.is_clock(values)
        if clock and not isinstance(values, profiles.Codes):
            values = profiles.steps(values)
        feature, counted = profiles.place_bins(column, values)
        if clock or column.name not in known:
            feature = replace(feature, answer=column.name not in known, clock=clock)
        placed.append((feature, counted))
        bins.append(_bins_at(feature, values, looked_at))
    features = tuple(feature for feature, _ in placed)
    window = _profile("", len(frame), [counted for _, counted in placed])
    digest = hashlib.sha256(
        b"".join((f"{f.name}|{f.kind}|{f.centre!r}|{f.scale!r}|{f.categories}").encode() for f in features)
        + b"".join(f.borders.tobytes() + f.edges.tobytes() for f in features)
        + window.counts.tobytes()
    )
    window = replace(window, reference=digest.hexdigest()[:16])
    count = len(features)
    bare = Reference(window.reference, features, window, np.ones((3, count)), np.ones((3, count)), np.eye(count))
    near = [found[: stretches.size] for found in bins]
    times, freedoms = _dependence(bare, near, stretches.shape)
    if len(frame) >= profiles.FEW:  # over longer distances dependence is looked for in block means
        longer = _over_blocks(len(frame), [counted for _, counted in placed])
        seen = longer > 1.5 * times  # four standard errors of a variance from 128 blocks
        times, freedoms = np.where(seen, longer, times), np.where(seen, profiles.BLOCKS / 2.0, freedoms)
    overlap = _overlap(bare, near)
    scores = np.zeros((count, len(sampled)), np.float32)
    for i, found in enumerate(bins):
        scores[i] = bare.scores[i].astype(np.float32).take(found[stretches.size :])
    variances, loose, kurtosis = (one.round(4) for one in comovement.variances(scores))  # short to keep
    window = replace(window, sampled=scores.shape[1], cross=comovement.sketch(scores))
    return replace(
        bare, profile=window, times=times, freedoms=freedoms, overlap=overlap, variances=variances, loose=loose,
        kurtosis=kurtosis,
    )  # fmt: skip


def with_answers(frame: pd.DataFrame, schema: Schema, **answers: Any) -> pd.DataFrame:
    """The rows with columns `label` and `prediction` beside the features, to be profiled with them.

    A feature that happens to have that name keeps its place: the answer is then not profiled.
    """
    return frame.assign(**{name: values for name, values in answers.items() if name not in schema.names})


def profile(reference: Reference, frame: pd.DataFrame) -> Profile:
    """What these rows look like in the reference's bins. Raises InvalidRows when a feature's column is missing.

    A label or prediction the frame does not hold counts as missing in every row.
    """
    absent = [feature.name for feature in reference.features if feature.answer and feature.name not in frame.columns]
    if absent:
        frame = frame.assign(**dict.fromkeys(absent))
    counted: list[profiles.Counted] = []
    step = _step(len(frame))
    scores = np.empty((len(reference.features), -(-len(frame) // step)), np.float32)
    for i, feature in enumerate(reference.features):  # one column at a time: what it takes is small beside the rows
        values = profiles.values_of(frame, feature.name, feature.kind)
        if feature.clock and not isinstance(values, profiles.Codes):
            values = profiles.steps(values)
        counted.append(profiles.count(feature, values))
        table = reference.scores[i].astype(np.float32)
        scores[i] = table[_bins_at(feature, values, slice(None, None, step))]
    return replace(
        _profile(reference.id, len(frame), counted), sampled=scores.shape[1], cross=comovement.sketch(scores)
    )


def _step(rows: int) -> int:
    """Every how many rows the features are looked at together: at least SAMPLED of the rows are."""
    return max(1, rows // SAMPLED)


def _bins_at(feature: Feature, column: Values, rows: slice | Ints) -> Ints:
    """The bin of each value in these rows; ``feature.bins`` where it is missing."""
    if isinstance(column, profiles.Codes):
        bins, _ = profiles.category_bins(feature, column.names)
        return np.asarray(np.append(bins, feature.bins)[column.codes[rows]])
    return profiles.bins_of(feature, column[rows] if isinstance(rows, slice) else column.take(rows))


def against(reference: Reference, window: Profile) -> Reference:
    """The reference with another window of rows in its place: to compare any two windows that were profiled with it.

    Bins and dependence stay the reference's. Raises InvalidInput when the profile is another reference's.
    """
    if window.reference != reference.id:
        raise InvalidInput(
            f"The profile belongs to reference {window.reference}, not to {reference.id}. Profile the rows again."
        )
    return replace(reference, profile=window, placed=reference.placed or reference.profile)


def _profile(reference_id: str, rows: int, counted: Sequence[profiles.Counted]) -> Profile:
    sizes = [int(one.counts.sum()) for one in counted]
    return Profile(
        reference_id,
        rows,
        np.concatenate([one.counts for one in counted]) if counted else profiles.NO_INTS,
        rows - np.array(sizes, np.int64),
        np.array([one.unseen for one in counted], np.int64),
        np.array([one.total for one in counted]),
        np.array([one.squares for one in counted]),
        0,
        profiles.NO_FLOATS,
    )


def _kind(column: "pd.Series[Any]") -> Kind:
    """The kind a column's type suggests."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return Kind.BOOLEAN
    if pd.api.types.is_numeric_dtype(column.dtype):
        return Kind.NUMERIC
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return Kind.TIMESTAMP
    return Kind.CATEGORICAL


# ---- how the reference's rows depend on each other -----------------------------------------------------------------
def _stretches(rows: int) -> Ints:
    """The rows, (stretches, length), that dependence between neighbours is read from."""
    if rows <= STRETCH * STRETCHES:
        return np.arange(rows)[None, :]
    starts = np.array([round(i * (rows - STRETCH) / (STRETCHES - 1)) for i in range(STRETCHES)])
    return np.asarray(starts[:, None] + np.arange(STRETCH)[None, :])


def _dependence(bare: Reference, bins: Sequence[Ints], shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Autocorrelation times and their degrees of freedom, (3, F) each.

    ``bins`` are those of each feature's values in stretches of neighbouring rows, ``shape`` is (stretches, length).
    """
    series: list[NDArray[np.float32]] = []  # what the aspects of the features look at, over these rows
    owner: list[tuple[str, int]] = []
    for i, (feature, column) in enumerate(zip(bare.features, bins, strict=True)):
        score = bare.scores[i].astype(np.float32).take(column)
        series.append(score)
        owner.append(("location", i))
        if feature.kind is Kind.CATEGORICAL:  # any of them may be slow, and the order more so than each
            leading = _leading(bare.counts[i])
            series += [(column == b).astype(np.float32) for b in leading]
            owner += [("location", i)] * len(leading)
        else:
            series.append(np.abs(score))
            owner.append(("shape", i))
        if bare.profile.missing[i]:
            series.append((column == feature.bins).astype(np.float32))
            owner.append(("missing", i))
    count = len(bare.features)
    times, freedoms = np.ones((3, count)), np.full((3, count), np.inf)
    if not series:
        return times, freedoms
    stacked = np.stack(series).reshape(len(series), *shape)
    rows = stacked[0].size
    found, freedom, neighbours = dependence.autocorrelation_time(stacked)
    aspects, indices = np.array([aspect for aspect, _ in owner]), np.array([i for _, i in owner])
    mean = stacked.mean(axis=(1, 2))
    variance = (np.einsum("cpt,cpt->c", stacked, stacked) / rows - mean**2).clip(0.0).astype(np.float64)
    judged = np.array([not feature.answer for feature in bare.features])  # what an answer does moves no feature
    for a, aspect in enumerate(ASPECTS):
        group = np.flatnonzero(aspects == aspect)
        weight = np.bincount(indices[group], variance[group], minlength=count)
        tied = np.bincount(indices[group], (variance * neighbours)[group], minlength=count)
        sure = (weight > 0) & judged
        typical = float(np.median(tied[sure] / weight[sure])) if sure.sum() > 2 else 0.0
        guarded = dependence.guarded_time(found[group], typical, rows)
        for one, degrees, i in zip(guarded, freedom[group], indices[group], strict=True):
            if one > times[a, i]:
                times[a, i], freedoms[a, i] = one, degrees
    # a distribution moves at least as slowly as its location
    slower = times[0] > times[1]
    times[1], freedoms[1] = np.where(slower, times[0], times[1]), np.where(slower, freedoms[0], freedoms[1])
    return times, freedoms


def _leading(counts: Floats) -> Ints:
    """The bins of the most frequent categories, most frequent first."""
    order = np.argsort(-counts, kind="stable")[:LEADING]
    return np.asarray(order[counts[order] > 0])


def _over_blocks(rows: int, counted: Sequence[profiles.Counted]) -> Floats:
    """Autocorrelation times (3, F) seen in the means of 128 blocks: what stretches of 1,024 rows are too short for."""
    owner = np.array([i for i, one in enumerate(counted) if len(one.blocks)], np.int64)
    times = np.ones((3, len(counted)))
    if len(owner):
        means = np.stack([counted[i].blocks for i in owner])
        variance = np.array([counted[i].variance for i in owner])
        times[0, owner] = np.maximum(dependence.block_time(means, rows // profiles.BLOCKS, variance), 1.0)
    times[1] = times[0]
    return times


def _overlap(bare: Reference, bins: Sequence[Ints]) -> Floats:
    """The correlation of the features' chi-square statistics, (F, F): the mean squared canonical correlation.

    A feature is spanned by indicators of its leading categories and of the rest, or by one column of scores. For these
    it is Pearson's phi squared over the root of the degrees of freedom; what chance alone gives, ``d e / n``, is taken off.
    """
    if not bins:
        return np.zeros((0, 0))
    step = max(1, 2 * len(bins[0]) // STRETCH)
    bases: list[NDArray[np.float32]] = []
    for i, feature in enumerate(bare.features):
        column = bins[i][::step]
        if feature.kind is Kind.CATEGORICAL:
            parts = np.stack([column == b for b in _leading(bare.counts[i])] or [column < 0]).astype(np.float32)
            bases.append(np.concatenate([parts, 1.0 - parts.sum(axis=0, keepdims=True)]))
        else:
            bases.append(bare.scores[i].astype(np.float32).take(column)[None])
    rows = bases[0].shape[1]
    sizes = [len(base) for base in bases]
    starts = np.cumsum([0, *sizes[:-1]])
    wide = np.concatenate(bases)
    mean = wide.mean(axis=1, dtype=np.float64)
    several = np.repeat(np.array(sizes) > 1, sizes)
    spread = np.where(several, np.sqrt(np.maximum(mean, 0.0)), wide.std(axis=1))
    wide = (wide - mean[:, None].astype(np.float32)) / np.where(spread > 1e-6, spread, 1.0)[:, None].astype(np.float32)
    used = np.add.reduceat((several & (mean > 0)).astype(np.float64), starts)
    freedom = np.maximum(used - 1.0, 1.0)
    squared = (wide @ wide.T).astype(np.float64) ** 2 / rows**2
    phi = np.add.reduceat(np.add.reduceat(squared, starts, axis=0), starts, axis=1)
    scale = np.sqrt(np.outer(freedom, freedom))
    overlap = np.clip(phi / scale - scale / rows, 0.0, 1.0)
    np.fill_diagonal(overlap, 1.0)
    return np.asarray(overlap)


# ---- judging -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class _Tests:
    """The tests of one metric: which features, what was found, what chance would give, what share of the budget."""

    metric: str
    features: Ints
    pair: Pair
    value: Floats
    chance: Floats  # p-value
    weight: Floats


def check(
    reference: Reference,
    current: Profile,
    *,
    budget: float = 0.01,
    smallest_shift: float = SMALLEST_SHIFT,
    metrics: Sequence[str] | Mapping[str, float] = DECISIVE,
    features: Sequence[str] | None = None,
) -> DriftCheck:
    """The verdict on a window: drifting, stable, or unknown when it would have missed a shift of half of the rows.

    ``budget``: the probability of an alarm, over the whole check, when nothing changed. ``smallest_shift``: the share
    of the rows whose move is worth an alarm. ``metrics``: names of METRICS, or `joint_shift`; they share the budget
    (by weight, when given as a mapping). ``features``: judge only these; without it all but ANSWERS.
    `detectable` is the share of the rows whose shift half of the features would have shown with 80 % power.

    >>> draw = np.random.default_rng(0)
    >>> schema = Schema((Column("x", Kind.NUMERIC),), "y", Task.REGRESSION)
    >>> before = reference(pd.DataFrame({"x": draw.normal(size=1000)}), schema)
    >>> str(check(before, profile(before, pd.DataFrame({"x": draw.normal(1, 1, 500)})), budget=0.01).verdict)
    'drifting'
    """
    _valid(budget, smallest_shift, metrics)
    chosen = _chosen(reference, features)
    rows = (reference.rows, current.rows)
    before, now = reference.counts, reference.table(current)
    empty = DriftCheck(Verdict.UNKNOWN, (), *rows, budget)
    if not len(chosen):
        return replace(empty, note="There is no feature to judge.")
    if min(rows) < FEWEST:
        return replace(empty, note=f"{min(rows)} rows; at least {FEWEST} are needed on both sides to judge anything.")
    apart = np.isin(np.arange(len(reference.features)), chosen) & ~_long_enough(reference, current, "location")
    weights = dict(metrics) if isinstance(metrics, Mapping) else dict.fromkeys(metrics, 1.0)
    tests = [
        test
        for name, weight in weights.items()
        if name in METRICS
        and name != "correlation"
        and len((test := _test(reference, current, before, now, name, weight, chosen)).features)
    ]
    together = _together(tests, reference, smallest_shift) if "joint_shift" in weights else None
    joint_part = min(JOINT_PART, max(together.most / budget, 1e-9)) if together else 0.0
    if "correlation" in weights:
        still = np.setdiff1d(chosen, _moved(tests, apart, budget, smallest_shift))
        tests += _links_test(reference, current, before, now, weights["correlation"], still)
    tests = _weigh(tests, apart, joint_part)
    chances = np.concatenate([t.chance for t in tests]) if tests else np.ones(0)
    enough = [t.value >= np.array(METRICS[t.metric].floor(smallest_shift)) for t in tests]
    shares = np.concatenate([t.weight for t in tests]) if tests else np.ones(0)
    chances = np.where(np.concatenate(enough), chances, 1.0) if tests else chances
    if together is not None:
        chances, shares = np.r_[chances, together.chance], np.r_[shares, joint_part]
    level = budget * _steps(chances, shares, budget)
    scores: list[Score] = []
    for test in tests:
        metric = METRICS[test.metric]
        limit = np.maximum(metric.limit(level * test.weight, test.pair), metric.floor(smallest_shift))
        scores += [
            Score(reference.names[i], test.metric, float(value), float(most), bool(value > most))
            for i, value, most in zip(test.features, test.value, limit, strict=True)
        ]
    scores += _constant(reference, tests, chosen[~apart[chosen]], smallest_shift)
    position = {name: i for i, name in enumerate(reference.names)}
    scores.sort(key=lambda score: position[score.feature])
    if together is not None:
        scores.append(together.score(level * joint_part))
    unjudged = tuple(reference.names[i] for i in np.flatnonzero(apart))
    detectable = _detectable(tests, len(chosen), len(unjudged), budget, smallest_shift)
    verdict, note = _verdict(scores, together, detectable, unjudged, rows, _partners(tests, scores, reference))
    return DriftCheck(verdict, tuple(scores), *rows, budget, detectable, note, unjudged)


def _valid(budget: float, smallest_shift: float, metrics: Sequence[str] | Mapping[str, float]) -> None:
    if not 0.0 < budget < 1.0:
        raise InvalidInput(
            f"The false-alarm budget is {budget}; it must lie between 0 and 1, 0.01 for 1 in 100 checks."
        )
    if not 0.0 <= smallest_shift < 1.0:
        raise InvalidInput(f"The smallest shift is {smallest_shift}; it is a share of the rows, 0 to 1.")
    for name in metrics:
        if name not in METRICS and name != "joint_shift":
            raise InvalidInput(
                f"There is no drift metric '{name}'. Choose from {', '.join([*METRICS, 'joint_shift'])}."
            )


def _chosen(reference: Reference, features: Sequence[str] | None) -> Ints:
    names = reference.names
    if features is None:
        return np.array([i for i, feature in enumerate(reference.features) if not feature.answer], np.int64)
    unknown = [name for name in features if name not in names]
    if unknown:
        raise InvalidInput(f"The reference has no feature '{unknown[0]}'. It has {', '.join(names)}.")
    return np.array(sorted(names.index(name) for name in features), np.int64)


def _pair(reference: Reference, current: Profile, before: Floats, now: Floats, which: Ints, aspect: str) -> Pair:
    """What a metric sees of these features."""
    scale = np.array([reference.features[i].scale for i in which])
    means = _means(current)[which] - _means(reference.profile)[which]
    a = ASPECTS.index(aspect)
    missing = np.stack([reference.profile.missing[which], current.missing[which]]).astype(np.float64)
    time, freedom = reference.times[a, which], reference.freedoms[a, which]
    return Pair(before[which], now[which], reference.points[which], means * scale, scale, missing, time, freedom)


def _means(window: Profile) -> Floats:
    """The mean of each feature in units of its scale from its centre; 0 for categories."""
    return np.asarray(window.sums / np.maximum(window.rows - window.missing, 1))


def _test(
    reference: Reference, current: Profile, before: Floats, now: Floats, name: str, weight: float, chosen: Ints
) -> _Tests:
    metric = METRICS[name]
    total = before + now
    able = _long_enough(reference, current, metric.aspect)
    if name == "missing_rate":
        able &= reference.profile.missing + current.missing > 0
    else:
        able &= (total > 0).sum(axis=1) >= metric.bins
    kinds = np.array([feature.kind in metric.kinds for feature in reference.features])
    which = chosen[(able & kinds)[chosen]]
    pair = _pair(reference, current, before, now, which, metric.aspect)
    value = metric.value(pair)
    return _Tests(name, which, pair, value, metric.tail(value, pair), np.full(len(which), weight))


def _constant(reference: Reference, tests: Sequence[_Tests], judged: Ints, smallest_shift: float) -> list[Score]:
    """The scores of features that hold the same one value in both windows: there is nothing to test, and no drift."""
    tested = np.concatenate([profiles.NO_INTS, *(test.features for test in tests)])
    kinds = {i: reference.features[i].kind for i in np.setdiff1d(judged, tested)}
    leading = {i: "chi_square" if kind in CATEGORIES else "mann_whitney" for i, kind in kinds.items()}
    return [
        Score(reference.names[i], metric, 0.0, METRICS[metric].floor(smallest_shift), False)
        for i, metric in leading.items()
    ]


def _moved(tests: Sequence[_Tests], apart: NDArray[np.bool_], budget: float, smallest_shift: float) -> Ints:
    """The features that have drifted by themselves: their correlations change with them, and say nothing more."""
    tests = _weigh(tests, apart, 0.0)
    found: list[Ints] = [profiles.NO_INTS]
    ratios = [
        np.where(t.value >= METRICS[t.metric].floor(smallest_shift), t.chance / np.maximum(t.weight, 1e-300), np.inf)
        for t in tests
    ]
    if tests:
        level = budget * _steps(np.concatenate(ratios), np.ones(sum(map(len, ratios))), budget)
        found += [test.features[ratio <= level] for test, ratio in zip(tests, ratios, strict=True)]
    return np.unique(np.concatenate(found))


def _links_test(
    reference: Reference, current: Profile, before: Floats, now: Floats, weight: float, chosen: Ints
) -> list[_Tests]:
    """The test of correlations, of features that did not move by themselves; none where they cannot be compared."""
    chosen = chosen[_long_enough(reference, current, "location")[chosen]]
    links = _links(reference, current, chosen)
    if links is None or not (compared := links.partners > 0).any():
        return []
    links = Links(*(getattr(links, name)[compared] for name in ("change", "error", "freedom", "partners", "partner")))
    which = chosen[compared]
    pair = replace(_pair(reference, current, before, now, which, "location"), links=links)
    metric = METRICS["correlation"]
    value = metric.value(pair)
    return [_Tests("correlation", which, pair, value, metric.tail(value, pair), np.full(len(which), weight))]


def _links(reference: Reference, current: Profile, which: Ints) -> Links | None:
    """Each of these features with the other one it has most surely stopped, or begun, to move together with.

    Fisher's z of a correlation varies by ``variances`` over the independent rows. Of two autoregressive features of
    coefficients a and b, products of neighbouring rows correlate by ``a b`` (Bartlett, *Some aspects of the
    time-correlation problem*, JRSS 1935), those of every s-th row by its s-th power. Compared are pairs whose products
    have so light tails that the mean of so few rows is normal.
    """
    sketches = reference.profile.cross, current.cross
    side = len(reference.features)
    if len(which) < 2 or reference.variances.shape != (side, side) or min(map(len, sketches)) == 0:
        return None
    pick = np.ix_(which, which)
    time = reference.times[0, which]
    coefficient = (time - 1.0) / (time + 1.0)
    worth: list[Floats] = []
    found: list[Floats] = []
    for window in (reference.profile, current):
        tied = np.outer(coefficient, coefficient) ** (window.rows / max(window.sampled, 1))
        worth.append(window.sampled * (1.0 - tied) / (1.0 + tied))
        found.append(comovement.correlations(window.cross)[pick])
    fewest = np.minimum(*worth)
    alive = np.all([np.diag(comovement.moments(cross)[2])[which] > 1e-4 for cross in sketches], axis=0)
    kurtosis = reference.kurtosis[which]
    able = np.outer(alive, alive) & (np.outer(kurtosis, kurtosis) <= fewest / TAILS) & (fewest > 4.0)
    np.fill_diagonal(able, False)
    free = reference.freedoms[0, which]
    freedom = np.minimum(reference.loose[pick], np.minimum(free[:, None], free[None, :]))
    error = np.sqrt(reference.variances[pick] * sum(1.0 / np.maximum(rows - 3.0, 1.0) for rows in worth))
    change = np.abs(np.arctanh(found[1]) - np.arctanh(found[0]))
    chance = ndtr(-change / error)
    loose = np.isfinite(freedom)
    chance[loose] = stdtr(freedom[loose], -change[loose] / error[loose])
    best = np.where(able, chance, 2.0).argmin(axis=1)
    row = np.arange(len(which))
    partners = able.sum(axis=1).astype(np.float64)
    return Links(change[row, best], error[row, best], freedom[row, best], partners, which[best])


def _partners(tests: Sequence[_Tests], scores: Sequence[Score], reference: Reference) -> list[tuple[str, str]]:
    """The pairs of features that no longer move together as they did."""
    drifting = {score.feature for score in scores if score.drifting and score.metric == "correlation"}
    if not drifting:
        return []
    pairs = {
        (min(names), max(names))
        for test in tests
        if test.pair.links is not None
        for i, other in zip(test.features, test.pair.links.partner, strict=True)
        if (names := (reference.names[i], reference.names[other]))[0] in drifting
    }
    return sorted(pairs)


def _long_enough(reference: Reference, current: Profile, aspect: str) -> NDArray[np.bool_]:
    """Which features can be judged at all: those whose dependence the reference is long enough to know, where both
    windows are worth FEWEST independent rows."""
    time = reference.times[ASPECTS.index(aspect)]
    known = (reference.known_from >= LONG * time) | (time == 1.0)
    return np.asarray(known & (min(reference.rows, current.rows) >= FEWEST * time))


def _weigh(tests: Sequence[_Tests], unjudged: NDArray[np.bool_], joint_part: float) -> list[_Tests]:
    """The tests with shares of the budget that add up to 1 less the joint part: each feature gets the same.

    Features that are ``unjudged`` (F,), because their rows depend too much on each other, keep theirs: among many such, the few that
    can be judged are those whose dependence looks shorter than it is, and they must not have the whole budget.
    """
    owed = np.zeros(len(unjudged))
    for test in tests:
        np.add.at(owed, test.features, test.weight)
    each = (1.0 - joint_part) / max(int(((owed > 0) | unjudged).sum()), 1)
    return [replace(test, weight=each * test.weight / owed[test.features]) for test in tests]


def _steps(chances: Floats, shares: Floats, budget: float) -> int:
    """How many tests the weighted Benjamini-Hochberg step rejects, at least 1: limits are stated for that many."""
    if not len(chances):
        return 1
    ratio = np.sort(chances / np.maximum(shares, 1e-300))
    passed = np.flatnonzero(ratio <= budget * np.arange(1, len(ratio) + 1))
    return int(passed[-1]) + 1 if len(passed) else 1


@dataclass(frozen=True, eq=False)
class _Together:
    """All features in one number: the mean of their squared standardised shifts; 1 is what chance alone gives."""

    value: float
    chance: float
    floor: float
    most: float  # how likely chance alone reaches the floor: alarms can be no more frequent, whatever the budget
    spread: float  # standard deviation of the sum without drift
    freedom: float  # of the chi-square with the same skewness
    count: int
    carriers: tuple[str, ...]

    def score(self, level: float) -> Score:
        z = (chdtri(self.freedom, level) - self.freedom) / np.sqrt(2.0 * self.freedom)
        limit = max(float(1.0 + z * self.spread / self.count), self.floor)
        return Score(JOINT, "joint_shift", self.value, limit, self.value > limit)


def _together(tests: Sequence[_Tests], reference: Reference, smallest_shift: float) -> _Together | None:
    """Many small shifts add up: the mean over features of the squared normal score of their p-values.

    Without drift the sum of F squared standard normals with squared correlations ``overlap`` has mean F, variance
    ``2 tr(R^2)`` and third cumulant ``8 tr(R^3)``: a shifted chi-square with these three moments (Pearson, Biometrika
    1959; Imhof, Biometrika 1961) gives its tail. The floor is half the smallest shift, in every feature.
    """
    z = np.zeros(len(reference.features))
    effective = np.zeros(len(reference.features))
    for test in tests:
        if test.metric in ("mann_whitney", "chi_square"):
            z[test.features] = ndtri(np.clip(test.chance, 1e-300, 1.0) / 2.0) ** 2
            effective[test.features] = test.pair.effective
    which = np.flatnonzero(effective > 0)
    if len(which) < 3:
        return None
    squared = reference.overlap[np.ix_(which, which)]
    root = np.sqrt(squared)
    second = float(squared.sum())
    third = float(np.einsum("ij,ji->", root @ root, root))
    freedom = second**3 / third**2
    count = len(which)
    spread = float(np.sqrt(2.0 * second))
    total = float(z[which].sum())

    def tail(value: float) -> float:
        standard = (value - 1.0) * count / spread
        return float(chdtrc(freedom, max(freedom + standard * np.sqrt(2.0 * freedom), 0.0)))

    floor = 1.0 + 6.0 * float(effective[which].mean()) * (smallest_shift / 2.0) ** 2
    order = which[np.argsort(-z[which])]
    carriers = tuple(reference.names[i] for i in order[:3] if z[i] > 1.0)
    value = total / count
    chance = tail(value) if value >= floor else 1.0
    return _Together(value, chance, floor, tail(floor), spread, freedom, count, carriers)


def _detectable(tests: Sequence[_Tests], features: int, unjudged: int, budget: float, smallest_shift: float) -> float:
    """The share of the rows whose shift half of the features would have shown with 80 % power.

    A feature that cannot be judged shows nothing less than 1; one that held a single value in both windows, any shift.
    """
    found: list[Floats] = [np.ones(unjudged)]
    for test in tests:
        if test.metric == "mann_whitney":
            limit = METRICS["mann_whitney"].limit(budget * test.weight, test.pair)
            found.append((limit + ndtri(POWER) * mann_whitney_metric.deviation(test.pair)) / np.sqrt(2.0))
        elif test.metric == "chi_square":
            freedom = chi_square_metric.freedom(test.pair)
            limit = squares_limit(budget * test.weight, freedom, test.pair)
            needed = np.nan_to_num(chndtrinc(limit, freedom, 1.0 - POWER), nan=1e9)
            found.append(np.sqrt(needed / np.maximum(test.pair.effective, 1e-9)) / 2.0)
    judged = np.concatenate(found)
    shifts = np.r_[judged, np.zeros(max(features - len(judged), 0))]
    return float(np.median(np.clip(shifts, smallest_shift, 1.0)))


def _verdict(
    scores: Sequence[Score],
    together: _Together | None,
    detectable: float,
    unjudged: Sequence[str],
    rows: tuple[int, int],
    partners: Sequence[tuple[str, str]] = (),
) -> tuple[Verdict, str]:
    """The verdict and what there is to say about it in plain words."""
    drifting = list(dict.fromkeys(s.feature for s in scores if s.drifting and s.feature != JOINT))
    apart = (
        f" Not judged, because neighbouring rows are too alike for windows this short: {_listed(unjudged)}."
        if unjudged
        else ""
    )
    if drifting:
        parted = "; ".join(f"{one} and {other}" for one, other in partners[:3])
        parted = f" No longer moving together as they did: {parted}." if parted else ""
        return Verdict.DRIFTING, f"{len(drifting)} drifting: {_listed(drifting)}.{parted}{apart}"
    if together is not None and any(s.drifting for s in scores if s.feature == JOINT):
        most = f", most of all {_listed(together.carriers)}" if together.carriers else ""
        return Verdict.DRIFTING, f"No feature alone, but all together moved further than chance explains{most}.{apart}"
    if detectable > BLIND:
        return Verdict.UNKNOWN, (
            f"Too little to judge: with {rows[1]} rows against {rows[0]} a shift of {detectable:.0%} of the rows "
            f"could have gone unseen. Use longer windows.{apart}"
        )
    return Verdict.STABLE, f"A shift of {detectable:.0%} of the rows would have been seen 4 times out of 5.{apart}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


# ---- facts ---------------------------------------------------------------------------------------------------------
def facts(reference: Reference, current: Profile) -> list[dict[str, Any]]:
    """Plain numbers per feature, before (reference) and now, for a diagnosis and for a page.

    Keys: name, kind, missing_before, missing_now (rates), mean_before, mean_now, std_before, std_now (None for
    categories; of a clock, seconds from row to row), distinct_before, distinct_now (bins in use, so at most 256), unseen_share (of the values now).
    """
    before, now = reference.counts, reference.table(current)
    out = []
    for i, feature in enumerate(reference.features):
        row: dict[str, Any] = {"name": feature.name, "kind": feature.kind}
        for window, when in ((reference.profile, "before"), (current, "now")):
            row[f"missing_{when}"] = float(window.missing[i] / max(window.rows, 1))
            values = window.rows - int(window.missing[i])
            known = feature.kind is not Kind.CATEGORICAL and values > 0
            mean = window.sums[i] / max(values, 1)
            spread = np.sqrt(max(window.squares[i] / max(values, 1) - mean**2, 0.0))
            row[f"mean_{when}"] = float(feature.centre + feature.scale * mean) if known else None
            row[f"std_{when}"] = float(feature.scale * spread) if known else None
        row["distinct_before"] = int((before[i] > 0).sum())
        row["distinct_now"] = int((now[i] > 0).sum())
        row["unseen_share"] = float(current.unseen[i] / max(current.rows - int(current.missing[i]), 1))
        out.append(row)
    return out


# ---- the command ---------------------------------------------------------------------------------------------------
def infer(frame: pd.DataFrame, ignore: Sequence[str] = ()) -> Schema:
    """The schema of a frame as its column types suggest it: every column but the ignored ones is a feature."""
    columns = tuple(Column(str(name), _kind(frame[name])) for name in frame.columns if name not in ignore)
    return Schema(columns, target="", task=Task.REGRESSION, ignored=tuple(ignore))


def report(
    before: pd.DataFrame, now: pd.DataFrame, ignore: Sequence[str], budget: float, smallest: float
) -> DriftCheck:
    """The check of two frames, columns as their types suggest."""
    known = reference(before, infer(before, ignore))
    return check(known, profile(known, now), budget=budget, smallest_shift=smallest, features=known.names or None)


def as_json(found: DriftCheck, seconds: float) -> dict[str, Any]:
    """What the command prints: per feature the score furthest above its limit, or closest below.

    A feature that could not be judged is there with null in place of verdict and numbers.
    """
    features: dict[str, Score] = {}
    for score in found.scores:
        best = features.get(score.feature)
        if best is None or score.value / max(score.limit, 1e-300) > best.value / max(best.limit, 1e-300):
            features[score.feature] = score
    rows = [
        {"name": s.feature, "drifting": s.drifting, "score": s.value, "limit": s.limit, "metric": s.metric}
        for s in features.values()
    ]
    rows += [
        {"name": name, "drifting": None, "score": None, "limit": None, "metric": None}
        for name in found.unjudged
        if name not in features
    ]
    return {
        "verdict": found.verdict.value,
        "note": found.note,
        "features": [row for row in rows if row["name"] != JOINT],
        "joint": next((row for row in rows if row["name"] == JOINT), None),
        "unjudged": list(found.unjudged),
        "detectable": found.detectable,
        "budget": found.budget,
        "reference_rows": found.reference_rows,
        "current_rows": found.current_rows,
        "seconds": seconds,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 stable, 1 drifting, 2 unknown or error."""
    parser = argparse.ArgumentParser(
        "python -m core.drift", description="Has the data changed? 0 no, 1 yes, 2 unknown."
    )
    parser.add_argument("reference", help="Parquet file with the rows to compare with, in their order")
    parser.add_argument("current", help="Parquet file with the rows under judgement")
    parser.add_argument("--ignore", default="", help="columns that are no features, separated by commas")
    parser.add_argument("--budget", type=float, default=0.01, help="false alarms per check, at most (default 0.01)")
    parser.add_argument(
        "--smallest-shift", type=float, default=SMALLEST_SHIFT, help="share of the rows worth caring about (0.04)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        before, now = _read(given.reference), _read(given.current)
        ignore = [name.strip() for name in given.ignore.split(",") if name.strip()]
        found = report(before, now, ignore, given.budget, given.smallest_shift)
    except ContinualError as error:
        _say(json.dumps({"verdict": "unknown", "error": str(error), "features": []}) if given.json else str(error))
        return 2
    printed = as_json(found, time.perf_counter() - started)
    if given.json:
        _say(json.dumps(printed))
    else:
        _say(f"{found.verdict.value}: {found.note}")
        for row in printed["features"]:
            mark = {True: "drifting", False: "stable", None: "unknown"}[row["drifting"]]
            number = (
                "" if row["score"] is None else f"{row['metric']:<14} {row['score']:.4f} (limit {row['limit']:.4f})"
            )
            _say(f"  {row['name']:<24} {mark:<9} {number}".rstrip())
    return {Verdict.STABLE: 0, Verdict.DRIFTING: 1, Verdict.UNKNOWN: 2}[found.verdict]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _read(path: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InvalidRows(f"'{path}' is no Parquet file that can be read ({error}).") from None


if __name__ == "__main__":
    sys.exit(main())
