"""Ask the champion: one row, a file, or from code."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import streamlit as st

from core import prediction, reading, recent
from core.records import Column, Kind, Project, Role, User
from core.store import predictions, rows
from pages import ui

_ = ui._


def field(column: Column, example: Any) -> Any:
    """One input of the form, made from the schema; left empty it is missing."""
    label, key = column.name, f"feature-{column.name}"
    if column.kind is Kind.NUMERIC:
        return st.number_input(ui.md(label), value=None if pd.isna(example) else float(example), format="%g", key=key)
    if column.kind is Kind.BOOLEAN:
        return st.selectbox(ui.md(label), [None, True, False], index=1 if example else 2, key=key)
    return (
        st.text_input(ui.md(label), value="" if example is None or pd.isna(example) else str(example), key=key) or None
    )


def one_row(user: User, project: Project) -> None:
    with ui.ctx().database.read() as con:
        count = rows.count(con, project.id)
        newest = rows.span(con, project.id, project.schema, count - 1, count) if count else None
    with st.form("one_row"):
        columns = st.columns(3)
        values = {}
        for i, column in enumerate(project.schema.features):
            with columns[i % 3]:
                values[column.name] = field(column, None if newest is None else newest[column.name].iloc[0])
        if recent.names(project.schema):
            st.caption(_("The model is also told what was usual in the {rows} rows before.", rows=recent.ROWS))
        asked = st.form_submit_button(_("Predict"), type="primary", icon=":material/bolt:")
    if asked:
        with ui.told():
            answer = prediction.predict(
                ui.ctx(), user, project, pd.DataFrame([values]), source="page", now=datetime.now(UTC)
            ).iloc[0]
            shown = st.columns(4)
            shown[0].metric(_("Answer"), str(answer["answer"]), border=True)
            shown[1].metric(
                _("Probability"),
                _("none") if pd.isna(answer["probability"]) else f"{answer['probability']:.1%}",
                border=True,
            )
            shown[2].metric(_("Model"), f"v{answer['version']}", border=True)
            shown[3].metric(_("Latency"), f"{answer['latency_ms']:.1f} ms", border=True)
            st.caption(_("Row id `{row_id}`: record its true answer on Data under this id.", row_id=answer["row_id"]))


def a_file(user: User, project: Project) -> None:
    file = st.file_uploader(_("CSV or Parquet, up to 100,000 rows"), type=["csv", "tsv", "txt", "parquet", "pq"])
    if file is not None and st.button(_("Predict all rows"), type="primary"):
        with ui.told(), st.spinner(_("Predicting")):
            frames = reading.frames(file, file.name, max_bytes=ui.ctx().settings.upload_megabytes * 1_000_000,
                                    max_rows=prediction.MOST_ROWS)  # fmt: skip
            frame = pd.concat(list(frames), ignore_index=True)
            answers = prediction.predict(ui.ctx(), user, project, frame, source=file.name, now=datetime.now(UTC))
            st.session_state["answers"] = answers
    answered = st.session_state.get("answers")
    if answered is not None:
        st.dataframe(answered, hide_index=True, height=260)
        st.download_button(_("Download answers as CSV"), answered.to_csv(index=False), "answers.csv", "text/csv")


def from_code(project: Project) -> None:
    example = {
        column.name: {Kind.NUMERIC: 0.0, Kind.BOOLEAN: True}.get(column.kind, "text")
        for column in project.schema.features
    }
    st.caption(_("The token was shown once when the app was set up; an administrator can make another."))
    st.code(
        "import httpx\n\n"
        f'answer = httpx.post("{ui.base_url()}/predict", headers={{"Authorization": "Bearer <token>"}},\n'
        f'    json={{"project": {project.id!r}, "rows": [{example!r}]}})\n'
        "print(answer.json())",
        language="python",
    )


@st.fragment(run_every="5s")
def newest(project: Project) -> None:
    with ui.ctx().database.read() as con:
        frame = predictions.newest(con, project.id, limit=20)
    if frame.empty:
        st.info(_("Nothing has been asked yet."))
        return
    frame["probability"] = [None if p is None or not len(p) else max(p) for p in frame["probabilities"]]
    st.dataframe(
        frame[["predicted_at", "answer", "probability", "version", "label"]], hide_index=True, height=260,
        column_config={
            "predicted_at": _("When"), "answer": _("Answer"), "probability": _("Probability"), "version": _("Version"), "label": _("Label")
        },
    )  # fmt: skip


user = ui.require(Role.VIEWER)
project = ui.project()
ui.page_head(_("Predict"), _("Every answer is kept, so that its label can find it"))
if project is None:
    ui.no_project()
    st.stop()
if prediction.champion(ui.ctx(), project) is None:
    st.info(_("There is no champion yet. Train a first model on Models."))
    ui.link("models", _("Models"), ":material/deployed_code:")
    st.stop()
single, batch, code = st.tabs([_("One row"), _("A file"), _("From code")])
with single:
    one_row(user, project)
with batch:
    a_file(user, project)
with code:
    from_code(project)
with ui.card(st, _("The newest answers")):
    newest(project)
