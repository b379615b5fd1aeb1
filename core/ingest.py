"""How rows and labels come in, whoever brings them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from core import auth, prediction, projects, recent
from core import schema as schemas
from core.context import Context
from core.errors import InvalidLabels, InvalidRows, NotFound
from core.records import Project, Role, User
from core.sources import SOURCES
from core.store import arrivals, labels
from core.store import rows as row_store
from core.store.arrivals import Arrival
from core.store.labels import Recorded


@dataclass(frozen=True)
class Receipt:
    """What was stored: rows at positions ``[first, last)``, how many of them have a label and an answer."""

    first: int
    last: int
    labels: int
    answered: int
    warnings: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return self.last - self.first


def ingest(
    ctx: Context,
    user: User,
    project: Project,
    frames: pd.DataFrame | Iterable[pd.DataFrame],
    *,
    source: str,
    now: datetime,
) -> Receipt:
    """Check and store the rows, all or none, and let the champion answer each before any of its labels is used.

    Frames may be a stream: only one is held at a time. Raises InvalidRows with what is wrong and where.
    """
    auth.require(ctx, user, Role.OPERATOR)
    ctx.log.flush()
    first = last = known = answered = 0
    warnings: dict[str, None] = {}
    champion = prediction.champion(ctx, project)
    with ctx.database.write() as con:
        first = last = row_store.count(con, project.id)
        for frame in [frames] if isinstance(frames, pd.DataFrame) else frames:
            conformed = schemas.conform(frame, project.schema, with_target="optional")
            if conformed.row_ids is not None and (known_ids := row_store.known_ids(con, project.id, conformed.row_ids)):
                raise InvalidRows(
                    f"Row ids that are stored already, such as {', '.join(known_ids)}: nothing was stored. "
                    "Remove those rows, or send their labels on their own"
                )
            before = row_store.span(con, project.id, project.schema, max(0, last - recent.ROWS), last)
            answers = prediction.answer(ctx, project, champion, conformed.features, before) if champion else None
            _, last, more = arrivals.write(
                con,
                Arrival(
                    project.id, conformed.features, source, now, user.name,
                    row_ids=conformed.row_ids, event_times=conformed.event_times,
                    labels=None if conformed.labels is None else schemas.label_text(conformed.labels, project.schema),
                    answers=answers, version=champion.version if champion else None,
                ),
            )  # fmt: skip
            known += more
            answered += len(conformed.features) if champion else 0
            warnings |= dict.fromkeys(conformed.warnings)
        if last == first:
            raise InvalidRows("There are no rows in it: nothing was stored. The first line names the columns")
    ctx.log.forget(project)
    return Receipt(first, last, known, answered, tuple(warnings))


def record_labels(
    ctx: Context, user: User, project: Project, offered: pd.DataFrame, *, source: str, now: datetime
) -> Recorded:
    """Record true answers by row id: late, in any order, twice is harmless. ``offered`` has row_id and value.

    A label that differs from the one that stands is kept as a conflict and changes nothing.
    Raises InvalidLabels with what is wrong and where; then nothing was recorded.
    """
    auth.require(ctx, user, Role.OPERATOR)
    if missing := [name for name in ("row_id", "value") if name not in offered]:
        raise InvalidLabels(f"Missing column {missing[0]!r}: labels need the columns row_id and value")
    if not len(offered):
        raise InvalidLabels("There are no labels in it: nothing was recorded")
    if empty := int(offered["row_id"].isna().sum() + offered["value"].isna().sum()):
        raise InvalidLabels(f"{empty} labels have an empty row_id or value: nothing was recorded")
    values = schemas.label_text(offered["value"], project.schema)
    ids = offered["row_id"].map(schemas.id_text)
    ctx.log.flush()  # a label may come at once after its prediction
    with ctx.database.write() as con:
        return labels.record(
            con, project.id, pd.DataFrame({"row_id": ids, "value": values}), arrived_at=now, source=source
        )


def generate(
    ctx: Context, user: User, source: str, *, project: str | None = None, rows: int, now: datetime, **how: Any
) -> tuple[Receipt, Project]:
    """Draw rows of a synthetic stream and ingest them, going on where the project's rows end.

    Without ``project`` they go into the stream's own project, made if need be. ``how`` is what `Source.draw` takes.
    Raises NotFound (no such stream), InvalidInput.
    """
    auth.require(ctx, user, Role.OPERATOR)
    stream = SOURCES.get(source)
    if stream is None or stream.kind != "synthetic":
        raise NotFound(
            f"There is no synthetic stream {source!r}. Choose one of: {', '.join(n for n, s in SOURCES.items() if s.kind == 'synthetic')}"
        )
    own = [known for known in projects.active(ctx) if known.source == source]
    target = projects.get(ctx, project) if project is not None else own[0] if own else None
    offset = 0
    if target is not None:
        with ctx.database.read() as con:
            offset = row_store.count(con, target.id)
    frame = stream.draw(rows, offset=offset, **how)
    if target is None:
        target = projects.create(ctx, user, name=stream.label, schema=stream.schema, source=source, now=now)
    return ingest(ctx, user, target, frame, source=source, now=now), target
