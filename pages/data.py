"""What came in, and how to bring more: play a stream, generate, upload, record labels."""

from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from core import ingest, projects, reading, uploads
from core import schema as schemas
from core.records import Column, Kind, Project, Role, Schema, Task, User
from core.sources import SOURCES
from core.store import labels, models, rows
from core.words import mark, number
from pages import ui

_ = ui._
KINDS = [*Kind, mark("ignored")]
DRIFTS = (mark("none"), mark("sudden"), mark("gradual"), mark("incremental"), mark("recurring"))
WHAT = (mark("covariate"), mark("label"), mark("concept"))
WHERE_TO = {"this": mark("This project"), "new": mark("A new project")}
RECORDED = {
    "recorded": mark("The label is recorded."),
    "repeated": mark("The same label was recorded before."),
    "conflicting": mark("Another label stands for this row; it stays, and yours is kept beside it."),
    "waiting": mark("No row has this id yet: the label waits for it."),
}
TABS = {
    "stored": mark("Stored"), "upload": mark("Upload"), "generate": mark("Generate"), "labels": mark("Labels"),
    "project": mark("Project"),
}  # fmt: skip


def stored(project: Project) -> None:
    with ui.ctx().database.read() as con:
        count, labelled = rows.count(con, project.id), labels.count(con, project.id)
        waiting, conflicts = labels.waiting(con, project.id), labels.conflicts(con, project.id)
        batches = rows.batches(con, project.id)
        newest = rows.span(con, project.id, project.schema, max(count - 100, 0), count)
    grid = st.grid(4, min_column_width=165, gap="small")
    grid.metric(_("Rows"), number(count, ui.language()), border=True)
    grid.metric(
        _("Labels"),
        number(labelled, ui.language()),
        _("{share:.0%} of rows", share=labelled / count) if count else None,
        delta_color="off",
        border=True,
    )
    grid.metric(_("Labels waiting for their row"), number(waiting, ui.language()), border=True)
    grid.metric(_("Labels in conflict"), number(len(conflicts), ui.language()), border=True)
    with ui.card(st, _("What came in?")):
        if batches.empty:
            st.info(_("Nothing yet. Generate rows, upload a file, or play a stream."))
        else:
            st.dataframe(
                batches.assign(rows=batches["last"] - batches["first"])[["arrived_at", "source", "rows", "labels", "added_by"]],
                hide_index=True, height=240,
                column_config={
                    "arrived_at": _("Arrived"), "source": _("Source"), "rows": _("Rows"), "labels": _("Labels"), "added_by": _("Added by")
                },
            )  # fmt: skip
    if count:
        with ui.card(st, _("The newest rows")):
            st.dataframe(newest.iloc[::-1], height=240)
    if len(conflicts):
        with ui.card(
            st, _("Labels that were offered and not taken"), _("The first label of a row stands; look which is true.")
        ):
            st.dataframe(conflicts, hide_index=True, height=200)
    with ui.card(st, _("Schema")):
        st.dataframe(
            pd.DataFrame(
                [{"column": c.name, "kind": _(c.kind)} for c in project.schema.features]
                + [{"column": project.schema.target, "kind": _("target, {task}", task=_(project.schema.task))}]
            ),
            hide_index=True, height=240, column_config={"column": _("Column"), "kind": _("Kind")},
        )  # fmt: skip


def generate(user: User) -> None:
    synthetic = {name: source for name, source in SOURCES.items() if source.kind == "synthetic"}
    with st.form("generate"):
        name = st.selectbox(_("Stream"), list(synthetic), format_func=lambda key: _(synthetic[key].label))
        count = st.number_input(_("Rows"), 10, 100_000, 4000, step=500)
        seed = st.number_input(_("Seed"), 0, 1_000_000, 0)
        drift = st.selectbox(_("Drift"), DRIFTS, format_func=_)
        what = st.selectbox(
            _("What drifts"),
            WHAT,
            format_func=_,
            help=_("Covariate: the inputs. Label: how often each answer. Concept: the rule."),
        )
        start = st.slider(_("Drift starts at this share of the rows"), 0.0, 1.0, 0.5)
        magnitude = st.slider(_("How strong"), 0.0, 3.0, 1.0)
        sent = st.form_submit_button(_("Generate rows"), type="primary")
    st.caption(_("They go into the stream's own project, and go on where its rows end."))
    if sent:
        now = datetime.now(UTC)
        with ui.told(), st.spinner(_("Generating")):
            receipt, target = ingest.generate(
                ui.ctx(), user, name, rows=int(count), seed=int(seed), drift=drift, target_of_drift=what, start=start,
                magnitude=magnitude, now=now,
            )  # fmt: skip
            ui.choose(target.id)
            st.success(
                _(
                    "{rows:,} rows stored, {labels:,} with their label, {answered:,} answered.",
                    rows=receipt.rows,
                    labels=receipt.labels,
                    answered=receipt.answered,
                )
            )


def upload(user: User, project: Project | None) -> None:
    taken = st.session_state.get("import_run", 0)  # a file that was taken leaves its place: it is not stored twice
    file = st.file_uploader(_("CSV or Parquet"), type=["csv", "tsv", "txt", "parquet", "pq"], key=f"file-{taken}")
    if file is None:
        st.caption(_("The first line of a CSV names its columns. Nothing is stored before you confirm."))
    else:
        confirm(user, project, file)
    if taken:
        ui.run_progress(taken)
        with ui.ctx().database.read() as con:
            reign = models.reign(con, project.id) if project else None
        st.caption(
            _("Next: the rows are judged with the next full window, and their labels when they come.") if reign
            else _("Next: a first model is trained once enough windows have labels; then try a policy on this history.")
        )  # fmt: skip
        with st.container(horizontal=True):
            ui.link("overview", _("Overview"), ":material/space_dashboard:")
            ui.link("automation", _("Try a policy on this history"), ":material/history:", {"tab": "try"})


def confirm(user: User, project: Project | None, file) -> None:  # type: ignore[no-untyped-def]
    """What is in the file, and where it goes."""
    with ui.told():
        shown = reading.preview(file, file.name)
        st.dataframe(shown.head(50), height=220)
        into = "new"
        if project is not None:
            into = st.radio(
                _("Where to"), ["this", "new"], horizontal=True, format_func=lambda key: _(WHERE_TO[key]),
                captions=[project.name, _("its columns are recognised, and you confirm them")],
            )  # fmt: skip
        if into == "this" and project is not None:
            conformed = schemas.conform(shown, project.schema, with_target="optional")
            for warning in conformed.warnings:
                st.warning(warning)
            if st.button(_("Store these rows"), type="primary"):
                watch(uploads.request_import(ui.ctx(), user, project, file, file.name, now=datetime.now(UTC)))
        else:
            new_project(user, file, shown)


def new_project(user: User, file, shown: pd.DataFrame) -> None:  # type: ignore[no-untyped-def]
    target = st.selectbox(_("Which column is the answer?"), list(shown.columns), index=len(shown.columns) - 1)
    inference = schemas.infer(shown, target=target)
    for note in inference.notes:
        st.caption(note)
    edited = st.data_editor(
        pd.DataFrame(
            [{"column": c.name, "kind": str(c.kind)} for c in inference.schema.features]
            + [{"column": name, "kind": "ignored"} for name in inference.schema.ignored]
        ),
        column_config={
            "column": _("Column"),
            "kind": st.column_config.SelectboxColumn(
                _("Kind"), options=[str(k) for k in KINDS], format_func=lambda kind: _(str(kind)), required=True
            ),
        },
        disabled=["column"], hide_index=True, key=f"schema-{target}",
    )  # fmt: skip
    task = st.selectbox(_("Task"), list(Task), index=list(Task).index(inference.schema.task), format_func=_)
    ids = [None, *shown.columns]
    row_id = st.selectbox(
        _("Column with the row's id"), ids, ids.index(schemas.likely_row_id(shown, inference.schema)),
        format_func=lambda c: c or _("none: number them"), key=f"row-id-{target}",
    )  # fmt: skip
    name = st.text_input(_("Name of the project"), value=file.name.rsplit(".", 1)[0][:60])
    if st.button(_("Create the project and store these rows"), type="primary"):
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
    st.caption(_("A file with the columns row_id and value. Late, in any order, twice: all of that is fine."))
    file = st.file_uploader(_("Labels"), type=["csv", "tsv", "txt", "parquet", "pq"], key="labels")
    if file is not None and st.button(_("Record these labels"), type="primary"):
        with ui.told():
            st.session_state["label_run"] = uploads.request_import(
                ui.ctx(), user, project, file, file.name, labels_only=True, now=datetime.now(UTC)
            )
    if (run := st.session_state.get("label_run")) is not None:
        ui.run_progress(run)
        with ui.ctx().database.read() as con:
            waiting = labels.waiting(con, project.id)
        if waiting:
            st.warning(
                _("{waiting:,} labels wait for their row: no row with their id has come in. If the rows are there, compare"
                  " the ids of the file with those under Stored.", waiting=waiting)
            )  # fmt: skip
    with st.form("one_label", clear_on_submit=True):
        row_id, value = st.text_input(_("Row id")), st.text_input(_("True answer"))
        if st.form_submit_button(_("Record one label")):
            with ui.told():
                told = ingest.record_labels(
                    ui.ctx(), user, project, pd.DataFrame({"row_id": [row_id or None], "value": [value or None]}),
                    source="page", now=datetime.now(UTC),
                )  # fmt: skip
                word = next(name for name, count in vars(told).items() if count)
                st.success(_(RECORDED[word]))


def manage(user: User, project: Project) -> None:
    st.caption(_("Id {id}, created {when}.", id=project.id, when=ui.when(project.created_at)))
    if st.button(_("Archive this project"), icon=":material/archive:"):
        with ui.told():
            projects.archive(ui.ctx(), user, project.id, datetime.now(UTC))
            st.rerun()
    archived = [p for p in projects.every(ui.ctx()) if p.archived_at]
    for old in archived:
        if st.button(_("Restore {name}", name=ui.md(old.name)), key=f"restore-{old.id}", icon=":material/unarchive:"):
            with ui.told():
                projects.restore(ui.ctx(), user, old.id)
                st.rerun()


user = ui.require(Role.VIEWER)
project = ui.project()
ui.page_head(_("Data"), _("Rows and labels, whoever brings them"))
names = list(TABS) if project else ["upload", "generate"]
tabs = dict(zip(names, st.tabs([_(TABS[name]) for name in names]), strict=True))
if project:
    with tabs["stored"]:
        stored(project)
    with tabs["labels"]:
        record_labels(user, project)
    with tabs["project"]:
        manage(user, project)
with tabs["upload"]:
    upload(user, project)
with tabs["generate"]:
    generate(user)
