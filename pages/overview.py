"""Is the model still good, and what did the app do about it?"""

from datetime import UTC, datetime, timedelta

import streamlit as st

from core import charts, performance, playing, projects, reasons, runs
from core.records import Action, Project, Role, User
from core.sources import SOURCES
from core.store import decisions, labels, models, performances, plays, predictions, rows
from pages import ui

EVENTS = (Action.PROMOTE, Action.HOLD, Action.ROLL_BACK, Action.ALERT)


def welcome(user: User) -> None:
    """Three ways in, for an app that has no project yet."""
    ui.page_head("Welcome to Continual ML")
    st.markdown("Your model answers; the world changes; this app watches, retrains when it pays, and says why.")
    see, own, connect = st.columns(3)
    with ui.card(see, "See it work", "A real stream, played as live traffic."):
        play_form(user)
    with ui.card(own, "Use my own data", "A CSV or Parquet file with the answers in one column."):
        ui.link("data", "Upload on the Data page", ":material/upload:")
    with ui.card(connect, "Connect an app", "Send rows and labels over HTTP."):
        st.code('curl -X POST "$URL/predict" -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\\n'
                '  -d \'{"project": "...", "rows": [{"x": 1.0}]}\'', language="bash")  # fmt: skip


def play_form(user: User) -> None:
    """Choose a bundled stream and play it."""
    streams = {name: source for name, source in SOURCES.items() if source.kind == "bundled"}
    chosen = st.selectbox("Stream", list(streams), format_func=lambda name: streams[name].label, key="stream")
    st.caption(streams[chosen].description)
    speed = st.select_slider("Rows a tick", [50, 100, 250, 500, 1000, 2000], value=500, key="rows_per_tick")
    delay = st.number_input("Labels arrive this many rows later", 0, 20_000, 0, step=100, key="label_delay")
    if st.button(f"Play {chosen}", type="primary", icon=":material/play_arrow:", key="play"):
        now = datetime.now(UTC)
        with ui.told(), st.spinner("Storing the first rows"):
            project = playing.begin(ui.ctx(), user, chosen, rows_per_tick=speed, label_delay_rows=int(delay), now=now)
            runs.request(ui.ctx(), user, "cycle", project.id, now=now)
            ui.choose(project.id)
            st.rerun()


def verdict_of(project: Project) -> None:
    """The newest decision in a sentence, and when the next check is due."""
    with ui.ctx().database.read() as con:
        newest = decisions.latest(con, project.id, actions=ui.JUDGED, limit=1) or decisions.latest(
            con, project.id, limit=1
        )
        running = [run for run in runs.active(ui.ctx(), project.id) if run.job in ("cycle", "retrain")]
    if not newest:
        ui.verdict("gray", "hourglass_empty", "Unknown", "No check has run yet. The first one runs within a minute.")
        return
    entry = newest[0]
    color, icon, word = ui.LOOK[entry.action]
    doing = f"Now: {running[0].progress}" if running and running[0].progress else None
    ui.verdict(color, icon, word, " ".join(reasons.sentence(reason) for reason in entry.reasons), foot=doing)


def tiles(project: Project, scores) -> None:  # type: ignore[no-untyped-def]
    metric = performance.headline(project.schema)
    now = datetime.now(UTC)
    with ui.ctx().database.read() as con:
        reign = models.reign(con, project.id)
        answered, day = (
            predictions.count(con, project.id),
            predictions.count(con, project.id, since=now - timedelta(days=1)),
        )
        count, labelled = rows.count(con, project.id), labels.count(con, project.id)
        drift = decisions.scores(con, project.id, windows=1)
    headline = scores[scores["metric"] == metric]
    grid = st.grid(5, min_column_width=165, gap="small")
    last = headline[headline["maturity"] >= 0.999].tail(30)
    grid.metric(
        performance.label(metric), f"{last['value'].iloc[-1]:.3f}" if len(last) else "unknown",
        chart_data=last["value"].tolist() if len(last) > 1 else None, border=True, height="stretch",
        help=f"{performance.label(metric)} of the newest window whose labels are all in.",
    )  # fmt: skip
    moved = drift[drift["feature"].isin(project.schema.names)]
    drifting = int(moved.groupby("feature")["drifting"].any().sum()) if len(drift) else None
    grid.metric(
        "Drifting features", "unknown" if drifting is None else f"{drifting} / {len(project.schema.names)}",
        border=True, height="stretch", help="Features past their limit in the newest window.",
    )  # fmt: skip
    grid.metric("Predictions", f"{answered:,}", f"{day:,} in 24 h", delta_color="off", border=True, height="stretch")
    grid.metric(
        "Labels in", f"{labelled / count:.0%}" if count else "unknown", f"{labelled:,} of {count:,} rows",
        delta_color="off", border=True, height="stretch", help="Share of all rows whose true answer has arrived.",
    )  # fmt: skip
    grid.metric(
        "Champion", f"v{reign.version}" if reign else "none",
        f"since {ui.when(reign.began_at)}" if reign else None, delta_color="off", border=True, height="stretch",
    )  # fmt: skip


@st.fragment(run_every="3s")
def live(project_id: str) -> None:
    """Everything that moves, refreshed without touching the rest of the page."""
    project = projects.get(ui.ctx(), project_id)
    verdict_of(project)
    with ui.ctx().database.read() as con:
        scores = performances.latest(con, project.id)
        events = decisions.latest(con, project.id, actions=EVENTS, limit=60)
        newest = decisions.latest(con, project.id, actions=ui.JUDGED, limit=8)
        drift = decisions.scores(con, project.id, windows=120)
    tiles(project, scores)
    left, right = st.columns([2.1, 1], gap="small")
    metric = performance.headline(project.schema)
    with ui.card(
        left, "Is the model still good?", f"{performance.label(metric)} a window, scored before training on it"
    ):
        shown = scores[scores["metric"] == metric]
        if shown.empty:
            st.info("No window has labels yet. Scores appear when the first labels of answered rows arrive.")
        else:
            marks = [(e.window_number, e.action, f"{ui.LOOK[e.action][2]} v{e.version}") for e in events
                     if e.window_number is not None]  # fmt: skip
            figure = charts.performance(shown, marks, label=performance.label(metric))
            ui.chart(figure, key="performance", alt=f"{performance.label(metric)} by window with its interval")
        if not drift.empty:
            st.caption("Features past their drift limit")
            ui.chart(charts.drift_count(drift), key="drift_count", alt="Number of drifting features by window")
    with ui.card(right, "What did it do, and why?"):
        for entry in newest:
            ui.entry(entry)
        if not newest:
            st.caption("Nothing yet: the first check decides.")
        ui.link("decisions", "All decisions", ":material/rule:")


def controls(user: User, project: Project, actions) -> None:  # type: ignore[no-untyped-def]
    now = datetime.now(UTC)
    with ui.ctx().database.read() as con:
        play = plays.get(con, project.id)
    if play is not None:
        word, icon = ("Pause stream", "pause") if play.playing else ("Resume stream", "play_arrow")
        if actions.button(word, icon=f":material/{icon}:", key="pace"):
            with ui.told():
                playing.set_pace(ui.ctx(), user, project, playing=not play.playing, now=now)
            st.rerun()
    if actions.button("Check now", type="primary", icon=":material/troubleshoot:", key="check"):
        with ui.told():
            runs.request(ui.ctx(), user, "cycle", project.id, now=now)
            st.toast("The check starts within a second")


user = ui.require(Role.VIEWER)
project = ui.project()
if project is None:
    welcome(user)
    st.stop()
actions = ui.page_head("Overview")
controls(user, project, actions)
live(project.id)
