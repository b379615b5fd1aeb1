"""What Prometheus reads: counts from the store, in its text format (version 0.0.4)."""

from collections.abc import Callable, Iterator
from datetime import datetime

from core import health, incidents, projects
from core.context import Context
from core.store import decisions, labels, models, predictions, rows
from core.store import runs as run_store

Sample = tuple[dict[str, str], float]

MEASURED = {
    "cpu": ("cpu_ratio", "Busy share of the machine's processors."),
    "memory_bytes": ("memory_bytes", "Resident memory of the app and its workers."),
    "disk_free_bytes": ("disk_free_bytes", "Free space where the data lies."),
    "p95_ms": ("request_p95_milliseconds", "95 % of the HTTP requests of the last minute took at most this long."),
}


def text(ctx: Context, now: datetime) -> str:
    """All metrics as Prometheus text."""
    lines = []
    for name, kind, help_, samples in _families(ctx, now):
        lines += [f"# HELP {name} {help_}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{_labels(with_)} {value:g}" for with_, value in samples]
    return "\n".join(lines) + "\n"


def _families(ctx: Context, now: datetime) -> Iterator[tuple[str, str, str, list[Sample]]]:
    active = projects.active(ctx)
    with ctx.database.read() as con:
        by_project: dict[str, tuple[str, str, Callable[[str], float]]] = {
            "continual_rows_total": ("counter", "Rows stored.", lambda p: rows.count(con, p)),
            "continual_labels_total": ("counter", "Labels that have arrived.", lambda p: labels.count(con, p)),
            "continual_predictions_total": ("counter", "Answers given.", lambda p: predictions.count(con, p)),
            "continual_label_maturity_ratio": (
                "gauge", "Share of rows whose label has arrived.",
                lambda p: labels.count(con, p) / max(rows.count(con, p), 1),
            ),
            "continual_champion_version": (
                "gauge", "Version of the champion, 0 when there is none.", lambda p: models.champion_number(con, p),
            ),
        }  # fmt: skip
        for name, (kind, help_, value) in by_project.items():
            yield name, kind, help_, [({"project": project.id}, float(value(project.id))) for project in active]
        yield (
            "continual_decisions_total", "counter", "Ledger rows.",
            [({"project": p, "action": action}, float(n)) for p, action, n in decisions.counts(con)],
        )  # fmt: skip
        yield (
            "continual_job_attempts", "gauge", "Attempts of jobs still kept in the history.",
            [({"job": job, "outcome": outcome}, float(n)) for job, outcome, n in run_store.counts(con)],
        )  # fmt: skip
    yield (
        "continual_healthy", "gauge", "1 when the component is well.",
        [({"component": c.name}, float(c.healthy)) for c in health.check(ctx, now)],
    )  # fmt: skip

    yield "continual_incidents_open", "gauge", "Incidents that are not over.", [({}, float(incidents.count_open(ctx)))]
    found = health.newest(ctx)
    if found and now - found[0] <= health.STALE:  # what is not known now is left out
        for name, value in vars(found[1]).items():
            if value is not None:
                yield f"continual_{MEASURED[name][0]}", "gauge", MEASURED[name][1], [({}, float(value))]


def _labels(labels: dict[str, str]) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""
