"""What runs by itself, how it went, and how the project judges."""

from dataclasses import replace
from datetime import UTC, datetime

import streamlit as st

from core import alerting, projects, runs
from core.policy import PRESETS, Approval, Policy
from core.records import Project, Role, User
from jobs import JOBS
from pages import ui


@st.fragment(run_every="5s")
def schedule(user: User) -> None:
    """Every job with its state; run now, pause, resume."""
    now = datetime.now(UTC)
    states = runs.job_states(ui.ctx(), [job.name for job in JOBS])
    for job in JOBS:
        state = states[job.name]
        paused = state.paused if state.changed_at else not job.enabled_by_default
        every = job.every(ui.ctx().settings) if job.every else None
        row = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", border=True)
        with row:
            badge = ":gray-badge[paused]" if paused else ":green-badge[on]"
            if every is None:
                badge = ":gray-badge[on request]"
            pace = f" every {every.total_seconds():g} s" if every else ""
            last = f" · last {ui.ago(state.last_at)}: {state.last_outcome}" if state.last_at else " · has not run yet"
            st.markdown(f"{badge} **{job.label}**{pace}:small[{last}]", width="content")
            with st.container(horizontal=True, width="content"):
                if every is not None:
                    if st.button("Resume" if paused else "Pause", key=f"pause-{job.name}"):
                        with ui.told():
                            runs.set_paused(ui.ctx(), user, job.name, paused=not paused, now=now)
                            st.rerun(scope="fragment")
                    if st.button("Run now", key=f"run-{job.name}"):
                        with ui.told():
                            targets = [p.id for p in projects.active(ui.ctx())] if job.per_project else [None]
                            for target in targets:
                                runs.request(ui.ctx(), user, job.name, target, now=now)
                            st.toast("It starts within a second")


@st.fragment(run_every="5s")
def history() -> None:
    frame = runs.history(ui.ctx(), limit=200)
    if frame.empty:
        st.info("No job has run yet. The first ones start within a minute.")
        return
    st.dataframe(
        frame[["started_at", "job", "project", "attempt", "outcome", "message", "finished_at", "requested_by"]],
        hide_index=True, height=420,
    )  # fmt: skip


def in_words(policy: Policy) -> str:
    """What the policy does, in sentences."""
    when = [
        "when the champion's loss rises above what chance explains" if policy.on_performance else "",
        f"when staleness has cost {policy.price:.0%} of a window's loss" if policy.on_staleness else "",
        f"when there are {policy.growth:g} times the labelled rows" if policy.growth else "",
        f"every {policy.period} windows" if policy.period else "",
        f"when drift lasts for {policy.drift_checks} checks" if policy.on_drift else "",
        f"after {policy.after_labels:,} new labels" if policy.after_labels else "",
    ]
    gates = {
        "veto": "unless it is significantly worse", "superiority": "if it is significantly better", "none": "without a gate"
    }  # fmt: skip
    return (
        f"A **{policy.name}** policy. Every {policy.window_rows:,} rows are judged; drift cries wolf in at most "
        f"{policy.drift_budget:.0%} of checks. "
        + (
            f"A challenger is trained {' or '.join(word for word in when if word)}. "
            if policy.retrains
            else "Nothing is retrained. "
        )
        + f"It takes over {gates.get(policy.gate, policy.gate)}"
        + (", once a person approves." if policy.approval is Approval.MANUAL else ".")
    )


def judges(user: User, project: Project) -> None:
    """The policy in words and numbers; a change makes a new version."""
    version, current = projects.policy(ui.ctx(), project.id)
    st.caption(
        f"Policy version {version} of project {ui.md(project.name)}. Every decision names the version that made it."
    )
    st.markdown(in_words(current))
    with st.form("policy"):
        preset = st.selectbox("Preset", list(PRESETS), index=list(PRESETS).index(current.name)
                              if current.name in PRESETS else 0)  # fmt: skip
        approval = st.selectbox("Promotion", ["automatic", "manual"], index=int(current.approval == "manual"))
        budget = st.slider(
            "False alarms: at most this many in 100 checks", 1, 20, max(1, round(current.drift_budget * 100))
        )
        window = st.number_input("Rows a window", 50, 100_000, current.window_rows, step=50)
        if st.form_submit_button("Judge by this from now on", type="primary"):
            with ui.told():
                changed = replace(
                    PRESETS[preset], approval=Approval(approval), drift_budget=budget / 100, window_rows=int(window)
                )
                made = projects.set_policy(ui.ctx(), user, project.id, changed, datetime.now(UTC))
                st.success(f"Policy version {made} is in force from the next check on.")


def channels(user: User) -> None:
    for state in alerting.channel_states(ui.ctx()):
        st.markdown(f"**{state.label}**: {state.sentence}")
        if state.configured and st.button("Send a test", key=f"test-{state.name}"):
            with ui.told():
                alerting.send_test(ui.ctx(), user, datetime.now(UTC))
                st.success("A test is on its way; the delivery log tells how it went.")
    deliveries = alerting.deliveries(ui.ctx(), limit=50)
    if not deliveries.empty:
        st.dataframe(deliveries, hide_index=True, height=240)


user = ui.require(Role.VIEWER)
project = ui.project()
ui.page_head("Automation", "What runs by itself")
names = ["Schedule", "Policy", "Channels", "History"]
tabs = dict(zip(names, st.tabs(names), strict=True))
with tabs["Schedule"]:
    schedule(user)
with tabs["Policy"]:
    if project is None:
        ui.no_project()
    else:
        judges(user, project)
with tabs["Channels"]:
    channels(user)
with tabs["History"]:
    st.caption("Every run: when, which attempt, how it ended.")
    history()
