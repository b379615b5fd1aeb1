"""What a row looks like: inferred from the first rows, confirmed by the user, and held to from then on.

`infer` proposes; `conform` brings any frame into the canonical types of `records.Kind`, or says what is wrong, in
which column, in which row, with the value. Pure: frames in, frames out.

A value is read the same way whatever else is in its column, so that a file read in pieces, one row asked of the API
and a whole Parquet file mean the same:

* text is trimmed; 1, 1.0, "1" and "1.0" are the text "1", True and "TRUE" the text "true", "01" stays "01";
* a comma in a number is a decimal comma, refused where it may as well part thousands;
* a date is ISO 8601, day/month/year, day.month.year, day month-name year, or seconds or milliseconds since 1970.
  Month/day/year is refused: no rule tells 03/04 from 04/03 in a single row.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.errors import InvalidInput, InvalidRows
from core.records import Column, Kind, Schema, Task

MOST_COLUMNS = 500
MOST_CLASSES = 50
MOST_CATEGORIES = 1_000  # different texts in a column; beyond that it is an id, not a category
# what the id of a row is called; not customer_id: it may come again
_ROW_ID = re.compile(r"(row[\W_]?)?(id|uuid|guid|key|nr|number|index)", re.IGNORECASE)
LONGEST = 1_000  # characters of a category, label or id
LARGEST = 1e15  # a number beyond that is a fault of the feed, and no float tells its neighbours apart
FEW_NUMBERS = 20  # whole numbers with at most so many values, in a target, are classes
FEW_ROWS = 30  # with fewer rows a column that does not vary, or counts up, may do so by chance
SHOWN = 3

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NaT", "NULL", "null", "None")  # as pandas reads CSV
TRUE, FALSE = {"true", "yes", "t", "y"}, {"false", "no", "f", "n"}
TRUTHS = {**dict.fromkeys((*TRUE, "1"), 1.0), **dict.fromkeys((*FALSE, "0"), 0.0)}
DAY_FIRST = ("%d/%m/%Y", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S")
MONTH_FIRST = ("%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S")
DATE_FORMATS = ("ISO8601", *DAY_FIRST, *(form.replace("/", ".") for form in DAY_FIRST), "%d %b %Y", "%d %B %Y")
SECONDS, MILLISECONDS = (1e8, 4.2e9), (1e11, 4.2e12)  # 1973 to 2103: no year, and no date written as 20260131
WHOLE = re.compile(r"([+-]?\d+)\.0+")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
CLOCKS = re.compile(r"time|date|epoch|(^|_)(ts|at)$", re.IGNORECASE)
ANSWERS = ("target", "label", "class", "outcome", "y")
ISO_HINT = "Write dates as 2026-01-31 or 2026-01-31T09:30"

Target = Literal["required", "optional", "none"]


@dataclass(frozen=True)
class Inference:
    """A schema proposed, and what the user should know before confirming it."""

    schema: Schema
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conformed:
    """A frame in canonical types: ``features`` in schema order, the rest one value a row, or None where not there.

    ``labels`` are text (None where not there yet), or float64 for regression. ``ignored`` are columns left out.
    """

    features: pd.DataFrame
    labels: "pd.Series[Any] | None" = None
    row_ids: "pd.Series[Any] | None" = None
    event_times: "pd.Series[Any] | None" = None
    ignored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


# ---- proposing -----------------------------------------------------------------------------------
def infer(
    frame: pd.DataFrame,
    *,
    target: str | None = None,
    task: Task | None = None,
    row_id: str | None = None,
    event_time: str | None = None,
) -> Inference:
    """The schema these rows suggest. Raises InvalidInput, InvalidRows with one sentence and the way out.

    Without ``target`` it is the column called target, label, class, outcome or y, else the last one.

    >>> infer(pd.DataFrame({"age": [31, 48], "city": ["Bern", "Riga"], "y": [0, 1]})).schema.names
    ['age', 'city']
    """
    check_names(frame.columns)
    if len(frame) < 2:
        raise InvalidRows(
            f"{_count(len(frame), 'row')}: too few to tell what the columns hold. Upload 2 at least, better 100"
        )
    notes: list[str] = []
    if target is None:
        target = next((name for name in frame.columns if name.casefold() in ANSWERS), frame.columns[-1])
        notes.append(f"{target}: taken as the answer to predict")
    task, classes, more = _task(_column(frame, target, "to predict"), target, task)
    notes += more
    _check_row_id_and_time(frame, target, row_id, event_time)
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
        why = "; ".join(note for note in notes if note.split(":")[0] in ignored) or "there is no other"
        raise InvalidInput(f"Besides {target!r} no column can be a feature ({why}). Upload rows with features")
    schema = Schema(tuple(features), target, task, classes, row_id, event_time, tuple(ignored))
    return Inference(schema, tuple(notes))


def likely_row_id(frame: pd.DataFrame, schema: Schema) -> str | None:
    """The column that is left out, is named as the id of a row is, and holds another value in every row; None without.

    >>> rows = pd.DataFrame({"row_id": ["a", "b"], "x": [1, 2], "y": [0, 1]})
    >>> likely_row_id(rows, Schema((), "y", Task.BINARY, ignored=("row_id",)))
    'row_id'
    """
    named = (name for name in schema.ignored if _ROW_ID.fullmatch(name))
    return next((name for name in named if frame[name].notna().all() and frame[name].is_unique), None)


def check_names(names: Iterable[Any]) -> None:
    """Raise InvalidRows unless the columns have one name each and are not too many."""
    texts = [str(name) for name in names]
    if len(texts) > MOST_COLUMNS:
        raise InvalidRows(f"{len(texts):,} columns; at most {MOST_COLUMNS} can be taken. Leave out what is no feature")
    if not texts:
        raise InvalidRows("There are no columns. The first line of a file names them")
    texts = [name.strip() if isinstance(name, str) else name for name in names]
    if odd := [name for name in texts if not isinstance(name, str)]:
        raise InvalidRows(f"Column {odd[0]!r} is named by a number or a date. Name every column with a text")
    if any(not name for name in texts):
        raise InvalidRows(f"Column number {texts.index('') + 1} has no name. Name every column in the first line")
    if twice := [name for i, name in enumerate(texts) if name in texts[:i]]:
        raise InvalidRows(
            f"Column {twice[0]!r} is there {texts.count(twice[0])} times. Give each column a name of its own"
        )


def _column(frame: pd.DataFrame, name: str, what: str) -> "pd.Series[Any]":
    if name in frame:
        return frame[name]
    near = difflib.get_close_matches(str(name), list(frame.columns), n=3, cutoff=0.5)
    hint = f"Did you mean {_some(near)}?" if near else f"There are: {_some(frame.columns)}"
    raise InvalidInput(f"There is no column {name!r} {what}. {hint}")


def _check_row_id_and_time(frame: pd.DataFrame, target: str, row_id: str | None, event_time: str | None) -> None:
    chosen = [name for name in (target, row_id, event_time) if name is not None]
    if len(set(chosen)) < len(chosen):
        raise InvalidInput("The answer, the row id and the time are three things: choose a different column for each")
    faults: list[str] = []
    for name, convert, what in ((row_id, _ids, "for the row id"), (event_time, _timestamps, "for the time")):
        if name is not None:
            _guarded(convert, _column(frame, name, what), name, faults)
    if faults:
        raise InvalidRows(f"{'; '.join(faults)}. Choose another column, or none")


def _kind(values: "pd.Series[Any]") -> tuple[Kind | None, str]:
    """What the column holds, None if nothing a model can use, and a note for the user."""
    try:
        texts = _texts(_plain(values)).dropna()
    except _Fault as fault:
        return None, f"{fault}, so it is left out"
    if texts.empty:
        return None, "has no value at all, so it is left out"
    different = texts.nunique()
    if different == 1 and len(texts) >= FEW_ROWS:
        return None, f"holds nothing but {texts.iloc[0]!r}, so it is left out; choose a kind to keep it"
    if pd.api.types.is_bool_dtype(values):
        return Kind.BOOLEAN, ""
    if pd.api.types.is_datetime64_any_dtype(values):
        return Kind.TIMESTAMP, ""
    numbers, _ = _numbers(texts)
    if numbers.notna().all():
        comma = texts.str.contains(",", regex=False)
        note = f"a comma is a decimal comma: {texts[comma].iloc[0]} is {numbers[comma].iloc[0]}" if comma.any() else ""
        return _number_kind(numbers, str(values.name), note)
    words = set(texts.str.lower().unique())
    if words <= TRUE | FALSE and words & TRUE and words & FALSE:
        return Kind.BOOLEAN, ""
    if _times(texts).notna().all():
        slashes = bool(texts.str.contains("/", regex=False).any())
        return Kind.TIMESTAMP, "dates with slashes are read as day/month/year" if slashes else ""
    if _times(texts, MONTH_FIRST).notna().all():
        return None, f"holds dates as month/day/year, which can be mistaken, so it is left out. {ISO_HINT} to use it"
    if numbers.notna().mean() > 0.9:
        wrong = texts[numbers.isna()].unique()
        return Kind.CATEGORICAL, f"nearly all are numbers, but not {_some(wrong)}; mend them if it is to be a number"
    if different > MOST_CATEGORIES or (different > 0.5 * len(texts) and len(texts) > 50):
        return None, f"has {different:,} different texts: an id or free text, so it is left out"
    return Kind.CATEGORICAL, "" if different > 1 else "has one value so far"


def _number_kind(numbers: "pd.Series[Any]", name: str, note: str) -> tuple[Kind | None, str]:
    """What a column of numbers holds: times, a running number or id, or indeed numbers."""
    whole, climbs = bool((numbers % 1 == 0).all()), bool((numbers.diff().iloc[1:] > 0).all())
    if (
        whole
        and any(numbers.between(*span).all() for span in (SECONDS, MILLISECONDS))
        and (CLOCKS.search(name) or climbs)
    ):
        unit = "seconds" if numbers.iloc[0] < MILLISECONDS[0] else "milliseconds"
        return Kind.TIMESTAMP, f"read as {unit} since 1970"
    if whole and climbs and len(numbers) >= FEW_ROWS:
        return None, "counts up from row to row as an id does, so it is left out; choose a kind to keep it"
    return Kind.NUMERIC, note if numbers.nunique() > 1 else "has one value so far"


def _task(values: "pd.Series[Any]", target: str, task: Task | None) -> tuple[Task, tuple[str, ...], list[str]]:
    try:
        known = _texts(_plain(values)).dropna()
    except _Fault as fault:
        raise InvalidRows(f"{target!r} {fault}. Choose another column to predict") from None
    if known.empty:
        raise InvalidRows(
            f"The answers in {target!r} are all missing. Choose another column, or upload rows with answers"
        )
    counts = known.value_counts()
    if len(counts) == 1:
        raise InvalidRows(
            f"{target!r} has one answer only, {counts.index[0]!r}: there is nothing to learn. "
            "Upload rows with other answers too"
        )
    numbers, _ = _numbers(known)
    if task is None:
        amounts = numbers.notna().all() and (len(counts) > FEW_NUMBERS or bool((numbers % 1 != 0).any()))
        task = Task.REGRESSION if amounts else Task.BINARY if len(counts) == 2 else Task.MULTICLASS
    if task is Task.REGRESSION:
        if (bad := numbers.isna()).any():
            raise InvalidRows(
                f"{target!r} holds texts such as {_some(known[bad].unique(), SHOWN)}: they cannot be predicted as a "
                "number. Choose a classification task, or mend them"
            )
        return task, (), []
    if len(counts) > MOST_CLASSES:
        number = numbers.notna().all()
        way = "It holds numbers: choose regression" if number else "Is it an id or free text? Choose another column"
        raise InvalidRows(
            f"{target!r} has {len(counts):,} different answers; at most {MOST_CLASSES} can be told apart. {way}"
        )
    if task is Task.BINARY and len(counts) != 2:
        raise InvalidRows(f"{target!r} has {len(counts)} answers ({_some(counts.index)}), not two. Choose multiclass")
    classes = tuple(sorted(counts.index, key=_by_number))
    rare = [name for name in classes if counts[name] < 5]
    return task, classes, [f"{target}: fewer than 5 rows with the answer {_some(rare)}"] if rare else []


# ---- holding to it -------------------------------------------------------------------------------
def conform(frame: pd.DataFrame, schema: Schema, *, with_target: Target) -> Conformed:
    """The frame in canonical types. Raises InvalidRows with everything that is wrong, column by column.

    Columns the schema does not know are left out with a warning; unseen categories and missing values are fine, also
    a missing label, which is one that has not come yet. Rows are counted from 1 in messages, by the frame's index if
    that is whole numbers from 0, so that a piece of a file names the row of the file.
    """
    check_names(frame.columns)
    frame = frame.rename(columns=str.strip)
    if frame.empty:
        raise InvalidRows("There are no rows in it. The first line names the columns, the rows follow")
    _check_present(frame, schema, with_target)
    faults: list[str] = []

    def of(name: str | None, convert: "Callable[[pd.Series[Any]], pd.Series[Any]]") -> "pd.Series[Any] | None":
        return None if name is None or name not in frame else _guarded(convert, frame[name], name, faults)

    features = _all_numbers(frame, schema) or {c.name: of(c.name, CONVERT[c.kind]) for c in schema.features}
    labels = of(schema.target, lambda values: _labels(values, schema)) if with_target != "none" else None
    row_ids, event_times = of(schema.row_id, _ids), of(schema.event_time, _timestamps)
    if faults:
        more = f"; and {len(faults) - 10} more columns" if len(faults) > 10 else ""
        raise InvalidRows(f"Nothing was taken, these rows do not fit the schema: {'; '.join(faults[:10])}{more}")
    known = {*schema.names, schema.target, schema.row_id, schema.event_time, *schema.ignored}
    extra = tuple(name for name in frame.columns if name not in known)
    warnings = (f"Columns the schema does not know are left out: {_some(extra)}",) if extra else ()
    return Conformed(pd.DataFrame(features), labels, row_ids, event_times, extra, warnings)


def label_text(values: "pd.Series[Any]", schema: Schema) -> "pd.Series[Any]":
    """Labels as the text they are stored as, None where missing. Raises InvalidRows for a value that cannot be one.

    >>> schema = Schema((), "y", Task.BINARY, ("0", "1"))
    >>> label_text(pd.Series([1.0, 0.0, None]), schema).tolist()
    ['1', '0', None]
    """
    faults: list[str] = []
    found = _guarded(lambda column: _labels(column, schema), values, schema.target, faults)
    if found is None:
        raise InvalidRows(f"Nothing was taken, these labels do not fit the schema: {faults[0]}")
    if not schema.task.is_classification:
        found = pd.Series([None if value != value else repr(value) for value in found.tolist()], dtype=object)
    return found.set_axis(values.index)


def places(values: "pd.Series[Any]") -> NDArray[Any]:
    """Numbers, or times in UTC, that say in which order the rows came; texts are read as one or the other.

    Raises InvalidRows for a column with an empty value, or one that is neither all numbers nor all times.

    >>> places(pd.Series(["9", "10", "8.5"])).argsort().tolist()
    [2, 0, 1]
    """
    faults: list[str] = []
    found = _guarded(_places, values, str(values.name), faults)
    if found is None:
        raise InvalidRows(f"The rows cannot be ordered: {faults[0]}. Mend it, or sort the file and order by no column")
    return found.to_numpy()


def _places(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        found = values
    else:
        texts = _texts(values)
        found, no_number = _numbers(texts)
        if no_number.any():
            found = _times(texts)
            no_time = texts.notna() & found.isna()
            if no_time.any():
                both = no_number & no_time
                raise _Fault(
                    f"holds neither numbers only nor times only ({ISO_HINT})", both if both.any() else no_number
                )
    if (bad := found.isna()).any():
        raise _Fault("is empty, and such a row has no place", bad)
    return found


def id_text(value: object) -> str:
    """A value as canonical text: the same whether it was read as 7, 7.0, "7" or " 7.0".

    >>> id_text(7.0), id_text(" a7 "), id_text("007"), id_text(True)
    ('7', 'a7', '007', 'true')
    """
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating, Decimal)):
        return str(int(value)) if np.isfinite(float(value)) and value % 1 == 0 else repr(float(value))
    text = str(value).strip()
    if (whole := WHOLE.fullmatch(text)) is not None:
        return whole[1]
    return text.lower() if text.lower() in ("true", "false") else text


class _Fault(Exception):
    """What is wrong with a column; ``rows`` marks where."""

    def __init__(self, what: str, rows: "pd.Series[Any] | None" = None) -> None:
        super().__init__(what)
        self.rows = rows


def _all_numbers(frame: pd.DataFrame, schema: Schema) -> "dict[str, Any] | None":
    """The features at one go, ten times as fast for a single row; None unless all are sound numbers already."""
    if any(c.kind is not Kind.NUMERIC or frame[c.name].dtype.kind not in "fiu" for c in schema.features):
        return None
    block = frame[schema.names].to_numpy("float64")
    if (np.abs(block) > LARGEST).any():
        return None
    return {name: block[:, i] for i, name in enumerate(schema.names)}


def _check_present(frame: pd.DataFrame, schema: Schema, with_target: Target) -> None:
    needed = [*schema.names, *([schema.target] if with_target == "required" else [])]
    if not (absent := [name for name in needed if name not in frame]):
        return
    strangers = [name for name in frame.columns if name not in needed]
    near = difflib.get_close_matches(absent[0], strangers, n=1, cutoff=0.6)
    hint = f" Is {near[0]!r} meant to be {absent[0]!r}?" if near else ""
    raise InvalidRows(
        f"Missing columns: {_some(absent)}. Every column of the schema must be there; leave a value empty where it is "
        f"not known.{hint}"
    )


def _guarded(
    convert: "Callable[[pd.Series[Any]], pd.Series[Any]]", values: "pd.Series[Any]", name: str, faults: list[str]
) -> "pd.Series[Any] | None":
    """The column converted, numbered from 0; or None, and ``faults`` has one more."""
    numbers = values.index if pd.api.types.is_integer_dtype(values.index) else range(len(values))
    values = values.reset_index(drop=True)
    try:
        return convert(_plain(values))
    except _Fault as fault:
        if fault.rows is None:
            faults.append(f"{name} {fault}")
            return None
        where = np.flatnonzero(fault.rows.to_numpy())
        examples = ", ".join(f"{_shown(values.iloc[i])} in row {numbers[i] + 1:,}" for i in where[:SHOWN])
        more = f" and {len(where) - SHOWN:,} more" if len(where) > SHOWN else ""
        faults.append(f"{name} {fault}: {examples}{more}")
        return None


def _plain(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """The values without dictionary coding. Raises _Fault for values that are none: lists, objects, bytes."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.astype(values.cat.categories.dtype)
    if values.dtype == object and (bad := values.map(lambda v: isinstance(v, NO_VALUES))).any():
        raise _Fault("holds lists, objects or bytes where one value is expected", bad)
    return values


NO_VALUES = (list, dict, set, tuple, bytes, bytearray, np.ndarray)


def _numeric(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if pd.api.types.is_datetime64_any_dtype(values):
        raise _Fault("holds dates where numbers are expected")
    if pd.api.types.is_numeric_dtype(values):
        found = values.astype("float64")
    else:
        if values.dtype == object:
            values = values.map(lambda v: int(v) if isinstance(v, (bool, np.bool_)) else v)
        found, bad = _numbers(values)
        if bad.any():
            comma = values[bad].astype(str).str.contains(",", regex=False).any()
            raise _Fault("holds text where a number is expected" + COMMA_HINT * bool(comma), bad)
    if (bad := found.abs() > LARGEST).any():
        raise _Fault("is infinite or larger than 1e15 (leave it empty if it is not known)", bad)
    return found


COMMA_HINT = " (write 1234.5: a comma may part thousands or decimals)"


def _boolean(values: "pd.Series[Any]") -> "pd.Series[Any]":
    texts = _texts(values).str.lower()
    found = texts.map(TRUTHS)
    if (bad := texts.notna() & found.isna()).any():
        raise _Fault("is neither true nor false", bad)
    return found.astype("float64")


def _timestamps(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if pd.api.types.is_datetime64_any_dtype(values):
        return pd.to_datetime(values, utc=True).astype("datetime64[us, UTC]")
    texts = _texts(values)
    times = _times(texts)
    if (bad := texts.notna() & times.isna()).any():
        raise _Fault(f"is no date this can read. {ISO_HINT}; with slashes it is day/month/year", bad)
    return times


def _labels(values: "pd.Series[Any]", schema: Schema) -> "pd.Series[Any]":
    if not schema.task.is_classification:
        return _numeric(values)
    texts = _texts(values)
    if (bad := texts.notna() & ~texts.isin(schema.classes)).any():
        raise _Fault(f"is none of the answers this project knows, {_some(schema.classes)}", bad)
    return texts


def _ids(values: "pd.Series[Any]") -> "pd.Series[Any]":
    texts = _texts(values, missing=("",))
    if (bad := texts.isna()).any():
        raise _Fault("is empty, and every row needs its id", bad)
    if (bad := texts.duplicated()).any():
        raise _Fault("holds an id that was there before", bad)
    return texts


# ---- reading values ------------------------------------------------------------------------------
def _texts(values: "pd.Series[Any]", missing: Iterable[str] = MISSING) -> "pd.Series[Any]":
    """Canonical text of each value (see `id_text`) as objects, None where missing.

    Each different value is turned once; only in a column of mixed objects is 1 not to be taken for True.
    """
    if values.dtype == object:
        texts = [None if gone else id_text(value) for value, gone in zip(values, values.isna(), strict=True)]
        codes, different = np.arange(len(texts)), texts
    else:
        codes, uniques = pd.factorize(values)
        different = [id_text(value) for value in uniques]
    gone = frozenset(missing)
    table = np.array([*(None if text in gone else text for text in different), None], dtype=object)
    found = pd.Series(table[codes], index=values.index, dtype=object, name=values.name)
    if any(len(text) > LONGEST for text in table if text is not None):
        raise _Fault(f"holds a text of more than {LONGEST:,} characters", found.map(len, na_action="ignore") > LONGEST)
    return found


CONVERT: "dict[Kind, Callable[[pd.Series[Any]], pd.Series[Any]]]" = {
    Kind.NUMERIC: _numeric,
    Kind.BOOLEAN: _boolean,
    Kind.CATEGORICAL: _texts,
    Kind.TIMESTAMP: _timestamps,
}


def _numbers(values: "pd.Series[Any]") -> "tuple[pd.Series[Any], pd.Series[Any]]":
    """Texts as float64, NaN where they are no numbers; and which are neither numbers nor missing.

    Where all are numbers as a computer writes them Arrow reads them, without an object a value.
    """
    if values.dtype == object:
        values = values.map(id_text, na_action="ignore")
    texts = pc.utf8_trim_whitespace(pa.array(values, pa.large_string(), from_pandas=True))
    texts = pc.if_else(pc.is_in(texts, pa.array(MISSING, pa.large_string())), None, texts)
    try:
        found = pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        found = pd.to_numeric(_with_points(texts.to_pandas().astype(object)), errors="coerce").to_numpy("float64")
    bad = np.isnan(found) & texts.is_valid().to_numpy(zero_copy_only=False)
    return pd.Series(found, index=values.index, name=values.name), pd.Series(bad, index=values.index)


def _with_points(texts: "pd.Series[Any]") -> "pd.Series[Any]":
    """Decimal commas as points, unless all that have a comma might as well be parted thousands."""
    comma = texts.str.contains(",", regex=False, na=False)
    if not comma.any() or texts[comma].map(lambda text: THOUSANDS.fullmatch(text) is not None).all():
        return texts
    return texts.where(~comma, texts.str.replace(",", ".", regex=False))


def _times(texts: "pd.Series[Any]", formats: Sequence[str] = DATE_FORMATS) -> "pd.Series[Any]":
    """Canonical texts as times in UTC, NaT where no format fits. A time without a zone is UTC."""
    digits = np.array([text is not None and text.replace(".", "", 1).isdigit() for text in texts], dtype=bool)
    found = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[us, UTC]")
    if digits.any():
        seconds = pd.to_numeric(texts.where(digits), errors="coerce").astype("float64")
        seconds = seconds.where(seconds.between(*SECONDS), (seconds / 1000).where(seconds.between(*MILLISECONDS)))
        found = pd.to_datetime(seconds, unit="s", utc=True).astype("datetime64[us, UTC]")
    left = texts[texts.notna() & ~digits].astype(str)
    for form in formats:
        if left.empty:
            break
        times = pd.to_datetime(left, format=form, utc=True, errors="coerce").astype("datetime64[us, UTC]")
        found[times.index] = times
        left = left[times.isna()]
    return found


def _by_number(text: str) -> tuple[int, float, str]:
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)


def _some(names: Iterable[Any], most: int = 5) -> str:
    listed = [_shown(name) for name in names]
    return ", ".join(listed[:most]) + (f" and {len(listed) - most:,} more" if len(listed) > most else "")


def _shown(value: object) -> str:
    if not isinstance(value, str):
        return str(value)[:40]
    return repr(value if len(value) <= 40 else value[:39] + "…")


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
