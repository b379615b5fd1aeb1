"""Is the app itself well, and was it? For whoever keeps it running."""

import html
import json
from datetime import UTC, datetime, timedelta

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core import charts, health, runs
from core.health import Component, State, Uptime
from core.records import Role
from core.store.health import Resources
from core.words import mark
from jobs import JOBS
from pages import ui

PERIODS = {  # span, bars, what a bar is
    "24h": (timedelta(hours=24), 48, mark("24 hours"), mark("one bar: half an hour")),
    "7d": (timedelta(days=7), 56, mark("7 days"), mark("one bar: 3 hours")),
    "30d": (timedelta(days=30), 60, mark("30 days"), mark("one bar: 12 hours")),
}
NAMES = {
    "app": mark("App"), "database": mark("Database"), "scheduler": mark("Scheduler"), "disk": mark("Disk"),
    "mirror": mark("MLflow mirror"), "discord": mark("Discord delivery"), "pictures": mark("Pictures"),
}  # fmt: skip
LOOK = {  # badge colour, icon, word, bar colour, bar height in px
    State.UP: ("green", "check_circle", mark("works"), "#2F9E77", 30),
    State.SLOW: ("orange", "speed", mark("slow"), "#D9822B", 22),
    State.DOWN: ("red", "error", mark("down"), "#C2255C", 14),
    State.UNKNOWN: ("gray", "help", mark("no data"), charts.MUTED, 6),
    State.OFF: ("gray", "do_not_disturb_on", mark("off"), charts.MUTED, 6),
}
DASHBOARD = ui.HERE.parent / "docs" / "grafana.json"


def sentence(seen: tuple[Component, ...]) -> None:
    """How things are, in one sentence with a badge."""
    down = [ui._(NAMES[c.name]) for c in seen if c.state is State.DOWN]
    slow = [ui._(NAMES[c.name]) for c in seen if c.state is State.SLOW]
    dark = [ui._(NAMES[c.name]) for c in seen if c.state is State.UNKNOWN]
    off = [ui._(NAMES[c.name]) for c in seen if c.state is State.OFF]
    told = [
        ui._("Down: {names}.", names=", ".join(down)) if down else "",
        ui._("Slow: {names}.", names=", ".join(slow)) if slow else "",
        ui._("Cannot be told: {names}.", names=", ".join(dark)) if dark else "",
        ui._("Not set up: {names}.", names=", ".join(off)) if off else "",
    ]
    text = " ".join(part for part in told if part)
    if down or slow:
        ui.verdict("red" if down else "orange", "error" if down else "speed", ui._("In trouble"), text)
    else:
        ui.verdict("green", "check_circle", ui._("Works"), text or ui._("Everything that is looked at works."))


def bar_row(shown: pd.DataFrame, span: timedelta, bars: int, now: datetime, label: str) -> str:
    """The bars of one component as HTML: full height works, shorter is trouble, a dash is no data."""
    found = {int(bar): (State(state), known) for bar, state, known in shown[["bar", "state", "known"]].to_numpy()}
    spans = []
    for bar in range(bars):
        state, known = found.get(bar, (State.UNKNOWN, 0.0))
        _, _, word, color, height = LOOK[state]
        tip = f"{ui.when(now - span + bar * span / bars)} · {ui._(word)}"
        if 0 < known < 0.95:
            tip += " · " + ui._("{share:.0%} of it is known", share=known)
        spans.append(
            f'<span title="{html.escape(tip)}" style="flex:1 1 0;min-width:2px;max-width:14px;height:{height}px;'
            f'border-radius:3px;background:{color}"></span>'
        )
    return (
        f'<div role="img" aria-label="{html.escape(label)}" style="display:flex;align-items:flex-end;gap:2px;'
        f'height:30px;overflow:hidden">{"".join(spans)}</div>'
    )


def share(found: Uptime | None) -> str:
    """Uptime of the time that is known, and how much of it is not."""
    if found is None or found.share is None:
        return ui._("unknown")
    text = f"**{ui._('{share:.1%}', share=found.share)}**"
    unknown = 1 - found.known / found.of
    return text if unknown < 0.01 else text + " " + ui._(":small[of {known:.0%} known]", known=1 - unknown)


def components(seen: tuple[Component, ...], now: datetime, period: str) -> None:
    span, bars, words, each = PERIODS[period]
    shown = health.history(ui.ctx(), now, span=span, bars=bars)
    day, month = (health.uptime(ui.ctx(), now, span=of) for of in (timedelta(days=1), timedelta(days=30)))
    with ui.card(
        st, ui._("Did it work, over {span}?", span=ui._(words)),
        ui._("{each} · full height: works · shorter: slow or down · a dash: no data, off or not known", each=ui._(each)),
        help=ui._("Looked at each minute. An app that is down or asleep cannot note it: such minutes are no data, and "
                  "are neither counted as working nor as down. Watch /health from outside to know."),
    ):  # fmt: skip
        for one in seen:
            color, icon, word, *_ = LOOK[one.state]
            name, row, uptime = st.columns([1.9, 3.9, 1.9], vertical_alignment="center", gap="small")
            name.markdown(
                f":{color}[:material/{icon}:] **{ui._(NAMES[one.name])}** :small[{ui._(word)}]  \n"
                f":small[{ui.md(ui.sentence(one.reason))}]"
            )
            of_it = day.get(one.name)
            told = ui._("{name}: worked in {share:.1%} of the time known in 24 hours", name=ui._(NAMES[one.name]),
                        share=of_it.share) if of_it and of_it.share is not None else ui._(
                "{name}: nothing is known of the last 24 hours", name=ui._(NAMES[one.name]))  # fmt: skip
            row.html(bar_row(shown[shown["component"] == one.name], span, bars, now, told))
            uptime.markdown(ui._("24 h: {day}  \n30 d: {month}", day=share(of_it), month=share(month.get(one.name))))


@st.cache_resource(ttl=60, max_entries=40, show_spinner=False)
def trend(column: str, period: str, minute: int, data_dir: str) -> go.Figure:
    """The figure of one resource, built once a minute."""
    span, bars, *_ = PERIODS[period]
    frame = health.measured(ui.ctx(), datetime.fromtimestamp(minute * 60, UTC), span=span, bars=2 * bars)
    scale = {"memory_bytes": 1e-6, "disk_free_bytes": 1e-9}.get(column, 1.0)
    return charts.trend(frame["at"], frame[column] * scale, percent=column == "cpu")


def resources(now: datetime, period: str) -> None:
    """CPU, memory, disk and response times: now, and over the period."""
    found = health.newest(ui.ctx())
    fresh = found[1] if found and now - found[0] <= health.STALE else Resources(None, None, None, None)

    def text(value: float | None, words: str, unit: float = 1.0) -> str:
        return ui._("unknown") if value is None else ui._(words, value=value / unit)

    values = {
        "cpu": (mark("CPU of the machine"), text(fresh.cpu, mark("{value:.0%}"))),
        "memory_bytes": (mark("Memory of the app"), text(fresh.memory_bytes, mark("{value:,.0f} MB"), 1e6)),
        "disk_free_bytes": (mark("Free disk"), text(fresh.disk_free_bytes, mark("{value:,.1f} GB"), 1e9)),
        "p95_ms": (mark("Response p95"), text(fresh.p95_ms, mark("{value:,.0f} ms"))),
    }
    helps = {
        "cpu": mark("Busy share of all processors, the mean of each minute."),
        "memory_bytes": mark("Resident memory of the app and its workers."),
        "disk_free_bytes": mark("Where the data lies."),
        "p95_ms": mark("95 % of the HTTP requests of a minute took at most this long; unknown while nothing is asked."),
    }
    grid = st.grid(4, min_column_width=200, gap="small")
    for column, (label, value) in values.items():
        with grid.container(border=True, height="stretch", gap="xsmall"):
            st.metric(ui._(label), value, help=ui._(helps[column]))
            figure = trend(column, period, int(now.timestamp()) // 60, str(ui.ctx().settings.data_dir))
            ui.chart(figure, key=f"trend-{column}", alt=f"{ui._(label)}: {value}")


@st.fragment(run_every="30s")
def live(period: str) -> None:
    now = datetime.now(UTC)
    seen = health.survey(ui.ctx(), now)
    sentence(seen)
    components(seen, now, period)
    resources(now, period)


def last_runs() -> None:
    states = runs.job_states(ui.ctx(), [job.name for job in JOBS])
    rows = [
        (
            ui._(job.label),
            ui.ago(state.last_at) if state.last_at else ui._("not yet"),
            ui._(str(state.last_outcome)) if state.last_outcome else "",
            ui._("paused") if state.paused or (not state.changed_at and not job.enabled_by_default) else "",
        )
        for job, state in ((job, states[job.name]) for job in JOBS)
    ]
    with ui.card(st, ui._("What ran last?"), ui._("Every job with its newest attempt; Automation has the history.")):
        names = [ui._("Job"), ui._("Last run"), ui._("How it went"), ui._("Timetable")]
        st.dataframe(pd.DataFrame(rows, columns=names), hide_index=True)
        ui.link("automation", ui._("Automation"), ":material/event_repeat:")


def outside() -> None:
    """How to watch the app from elsewhere: it cannot tell itself that it is down."""
    url = ui.base_url()
    with ui.card(
        st, ui._("Who watches from outside?"), ui._("An app cannot tell that it is down; something elsewhere can.")
    ):
        st.markdown(f"[{url}/health]({url}/health): " + ui._("200 when it works, 503 when not. Open to all.") + "  \n"
                    f"`{url}/metrics`: " + ui._("numbers for Prometheus, with a token of Admin."))  # fmt: skip
        kuma, prometheus, grafana = st.tabs(["Uptime Kuma", "Prometheus", "Grafana"])
        kuma.markdown(ui._("Add a monitor with these settings:"))
        kuma.code(
            json.dumps(
                {"type": "keyword", "url": f"{url}/health", "keyword": '"status":"ok"', "interval": 60, "maxretries": 2,
                 "accepted_statuscodes": ["200"]}, indent=2,
            ), language="json",
        )  # fmt: skip
        prometheus.markdown(
            ui._("Add this to `scrape_configs` of prometheus.yml, and keep a token in the file it names:")
        )
        scheme, _, host = url.partition("://")
        prometheus.code(
            f"- job_name: continual-ml\n  scheme: {scheme}\n  metrics_path: /metrics\n  authorization:\n"
            f"    credentials_file: /etc/prometheus/continual-ml.token\n  static_configs:\n"
            f"    - targets: ['{host.rstrip('/')}']", language="yaml",
        )  # fmt: skip
        grafana.markdown(ui._("Import this dashboard: Dashboards, New, Import."))
        if DASHBOARD.exists():
            grafana.download_button(
                ui._("Dashboard for Grafana"), DASHBOARD.read_bytes(), "continual-ml.json", "application/json",
                icon=":material/download:", on_click="ignore",
            )  # fmt: skip


ui.require(Role.VIEWER)
with ui.page_head(ui._("Health")):
    period = ui.choice("period", ui._("Period"), {code: words for code, (_, _, words, _) in PERIODS.items()})
live(period)
last_runs()
outside()
