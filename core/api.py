"""The HTTP API: a second door to the same rooms as the pages. The guard has checked token and size before.

Each endpoint calls one verb. What goes wrong is answered as ``{"error", "detail"}`` with a 4xx or 5xx status.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

import pandas as pd
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, Field

from core import context, health, ingest, metrics, prediction, projects, report_html, reports, runs
from core.context import Context
from core.errors import (
    Conflict,
    ContinualError,
    Forbidden,
    InvalidInput,
    NoChampion,
    NotEnoughRows,
    NotFound,
    StorageBusy,
    StorageFailed,
)
from core.records import Project, User

STATUS: tuple[tuple[type[ContinualError], int], ...] = (
    (Forbidden, 403), (NotFound, 404), (Conflict, 409), (NoChampion, 409), (NotEnoughRows, 409), (InvalidInput, 422),
    (StorageBusy, 503), (StorageFailed, 503),
)  # fmt: skip

# A shared report runs nothing, loads nothing, can be framed by nobody, and leaves no trace of its address.
SHARED_HEADERS = {
    "content-security-policy": f"{report_html.POLICY}; frame-ancestors 'none'; sandbox",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-robots-tag": "noindex, nofollow",
}

api = FastAPI(title="Continual ML", version="1", docs_url=None, redoc_url=None)


def _user(request: Request) -> User:
    """Whoever the guard let in; nobody, if the guard is not there."""
    user = request.scope.get("continual.user")
    if not isinstance(user, User):
        raise Forbidden("A token is needed: Authorization: Bearer cml_...")
    return user


Ctx = Annotated[Context, Depends(context.current)]
Who = Annotated[User, Depends(_user)]
Row = dict[str, float | int | bool | str | None]


class Rows(BaseModel):
    """``project`` may be left out when there is just one."""

    project: str | None = None
    rows: list[Row] = Field(min_length=1, max_length=10_000)


class Label(BaseModel):
    row_id: str | int
    value: float | int | bool | str


class Labels(BaseModel):
    project: str | None = None
    labels: list[Label] = Field(min_length=1, max_length=10_000)


class Draw(BaseModel):
    """Rows of a synthetic stream, stored in a project of the stream's own unless one is named."""

    source: str = "linear"
    project: str | None = None
    rows: int = Field(1000, ge=1, le=100_000)
    seed: int = Field(0, ge=0)
    drift: str = "none"
    target_of_drift: str = "concept"
    start: float = Field(0.5, ge=0, le=1)
    magnitude: float = Field(1.0, ge=0, le=10)


class Retrain(BaseModel):
    project: str | None = None
    reason: str = Field("asked for by API", max_length=200)
    estimator: str | None = None


@api.exception_handler(ContinualError)
def show(_request: Request, error: ContinualError) -> JSONResponse:
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status_code=status)


@api.get("/health")
def get_health(ctx: Ctx) -> JSONResponse:
    """200 when database, scheduler and disk are well, else 503."""
    seen = health.check(ctx, datetime.now(UTC))
    well = all(component.healthy for component in seen)
    return JSONResponse(
        {
            "status": "ok" if well else "unhealthy",
            "components": {c.name: {"healthy": c.healthy, "detail": c.detail} for c in seen},
        },
        status_code=200 if well else 503,
    )


@api.get("/metrics", response_class=PlainTextResponse)
def get_metrics(ctx: Ctx, _who: Who) -> PlainTextResponse:
    """Prometheus text."""
    return PlainTextResponse(metrics.text(ctx, datetime.now(UTC)), media_type="text/plain; version=0.0.4")


@api.post("/predict")
def post_predict(body: Rows, ctx: Ctx, who: Who) -> dict[str, Any]:
    """The champion's answer to each row, with the row id its label can be sent under."""
    project = _project(ctx, body.project)
    answers = prediction.predict(ctx, who, project, pd.DataFrame(body.rows), source="api", now=datetime.now(UTC))
    return {
        "project": project.id,
        "predictions": [
            {name: None if pd.isna(value) else value for name, value in line.items()}
            for line in answers.astype(object).to_dict("records")
        ],
    }


@api.post("/labels")
def post_labels(body: Labels, ctx: Ctx, who: Who) -> dict[str, int]:
    """Record true answers by row id; what became of them, counted."""
    offered = pd.DataFrame(
        {"row_id": [x.row_id for x in body.labels], "value": pd.Series([x.value for x in body.labels], dtype=object)}
    )
    told = ingest.record_labels(ctx, who, _project(ctx, body.project), offered, source="api", now=datetime.now(UTC))
    return vars(told)


@api.post("/generate", status_code=201)
def post_generate(body: Draw, ctx: Ctx, who: Who) -> dict[str, Any]:
    """Draw rows of a synthetic stream and store them."""
    receipt, project = ingest.generate(ctx, who, body.source, project=body.project, rows=body.rows, now=datetime.now(UTC),
                                       seed=body.seed, drift=body.drift, target_of_drift=body.target_of_drift,
                                       start=body.start, magnitude=body.magnitude)  # fmt: skip
    return {"project": project.id, "rows": receipt.rows, "labels": receipt.labels, "answered": receipt.answered}


@api.post("/retrain", status_code=202)
def post_retrain(body: Retrain, ctx: Ctx, who: Who) -> dict[str, int]:
    """Ask for a challenger; `GET /runs/{id}` tells how it goes."""
    arguments = {"reason": body.reason, "estimator": body.estimator}
    return {"run": runs.request(ctx, who, "retrain", _project(ctx, body.project).id, arguments, now=datetime.now(UTC))}


@api.get("/runs/{run}")
def get_run(run: int, ctx: Ctx, _who: Who) -> dict[str, Any]:
    """How a run stands."""
    state = runs.get(ctx, run)
    return {"run": state.id, "job": state.job, "project": state.project, "attempt": state.attempt,
            "outcome": state.outcome, "message": state.message, "progress": state.progress}  # fmt: skip


@api.get("/share/{secret:path}", include_in_schema=False)
def get_share(secret: str, ctx: Ctx) -> Response:
    """A shared report, to whoever has its link. What opens nothing is answered alike, whatever the cause."""
    found = reports.shared(ctx, secret, datetime.now(UTC))
    if found is None:
        return PlainTextResponse("There is nothing here.", 404, SHARED_HEADERS)
    return Response(found, 200, SHARED_HEADERS, "text/html; charset=utf-8")


def _project(ctx: Context, asked: str | None) -> Project:
    if asked is not None:
        return projects.get(ctx, asked)
    active = projects.active(ctx)
    if len(active) != 1:
        names = ", ".join(project.id for project in active) or "none yet"
        raise InvalidInput(f"Name the project in the request; there are: {names}")
    return active[0]
