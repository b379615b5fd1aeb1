"""Is the model still good, and what did the app do about it?"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core import charts, drift_history, performance, playing, projects, runs, words
from core.records import Action, Project, Role, User, Verdict
from core.sources import SOURCES
from core.store import decisions, labels, models, performances, plays, predictions, rows
from core.words import mark
from pages import ui
from pages.parts import feed, succession

_ = ui._
OWN_STEPS = (
    mark("1. Upload; the columns are recognised, and you confirm them."),
    mark("2. A first model is trained and compared with the trivial answer."),
    mark("3. A backtest on your history suggests a policy, and says what it costs."),
)
EVENTS = (Action.PROMOTE, Action.HOLD, Action.ROLL_BACK, Action.ALERT)


def welcome(user: User) -> None:
    """Three ways in, for an app that has no project yet."""
    ui.page_head(_("Welcome to Continual ML"))
    st.markdown(_("Your model answers; the world changes; this app watches, retrains when it pays, and says why."))
    see, own, connect = st.columns(3)
    with ui.card(
        see, _("See it work"), _("A real stream, played as live traffic: under a minute to its first retrain.")
    ):
        play_form(user)
    with ui.card(own, _("Use my own data"), _("A CSV or Parquet file with the answers in one column.")):
        for step in OWN_STEPS:
            st.markdown(f":small[{_(step)}]")
        ui.link("data", _("Upload on the Data page"), ":material/upload:")
    with ui.card(connect, _("Connect an app"), _("Send rows and labels over HTTP; every answer comes back at once.")):
        st.code(
            f'curl -X POST {ui.base_url()}/predict \\\n  -H "Authorization: Bearer $TOKEN" \\\n'
            '  -H "Content-Type: application/json" \\\n  -d \'{"project": "...", "rows": [{"x": 1.0}]}\'',
            language="bash", wrap_lines=True,
        )  # fmt: skip
        st.caption(_("The first token was shown when the app was set up; an administrator makes others."))


def play_form(user: User) -> None:
    """Choose a bundled stream and play it."""
    streams = {name: source for name, source in SOURCES.items() if source.kind == "bundled"}
    chosen = st.selectbox(_("Stream"), list(streams), format_func=lambda name: _(streams[name].label), key="stream")
    st.caption(_(streams[chosen].description))
    with st.expander(_("Pace"), icon=":material/speed:"):
        speed = st.select_slider(
            _("Rows every two seconds"), [50, 100, 250, 500, 1000, 2000], value=500, key="rows_per_tick"
        )
        delay = st.number_input(_("Labels arrive this many rows later"), 0, 20_000, 0, step=100, key="label_delay")
    if st.button(_("Play {stream}", stream=chosen), type="primary", icon=":material/play_arrow:", key="play"):
        now = datetime.now(UTC)
        with ui.told(), st.spinner(_("Storing the first rows")):
            project = playing.begin(ui.ctx(), user, chosen, rows_per_tick=speed, label_delay_rows=int(delay), now=now)
            runs.request(ui.ctx(), user, "cycle", project.id, now=now)
            ui.choose(project.id)
            st.session_state["tour"] = project.id
            st.rerun()


# ---- the first minute ----------------------------------------------------------------------------
@st.fragment(run_every="1s")
def tour(project: Project) -> None:
    """How far the demo has come, step by step, until it can show why it retrained."""
    with ui.ctx().database.read() as con:
        count, answered = rows.count(con, project.id), predictions.count(con, project.id)
        reign = models.reign(con, project.id)
        entries = decisions.latest(con, project.id, actions=(Action.RETRAIN,), limit=20)
        scored = performances.measured(con, project.id)
    retrain = next((e for e in reversed(entries) if e.reasons[0].code != "first_model"), None)
    with ui.ctx().database.read() as con:
        came = decisions.following(con, retrain.id) if retrain and retrain.id else []
    steps = [
        (_("{rows} rows came in", rows=words.number(count, ui.language())), count > 0),
        (_("A first model was trained and answers"), reign is not None),
        (
            _(
                "{answers} rows were answered before their label was known",
                answers=words.number(answered, ui.language()),
            ),
            answered > 0,
        ),
        (_("{windows} windows scored when labels came", windows=len(scored)), bool(scored)),
        (_("It decided to retrain"), retrain is not None),
        (_("A challenger was compared on rows neither model had seen"), bool(came)),
    ]
    with ui.card(st, _("The first minute"), _("What happens, as it happens. You can leave this page; it goes on.")):
        current = next((i for i, (_text, done) in enumerate(steps) if not done), len(steps))
        for i, (text, done) in enumerate(steps):
            icon = "check_circle" if done else "progress_activity" if i == current else "radio_button_unchecked"
            color = "green" if done else "blue" if i == current else "gray"
            st.markdown(f":{color}[:material/{icon}:] {text}")
        running = [run for run in runs.active(ui.ctx(), project.id) if run.progress]
        if current < len(steps):
            st.caption(ui.heard(running[0].progress) if running else _("waiting for the next rows"))
            return
        assert retrain
        st.success(" ".join(ui.sentence(reason) for reason in retrain.reasons), icon=":material/model_training:")
        if st.button(_("See why it retrained"), type="primary", icon=":material/rule:", key="why"):
            st.session_state.pop("tour", None)
            st.switch_page(str(ui.HERE / "decisions.py"), query_params={"id": str(retrain.id), "project": project.id})


def verdict_of(project: Project) -> None:
    """The newest decision in a sentence, and when the next check is due."""
    with ui.ctx().database.read() as con:
        newest = decisions.latest(con, project.id, actions=ui.JUDGED, limit=1) or decisions.latest(
            con, project.id, limit=1
        )
        running = [run for run in runs.active(ui.ctx(), project.id) if run.job in ("cycle", "retrain")]
    if not newest:
        ui.verdict(
            "gray", "hourglass_empty", _("Unknown"), _("No check has run yet. The first one runs within a minute.")
        )
        return
    entry = newest[0]
    color, icon, word = ui.LOOK[entry.action]
    doing = _("Now: {what}", what=ui.heard(running[0].progress)) if running and running[0].progress else None
    first, *others = (ui.sentence(reason) for reason in entry.reasons)
    ui.verdict(color, icon, _(word), first, foot=" ".join([*others, *([doing] if doing else [])]) or None)


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
    headline = scores[scores["metric"] == metric]
    grid = st.grid(5, min_column_width=165, gap="small")
    last = headline[headline["maturity"] >= 0.999].tail(30)
    grid.metric(
        ui.score_label(metric), words.number(last["value"].iloc[-1], ui.language()) if len(last) else _("unknown"),
        chart_data=last["value"].tolist() if len(last) > 1 else None, border=True, height="stretch",
        help=_("Of the newest window whose labels are all in."),
    )  # fmt: skip
    drift = drift_history.standing(ui.ctx(), project)
    grid.metric(
        _("Drifting features"),
        _("unknown") if drift is None or drift.verdict is Verdict.UNKNOWN else f"{len(drift.moved)} / {len(drift.judged)}",
        border=True, height="stretch",
        help=_("Features past their limit in the newest window, of those that could be judged."),
    )  # fmt: skip
    grid.metric(
        _("Predictions"),
        words.number(answered, ui.language()),
        _("{count:,} in 24 h", count=day),
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
    )
    grid.metric(
        _("Labels in"), _("{value:.0%}", value=labelled / count) if count else _("unknown"), _("{labelled:,} of {count:,} rows", labelled=labelled, count=count),
        delta_color="off", delta_arrow="off", border=True, height="stretch", help=_("Share of all rows whose true answer has arrived."),
    )  # fmt: skip
    champion = succession.stood_in_for(succession.remembered(project))
    stands = None if reign is None else _("since {when}", when=ui.when(reign.began_at))
    if stands and champion:
        stands = _("stands in for v{champion} {since}", champion=champion, since=stands)
    grid.metric(
        _("Champion"), f"v{reign.version}" if reign else _("none"),
        stands, delta_color="off", delta_arrow="off", border=True, height="stretch",
    )  # fmt: skip


def nothing_scored(project: Project) -> str:
    """Why no score is shown yet, and what brings the first."""
    with ui.ctx().database.read() as con:
        labelled, reign = labels.count(con, project.id), models.reign(con, project.id)
    if labelled and reign:
        return mark("The rows so far came together with their labels: no model had to answer them, so none is scored."
                    " Send new rows; scores appear when the labels of answered rows arrive.")  # fmt: skip
    return mark("No window has labels yet. Scores appear when the labels of answered rows arrive.")


@st.cache_resource(max_entries=32, show_spinner=False)
def performance_figure(
    drawn_from: tuple[Any, ...], metric: str, _scores: pd.DataFrame, _marks: Sequence[tuple[int, str, str]]
) -> go.Figure:
    return charts.performance(_scores, _marks, language=ui.language(), label=ui.score_label(metric))


@st.cache_resource(max_entries=32, show_spinner=False)
def drift_figure(drawn_from: tuple[Any, ...], _drift: pd.DataFrame) -> go.Figure:
    return charts.drift_count(_drift, language=ui.language())


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
        left,
        _("Is the model still good?"),
        _("{score} a window, scored before training on it", score=ui.score_label(metric)),
    ):
        shown = scores[scores["metric"] == metric]
        if shown.empty:
            st.info(_(nothing_scored(project)))
        else:
            marks = [(e.window_number, e.action, f"{_(ui.LOOK[e.action][2])} v{e.version}") for e in events
                     if e.window_number is not None]  # fmt: skip
            drawn_from = (*ui.drawn_for(project), str(shown["measured_at"].max()), tuple(marks))
            ui.chart(
                performance_figure(drawn_from, metric, shown, marks),
                key="performance",
                alt=_("{label} by window with its 95 % interval", label=ui.score_label(metric)),
            )
        if not drift.empty:
            st.caption(_("Features past their drift limit"))
            ui.chart(
                drift_figure(
                    (*ui.drawn_for(project), int(drift["decision"].max())),
                    drift[drift["feature"].isin(project.schema.names)],
                ),
                key="drift_count",
                alt=_("Number of drifting features by window"),
            )
    with ui.card(right, _("What did it do, and why?")):
        for entry in newest:
            ui.entry(entry, brief=True)
        if not newest:
            st.caption(_("Nothing yet: the first check decides."))
        ui.link("decisions", _("All decisions"), ":material/rule:")


def controls(user: User, project: Project, actions) -> None:  # type: ignore[no-untyped-def]
    now = datetime.now(UTC)
    with ui.ctx().database.read() as con:
        play = plays.get(con, project.id)
    if play is not None:
        word, icon = (_("Pause stream"), "pause") if play.playing else (_("Resume stream"), "play_arrow")
        if actions.button(word, icon=f":material/{icon}:", key="pace"):
            with ui.told():
                playing.set_pace(ui.ctx(), user, project, playing=not play.playing, now=now)
            st.rerun()
    if actions.button(_("Check now"), type="primary", icon=":material/troubleshoot:", key="check"):
        with ui.told():
            runs.request(ui.ctx(), user, "cycle", project.id, now=now)
            st.toast(_("The check starts within a second"))


user = ui.require(Role.VIEWER)
project = ui.project()
if project is None:
    welcome(user)
    st.stop()
actions = ui.page_head(_("Overview"))
controls(user, project, actions)
feed.blocked(user, project)
succession.waits(project)
if st.session_state.get("tour") == project.id:
    tour(project)
live(project.id)
