"""The reference of a drift check: the bins of its features, what it looks like in them, how far its rows depend on each other.

Rows become counts (`core/profiles.py`), neighbours an autocorrelation time (`core/dependence.py`), pairs of features a
correlation (`core/comovement.py`). Nothing here judges: `core/drift.py` does.
"""

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core import comovement, dependence, profiles
from core.cells import BLOCKS
from core.errors import InvalidInput, NotEnoughRows
from core.one_thread import one_thread
from core.profiles import Feature, Profile
from core.records import Column, Kind, Schema
from core.values import Codes, Values, columns_of, is_clock, steps, values_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ANSWERS = ("prediction", "label")  # profiled when the frame holds them; judged only when asked for by name
ASPECTS = ("location", "shape", "missing")
STRETCH, STRETCHES = 1024, 4  # neighbouring rows the dependence is estimated from
SAMPLED = 2_000  # rows of a window that features are looked at together in, at least, where it has them
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
    def homes(self) -> Ints:
        """The bin that takes each bin's rows where its category is rare, (F, B)."""
        out = np.zeros(self.used.shape, np.int64)
        for row, feature in zip(out, self.features, strict=True):
            row[: feature.bins], row[feature.bins :] = feature.homes, feature.bins - 1
        return out

    @cached_property
    def alphabet(self) -> Floats:
        """The place of each bin's category in the order of their names, (F, B), 0 to 1: what decides between equals."""
        out = np.zeros(self.used.shape)
        for row, feature in zip(out, self.features, strict=True):
            if feature.categories:
                order = np.argsort(np.array(feature.categories[: feature.named], object))
                row[order] = np.linspace(0.0, 1.0, len(order))
        return out

    @cached_property
    def borders(self) -> Floats:
        """The share of the rows that a category needed for a bin of its own, (F,); 0 where all have one."""
        counts = self.counts if self.placed is None else self.table(self.placed)
        return np.array(
            [
                0.0 if feature.all_named or not feature.named else row[: feature.named].min() / max(row.sum(), 1.0)
                for feature, row in zip(self.features, counts, strict=True)
            ]
        )

    @cached_property
    def scores(self) -> Floats:
        """The rank score of each bin, (F, B + 1): mean 0 and variance 1 for evenly spread values; 0 where missing."""
        counts = self.counts if self.placed is None else self.table(self.placed)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
        middle = np.cumsum(share, axis=1) - share / 2.0
        for row, times, feature in zip(middle, counts, self.features, strict=True):
            if feature.rests > 1:  # which of equally frequent categories comes first says nothing, nor which rest
                frequency = np.append(times[: feature.named], np.zeros(feature.rests))
                _, equal, sizes = np.unique(frequency, return_inverse=True, return_counts=True)
                row[: feature.bins] = (np.bincount(equal, row[: feature.bins]) / sizes)[equal]
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
@one_thread
def reference(frame: pd.DataFrame, schema: Schema) -> Reference:
    """The reference of these rows, which must be in their order: dependence between neighbours is read from it.

    Profiled are the schema's features, and the columns `prediction` and `label` where the frame has them.
    Raises NotEnoughRows without rows, InvalidRows when a column is missing.
    """
    if not len(frame):
        raise NotEnoughRows("0 rows in the reference window; at least 1 is needed. Add rows on Data.")
    extra = [Column(name, kind_of(frame[name])) for name in ANSWERS if name in frame.columns]
    known = set(schema.names)
    columns = [*schema.features, *(column for column in extra if column.name not in known)]
    stretches, sampled = _stretches(len(frame)), np.arange(0, len(frame), _step(len(frame)))
    looked_at = np.concatenate([stretches.ravel(), sampled])
    placed: list[tuple[Feature, profiles.Counted]] = []
    bins: list[Ints] = []  # of the rows looked at
    held = columns_of(frame, [column.name for column in columns])
    for column, rows in zip(columns, held, strict=True):  # one at a time: what it takes is small beside the rows
        values = values_of(rows, column.kind)
        clock = column.kind is Kind.TIMESTAMP and not isinstance(values, Codes) and is_clock(values)
        if clock and not isinstance(values, Codes):
            values = steps(values)
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
    places = _places(bare, near)
    times, freedoms = _dependence(bare, near, places, stretches.shape)
    if len(frame) >= profiles.FEW:  # over longer distances dependence is looked for in block means
        longer = _over_blocks(len(frame), [counted for _, counted in placed])
        seen = longer > 1.5 * times  # four standard errors of a variance from 128 blocks
        times, freedoms = np.where(seen, longer, times), np.where(seen, BLOCKS / 2.0, freedoms)
    overlap = _overlap(bare, places)
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


@one_thread
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
    held = columns_of(frame, reference.names)
    for i, (feature, rows) in enumerate(zip(reference.features, held, strict=True)):  # one at a time, as above
        values = values_of(rows, feature.kind)
        if feature.clock and not isinstance(values, Codes):
            values = steps(values)
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
    if isinstance(column, Codes):
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


def kind_of(column: "pd.Series[Any]") -> Kind:
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


def _places(bare: Reference, bins: Sequence[Ints]) -> list[NDArray[np.float32]]:
    """Where each feature's values lie, (columns, rows) a feature: its rank scores, and of categories then whether it is
    each of the leading ones."""
    found: list[NDArray[np.float32]] = []
    for i, (feature, column) in enumerate(zip(bare.features, bins, strict=True)):
        leading = _leading(bare.counts[i]) if feature.kind is Kind.CATEGORICAL else profiles.NO_INTS
        place = np.empty((1 + len(leading), len(column)), np.float32)
        bare.scores[i].astype(np.float32).take(column, out=place[0])
        np.equal(column, leading[:, None], out=place[1:], casting="unsafe")
        found.append(place)
    return found


def _dependence(
    bare: Reference, bins: Sequence[Ints], places: Sequence[NDArray[np.float32]], shape: tuple[int, ...]
) -> tuple[Floats, Floats]:
    """Autocorrelation times and their degrees of freedom, (3, F) each.

    ``bins`` and ``places`` are those of each feature's values in stretches of neighbouring rows, ``shape`` is
    (stretches, length). Of categories any may be slow, and their order more so than each.
    """
    series: list[NDArray[np.float32]] = []  # what the aspects of the features look at, over these rows
    owner: list[tuple[str, int]] = []
    for i, (feature, column, place) in enumerate(zip(bare.features, bins, places, strict=True)):
        series += list(place)
        owner += [("location", i)] * len(place)
        if feature.kind is not Kind.CATEGORICAL:
            series.append(np.abs(place[0]))
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
    gaps = np.flatnonzero(aspects == "missing")
    if len(gaps):
        times[2], freedoms[2] = _of_gaps(times[2], freedoms[2], indices[gaps], stacked[gaps])
    # a distribution moves at least as slowly as its location
    slower = times[0] > times[1]
    times[1], freedoms[1] = np.where(slower, times[0], times[1]), np.where(slower, freedoms[0], freedoms[1])
    return times, freedoms


def _of_gaps(times: Floats, freedoms: Floats, which: Ints, gaps: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """The times and degrees of freedom of missing values, (F,) each, where these come in runs: how much a run weighs is
    known from so many runs and no better. A feature that has none would miss its values as the others do, whose runs
    count together.

    ``gaps`` is (features, stretches, length), 1 where the value of a feature in ``which`` is missing.
    """
    starts = gaps[..., 0].sum(axis=1) + (np.diff(gaps, axis=2) > 0).sum(axis=(1, 2))
    runs = times[which] > 1.0
    freedoms[which[runs]] = np.minimum(freedoms[which[runs]], np.maximum(starts[runs] - 1.0, 1.0))
    complete = np.setdiff1d(np.arange(len(times)), which)
    times[complete] = np.sort(times[which])[(len(which) - 1) // 2]
    freedoms[complete] = np.where(times[complete] > 1.0, np.maximum(starts[runs].sum() - 1.0, 1.0), np.inf)
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
        times[0, owner] = np.maximum(dependence.block_time(means, rows // BLOCKS, variance), 1.0)
    times[1] = times[0]
    return times


def _overlap(bare: Reference, places: Sequence[NDArray[np.float32]]) -> Floats:
    """The correlation of the features' chi-square statistics, (F, F): the mean squared canonical correlation.

    A feature is spanned by indicators of its leading categories and of the rest, or by one column of scores. For these
    it is Pearson's phi squared over the root of the degrees of freedom; what chance alone gives, ``d e / n``, is taken off.
    """
    if not places:
        return np.zeros((0, 0))
    step = max(1, 2 * places[0].shape[1] // STRETCH)
    bases: list[NDArray[np.float32]] = []
    for feature, place in zip(bare.features, places, strict=True):
        base = place[:, ::step].copy()
        if feature.kind is Kind.CATEGORICAL:
            base[0] = 1.0 - base[1:].sum(axis=0)  # in place of the scores, the rest
        bases.append(base)
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
