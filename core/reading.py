"""Files as frames: CSV and Parquet, read in pieces, refused before they can hurt.

What is refused is refused with one sentence and the way out. A user's file name is only looked at, never opened.
"""

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import InvalidRows
from core.schema import check_names

PREVIEW_ROWS = 1_000
CHUNK_ROWS = 100_000
MOST_ROWS = 5_000_000
MOST_CELLS = 200_000_000
MOST_LINE = 1 << 20
DELIMITERS = ",;\t|"

Source = str | Path | BinaryIO


def preview(file: BinaryIO, name: str) -> pd.DataFrame:
    """The first rows of the file. Raises InvalidRows."""
    return next(frames(file, name, max_bytes=1 << 40, chunk=PREVIEW_ROWS))


def frames(
    file: Source, name: str, *, max_bytes: int, max_rows: int = MOST_ROWS, chunk: int = CHUNK_ROWS
) -> Iterator[pd.DataFrame]:
    """The rows of the file, ``chunk`` at a time; only one piece is in memory. Raises InvalidRows, also in between."""
    with _opened(file) as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        if size == 0:
            raise InvalidRows(f"{name} is empty. Upload a CSV or Parquet file with rows")
        if size > max_bytes:
            raise InvalidRows(
                f"{name} has {size / 1e6:,.0f} MB; at most {max_bytes / 1e6:,.0f} can be taken. Cut it, use Parquet, or "
                "raise CONTINUAL_UPLOAD_MEGABYTES"
            )
        head = stream.read(8)
        stream.seek(0)
        read = _parquet if head[:4] == b"PAR1" or name.lower().endswith((".parquet", ".pq")) else _csv
        rows = 0
        for frame in read(stream, name, chunk, max_rows):
            rows += len(frame)
            if rows > max_rows:
                raise InvalidRows(f"{name} has more than {max_rows:,} rows. Cut it into several files")
            yield frame
        if rows == 0:
            raise InvalidRows(f"{name} has column names and no rows. Upload a file with rows")


class _opened:
    """The stream itself, left open at the end when it was handed over open."""

    def __init__(self, file: Source) -> None:
        self._path = file if isinstance(file, (str, Path)) else None
        self._stream = None if self._path is not None else file

    def __enter__(self) -> Any:
        if self._path is not None:
            self._stream = Path(self._path).open("rb")
        self._stream.seek(0)  # type: ignore[union-attr]
        return self._stream

    def __exit__(self, *_: object) -> None:
        if self._path is not None:
            self._stream.close()  # type: ignore[union-attr]


# ---- Parquet -------------------------------------------------------------------------------------
def _parquet(stream: BinaryIO, name: str, chunk: int, max_rows: int) -> Iterator[pd.DataFrame]:
    try:
        file = pq.ParquetFile(stream)
        names = file.schema_arrow.names
        check_names(names)
        # Dictionary and run-length coding let a small file claim a few bytes and hold billions of values.
        rows = file.metadata.num_rows
        if rows > max_rows or rows * len(names) > MOST_CELLS:
            raise InvalidRows(
                f"{name} holds {rows:,} rows of {len(names)} columns; at most {max_rows:,} rows and {MOST_CELLS:,} values can be taken"
            )
        if nested := [f.name for f in file.schema_arrow if pa.types.is_nested(f.type) or pa.types.is_binary(f.type)]:
            raise InvalidRows(
                f"Column {nested[0]!r} of {name} holds lists or bytes. Give each value a column of its own"
            )
        for batch in file.iter_batches(batch_size=chunk):
            yield batch.to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise InvalidRows(
            f"{name} is not a whole Parquet file ({_short(error)}). Write it again, or upload a CSV"
        ) from None


# ---- CSV -----------------------------------------------------------------------------------------
def _csv(stream: BinaryIO, name: str, chunk: int, max_rows: int) -> Iterator[pd.DataFrame]:
    head = stream.read(1 << 16)
    stream.seek(0)
    if head[:2] == b"\x1f\x8b" or head[:2] == b"PK":
        raise InvalidRows(f"{name} is compressed. Unpack it first, or upload Parquet")
    encoding = _encoding(head, name)
    first = head.decode(encoding, errors="ignore").lstrip("\ufeff").splitlines()
    if not first or not first[0].strip():
        raise InvalidRows(f"{name} begins with an empty line. The first line names the columns")
    if len(first) == 1 and len(head) >= 1 << 16:
        raise InvalidRows(f"The first line of {name} is longer than {len(head):,} bytes. Is it a CSV file?")
    delimiter = max(DELIMITERS, key=first[0].count)
    names = next(csv.reader([first[0]], delimiter=delimiter))
    check_names(names)
    lines = _lines(
        io.TextIOWrapper(_Kept(stream), encoding=encoding, errors="strict", newline=""), len(names), delimiter, name
    )
    next(lines)
    while True:
        try:
            rows = [row for _, row in zip(range(chunk), lines, strict=False)]
        except UnicodeDecodeError:
            raise InvalidRows(f"{name} is not UTF-8 text all through. Save it as UTF-8 and upload it again") from None
        if not rows:
            return
        yield _typed(pd.DataFrame(rows, columns=names, dtype=object))


class _Kept(io.BufferedReader):
    """The caller's stream, which is not closed when the text around it is."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)  # type: ignore[arg-type]

    def close(self) -> None:
        pass


def _encoding(head: bytes, name: str) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        line = head[: error.start].count(b"\n") + 1
        raise InvalidRows(f"{name} is not UTF-8 text (line {line}). Save it as UTF-8 and upload it again") from None
    if b"\0" in head:
        raise InvalidRows(f"{name} is not a text file. Upload a CSV or Parquet file")
    return "utf-8-sig"


def _lines(text: io.TextIOWrapper, width: int, delimiter: str, name: str) -> Iterator[list[str]]:
    csv.field_size_limit(MOST_LINE)
    reader = csv.reader(text, delimiter=delimiter)
    try:
        for row in reader:
            if not row:
                continue
            if len(row) != width:
                raise InvalidRows(
                    f"Line {reader.line_num} of {name} has {len(row)} values and the first line names {width} columns. "
                    "Mend that line; put texts that hold the delimiter in quotes"
                )
            yield row
    except csv.Error as error:
        raise InvalidRows(f"Line {reader.line_num} of {name} cannot be read ({_short(error)})") from None


MISSING = {"", "na", "n/a", "nan", "null", "none", "#n/a"}


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers where a column holds nothing else; texts stay as they were written."""
    typed = {}
    for name in frame.columns:
        texts = frame[name].str.strip()
        known = texts.where(~texts.str.lower().isin(MISSING))
        numbers = pd.to_numeric(known, errors="coerce")
        typed[name] = numbers if (numbers.notna() | known.isna()).all() and known.notna().any() else known
    return pd.DataFrame(typed)


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
