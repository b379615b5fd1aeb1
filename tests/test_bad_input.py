"""What people really upload: each is refused with one sentence and the way out, nothing is half-stored, all goes on."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from core import ingest, projects, reading, schema
from core.errors import ContinualError, InvalidInput, InvalidLabels, InvalidRows, StorageBusy
from core.records import SYSTEM, Column, Kind, Schema, Task
from core.store import labels, rows
from tests.conftest import NOW
from tests.server import ROOT

SCHEMA = Schema(
    (Column("x", Kind.NUMERIC), Column("where", Kind.CATEGORICAL), Column("when 🕰", Kind.TIMESTAMP)),
    "y", Task.BINARY, ("no", "yes"), row_id="id",
)  # fmt: skip
MOST = 10_000_000


@pytest.fixture
def project(ctx):
    return projects.create(ctx, SYSTEM, name="🐟 fish", schema=SCHEMA, now=NOW)


def good(count=4, start=0, **columns):
    frame = pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(start, start + count)], "x": np.arange(count, dtype=float), "where": ["a", "b"] * (count // 2),
            "when 🕰": ["2026-01-31"] * count, "y": ["yes", "no"] * (count // 2),
        }
    )  # fmt: skip
    return frame.assign(**columns)


FILES = {
    "empty": (b"", "empty"),
    "only a header": (b"a,b\n", "no rows"),
    "latin-1": ("a,b\nqualité,1\n".encode("latin-1"), "UTF-8"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0\0\0", "not a text file"),
    "gzip": (b"\x1f\x8b\x08\0" + b"\0" * 20, "compressed"),
    "twice the same column": (b"a,a\n1,2\n", "'a'"),
    "a ragged line": (b"a,b\n1,2\n1,2,3\n", "Row 2"),
    "10,000 columns": (
        (",".join(f"c{i}" for i in range(10_000)) + "\n" + ",".join("1" * 10_000) + "\n").encode(),
        "10,000",
    ),
    "no Parquet": (b"PAR1 but not really", "Parquet"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_read_is_refused_in_one_sentence(case):
    data, says = FILES[case]
    name = "rows.parquet" if "Parquet" in case else "rows.csv"
    with pytest.raises(InvalidRows) as told:
        list(reading.frames(io.BytesIO(data), name, max_bytes=MOST))
    assert says in str(told.value)
    assert "\n" not in str(told.value)
    assert "Traceback" not in str(told.value)


def test_a_file_larger_than_allowed_is_refused_before_it_is_read():
    with pytest.raises(InvalidRows, match="MB"):
        list(reading.frames(io.BytesIO(b"a,b\n" + b"1,2\n" * 1000), "rows.csv", max_bytes=100))


def test_csv_and_parquet_give_the_same_rows_whatever_the_pieces(tmp_path):
    frame = good(100)
    frame.to_parquet(tmp_path / "rows.parquet")
    want = schema.conform(frame, SCHEMA, with_target="required")
    for name, data in (
        ("rows.parquet", (tmp_path / "rows.parquet").read_bytes()),
        ("rows.csv", frame.to_csv(index=False).encode()),
        ("rows.csv", b"\xef\xbb\xbf" + frame.to_csv(index=False, sep=";").encode()),
        ("rows.csv", frame.to_csv(index=False, sep="\t").encode()),
    ):
        for chunk in (7, 1000):
            pieces = list(reading.frames(io.BytesIO(data), name, max_bytes=MOST, chunk=chunk))
            got = schema.conform(pd.concat(pieces, ignore_index=True), SCHEMA, with_target="required")
            pd.testing.assert_frame_equal(got.features, want.features)
            assert got.labels.tolist() == want.labels.tolist()


ROWS = {
    "text in a number column": (good(x=[1, 2, "many", 4]), "many"),
    "infinity": (good(x=[1, np.inf, 2, 3]), "x"),
    "a number beyond reason": (good(x=[1, 1e300, 2, 3]), "x"),
    "a missing column": (good().drop(columns="where"), "where"),
    "an answer nobody knows": (good(y=["yes", "no", "maybe", "no"]), "maybe"),
    "an id twice": (good(id=["a", "b", "a", "c"]), "id"),
    "an empty id": (good(id=["a", None, "b", "c"]), "id"),
    "month first dates": (good(**{"when 🕰": ["01/31/2026"] * 4}), "01/31/2026"),
    "no date at all": (good(**{"when 🕰": ["soon"] * 4}), "soon"),
    "no rows": (good().head(0), "rows"),
}


@pytest.mark.parametrize("case", ROWS)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_stored(ctx, project, case):
    frame, says = ROWS[case]
    ingest.ingest(ctx, SYSTEM, project, good(2, start=100), source="before", now=NOW)
    with pytest.raises(InvalidInput) as told:
        ingest.ingest(ctx, SYSTEM, project, iter([good(4, start=50), frame]), source="bad", now=NOW)
    assert says in str(told.value)
    with ctx.database.read() as con:
        assert (rows.count(con, project.id), labels.count(con, project.id)) == (2, 2)
    assert ingest.ingest(ctx, SYSTEM, project, good(2, start=200), source="after", now=NOW).rows == 2


def test_rows_that_are_stored_already_are_refused_by_name(ctx, project):
    ingest.ingest(ctx, SYSTEM, project, good(), source="first", now=NOW)
    with pytest.raises(InvalidRows, match="r1|r0"):
        ingest.ingest(ctx, SYSTEM, project, good(), source="again", now=NOW)


def test_missing_values_unseen_categories_and_unlabelled_rows_are_fine(ctx, project):
    frame = good(x=[None, 1, None, 2], where=["new", None, "", "a"], y=[None, "yes", "", "no"])
    receipt = ingest.ingest(ctx, SYSTEM, project, frame.assign(extra=1), source="real life", now=NOW)
    assert (receipt.rows, receipt.labels) == (4, 2)
    assert "extra" in receipt.warnings[0]
    with ctx.database.read() as con:
        kept = rows.span(con, project.id, SCHEMA, 0, 4)
    assert kept["where"].tolist() == ["new", None, None, "a"]


@pytest.mark.parametrize("text", ["2026-01-31", "31/01/2026", "31.01.2026", "31 Jan 2026"])
def test_dates_in_four_formats_mean_the_same_day(text):
    got = schema.conform(good(**{"when 🕰": [text] * 4}), SCHEMA, with_target="none")
    assert {str(day.date()) for day in got.features["when 🕰"]} == {"2026-01-31"}


PROPOSALS = {
    "one row": (good(2).head(1), "y", "1 row"),
    "a target that does not exist": (good(), "yy", "'y'"),
    "one class only": (good(y="yes"), "y", "yes"),
    "no answer at all": (good(y=None), "y", "y"),
    "nothing but the target": (good()[["y"]], "y", "y"),
}


@pytest.mark.parametrize("case", PROPOSALS)
def test_a_schema_that_cannot_be_is_not_proposed(case):
    frame, target, says = PROPOSALS[case]
    with pytest.raises(InvalidInput) as told:
        schema.infer(frame, target=target)
    assert says in str(told.value)


def test_a_column_without_a_value_is_left_out_with_a_note():
    found = schema.infer(good(40, nothing=None), target="y", row_id="id")
    assert "nothing" in found.schema.ignored
    assert any("nothing" in note for note in found.notes)


@pytest.mark.parametrize(
    "offered",
    [
        pd.DataFrame({"row_id": ["a"]}),
        pd.DataFrame({"row_id": [], "value": []}),
        pd.DataFrame({"row_id": [None], "value": ["yes"]}),
    ],
)
def test_labels_that_cannot_be_taken(ctx, project, offered):
    with pytest.raises(InvalidLabels):
        ingest.record_labels(ctx, SYSTEM, project, offered, source="test", now=NOW)


def test_a_second_process_is_told_who_holds_the_database(ctx):
    code = "import sys; from pathlib import Path; from core import db; from core.errors import StorageBusy\n"
    code += "try:\n    db.connect(Path(sys.argv[1]))\nexcept StorageBusy as error:\n    print(error)"
    with ctx.database.read():
        told = subprocess.run(
            [sys.executable, "-c", code, str(ctx.database.path)], cwd=ROOT, capture_output=True, text=True, check=True
        )
    assert "in use by another process" in told.stdout
    assert "CONTINUAL_DATA_DIR" in told.stdout
    assert issubclass(StorageBusy, ContinualError)


def test_a_fifth_of_a_million_rows_of_twenty_columns_is_ingested_in_pieces(ctx, tmp_path):
    _ingest_wide(ctx, tmp_path, 200_000)


@pytest.mark.soak
def test_the_whole_million(ctx, tmp_path):
    _ingest_wide(ctx, tmp_path, 1_000_000)


def _ingest_wide(ctx, tmp_path, count):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(count, 19)), columns=[f"c{i}" for i in range(19)])
    frame.assign(y=draw.integers(0, 2, count)).to_parquet(tmp_path / "wide.parquet")
    found = schema.infer(frame.head(100).assign(y=[0, 1] * 50), target="y").schema
    project = projects.create(ctx, SYSTEM, name="wide", schema=found, now=NOW)
    pieces = reading.frames(tmp_path / "wide.parquet", "wide.parquet", max_bytes=1 << 30)
    receipt = ingest.ingest(ctx, SYSTEM, project, pieces, source="wide.parquet", now=NOW)
    assert (receipt.rows, receipt.labels) == (count, count)
    with ctx.database.read() as con:
        kept = rows.span(con, project.id, found, count - 3, count)
    np.testing.assert_array_equal(kept.to_numpy(), frame.tail(3).to_numpy())
