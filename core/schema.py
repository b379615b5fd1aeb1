"""What a row looks like: inferred from the first rows, confirmed by the user, and held to from then on.

`infer` proposes; `conform` brings any frame into the canonical types of `records.Kind`, or says what is wrong, in
which column, in which row, with the value. Pure: frames in, frames out.
"""

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from core.errors import InvalidInput, InvalidRows
from core.records import Column, Kind, Schema, Task

MOST_COLUMNS = 500
MOST_CLASSES = 50
MOST_CATEGORIES = 1_000  # different texts in a column; beyond that it is an id, not a category
LARGEST = 1e15  # a number beyond that is a fault of the feed, and trees would not see it
FEW_NUMBERS = 20  # whole numbers with at most so many values, in a target, are classes
SHOWN = 3

TRUE, FALSE = {"true", "yes", "t", "y"}, {"false", "no", "f", "n"}
DATE_FORMATS = ("ISO8601", "%d/%m/%Y", "%d/%m/%Y %H:%M", "%d.%m.%Y", "%m/%d/%Y", "%m/%d/%Y %H:%M", "%d %b %Y")
Target = Literal["required", "optional", "none"]


@dataclass(frozen=True)
class Inference:
    """A schema proposed, and what the user should know before confirming it."""

    schema: Schema
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conformed:
    """A frame in canonical types: ``features`` in schema order, the rest one line a row or None where not there."""

    features: pd.DataFrame
    labels: "pd.Series[Any] | None" = None
    row_ids: "pd.Series[Any] | None" = None
    event_times: "pd.Series[Any] | None" = None
    warnings: tuple[str, ...] = ()


# ---- proposing -----------------------------------------------------------------------------------
def infer(
    frame: pd.DataFrame, *, target: str, task: Task | None = None, row_id: str | None = None,
    event_time: str | None = None,
) -> Inference:
    """The schema these rows suggest. Raises InvalidInput, InvalidRows with one sentence and the way out."""
    check_names(frame.columns)
    if len(frame) < 2:
        raise InvalidRows(f"{len(frame)} rows: too few to tell what the columns hold. Upload at least 2, better 100")
    if target not in frame:
        near = difflib.get_close_matches(target, list(frame.columns), n=3, cutoff=0.5)
        hint = f"Did you mean {', '.join(map(repr, near))}?" if near else f"There are: {_some(frame.columns)}"
        raise InvalidInput(f"There is no column {target!r} to predict. {hint}")
    notes: list[str] = []
    features, ignored = [], []
    for name in frame.columns:
        if name in (target, row_id, event_time):
            continue
        kind, note = _kind(frame[name])
        if note:
            notes.append(f"{name}: {note}")
        if kind is None:
            ignored.append(name)
        else:
            features.append(Column(name, kind))
    if not features:
        raise InvalidInput(f"Besides {target!r} no column can be a feature: {'; '.join(notes) or 'there is no other'}")
    task, classes, more = _task(frame[target], target, task)
    return Inference(
        Schema(tuple(features), target, task, classes, row_id, event_time, tuple(ignored)), (*notes, *more)
    )


def check_names(names: Sequence[Any]) -> None:
    """Raise InvalidRows unless the columns have one name each and are not too many."""
    if len(names) > MOST_COLUMNS:
        raise InvalidRows(f"{len(names):,} columns; at most {MOST_COLUMNS} can be taken. Leave out what is no feature")
    if not len(names):
        raise InvalidRows("The file is empty: it has no columns. The first line names them")
    texts = [str(name) for name in names]
    if twice := sorted({name for name in texts if texts.count(name) > 1}):
        raise InvalidRows(f"Column {twice[0]!r} is there {texts.count(twice[0])} times. Give each column a name of its own")
    if any(not name.strip() for name in texts):
        raise InvalidRows("A column has no name. Name every column in the first line")


def _kind(values: "pd.Series[Any]") -> tuple[Kind | None, str]:
    """What the column holds, None if nothing a model can use, and a note for the user."""
    known = values.dropna()
    if known.empty:
        return None, "has no value at all, so it is left out"
    note = "has one value so far" if known.nunique() == 1 else ""
    if pd.api.types.is_bool_dtype(known):
        return Kind.BOOLEAN, note
    if pd.api.types.is_datetime64_any_dtype(known):
        return Kind.TIMESTAMP, note
    if pd.api.types.is_numeric_dtype(known):
        if _is_running_number(known):
            return None, "is a running number, so it is left out"
        return Kind.NUMERIC, note
    texts = known.astype(str).str.strip()
    lower = set(texts.str.lower().unique())
    if lower <= TRUE | FALSE:
        return Kind.BOOLEAN, ""
    if _numbers(texts).notna().all():
        return Kind.NUMERIC, "decimal commas are read as points" if texts.str.contains(",", regex=False).any() else ""
    times, how = _times(texts)
    if times.notna().all():
        return Kind.TIMESTAMP, how
    share = float(_numbers(texts).notna().mean())
    if share > 0.9:
        wrong = texts[_numbers(texts).isna()].unique()[:SHOWN]
        return Kind.CATEGORICAL, f"nearly all are numbers, but not {_some(wrong)}; correct them if it is to be a number"
    if len(lower) > max(MOST_CATEGORIES, 0.5 * len(texts)) or (len(lower) == len(texts) and len(texts) > 50):
        return None, f"has {len(lower):,} different texts: that is an id or free text, so it is left out"
    return Kind.CATEGORICAL, note


def _is_running_number(known: "pd.Series[Any]") -> bool:
    return len(known) > 20 and bool((known.diff().iloc[1:] == 1).all())


def _task(values: "pd.Series[Any]", target: str, task: Task | None) -> tuple[Task, tuple[str, ...], list[str]]:
    known = values.dropna()
    if known.empty:
        raise InvalidRows(f"The answers in {target!r} are all missing. Choose another column, or upload rows with answers")
    classes = sorted(set(_texts(known)), key=_by_number)
    if len(classes) == 1:
        raise InvalidRows(f"{target!r} has one answer only, {classes[0]!r}: there is nothing to learn. Upload rows with others too")
    if task is None:
        whole = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known)
        many = len(classes) > FEW_NUMBERS or bool((pd.to_numeric(known, errors="coerce") % 1 != 0).any()) if whole else False
        task = Task.REGRESSION if many else Task.BINARY if len(classes) == 2 else Task.MULTICLASS
    if task is Task.REGRESSION:
        numbers = _numbers(known.astype(str)) if known.dtype == object or isinstance(known.dtype, pd.StringDtype) else known
        if pd.to_numeric(numbers, errors="coerce").isna().any():
            raise InvalidRows(f"{target!r} holds texts such as {_some(_texts(known)[:SHOWN])}: they cannot be predicted as a number")
        return task, (), []
    if len(classes) > MOST_CLASSES:
        raise InvalidRows(f"{target!r} has {len(classes):,} different answers; at most {MOST_CLASSES} can be told apart. Is it a number to predict, or an id?")
    if task is Task.BINARY and len(classes) != 2:
        raise InvalidRows(f"{target!r} has {len(classes)} answers ({_some(classes)}), not two: choose multiclass")
    rare = [name for name in classes if (_texts(known) == name).sum() < 5]
    return task, tuple(classes), [f"{target}: few rows with the answer {_some(rare)}"] if rare else []


# ---- holding to it -------------------------------------------------------------------------------
def conform(frame: pd.DataFrame, schema: Schema, *, with_target: Target) -> Conformed:
    """The frame in canonical types. Raises InvalidRows with everything that is wrong, column by column.

    Columns the schema does not know are left out with a warning; unseen categories and missing values are fine.
    """
    check_names(frame.columns)
    if frame.empty:
        raise InvalidRows("There are no rows in it. The first line names the columns, the rows follow")
    absent = [name for name in schema.names if name not in frame]
    if with_target == "required" and schema.target not in frame:
        absent.append(schema.target)
    if absent:
        near = difflib.get_close_matches(absent[0], [str(c) for c in frame.columns], n=1, cutoff=0.6)
        hint = f" Is {near[0]!r} meant?" if near and near[0] not in schema.names else ""
        raise InvalidRows(f"Missing columns: {_some(absent)}. Every feature of the schema must be there; leave a value empty if unknown.{hint}")
    faults: list[str] = []
    done = {
        column.name: _guarded(CONVERT[column.kind], frame[column.name], column.name, faults) for column in schema.features
    }
    labels = None
    if with_target != "none" and schema.target in frame:
        labels = _guarded(lambda values: _labels(values, schema), frame[schema.target], schema.target, faults)
    row_ids = event_times = None
    if schema.row_id is not None and schema.row_id in frame:
        row_ids = _guarded(_ids, frame[schema.row_id], schema.row_id, faults)
    if schema.event_time is not None and schema.event_time in frame:
        event_times = _guarded(_timestamps, frame[schema.event_time], schema.event_time, faults)
    if faults:
        raise InvalidRows("Nothing was stored. " + "; ".join(faults[:10]))
    known = {*schema.names, schema.target, schema.row_id, schema.event_time, *schema.ignored}
    extra = [name for name in frame.columns if name not in known]
    warnings = (f"Columns the schema does not know are left out: {_some(extra)}",) if extra else ()
    return Conformed(pd.DataFrame(done, index=frame.index).reset_index(drop=True), labels, row_ids, event_times, warnings)


def label_text(values: "pd.Series[Any]", schema: Schema) -> "pd.Series[Any]":
    """Labels as the text they are stored as, None where missing. Raises InvalidRows for a value that cannot be one."""
    faults: list[str] = []
    found = _guarded(lambda column: _labels(column, schema), values, schema.target, faults)
    if faults or found is None:
        raise InvalidRows("Nothing was stored. " + "; ".join(faults))
    if schema.task.is_classification:
        return found
    return pd.Series([None if math.isnan(v) else repr(v) for v in found.tolist()], dtype=object)


def id_text(value: object) -> str:
    """A row id as text: the same whether it was read as 7, 7.0 or "7".

    >>> id_text(7.0), id_text(" a7 ")
    ('7', 'a7')
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


class _Fault(Exception):
    """What is wrong with a column; ``rows`` marks where."""

    def __init__(self, what: str, rows: "pd.Series[Any] | None" = None) -> None:
        super().__init__(what)
        self.rows = rows


def _guarded(
    convert: Callable[["pd.Series[Any]"], "pd.Series[Any]"], values: "pd.Series[Any]", name: str, faults: list[str]
) -> "pd.Series[Any] | None":
    values = values.reset_index(drop=True)
    try:
        return convert(values)
    except _Fault as fault:
        if fault.rows is None:
            faults.append(f"{name}: {fault}")
            return None
        where = np.flatnonzero(fault.rows.to_numpy())
        examples = ", ".join(f"{values.iloc[i]!r} in row {i + 1}" for i in where[:SHOWN])
        faults.append(f"{name}: {fault} ({examples}{f' and {len(where) - SHOWN} more' if len(where) > SHOWN else ''})")
        return None


def _numeric(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if pd.api.types.is_datetime64_any_dtype(values):
        raise _Fault("holds dates where numbers are expected")
    if not pd.api.types.is_numeric_dtype(values):
        texts = values.astype("string").str.strip().replace("", pd.NA)
        numbers = _numbers(texts.dropna().astype(str)).reindex(values.index)
        if (bad := numbers.isna() & texts.notna()).any():
            raise _Fault("text where a number is expected", bad)
        values = numbers
    found = values.astype("float64")
    if (bad := np.isinf(found) | (found.abs() > LARGEST)).any():
        raise _Fault("infinite, or larger than 1e15", bad)
    return found


def _boolean(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        found = values.astype("float64")
        if (bad := ~(found.isna() | found.isin((0.0, 1.0)))).any():
            raise _Fault("neither true nor false", bad)
        return found
    lower = values.astype("string").str.strip().str.lower().replace("", pd.NA)
    found = lower.map({**dict.fromkeys((*TRUE, "1", "1.0"), 1.0), **dict.fromkeys((*FALSE, "0", "0.0"), 0.0)})
    if (bad := lower.notna() & found.isna()).any():
        raise _Fault("neither true nor false", bad)
    return found.astype("float64")


def _categorical(values: "pd.Series[Any]") -> "pd.Series[Any]":
    texts = _texts(values)
    return texts.where(texts.notna() & (texts != ""), None)


def _timestamps(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if pd.api.types.is_datetime64_any_dtype(values):
        return pd.to_datetime(values, utc=True).astype("datetime64[us, UTC]")
    if pd.api.types.is_numeric_dtype(values):
        seconds = values.astype("float64")
        if (bad := seconds.notna() & ~seconds.between(0, 4.2e9)).any():
            raise _Fault("no time in seconds since 1970", bad)
        return pd.to_datetime(seconds, unit="s", utc=True).astype("datetime64[us, UTC]")
    texts = values.astype("string").str.strip().replace("", pd.NA)
    known = texts.dropna().astype(str)
    times, _ = _times(known)
    found = times.reindex(values.index)
    if (bad := texts.notna() & found.isna()).any():
        raise _Fault("no date in one format (2026-01-31, 31/01/2026, 31.01.2026 or 01/31/2026, the same in all rows)", bad)
    return found.astype("datetime64[us, UTC]")


CONVERT: dict[Kind, Callable[["pd.Series[Any]"], "pd.Series[Any]"]] = {
    Kind.NUMERIC: _numeric,
    Kind.BOOLEAN: _boolean,
    Kind.CATEGORICAL: _categorical,
    Kind.TIMESTAMP: _timestamps,
}


def _labels(values: "pd.Series[Any]", schema: Schema) -> "pd.Series[Any]":
    if not schema.task.is_classification:
        return _numeric(values)
    texts = _categorical(values)
    if (bad := texts.notna() & ~texts.isin(schema.classes)).any():
        raise _Fault(f"not one of the answers this project knows, {_some(schema.classes)}", bad)
    return texts


def _ids(values: "pd.Series[Any]") -> "pd.Series[Any]":
    texts = _texts(values)
    if (bad := texts.isna() | (texts == "")).any():
        raise _Fault("row id is empty", bad)
    if (bad := texts.duplicated(keep="first")).any():
        raise _Fault("row id is there twice", bad)
    return texts


def _texts(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Values as trimmed text, the same for 1, 1.0 and "1", for True and "true"; None where missing."""
    if pd.api.types.is_bool_dtype(values):
        return values.map({True: "true", False: "false"}).astype(object)
    if pd.api.types.is_numeric_dtype(values):
        numbers = values.astype("float64")
        known = numbers.dropna()
        whole = bool((known % 1 == 0).all()) and bool((known.abs() < LARGEST).all())
        texts = known.astype("int64").astype(str) if whole else known.map(lambda v: str(int(v)) if v == int(v) else repr(v)) if np.isfinite(known).all() else known.map(repr)
        return texts.astype(object).reindex(values.index).where(numbers.notna(), None)
    texts = values.astype("string").str.strip()
    return texts.astype(object).where(texts.notna(), None)


def _numbers(texts: "pd.Series[Any]") -> "pd.Series[Any]":
    """Texts as numbers, NaN where they are none; a decimal comma counts where no text has a point."""
    if texts.str.contains(",", regex=False).any() and not texts.str.contains(".", regex=False).any():
        texts = texts.str.replace(",", ".", regex=False)
    return pd.to_numeric(texts, errors="coerce")


def _times(texts: "pd.Series[Any]") -> "tuple[pd.Series[Any], str]":
    """Texts as times in UTC, all in one format, NaT where they do not fit it; and a note on what was assumed."""
    for form in DATE_FORMATS:
        times = pd.to_datetime(texts, format=form, utc=True, errors="coerce")
        if times.notna().all() and len(times):
            assumed = "read as day/month/year" if form.startswith("%d/") else "read as month/day/year" if form.startswith("%m/") else ""
            return times, assumed
    return pd.Series(pd.NaT, index=texts.index, dtype="datetime64[us, UTC]"), ""


def _by_number(text: str) -> tuple[int, float, str]:
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)


def _some(names: Any, most: int = 5) -> str:
    listed = [str(name) for name in names]
    return ", ".join(repr(name) for name in listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
