"""Changing the champion by hand, for the pages that offer it: what serves now and what would, and the way back."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import streamlit as st

from core import loop, performance, words
from core.errors import ContinualError
from core.estimators import ESTIMATORS
from core.evidence import Memory
from core.records import SYSTEM, ModelVersion, Project, User
from core.store import decisions, models, performances
from core.store.models import Reign
from pages import ui

UNDO_FOR = timedelta(hours=1)  # so long a change by hand is offered to be undone at one click


@dataclass(frozen=True)
class Standing:
    """A version, and the last score of it that is known: from the newest window it answered whose labels are all in."""

    model: ModelVersion
    score: str


def standing(project: Project, version: int) -> Standing | None:
    with ui.ctx().database.read() as con:
        model = models.get(con, project.id, version)
        served = performances.last_mature(con, project.id, version)
    return Standing(model, _score(model, performance.headline(project.schema), served)) if model else None


def _score(model: ModelVersion, metric: str, served: tuple[int, performances.Scores] | None) -> str:
    window, scores = served or (None, model.scores)
    score = next((score for score in scores if score.metric == metric), None)
    if score is None:
        return ui._("Not scored yet")
    params = {"metric": ui.score_label(metric), "value": score.value, "low": score.low, "high": score.high}
    if window is not None:
        return ui._(
            "{metric} {value:.3f} ({low:.3f} to {high:.3f}) in window {window}, its last", window=window, **params
        )
    return ui._(
        "{metric} {value:.3f} ({low:.3f} to {high:.3f}) before it served, on {rows:,} rows it had not seen",
        rows=score.rows, **params,
    )  # fmt: skip


def predecessor(reigns: list[Reign]) -> int | None:
    """The version that a rollback brings back. ``reigns`` are the newest first."""
    return reigns[1].version if len(reigns) > 1 else None


def ask(user: User, project: Project, version: int, *, back: bool) -> None:
    """Open the dialog that promotes this version, or rolls back to it."""
    title = ui._("Roll back to v{version}?", version=version) if back else ui._("Promote v{version}?", version=version)
    st.session_state["succession_asking"] = True
    st.dialog(title, width="medium", on_dismiss=nothing_asked)(_body)(user, project, version, back)


def remembered(project: Project) -> Memory:
    """What judgement remembers of the project."""
    with ui.ctx().database.read() as con:
        kept = decisions.memory(con, project.id)
    return Memory.from_json(kept) if kept else Memory()


def stood_in_for(memory: Memory) -> int | None:
    """The champion in whose place its predecessor answers; None while it answers itself."""
    return memory.champion.version if memory.champion and memory.stands_in else None


def awaited(project: Project) -> int | None:
    """The challenger that passed and waits for a person, if there is one."""
    memory = remembered(project)
    return memory.challenger.version if memory.challenger and memory.awaiting else None


def waits(project: Project) -> None:
    """That a challenger waits for a person, and the way to it; nothing while none does."""
    if (version := awaited(project)) is None:
        return
    row = st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    row.markdown(
        f":orange-badge[:material/approval: {ui._('Waits for you')}] &nbsp;"
        + ui._("v{version} passed the comparison; your policy leaves the last word to a person.", version=version),
        width="content",
    )  # fmt: skip
    with row:
        ui.link("models", ui._("Approve or decline"), ":material/arrow_forward:")


def asking() -> bool:
    """Whether the dialog is open: a rerun of the page closes it, and loses what was typed."""
    return "succession_asking" in st.session_state


def nothing_asked() -> None:
    """Every run of the whole page begins so, and a dialog that is dismissed ends so."""
    st.session_state.pop("succession_asking", None)


def _body(user: User, project: Project, version: int, back: bool) -> None:
    if st.session_state.pop("succession_done", False):
        st.rerun()
    with ui.ctx().database.read() as con:
        reign = models.reign(con, project.id)
    now, would = standing(project, reign.version) if reign else None, standing(project, version)
    left, right = st.columns(2)
    with ui.card(left, ui._("Serves now")):
        _show(now)
    with ui.card(right, ui._("Would serve")):
        _show(would)
    st.markdown(
        ui._("From the next request on, v{version} answers. Nothing is deleted, and you can undo it.", version=version)
    )
    if awaited(project) == version:
        st.caption(ui._("It passed the comparison; your policy leaves the last word to a person."))
    elif not back:
        st.caption(ui._("It takes over without a comparison. The version it replaces stays in its shadow: should that"
                        " prove better on the windows to come, it comes back."))  # fmt: skip
    st.text_input(ui._("Why (kept in the ledger)"), max_chars=200, key="succession_why")
    if told := st.session_state.pop("succession_error", None):
        st.error(ui.heard(told))
    st.button(
        ui._("Roll back to v{version}", version=version) if back else ui._("Promote v{version}", version=version),
        type="primary", key="succession_go", on_click=_go, args=(user, project, version, back),
    )  # fmt: skip


def _show(standing: Standing | None) -> None:
    if standing is None:
        st.markdown(ui._("Nobody"))
        return
    model = standing.model
    st.markdown(f"**v{model.version}** · {ui._(ESTIMATORS[model.estimator].label)}")
    st.caption(standing.score)
    st.caption(ui._("Trained on {rows:,} rows, the newest of them row {last:,}", rows=model.rows, last=model.last - 1))


def _go(user: User, project: Project, version: int, back: bool) -> None:
    why = str(st.session_state.get("succession_why") or "")
    try:
        if back:
            loop.roll_back(ui.ctx(), user, project, reason=why, now=datetime.now(UTC))
        else:
            loop.promote(ui.ctx(), user, project, version, reason=why, now=datetime.now(UTC))
        st.session_state["succession_done"] = True
    except ContinualError as error:
        st.session_state["succession_error"] = str(error)


def undo(user: User, project: Project) -> None:
    """The newest change of champion, if a person made it within the hour, with a button that takes it back."""
    if told := st.session_state.pop("succession_error", None):
        st.error(ui.heard(told))
    with ui.ctx().database.read() as con:
        reigns = models.reigns(con, project.id)
        entry = decisions.get(con, reigns[0].decision) if reigns else None
    if entry is None or entry.actor == SYSTEM.name or datetime.now(UTC) - entry.decided_at > UNDO_FOR:
        return
    row = st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    row.markdown(
        ui._("v{version} answers since {when}.", version=reigns[0].version, when=words.when(entry.decided_at, ui.language()))
        + " " + " ".join(ui.md(ui.sentence(reason)) for reason in entry.reasons),
        width="stretch",
    )  # fmt: skip
    before = predecessor(reigns)
    if before is not None and before != reigns[0].version:
        label = ui._("Undo: back to v{version}", version=before)
        why = ui._("undo of decision #{id}", id=entry.id)
        row.button(label, icon=":material/undo:", key="undo", on_click=_undo, args=(user, project, before, why))


def _undo(user: User, project: Project, version: int, why: str) -> None:
    try:
        loop.promote(ui.ctx(), user, project, version, reason=why, now=datetime.now(UTC))
    except ContinualError as error:
        st.session_state["succession_error"] = str(error)
