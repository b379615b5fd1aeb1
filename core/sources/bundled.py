"""Real streams that come with the app, in `data/samples`, in time order."""

from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import InvalidInput
from core.records import Column, Kind, Schema, Task
from core.sources.base import Source

FOLDER = Path(__file__).parent.parent.parent / "data" / "samples"
ORDER = "order"  # the running number of a row, which is its id


@cache
def _table(file: str) -> pa.Table:
    return pq.read_table(FOLDER / file)


def bundled(
    name: str,
    label: str,
    description: str,
    file: str,
    task: Task,
    *,
    categorical: tuple[str, ...] = (),
    ignored: tuple[str, ...] = (),
    event_time: str | None = None,
) -> Source:
    """The stream in this file of `data/samples`; its features are numbers where not named otherwise."""
    names = [column for column in pq.read_schema(FOLDER / file).names if column not in (ORDER, event_time, "target")]
    features = tuple(
        Column(column, Kind.CATEGORICAL if column in categorical else Kind.NUMERIC)
        for column in names
        if column not in ignored
    )
    classes = () if task is Task.REGRESSION else ("0", "1")
    schema = Schema(features, "target", task, classes, ORDER, event_time, ignored)
    rows = pq.read_metadata(FOLDER / file).num_rows

    def read(first: int, last: int) -> pd.DataFrame:
        """The rows at positions [first, last), as many of them as there are."""
        if not 0 <= first <= last:
            raise InvalidInput(f"Rows {first} to {last} cannot be read; choose 0 to {rows}")
        return _table(file).slice(first, last - first).to_pandas()

    return Source(name, label, description, "bundled", schema, read=read, rows=rows)


# Codes of the census, whose size means nothing.
CODES = ("MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "NATIVITY", "DEAR", "DEYE", "DREM", "SEX", "RAC1P")

STREAMS = (
    bundled(
        "electricity", "Electricity prices",
        "Will the price go up? New South Wales, every half hour, 1996 to 1998; the market's rules changed in May 1997.",
        "elec2.parquet", Task.BINARY, event_time="timestamp",
    ),
    bundled(
        "weather", "Rain in Nebraska", "Will it rain? Bellevue, Nebraska, daily, 1949 to 1999; seasons and a slow change.",
        "noaa_weather.parquet", Task.BINARY,
    ),
    bundled(
        "bikes", "Bike rentals", "How many bikes are rented in an hour? Washington DC, 2011 and 2012; growth and seasons.",
        "bike_sharing.parquet", Task.REGRESSION, event_time="timestamp",
    ),
    bundled(
        "employment", "Employment", "Is the person employed? Massachusetts census, by year; the shock of 2020.",
        "employment_ma.parquet", Task.BINARY, categorical=CODES, ignored=("year",),
    ),
)  # fmt: skip
