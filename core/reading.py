"""Files as frames: CSV and Parquet, read in pieces, refused before they can hurt.

What is refused is refused with one sentence and the way out. A user's file name is only shown, never opened. The values
of a CSV stay the texts they are, however the pieces fall; `core.schema` says what they mean.
"""

import codecs
import csv
import io
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from core.errors import InvalidRows
from core.schema import LONGEST, MISSING, check_names

PREVIEW_ROWS = 1_000
CHUNK_ROWS = 100_000
CHUNK_CELLS = 5_000_000  # of a piece; wide files come in shorter pieces
MOST_ROWS = 5_000_000
MOST_CELLS = 200_000_000
MOST_UNPACKED = 4_000_000_000  # bytes of a Parquet file before compression
HEAD = 1 << 16
BLOCK = 1 << 22  # bytes of CSV read at a time; no line can be longer
DELIMITERS = ",;\t|"
PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")

Source = str | Path | BinaryIO


def preview(file: Source, name: str) -> pd.DataFrame:
    """The first rows of the file, at most 1,000. Raises InvalidRows."""
    rows = frames(file, name, max_bytes=1 << 50, chunk=PREVIEW_ROWS)
    try:
        return next(rows)
    finally:
        rows.close()


def frames(
    file: Source, name: str, *, max_bytes: int, max_rows: int = MOST_ROWS, chunk: int = CHUNK_ROWS
) -> Generator[pd.DataFrame, None, None]:
    """The rows of the file, ``chunk`` at a time, indexed as in the file; only one piece is in memory.

    ``name`` is what the user calls the file. Raises InvalidRows, perhaps only after some pieces: take all or none.
    """
    with _opened(file) as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        if size == 0:
            raise InvalidRows(f"{name} is empty. Choose a CSV or Parquet file with rows")
        if size > max_bytes:
            raise InvalidRows(
                f"{name} has {size / 1e6:,.1f} MB; at most {max_bytes / 1e6:,.1f} MB can be taken. Cut it into several "
                "files, write it as Parquet, or raise CONTINUAL_UPLOAD_MEGABYTES"
            )
        head = stream.read(HEAD)
        stream.seek(0)
        parquet = head[:4] == b"PAR1" or name.lower().endswith((".parquet", ".pq"))
        batches = _parquet(stream, name, chunk, max_rows) if parquet else _csv(stream, head, name)
        rows = 0
        for table in _pieces(batches, chunk):
            rows += table.num_rows
            if rows > max_rows:
                raise InvalidRows(f"{name} has more than {max_rows:,} rows. Cut it into several files")
            frame = table.to_pandas(ignore_metadata=True)
            yield frame.set_axis(range(rows - len(frame), rows)).rename(columns=str.strip)
        if rows == 0:
            raise InvalidRows(f"{name} has column names and no rows. Choose a file with rows")


@contextmanager
def _opened(file: Source) -> Iterator[BinaryIO]:
    """The file from its beginning. One that was handed over open is left open."""
    if isinstance(file, (str, Path)):
        with Path(file).open("rb") as stream:
            yield stream
    else:
        file.seek(0)
        yield file


def _pieces(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of ``rows`` rows each, fewer where there are many columns."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        size = max(1, min(rows, CHUNK_CELLS // max(1, batch.num_columns)))
        table = pa.Table.from_batches(held)
        while table.num_rows >= size:
            yield table.slice(0, size)
            table = table.slice(size)
        held = table.to_batches()
    if held:
        yield pa.Table.from_batches(held)


# ---- Parquet -------------------------------------------------------------------------------------
def _parquet(stream: BinaryIO, name: str, chunk: int, max_rows: int) -> Iterator[pa.RecordBatch]:
    try:
        schema = pq.read_schema(stream)
        fields = [field for field in schema if not field.name.startswith("__index_level_")]
        names = [field.name for field in fields]
        check_names(names)
        for field in fields:
            if pa.types.is_nested(field.type) or pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
                raise InvalidRows(
                    f"Column {field.name!r} of {name} holds lists or bytes. Give each value a column of its own"
                )
        texts = [field.name for field in fields if _is_text(field.type)]
        # Dictionary and run-length coding let a small file hold billions of values: texts stay coded until measured.
        stream.seek(0)
        file = pq.ParquetFile(stream, read_dictionary=texts)
        rows = file.metadata.num_rows
        if rows > max_rows or rows * len(names) > MOST_CELLS:
            raise InvalidRows(
                f"{name} holds {rows:,} rows of {len(names)} columns; at most {max_rows:,} rows and {MOST_CELLS:,} "
                "values can be taken. Cut it into several files"
            )
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        if (unpacked := sum(group.total_byte_size for group in groups)) > MOST_UNPACKED:
            raise InvalidRows(f"{name} unpacks to {unpacked / 1e9:,.1f} GB. Cut it into several files")
        for batch in file.iter_batches(min(chunk, max(1, CHUNK_CELLS // len(names))), columns=names):
            yield _decoded(batch, name)
    except (pa.ArrowException, OSError) as error:
        raise InvalidRows(
            f"{name} is not a whole Parquet file ({_short(error)}). Write it again, or choose a CSV file"
        ) from None


def _is_text(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value))


def _decoded(batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
    """The batch with its texts written out, once it is known that none is huge."""
    columns = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if pa.types.is_dictionary(field.type):
            longest = pc.max(pc.utf8_length(column.dictionary)).as_py() if _is_text(field.type) else None
            if (longest or 0) > LONGEST:
                raise InvalidRows(
                    f"Column {field.name!r} of {name} holds a text of {longest:,} characters; at most {LONGEST:,} can "
                    "be taken. Leave that column out"
                )
            column = column.dictionary_decode()
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


# ---- CSV -----------------------------------------------------------------------------------------
def _csv(stream: BinaryIO, head: bytes, name: str) -> Iterator[pa.RecordBatch]:
    if head.startswith(PACKED):
        raise InvalidRows(f"{name} is compressed, or a workbook. Unpack it or save it as CSV, or choose a Parquet file")
    encoding = _encoding(head, name)
    text = head.decode(encoding, errors="ignore").lstrip("\ufeff")
    line = text.partition("\n")[0].rstrip("\r")
    if not line.strip():
        raise InvalidRows(f"{name} begins with an empty line. The first line names the columns")
    delimiter = max(DELIMITERS, key=lambda mark: len(next(csv.reader([line], delimiter=mark))))
    names = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    check_names(names)
    if encoding == "utf-8" and _quotes(stream) % 2:
        raise InvalidRows(
            f"{name} has an odd number of quotation marks: one is never closed and would swallow the rows after it. "
            "Close it; write a mark within a quoted text twice"
        )
    ragged: list[pacsv.InvalidRow] = []

    def refuse(row: pacsv.InvalidRow) -> str:
        ragged.append(row)
        return "error"

    try:
        yield from pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(use_threads=False, encoding=encoding, block_size=BLOCK),
            parse_options=pacsv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                invalid_row_handler=refuse,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=list(MISSING),
                strings_can_be_null=True,
            ),
        )
    except UnicodeError:
        raise InvalidRows(f"{name} is not {encoding.upper()} text all through. {SAVE}") from None
    except pa.ArrowInvalid as error:
        raise _refusal(error, ragged, name) from None


SAVE = "Save it as UTF-8 (in Excel: CSV UTF-8) and choose it again"


def _encoding(head: bytes, name: str) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        raise InvalidRows(f"{name} is not a text file. Choose a CSV or Parquet file")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        line = head[: error.start].count(b"\n") + 1
        raise InvalidRows(f"{name} is not UTF-8 text (see line {line}). {SAVE}") from None
    return "utf-8"


def _quotes(stream: BinaryIO) -> int:
    count = sum(block.count(b'"') for block in iter(lambda: stream.read(BLOCK), b""))
    stream.seek(0)
    return count


def _refusal(error: Exception, ragged: list[pacsv.InvalidRow], name: str) -> InvalidRows:
    if ragged:
        row = ragged[0]
        where = f"Row {row.number - 1:,} of {name}" if row.number else f"A row of {name}"
        return InvalidRows(
            f"{where} has {row.actual_columns} value{'s' * (row.actual_columns != 1)} and the first line names {row.expected_columns} columns "
            f"({row.text[:60]!r}). Mend that line; put a text that holds the delimiter in quotes"
        )
    for sign, sentence in CSV_FAULTS.items():
        if sign in str(error):
            return InvalidRows(f"{name} {sentence}")
    return InvalidRows(f"{name} cannot be read as CSV ({_short(error)}). Mend it, or write it as Parquet")


CSV_FAULTS = {
    "UTF8": f"is not UTF-8 text all through. {SAVE}",
    "straddling": f"has a line of more than {BLOCK / 1e6:.0f} MB, or a quote that is never closed. Mend that line",
    "Empty CSV": "has no rows. The first line names the columns, the rows follow",
}


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
