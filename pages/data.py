"""What came in, and how to bring more: play a stream, generate, upload, record labels."""

from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from core import ingest, projects, reading, uploads
from core import schema as schemas
from core.records import Column, Kind, Project, Role, Schema, Task, User
from core.sources import SOURCES
from core.store import labels, rows
from pages import ui

KINDS = [*Kind, "ignored"]
DRIFTS = ("none", "sudden", "gradual", "incremental", "recurring")
WHAT = ("covariate", "label", "concept")


def stored(project: Project) -> None:
    with ui.ctx().database.read() as con:
        count, labelled = rows.count(con, project.id), labels.count(con, project.id)
        waiting, conflicts = labels.waiting(con, project.id), labels.conflicts(con, project.id)
        batches = rows.batches(con, project.id)
        newest = rows.span(con, project.id, project.schema, max(count - 100, 0), count)
    grid = st.grid(4, min_column_width=165, gap="small")
    grid.metric("Rows", f"{count:,}", border=True)
    grid.metric(
        "Labels", f"{labelled:,}", f"{labelled / count:.0%} of rows" if count else None, delta_color="off", border=True
    )
    grid.metric("Labels waiting for their row", f"{waiting:,}", border=True)
    grid.metric("Labels in conflict", f"{len(conflicts):,}", border=True)
    with ui.card(st, "What came in?"):
        if batches.empty:
            st.info("Nothing yet. Generate rows, upload a file, or play a stream.")
        else:
            st.dataframe(
                batches.assign(rows=batches["last"] - batches["first"])[["arrived_at", "source", "rows", "labels", "added_by"]],
                hide_index=True, height=240,
            )  # fmt: skip
    if count:
        with ui.card(st, "The newest rows"):
            st.dataframe(newest.iloc[::-1], height=240)
    if len(conflicts):
        with ui.card(
            st, "Labels that were offered and not taken", "The first label of a row stands; look which is true."
        ):
            st.dataframe(conflicts, hide_index=True, height=200)
    with ui.card(st, "Schema"):
        st.dataframe(
            pd.DataFrame(
                [{"column": c.name, "kind": c.kind} for c in project.schema.features]
                + [{"column": project.schema.target, "kind": f"target, {project.schema.task}"}]
            ),
            hide_index=True, height=240,
        )  # fmt: skip


def generate(user: User) -> None:
    synthetic = {name: source for name, source in SOURCES.items() if source.kind == "synthetic"}
    with st.form("generate"):
        name = st.selectbox("Stream", list(synthetic), format_func=lambda key: synthetic[key].label)
        count = st.number_input("Rows", 10, 100_000, 4000, step=500)
        seed = st.number_input("Seed", 0, 1_000_000, 0)
        drift = st.selectbox("Drift", DRIFTS)
        what = st.selectbox(
            "What drifts", WHAT, help="Covariate: the inputs. Label: how often each answer. Concept: the rule."
        )
        start = st.slider("Drift starts at this share of the rows", 0.0, 1.0, 0.5)
        magnitude = st.slider("How strong", 0.0, 3.0, 1.0)
        sent = st.form_submit_button("Generate rows", type="primary")
    st.caption("They go into the stream's own project, and go on where its rows end.")
    if sent:
        now = datetime.now(UTC)
        with ui.told(), st.spinner("Generating"):
            receipt, target = ingest.generate(
                ui.ctx(), user, name, rows=int(count), seed=int(seed), drift=drift, target_of_drift=what, start=start,
                magnitude=magnitude, now=now,
            )  # fmt: skip
            ui.choose(target.id)
            st.success(
                f"{receipt.rows:,} rows stored, {receipt.labels:,} with their label, {receipt.answered:,} answered."
            )


def upload(user: User, project: Project | None) -> None:
    file = st.file_uploader("CSV or Parquet", type=["csv", "tsv", "txt", "parquet", "pq"], key="file")
    if file is None:
        st.caption("The first line of a CSV names its columns. Nothing is stored before you confirm.")
        return
    with ui.told():
        shown = reading.preview(file, file.name)
        st.dataframe(shown.head(50), height=220)
        into = st.radio("Where to", ["This project", "A new project"], index=0 if project else 1, horizontal=True,
                        disabled=project is None)  # fmt: skip
        if into == "This project" and project is not None:
            conformed = schemas.conform(shown, project.schema, with_target="optional")
            for warning in conformed.warnings:
                st.warning(warning)
            if st.button("Store these rows", type="primary"):
                watch(uploads.request_import(ui.ctx(), user, project, file, file.name, now=datetime.now(UTC)))
        else:
            new_project(user, file, shown)
    if (run := st.session_state.get("import_run")) is not None:
        ui.run_progress(run)


def new_project(user: User, file, shown: pd.DataFrame) -> None:  # type: ignore[no-untyped-def]
    target = st.selectbox("Which column is the answer?", list(shown.columns), index=len(shown.columns) - 1)
    inference = schemas.infer(shown, target=target)
    for note in inference.notes:
        st.caption(note)
    edited = st.data_editor(
        pd.DataFrame(
            [{"column": c.name, "kind": str(c.kind)} for c in inference.schema.features]
            + [{"column": name, "kind": "ignored"} for name in inference.schema.ignored]
        ),
        column_config={"kind": st.column_config.SelectboxColumn("Kind", options=[str(k) for k in KINDS], required=True)},
        disabled=["column"], hide_index=True, key=f"schema-{target}",
    )  # fmt: skip
    task = st.selectbox("Task", list(Task), index=list(Task).index(inference.schema.task))
    row_id = st.selectbox(
        "Column with the row's id", [None, *shown.columns], format_func=lambda c: c or "none: number them"
    )
    name = st.text_input("Name of the project", value=file.name.rsplit(".", 1)[0][:60])
    if st.button("Create the project and store these rows", type="primary"):
        now = datetime.now(UTC)
        schema = confirmed(inference.schema, edited, task or inference.schema.task, row_id, shown)
        project = projects.create(ui.ctx(), user, name=name, schema=schema, now=now)
        watch(uploads.request_import(ui.ctx(), user, project, file, file.name, now=now))
        ui.choose(project.id)


def confirmed(schema: Schema, edited: pd.DataFrame, task: Task, row_id: str | None, shown: pd.DataFrame) -> Schema:
    """The schema as the user left it in the editor."""
    kept = edited[(edited["kind"] != "ignored") & (edited["column"] != row_id)]
    if task is not schema.task:
        schema = schemas.infer(shown, target=schema.target, task=task).schema
    return replace(
        schema,
        features=tuple(Column(c, Kind(k)) for c, k in zip(kept["column"], kept["kind"], strict=True)),
        ignored=tuple(edited.loc[edited["kind"] == "ignored", "column"]),
        row_id=row_id,
    )


def watch(run: int) -> None:
    st.session_state["import_run"] = run
    st.rerun()


def record_labels(user: User, project: Project) -> None:
    st.caption("A file with the columns row_id and value. Late, in any order, twice: all of that is fine.")
    file = st.file_uploader("Labels", type=["csv", "tsv", "txt", "parquet", "pq"], key="labels")
    if file is not None and st.button("Record these labels", type="primary"):
        with ui.told():
            st.session_state["label_run"] = uploads.request_import(
                ui.ctx(), user, project, file, file.name, labels_only=True, now=datetime.now(UTC)
            )
    if (run := st.session_state.get("label_run")) is not None:
        ui.run_progress(run)
    with st.form("one_label", clear_on_submit=True):
        row_id, value = st.text_input("Row id"), st.text_input("True answer")
        if st.form_submit_button("Record one label"):
            with ui.told():
                told = ingest.record_labels(
                    ui.ctx(), user, project, pd.DataFrame({"row_id": [row_id or None], "value": [value or None]}),
                    source="page", now=datetime.now(UTC),
                )  # fmt: skip
                word = next(name for name, count in vars(told).items() if count)
                st.success(f"Label {word}.")


def manage(user: User, project: Project) -> None:
    st.caption(f"Id {project.id}, created {ui.when(project.created_at)}.")
    if st.button("Archive this project", icon=":material/archive:"):
        with ui.told():
            projects.archive(ui.ctx(), user, project.id, datetime.now(UTC))
            st.rerun()
    archived = [p for p in projects.every(ui.ctx()) if p.archived_at]
    for old in archived:
        if st.button(f"Restore {ui.md(old.name)}", key=f"restore-{old.id}", icon=":material/unarchive:"):
            with ui.told():
                projects.restore(ui.ctx(), user, old.id)
                st.rerun()


user = ui.require(Role.VIEWER)
project = ui.project()
ui.page_head("Data", "Rows and labels, whoever brings them")
names = ["Stored", "Upload", "Generate", "Labels", "Project"] if project else ["Upload", "Generate"]
tabs = dict(zip(names, st.tabs(names), strict=True))
if project:
    with tabs["Stored"]:
        stored(project)
    with tabs["Labels"]:
        record_labels(user, project)
    with tabs["Project"]:
        manage(user, project)
with tabs["Upload"]:
    upload(user, project)
with tabs["Generate"]:
    generate(user)
