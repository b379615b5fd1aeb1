"""How the project judges, whether another policy would have served better, what runs by itself, and how it went."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import streamlit as st

from core import runs
from core.records import Outcome, Project, Role, User
from core.words import mark
from jobs import JOBS
from jobs.job import Job
from pages import ui
from pages.parts import policy, trying

OUTCOMES = {
    Outcome.OK: mark("done"),
    Outcome.FAILED: mark("failed"),
    Outcome.SKIPPED: mark("skipped"),
    Outcome.INTERRUPTED: mark("interrupted"),
    Outcome.RUNNING: mark("running"),
    Outcome.QUEUED: mark("waiting"),
}
TABS = {
    "policy": mark("Policy"), "try": mark("Try policies"), "schedule": mark("Schedule"), "history": mark("History"),
}  # fmt: skip


# ---- what runs by itself -------------------------------------------------------------------------
def pace(every: timedelta) -> str:
    seconds = every.total_seconds()
    for unit, text in (
        (86400, mark("every {count:g} days")),
        (3600, mark("every {count:g} h")),
        (60, mark("every {count:g} min")),
    ):
        if seconds >= 2 * unit:
            return ui._(text, count=seconds / unit)
    return ui._("every {count:g} s", count=seconds)


@st.fragment(run_every="5s")
def schedule(user: User, project: Project | None) -> None:
    """What is running or waiting, then every job with its next run; run now, pause, resume."""
    now = datetime.now(UTC)
    with ui.card(st, ui._("What is running now?")):
        under_way(user, now)
    states = runs.job_states(ui.ctx(), [job.name for job in JOBS])
    turns = runs.turns(ui.ctx())
    with ui.card(st, ui._("What runs by itself, and when next?")):
        for job in JOBS:
            state = states[job.name]
            paused = state.paused if state.changed_at else not job.enabled_by_default
            row = st.container(
                horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", border=True
            )
            with row:
                st.markdown(line(job, state, paused, turns, project, now), width="content")
                if user.role is not Role.VIEWER and job.every is not None:
                    buttons(user, job, paused, project, now)


def line(
    job: Job, state: runs.JobState, paused: bool, turns: Mapping[tuple[str, str | None], datetime],
    project: Project | None, now: datetime,
) -> str:  # fmt: skip
    """A job in a line: its state, its pace, its next turn, how the last one went."""
    if job.every is None:
        badge, parts = f":gray-badge[{ui._('on request')}]", []
    else:
        every = job.every(ui.ctx().settings)
        badge = f":gray-badge[{ui._('paused')}]" if paused else f":green-badge[{ui._('on')}]"
        parts = [pace(every)]
        last = turns.get((job.name, project.id if job.per_project and project else None))
        following = last + every if last else now
        if not paused and following > now:
            parts.append(ui._("next {when}", when=ui.ago(following)))
        elif not paused:
            parts.append(ui._("next: as soon as there is work") if job.has_work else ui._("next: now"))
        if paused and state.changed_at:
            parts.append(ui._("paused by {who}, {ago}", who=ui.md(state.changed_by), ago=ui.ago(state.changed_at)))
    if state.last_at and state.last_outcome:
        parts.append(ui._("last {ago}: {how}", ago=ui.ago(state.last_at), how=ui._(OUTCOMES[state.last_outcome])))
    else:
        parts.append(ui._("has not run yet"))
    return f"{badge} **{ui._(job.label)}** :small[{' · '.join(parts)}]"


def buttons(user: User, job: Job, paused: bool, project: Project | None, now: datetime) -> None:
    with st.container(horizontal=True, width="content"):
        if st.button(ui._("Resume") if paused else ui._("Pause"), key=f"pause-{job.name}"):
            with ui.told():
                runs.set_paused(ui.ctx(), user, job.name, paused=not paused, now=now)
                st.rerun()
        if st.button(ui._("Run now"), key=f"run-{job.name}", disabled=job.per_project and project is None):
            with ui.told():
                target = project.id if job.per_project and project else None
                runs.request(ui.ctx(), user, job.name, target, now=now)
                st.toast(ui._("It starts within a second"))


def under_way(user: User, now: datetime) -> None:
    active = runs.active(ui.ctx())
    if not active:
        st.caption(ui._("Nothing at the moment."))
    labels = {job.name: job.label for job in JOBS}
    for run in active:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            waits = run.outcome is Outcome.QUEUED
            badge = f":gray-badge[{ui._('waiting')}]" if waits else f":blue-badge[{ui._('running')}]"
            again = ui._("attempt {attempt}", attempt=run.attempt) if run.attempt > 1 else ""
            parts = [ui.md(part) for part in (run.project, again, ui.heard(run.progress)) if part]
            st.markdown(
                f"{badge} **{ui._(labels.get(run.job, run.job))}** :small[{' · '.join(parts)}]", width="content"
            )
            may = user.role is not Role.VIEWER and (waits or run.job in runs.CANCELLABLE)
            if may and st.button(ui._("Cancel"), key=f"cancel-{run.id}"):
                with ui.told():
                    runs.cancel(ui.ctx(), user, run.id, now)
                    st.rerun()


# ---- how it went ---------------------------------------------------------------------------------
def history(project: Project | None) -> None:
    with ui.card(st, ui._("How did the runs go?"), ui._("A line an attempt; a retry stands under its own attempt.")):
        row = st.container(horizontal=True, vertical_alignment="bottom")
        names = [job.name for job in JOBS]
        labels = {job.name: ui._(job.label) for job in JOBS}
        job = row.selectbox(
            ui._("Job"), [None, *names], format_func=lambda name: labels[name] if name else ui._("All jobs"),
            key="job", width=220,
        )  # fmt: skip
        failed = row.toggle(ui._("Only failed and retried"), key="failed")
        frame = runs.history(ui.ctx(), job=job, limit=500)
        if failed:
            frame = frame[(frame["outcome"] == Outcome.FAILED) | (frame["attempt"] > 1)]
        if frame.empty:
            st.info(ui._("No such run yet. The first ones start within a minute."))
            return
        frame = frame.assign(
            job=frame["job"].map(labels).fillna(frame["job"]),
            outcome=[ui._(OUTCOMES[Outcome(outcome)]) for outcome in frame["outcome"]],
            seconds=(frame["finished_at"] - frame["started_at"]).dt.total_seconds().round(1),
        )
        st.dataframe(
            frame[["started_at", "job", "project", "id", "attempt", "outcome", "message", "seconds", "requested_by"]],
            hide_index=True, height=460,
            column_config=ui.columns(
                started_at=ui._("Started"), job=ui._("Job"), project=ui._("Project"), id=ui._("Run"),
                attempt=ui._("Attempt"), outcome=ui._("How it ended"), message=ui._("What happened"),
                seconds=ui._("Seconds"), requested_by=ui._("Asked for by"),
            ),
        )  # fmt: skip


user = ui.require(Role.VIEWER)
project = ui.project()
actions = ui.page_head(ui._("Automation"), ui._("How it judges, and what runs by itself"))
with actions:
    ui.link("alerts", ui._("Channels"), ":material/notifications:", {"view": "channels"})
asked = st.query_params.get("tab", "policy")
labels = [ui._(tab) for tab in TABS.values()]
policy_tab, try_tab, schedule_tab, history_tab = st.tabs(labels, default=ui._(TABS.get(asked, TABS["policy"])))
for tab, part in ((policy_tab, policy.show), (try_tab, trying.show)):
    with tab:
        if project is None:
            ui.no_project()
        else:
            part(user, project)
with schedule_tab:
    schedule(user, project)
with history_tab:
    history(project)
