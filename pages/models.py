"""Which model answers, which ones could, where each comes from, and the ways to change that."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from core import limits, loop, performance, runs, words
from core.estimators import ESTIMATORS
from core.evidence import Memory
from core.records import Action, ModelVersion, Outcome, Project, Role, User
from core.store import decisions, models
from core.store.models import Reign
from core.words import mark
from pages import ui
from pages.parts import succession

ACTS = ("cycle", "retrain")  # the jobs that judge or train
JOBS = {"cycle": mark("Check"), "retrain": mark("Retrain")}
FRESH = timedelta(minutes=10)  # so long the outcome of a run is shown
STOPPED = {  # the last reason of a version that did not take over: what that meant for it
    "awaiting_approval": mark("Passed, and left to a person"), "declined_by_hand": mark("Declined"),
    "challenger_unproven": mark("Put on trial"),
}  # fmt: skip
MOST_TOLD = 20  # decisions about a version that its story lists
CHOICE = "policy's choice"


# ---- what runs -----------------------------------------------------------------------------------
@st.fragment(run_every="2s")
def under_way(user: User, project_id: str) -> None:
    """The runs of this project that wait or work, whoever asked for them and from whichever page; then what came of it."""
    now = datetime.now(UTC)
    working = [run for run in runs.active(ui.ctx(), project_id) if run.job in ACTS]
    seen = st.session_state.get("under_way")
    st.session_state["under_way"] = [run.id for run in working]
    over = set(seen or ()) - set(st.session_state["under_way"])
    if over and not succession.asking():
        st.rerun()  # the cards show what came of it; a question that is open would be closed by that
    for run in working:
        row = st.container(border=True, horizontal=True, vertical_alignment="center")
        since = run.started_at or run.requested_at
        doing = ui.heard(run.progress) or (ui._("at work") if run.started_at else ui._("waits for its turn"))
        row.markdown(
            f":material/progress_activity: **{ui._(JOBS[run.job])}** · {ui.md(doing)} · :small["
            + ui._("{seconds} s so far; it goes on when you leave this page", seconds=int((now - since).total_seconds())) + "]",
            width="stretch",
        )  # fmt: skip
        if run.outcome is Outcome.QUEUED:
            row.button(ui._("Cancel"), key=f"cancel-{run.id}", on_click=_cancel, args=(user, run.id))
    if working:
        return
    last = runs.history(ui.ctx(), job="retrain", project=project_id, limit=1)
    if len(last) and pd.notna(last["finished_at"].iloc[0]) and now - last["finished_at"].iloc[0] < FRESH:
        ended = last.iloc[0]
        good = ended["outcome"] == Outcome.OK
        said = f"{ui._('Retrain')}, {ui.ago(ended['finished_at'])}: {ui.md(ui.heard(ended['message']))}"
        (st.success if good else st.error)(said, icon=":material/check_circle:" if good else ":material/error:")


def _cancel(user: User, run: int) -> None:
    with ui.told():
        runs.cancel(ui.ctx(), user, run, datetime.now(UTC))


# ---- the two cards -------------------------------------------------------------------------------
def champion_card(parent, project: Project, reign: Reign | None, memory: Memory) -> None:  # type: ignore[no-untyped-def]
    with ui.card(parent, ui._("Who answers?")):
        standing = succession.standing(project, reign.version) if reign else None
        if reign is None or standing is None:
            st.info(ui._("Nobody yet. Train a first model: with enough labelled rows it becomes the champion."))
            return
        describe(standing)
        since = words.when(reign.began_at, ui.language())
        champion = succession.stood_in_for(memory)
        st.caption(
            ui._("Champion since {when}", when=since) if champion is None
            else ui._("Stands in for v{champion}, the champion, since {when}", champion=champion, when=since)
        )  # fmt: skip
        ui.link("decisions", ui._("Why it answers: decision #{id}", id=reign.decision), ":material/rule:",
                {"id": str(reign.decision)})  # fmt: skip


def challenger_card(parent, user: User, project: Project, memory: Memory) -> None:  # type: ignore[no-untyped-def]
    with ui.card(parent, ui._("Who could replace it?")):
        challenger, shadow = memory.challenger, memory.previous
        if challenger and (standing := succession.standing(project, challenger.version)):
            describe(standing)
            if memory.awaiting:
                st.markdown(f":orange-badge[:material/approval: {ui._('Waits for you')}]")
                st.caption(ui._("It passed the comparison; your policy leaves the last word to a person."))
                row = st.container(horizontal=True)
                if row.button(ui._("Approve"), type="primary", icon=":material/check:", key="approve"):
                    succession.ask(user, project, challenger.version, back=False)
                with row.popover(ui._("Decline"), icon=":material/close:"):
                    decline(user, project, challenger.version)
            else:
                st.markdown(f":blue-badge[:material/science: {ui._('On trial')}]")
        elif (champion := succession.stood_in_for(memory)) and (standing := succession.standing(project, champion)):
            describe(standing)
            st.markdown(f":gray-badge[:material/visibility: {ui._('Champion, has stepped aside')}]")
            st.caption(ui._("Its predecessor has lost less of late. It answers again as soon as that turns."))
        elif shadow and (standing := succession.standing(project, shadow.version)):
            describe(standing)
            st.markdown(f":gray-badge[:material/visibility: {ui._('In the shadow')}]")
            st.caption(ui._("The predecessor. It is scored on the same rows, and comes back should it prove better."))
        else:
            st.caption(ui._("Nobody: no challenger is on trial, and no predecessor is in view."))
        for limit in limits.successors(ui.policy(project), memory):
            st.caption(
                ui._("{what} so far: {seen:+.3g}; more than {needed:.3g} would settle it.", what=ui._(limit.label, **limit.params),
                     seen=limit.seen, needed=limit.needed)
            )  # fmt: skip


def describe(standing: succession.Standing) -> None:
    model = standing.model
    st.markdown(f"### v{model.version} · {ui._(ESTIMATORS[model.estimator].label)}")
    st.markdown(standing.score)
    st.caption(
        ui._("Trained on {rows:,} rows, from row {first:,} to row {last:,}, in {seconds:.1f} s", rows=model.rows,
             first=model.first, last=model.last - 1, seconds=model.seconds)
    )  # fmt: skip


def decline(user: User, project: Project, version: int) -> None:
    st.caption(
        ui._("v{version} is dropped and kept; the champion stays. You can still promote it by hand.", version=version)
    )
    why = st.text_input(ui._("Why (kept in the ledger)"), max_chars=200, key="decline_why")
    if st.button(ui._("Decline v{version}", version=version), key="decline"):
        with ui.told():
            loop.decline(ui.ctx(), user, project, reason=why, now=datetime.now(UTC))
            st.rerun()


# ---- acts ----------------------------------------------------------------------------------------
def acts(parent, user: User, project: Project) -> None:  # type: ignore[no-untyped-def]
    with ui.card(parent, ui._("Act now")):
        with st.form("train", border=False):
            estimator = st.selectbox(
                ui._("Kind of model"), [CHOICE, *ESTIMATORS],
                format_func=lambda name: ui._(ESTIMATORS[name].label) if name in ESTIMATORS else ui._("as the policy says"),
            )  # fmt: skip
            reason = st.text_input(ui._("Why (kept in the ledger)"), max_chars=200)
            asked = st.form_submit_button(ui._("Retrain now"), type="primary", icon=":material/model_training:")
        st.caption(ui._("Trains a challenger on rows that are labelled, in a process of its own, and compares it with the"
                        " champion. The champion goes on answering; it is replaced only if your policy's gate lets it."))  # fmt: skip
        if asked:
            chosen = {"reason": reason, "estimator": None if estimator == CHOICE else estimator}
            request(user, project, "retrain", chosen)
        row = st.container(horizontal=True)
        if row.button(ui._("Check now"), icon=":material/troubleshoot:", key="check"):
            request(user, project, "cycle", {})
        pause(row, user)


def request(user: User, project: Project, job: str, arguments: dict[str, str | None]) -> None:
    with ui.told():
        runs.request(ui.ctx(), user, job, project.id, arguments, now=datetime.now(UTC))
        st.toast(ui._("It starts within a second"))


def pause(row, user: User) -> None:  # type: ignore[no-untyped-def]
    """Pause the checks, or go on with them: a click undoes a click."""
    state = runs.job_states(ui.ctx(), ["cycle"])["cycle"]
    word = ui._("Resume checks") if state.paused else ui._("Pause checks")
    icon = ":material/play_arrow:" if state.paused else ":material/pause:"
    row.button(word, icon=icon, key="pause", on_click=_pause, args=(user, not state.paused))
    if state.paused and state.changed_at:
        st.warning(ui._("{user} paused the checks {when}: nothing is judged in any project until they are resumed. Rows,"
                        " answers and labels still come in and are judged then.", user=ui.md(state.changed_by),
                        when=ui.ago(state.changed_at)))  # fmt: skip
    else:
        st.caption(ui._("A check judges every window that is full, and acts on it. Pausing stops the timetable of checks in"
                        " all projects, until somebody resumes it; nothing is lost."))  # fmt: skip


def _pause(user: User, paused: bool) -> None:
    with ui.told():
        runs.set_paused(ui.ctx(), user, "cycle", paused=paused, now=datetime.now(UTC))


# ---- versions ------------------------------------------------------------------------------------
def versions_table(project: Project, versions: list[ModelVersion], roles: dict[int, str]) -> None:
    """All versions, with their ``roles``."""
    metric = performance.headline(project.schema)
    with ui.ctx().database.read() as con:
        answered = models.answered(con, project.id).set_index("version")["rows"]
    lines = []
    for model in versions:
        score = next((score for score in model.scores if score.metric == metric), None)
        lines.append({
            ui._("Version"): f"v{model.version}", ui._("Role"): roles.get(model.version, ""),
            ui._("Kind"): ui._(ESTIMATORS[model.estimator].label),
            ui.score_label(metric): score and score.value, ui._("Low"): score and score.low, ui._("High"): score and score.high,
            ui._("Training rows"): model.rows, ui._("Answered"): int(answered.get(model.version, 0)),
            ui._("Trained"): model.created_at, ui._("Seconds"): round(model.seconds, 1),
        })  # fmt: skip
    table = pd.DataFrame(lines)
    number, day = st.column_config.NumberColumn, st.column_config.DatetimeColumn
    forms: dict[str, Any] = {ui._("Role"): st.column_config.TextColumn(width=110)}
    forms |= dict.fromkeys((ui._("Training rows"), ui._("Answered")), number(format="localized"))
    forms[ui._("Trained")] = day(format="D MMM YYYY, HH:mm", timezone="UTC")
    forms |= dict.fromkeys((ui.score_label(metric), ui._("Low"), ui._("High")), number(format="%.3f"))
    st.dataframe(
        table, hide_index=True, height=min(35 * len(lines) + 40, 320), column_config=forms,
        alt=ui._("Every model version with its score before it served"),
    )  # fmt: skip
    st.caption(ui._("Scores with 95 % intervals, made before the version served, on the newest fifth of its training rows,"
                    " by a twin that had not seen them. Each was scored in its own time: the windows on Monitoring and the"
                    " comparisons in Decisions say who is better."))  # fmt: skip


def chosen_version(versions: list[ModelVersion], roles: dict[int, str]) -> ModelVersion:
    """The version that is asked for, here or in the address; the newest without. A list is open to the keyboard too."""
    named = {str(model.version): model for model in versions}
    roles_of = {name: f" · {roles[model.version]}" if model.version in roles else "" for name, model in named.items()}
    picked = st.selectbox(
        ui._("Version"), list(named), format_func=lambda name: f"v{name}{roles_of[name]}", width=260,
        **ui.in_url("version", named, default=next(iter(named))),
    )  # fmt: skip
    return named[picked]


def in_view(memory: Memory, reign: Reign | None) -> dict[int, str]:
    """What each version in view is, in words."""
    found = {memory.previous.version: ui._("predecessor")} if memory.previous else {}
    if memory.challenger:
        found[memory.challenger.version] = ui._("challenger")
    if (champion := succession.stood_in_for(memory)) and memory.previous:
        return found | {champion: ui._("champion"), memory.previous.version: ui._("stands in")}
    return found | ({reign.version: ui._("champion")} if reign else {})


def lineage(user: User, project: Project, model: ModelVersion, champion: int | None, reigns: list[Reign]) -> None:
    with ui.ctx().database.read() as con:
        story = decisions.about(con, project.id, model.version)
        mlflow_run = models.logged_run(con, project.id, model.version)
    with ui.card(st, ui._("Where does v{version} come from, and what became of it?", version=model.version)):
        st.markdown(
            ui._("Trained on {rows:,} labelled rows, from row {first:,} to row {last:,}, with seed {seed}.", rows=model.rows,
                 first=model.first, last=model.last - 1, seed=model.seed)
        )  # fmt: skip
        st.caption(
            ui._("Training data {data}, model file {file} (SHA-256), MLflow run {run}", data=model.data_hash[:12],
                 file=model.sha256[:12], run=mlflow_run or ui._("not told yet"))
        )  # fmt: skip
        for entry in story[-MOST_TOLD:]:
            row = st.container(horizontal=True, vertical_alignment="center", gap="small")
            color, icon, _ = ui.LOOK[entry.action]
            row.markdown(f":{color}-badge[:material/{icon}: {ui._(fate(entry, model.version))}]", width="content")
            with row:
                ui.link(
                    "decisions",
                    f"#{entry.id} · {words.when(entry.decided_at, ui.language())}",
                    None,
                    {"id": str(entry.id)},
                )
        if len(story) > MOST_TOLD:
            st.caption(ui._("{count:,} earlier decisions about it are in the ledger.", count=len(story) - MOST_TOLD))
            ui.link("decisions", ui._("All decisions"), ":material/rule:", {"q": f"v{model.version}"})
        if not story:
            st.caption(ui._("It was trained for a choice of training rows and not compared with the champion."))
        ends = [None, *[reign.began_at for reign in reigns]]
        for reign, end in zip(reigns, ends, strict=False):
            if reign.version == model.version:
                until = words.when(end, ui.language()) if end else ui._("now")
                st.caption(
                    ui._(
                        "Champion from {begin} to {until}", begin=words.when(reign.began_at, ui.language()), until=until
                    )
                )
        if model.version != champion and st.button(
            ui._("Promote v{version}", version=model.version), icon=":material/trending_up:", key="promote"
        ):
            succession.ask(user, project, model.version, back=False)


def fate(entry: decisions.Entry, version: int) -> str:
    """What a decision was for this version."""
    if entry.version == version:
        taken = {Action.PROMOTE: mark("Took over"), Action.ROLL_BACK: mark("Came back")}
        return taken.get(entry.action) or STOPPED.get(entry.reasons[-1].code, mark("Held back"))
    champion = (
        entry.comparison is not None
        and entry.comparison.versions is not None
        and entry.comparison.versions[0] == version
    )
    return mark("Was champion in a comparison") if champion else mark("Passed; its successor on all rows took over")


user = ui.require(Role.VIEWER)
project = ui.project()
actions = ui.page_head(ui._("Models"), ui._("Every version is kept; one is the champion"))
if project is None:
    ui.no_project()
    st.stop()
with ui.ctx().database.read() as con:
    versions, reigns = models.every(con, project.id), models.reigns(con, project.id)
succession.nothing_asked()
memory = succession.remembered(project)
reign = reigns[0] if reigns else None
before = succession.predecessor(reigns)
if before is not None and actions.button(ui._("Roll back"), icon=":material/undo:", key="roll_back"):
    succession.ask(user, project, before, back=True)
succession.undo(user, project)
under_way(user, project.id)
first, second, third = st.columns(3, gap="small")
champion_card(first, project, reign, memory)
challenger_card(second, user, project, memory)
acts(third, user, project)
if versions:
    with ui.card(st, ui._("All versions")):
        versions_table(project, versions, in_view(memory, reign))
        chosen = chosen_version(versions, in_view(memory, reign))
    lineage(user, project, chosen, reign.version if reign else None, reigns)
