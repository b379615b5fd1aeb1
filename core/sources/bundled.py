"""Real streams that come with the app, in `data/samples`, in time order."""

from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

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
    event_time: str | None = None,
) -> Source:
    """The stream in this file of `data/samples`; columns not named otherwise are numbers."""
    metadata = pq.read_schema(FOLDER / file)
    features = tuple(
        Column(column, Kind.CATEGORICAL if column in categorical else Kind.NUMERIC)
        for column in metadata.names if column not in (ORDER, event_time, "target")
    )  # fmt: skip
    classes = () if task is Task.REGRESSION else ("0", "1")

    def read(first: int, last: int) -> pd.DataFrame:
        return _table(file).slice(first, last - first).to_pandas()

    return Source(
        name, label, description, "bundled", Schema(features, "target", task, classes, ORDER, event_time), read=read,
        rows=pq.read_metadata(FOLDER / file).num_rows,
    )  # fmt: skip


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
        "employment_ma.parquet", Task.BINARY,
    ),
)  # fmt: skip
