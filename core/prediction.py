"""Ask the champion, and keep what it said."""

import time
from datetime import datetime
from uuid import uuid4

import numpy as np
import pandas as pd

from core import auth, estimators, recent
from core import schema as schemas
from core.context import Context
from core.errors import InvalidRows, NoChampion, NotFound
from core.records import ModelVersion, Project, Role, User
from core.store import models, rows
from core.store.arrivals import Arrival

MOST_ROWS = 100_000  # in one call


def champion(ctx: Context, project: Project) -> ModelVersion | None:
    """The version that answers now; None before the first promotion."""
    with ctx.database.read() as con:
        reign = models.reign(con, project.id)
        return models.get(con, project.id, reign.version) if reign else None


def version(ctx: Context, project: Project, number: int) -> ModelVersion:
    """This version of the project's models. Raises NotFound."""
    with ctx.database.read() as con:
        model = models.get(con, project.id, number)
    if model is None:
        raise NotFound(f"Project {project.name!r} has no model version {number}")
    return model


def predict(
    ctx: Context, user: User, project: Project, frame: pd.DataFrame, *, source: str, now: datetime
) -> pd.DataFrame:
    """One line a row, in order: row_id, answer, probability (of the answer; None for a regression), version, latency_ms.

    Each row and answer is kept, so that its label can find it later by ``row_id``.
    Raises NoChampion, InvalidRows (nothing was answered or kept).
    """
    auth.require(ctx, user, Role.OPERATOR)
    began = time.perf_counter()
    if not 1 <= len(frame) <= MOST_ROWS:
        raise InvalidRows(f"{len(frame)} rows to predict; 1 to {MOST_ROWS:,} can be asked for in one call")
    conformed = schemas.conform(frame, project.schema, with_target="none")
    model = champion(ctx, project)
    if model is None:
        raise NoChampion(f"Project {project.name!r} has no champion yet. Train a first model on the Models page")
    answers = answer(ctx, project, model, conformed.features, ctx.log.before(project))
    ids = conformed.row_ids
    if ids is None:
        ids = pd.Series([uuid4().hex for _ in range(len(frame))], dtype=object)
    else:
        _refuse_known(ctx, project, ids)
    latency_ms = (time.perf_counter() - began) * 1000
    ctx.log.add(
        Arrival(
            project.id, conformed.features, source, now, user.name, row_ids=ids, event_times=conformed.event_times,
            answers=answers, version=model.version, latency_ms=latency_ms,
        )
    )  # fmt: skip
    return pd.DataFrame(
        {
            "row_id": ids.to_numpy(),
            "answer": answers["answer"].to_numpy(),
            "probability": [None if p is None else max(p) for p in answers["probabilities"]],
            "version": model.version,
            "latency_ms": latency_ms,
        }
    )


def answer(
    ctx: Context, project: Project, model: ModelVersion, features: pd.DataFrame, before: pd.DataFrame
) -> pd.DataFrame:
    """What this version says of conformed features: answer (text), probabilities (list in class order, or None).

    ``before`` holds the rows that came in before them (`core.recent`).
    """
    pipeline = ctx.models.get(model, ctx.settings.data_dir)
    inputs = recent.with_recent(features, project.schema, before)
    labels, probabilities = estimators.answers(pipeline, inputs, project.schema)
    said = [None] * len(features) if probabilities is None else list(np.asarray(probabilities, dtype=float))
    texts = labels if project.schema.task.is_classification else [repr(float(value)) for value in labels]
    return pd.DataFrame({"answer": pd.Series(texts, dtype=object), "probabilities": pd.Series(said, dtype=object)})


def _refuse_known(ctx: Context, project: Project, ids: pd.Series) -> None:
    ctx.log.flush()
    with ctx.database.read() as con:
        if known := rows.known_ids(con, project.id, ids):
            raise InvalidRows(f"Row ids that are stored already, such as {', '.join(known)}: give each row a new id")
