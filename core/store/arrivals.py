"""Rows arrive with what belongs to them: ids, labels, and what the champion answered. Written in one go."""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from duckdb import DuckDBPyConnection

from core.store import labels, predictions, rows


@dataclass(frozen=True)
class Arrival:
    """Conformed rows on their way in. All series and frames have one line a row, in the same order.

    ``row_ids`` is None where the store shall number them; ``labels`` is text, None where not known yet;
    ``answers`` has answer (text) and probabilities (list of float, or None).
    """

    project: str
    features: pd.DataFrame
    source: str
    arrived_at: datetime
    added_by: str
    row_ids: pd.Series | None = None
    event_times: pd.Series | None = None
    labels: pd.Series | None = None
    answers: pd.DataFrame | None = None
    version: int | None = None
    latency_ms: float = 0.0


def write(con: DuckDBPyConnection, arrival: Arrival) -> tuple[int, int, int]:
    """Store the arrival; return its span of positions and how many labels are known of it."""
    first = rows.count(con, arrival.project)
    last = first + len(arrival.features)
    batch = rows.next_batch(con)
    positions = pd.RangeIndex(first, last)
    ids = arrival.row_ids if arrival.row_ids is not None else pd.Series(positions).astype(str)
    rows.append(con, arrival.project, arrival.features, ids, arrival.event_times, first=first, batch=batch)
    known = 0
    if arrival.labels is not None:
        frame = pd.DataFrame({"position": positions, "value": arrival.labels.to_numpy(dtype=object)})
        known = labels.append(con, arrival.project, frame, arrived_at=arrival.arrived_at, source=arrival.source)
    known += labels.settle_early(con, arrival.project, first, last)
    if arrival.answers is not None and arrival.version is not None:
        frame = arrival.answers.reset_index(drop=True).assign(position=positions)
        predictions.append(
            con, arrival.project, frame, version=arrival.version, predicted_at=arrival.arrived_at,
            latency_ms=arrival.latency_ms,
        )  # fmt: skip
    rows.insert_batch(
        con, batch, arrival.project, source=arrival.source, arrived_at=arrival.arrived_at, first=first, last=last,
        labels=known, added_by=arrival.added_by,
    )  # fmt: skip
    return first, last, known
