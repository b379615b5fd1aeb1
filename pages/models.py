"""Which model answers, which ones could, and the ways to change that."""

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from core import loop, performance, runs
from core.estimators import ESTIMATORS
from core.records import ModelVersion, Project, Role, User
from core.store import models
from pages import ui


def champion_card(parent, project: Project, model: ModelVersion | None, reign) -> None:  # type: ignore[no-untyped-def]
    with ui.card(parent, "Who answers?"):
        if model is None:
            st.info("Nobody yet. Train a first model: with enough labelled rows it becomes the champion.")
            return
        st.markdown(f"**v{model.version}** · {ESTIMATORS[model.estimator].label} · since {ui.when(reign.began_at)}")
        st.caption(
            f"Trained on {model.rows:,} rows (positions {model.first:,} to {model.last:,}) in {model.seconds:.1f} s · "
            f"file SHA-256 {model.sha256[:12]}"
        )
        if model.scores:
            st.dataframe(
                pd.DataFrame([{"score": performance.label(s.metric), "value": s.value, "low": s.low, "high": s.high,
                               "rows": s.rows} for s in model.scores]),
                hide_index=True, height=180,
            )  # fmt: skip
            st.caption("Measured before taking over, on rows it had not seen; 95 % intervals.")


def train(user: User, project: Project) -> None:
    with st.form("train"):
        estimator = st.selectbox("Estimator", ["policy's choice", *ESTIMATORS],
                                 format_func=lambda n: ESTIMATORS[n].label if n in ESTIMATORS else n)  # fmt: skip
        reason = st.text_input("Why", placeholder="kept in the ledger", max_chars=200)
        if st.form_submit_button("Retrain now", type="primary", icon=":material/model_training:"):
            with ui.told():
                arguments = {"reason": reason, "estimator": None if estimator == "policy's choice" else estimator}
                st.session_state["retrain_run"] = runs.request(
                    ui.ctx(), user, "retrain", project.id, arguments, now=datetime.now(UTC)
                )
    st.caption(
        "A challenger is fitted in a worker process and compared with the champion on rows neither was trained on."
    )
    if (run := st.session_state.get("retrain_run")) is not None:
        ui.run_progress(run)


def versions_table(project: Project, versions: list[ModelVersion], champion: int | None) -> None:
    metric = performance.headline(project.schema)
    with ui.ctx().database.read() as con:
        answered = models.answered(con, project.id).set_index("version")["rows"]
    lines = []
    for model in versions:
        score = next((s for s in model.scores if s.metric == metric), None)
        lines.append(
            {
                "version": f"v{model.version}", "": "champion" if model.version == champion else "",
                "estimator": ESTIMATORS[model.estimator].label, performance.label(metric): score and score.value,
                "low": score and score.low, "high": score and score.high, "training rows": model.rows,
                "rows answered": int(answered.get(model.version, 0)), "seconds": round(model.seconds, 1),
                "trained": model.created_at,
            }
        )  # fmt: skip
    st.dataframe(pd.DataFrame(lines), hide_index=True, height=300)


@st.dialog("Change the champion")
def change(user: User, project: Project, version: int | None) -> None:
    """Promote a version, or roll back when ``version`` is None."""
    st.markdown(
        "The previous champion takes over again. Predictions from the next request on are its answers."
        if version is None else f"Version {version} takes over at once, without comparison. You can roll back."
    )  # fmt: skip
    reason = st.text_input("Why", max_chars=200, key="change_reason")
    if st.button("Roll back" if version is None else f"Promote v{version}", type="primary", disabled=not reason):
        with ui.told():
            now = datetime.now(UTC)
            if version is None:
                loop.roll_back(ui.ctx(), user, project, reason=reason, now=now)
            else:
                loop.promote(ui.ctx(), user, project, version, reason=reason, now=now)
            st.rerun()


user = ui.require(Role.VIEWER)
project = ui.project()
actions = ui.page_head("Models", "Every version is kept; one is the champion")
if project is None:
    ui.no_project()
    st.stop()
with ui.ctx().database.read() as con:
    versions, reigns = models.every(con, project.id), models.reigns(con, project.id)
reign = reigns[0] if reigns else None
champion = next((m for m in versions if reign and m.version == reign.version), None)
if len(reigns) > 1 and actions.button("Roll back", icon=":material/undo:"):
    change(user, project, None)
left, right = st.columns([1.4, 1], gap="small")
champion_card(left, project, champion, reign)
with ui.card(right, "Train a challenger"):
    train(user, project)
if versions:
    with ui.card(st, "All versions"):
        versions_table(project, versions, champion.version if champion else None)
        others = [m.version for m in versions if champion is None or m.version != champion.version]
        if others:
            chosen = st.selectbox("Version", others, format_func=lambda v: f"v{v}")
            if st.button("Promote this version", icon=":material/trending_up:"):
                change(user, project, chosen)
    with ui.card(st, "Who answered when?"):
        ends = [None, *[r.began_at for r in reigns]]
        st.dataframe(
            pd.DataFrame([{"version": f"v{r.version}", "from": r.began_at, "to": end, "decision": r.decision}
                          for r, end in zip(reigns, ends, strict=False)]),
            hide_index=True, height=220,
        )  # fmt: skip
