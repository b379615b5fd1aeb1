"""Every check and every act, with its reasons: the ledger, and one decision in detail (`?id=`)."""

import json
from dataclasses import asdict

import pandas as pd
import streamlit as st

from core import reasons
from core.errors import ContinualError
from core.ledger import replay_decision, replayable
from core.records import Action, Role
from core.store import decisions
from pages import ui

PAGE = 40


def ledger(project) -> None:  # type: ignore[no-untyped-def]
    ui.page_head("Decisions")
    everything = st.toggle("Show checks that found nothing to do", key="everything")
    actions = () if everything else tuple(a for a in Action if a not in (Action.WAIT, Action.NOTHING))
    before = st.session_state.get("before")
    with ui.ctx().database.read() as con:
        entries = decisions.latest(con, project.id, actions=actions, limit=PAGE, before=before)
    if not entries:
        st.info("No decision of this kind yet. Every check writes one; turn the switch on to see the quiet ones too.")
        return
    for entry in entries:
        with st.container(border=True):
            ui.entry(entry, detail=True)
    older, newest = st.columns(2)
    if len(entries) == PAGE and older.button("Older", icon=":material/arrow_downward:"):
        st.session_state["before"] = entries[-1].id
        st.rerun()
    if before and newest.button("Newest", icon=":material/arrow_upward:"):
        st.session_state["before"] = None
        st.rerun()


def detail(decision: int) -> None:
    with ui.ctx().database.read() as con:
        entry = decisions.get(con, decision)
        following = decisions.following(con, decision)
    if entry is None:
        st.error(f"There is no decision {decision}.")
        ui.link("decisions", "All decisions")
        return
    ui.page_head(f"Decision {entry.id}")
    ui.verdict(*ui.LOOK[entry.action], " ".join(reasons.sentence(reason) for reason in entry.reasons))
    st.caption(
        f"{ui.when(entry.decided_at)} · window {entry.window_number} · policy version {entry.policy_version} · by {ui.md(entry.actor)}"
    )
    if entry.nearest_flip:
        with ui.card(st, "What would have changed it?"):
            st.markdown(reasons.sentence(entry.nearest_flip))
    if entry.comparison:
        with ui.card(st, "Champion against challenger", "The same rows, which neither was trained on"):
            st.dataframe(
                pd.DataFrame([asdict(entry.comparison)]).drop(columns=["reasons", "losses", "logic"]), hide_index=True
            )
            for reason in entry.comparison.reasons:
                st.markdown(f"- {reasons.sentence(reason)}")
    if following:
        with ui.card(st, "What followed"):
            for step in following:
                ui.entry(step, detail=True)
    if replayable(entry):
        with ui.card(st, "Replay", "What was stored, judged again by the same policy"):
            if st.button("Replay this decision", icon=":material/replay:"):
                try:
                    again = replay_decision(ui.ctx(), decision)
                    if again.same:
                        st.success("The verdict is identical, and so is every number.")
                    else:
                        st.error("The verdict differs." if again.faulty else "A newer release judges this otherwise.")
                        found = pd.DataFrame([asdict(found) for found in again.differences]).astype(str)
                        st.dataframe(found, hide_index=True)
                except ContinualError as error:
                    st.error(str(error))
            if entry.evidence:
                with st.expander("Evidence as stored"):
                    st.json(json.loads(entry.evidence), expanded=1)


user = ui.require(Role.VIEWER)
asked = st.query_params.get("id", "")
project = ui.project()
if asked.isdigit():
    detail(int(asked))
elif project is None:
    ui.page_head("Decisions")
    ui.no_project()
else:
    ledger(project)
