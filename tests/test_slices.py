"""Which parts of the rows are looked at."""

import numpy as np
import pandas as pd
import pytest

from core import sanity
from core.records import Column, Kind, Schema, Task
from core.slices import MOST_SLICES, slices


def wide(columns: int, rows: int = 500) -> tuple[pd.DataFrame, Schema]:
    names = [f"x{i}" for i in range(columns)]
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(rows, columns)), columns=names)
    return frame, Schema(tuple(Column(name, Kind.NUMERIC) for name in names), "y", Task.REGRESSION)


def looked_at(found: dict[str, np.ndarray]) -> set[str]:
    return {name.split(" ")[0] for name in found}


def test_few_columns_have_all_their_slices_in_the_order_of_the_columns() -> None:
    frame, schema = wide(2)
    schema = Schema((*schema.features, Column("c", Kind.CATEGORICAL)), "y", Task.REGRESSION)
    found = slices(frame.assign(c=list("aab" * 166 + "ac")), schema)
    assert [name.split(" ")[:2] for name in found] == [["x0", "<="], ["x0", ">"], ["x1", "<="], ["x1", ">"]] + [
        ["c", "="]
    ] * 3
    assert {name: int(mask.sum()) for name, mask in found.items() if name[0] == "c"} == {
        "c = a": 333,
        "c = b": 166,
        "c = c": 1,
    }


@pytest.mark.parametrize(("columns", "seen"), [(30, 30), (40, 40), (60, 60), (200, 60)])
def test_many_columns_share_the_slices_that_there_are(columns: int, seen: int) -> None:
    found = slices(*wide(columns))
    assert len(found) == MOST_SLICES
    assert len(looked_at(found)) == seen
    assert {"x0", f"x{columns - 1}"} <= looked_at(found)


def test_what_a_challenger_loses_in_the_last_of_many_columns_is_found() -> None:
    frame, schema = wide(40)
    champion, hurt = np.full(500, 0.2), (frame["x39"] <= frame["x39"].quantile(1 / 3)).to_numpy()
    found = sanity.findings(sanity.Trial(champion + hurt, champion=champion, slices=slices(frame, schema)))
    worse = next(reason for reason in found if reason.code == "slice_worse")
    assert worse.params["slice"].startswith("x39 <= ")
