"""Has the data moved, is the model still good, are the labels coming?"""

import streamlit as st

from core import charts, performance
from core.records import Project, Role
from core.store import decisions, models, performances, rows
from pages import ui


def drift(project: Project) -> None:
    with ui.ctx().database.read() as con:
        scores = decisions.scores(con, project.id, windows=90)
    if scores.empty:
        st.info("No window has been judged yet. Drift is judged whenever a whole window of rows has come in.")
        return
    with ui.card(
        st, "Which features moved, when?", "Each window against the rows the champion of that time was trained on"
    ):
        ui.chart(charts.drift_heatmap(scores), key="heatmap", alt="Drift score over its limit, by feature and window")
    newest = scores[scores["window_number"] == scores["window_number"].max()]
    with ui.card(st, "How did it change?"):
        worst = newest.sort_values("value", ascending=False)["feature"]
        names = [name for name in dict.fromkeys(worst) if name in project.schema.names]
        feature = st.selectbox("Feature", names, key="feature", bind="query-params")
        with ui.ctx().database.read() as con:
            reign = models.reign(con, project.id)
            champion = models.get(con, project.id, reign.version) if reign else None
            size = ui.policy(project).window_rows
            count = rows.count(con, project.id)
            current = rows.span(con, project.id, project.schema, max(count - size, 0), count)
            reference = (
                rows.span(con, project.id, project.schema, champion.first, champion.last) if champion else current
            )
        ui.chart(
            charts.distribution(reference[feature], current[feature], name=feature), key="distribution",
            alt=f"Distribution of {feature}: the champion's training rows against the newest window",
        )  # fmt: skip
        st.dataframe(
            newest[newest["feature"] == feature][["metric", "value", "threshold", "drifting"]], hide_index=True
        )


def scores_over_time(project: Project) -> None:
    with ui.ctx().database.read() as con:
        scores = performances.latest(con, project.id)
    if scores.empty:
        st.info("No window has labels yet. Scores appear when the labels of answered rows arrive.")
        return
    metrics = list(dict.fromkeys(scores["metric"]))
    metric = st.selectbox("Score", metrics, format_func=performance.label, key="metric", bind="query-params")
    with ui.card(
        st,
        "Is the model still good?",
        "Each window scored before anything was trained on it; hollow: labels still missing",
    ):
        ui.chart(
            charts.performance(scores[scores["metric"] == metric], label=performance.label(metric)), key="scores",
            alt=f"{performance.label(metric)} by window with its 95 % interval",
        )  # fmt: skip
        newest = scores[scores["window_number"] == scores["window_number"].max()]
        st.dataframe(newest[["metric", "value", "low", "high", "rows", "maturity"]], hide_index=True)
    with ui.card(st, "Are the labels coming?", "Share of each window's labels that have arrived"):
        ui.chart(charts.label_arrival(scores), key="arrival", alt="Share of labels that have arrived, by window")


ui.require(Role.VIEWER)
project = ui.project()
ui.page_head("Monitoring")
if project is None:
    ui.no_project()
    st.stop()
first, second = st.tabs(["Drift", "Performance"])
with first:
    drift(project)
with second:
    scores_over_time(project)
