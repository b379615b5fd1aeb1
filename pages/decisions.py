"""Every check and every act with its reasons: the ledger, one decision (`?id=`), and who answered when (`?view=`)."""

from datetime import UTC, datetime, timedelta

import streamlit as st

from core import reasons
from core.records import SYSTEM, Action, Project, Role
from core.store import decisions
from core.words import mark
from pages import ui
from pages.parts import as_of, decision_detail

PAGE = 20
PERIODS = {"day": (mark("24 hours"), 1), "week": (mark("7 days"), 7), "month": (mark("30 days"), 30)}
VIEWS = {"ledger": mark("Decisions"), "as-of": mark("Who answered when?")}
TOLD = tuple(action for action in Action if action not in (Action.WAIT, Action.NOTHING))
MOST_WORDS = 8


def ledger(project: Project) -> None:
    actions, since, words = filters()
    with ui.ctx().database.read() as con:
        total = decisions.search(con, project.id, actions=actions, since=since, words=words, limit=0)[1]
        pages = max(1, -(-total // PAGE))
        asked = st.query_params.get("page", "1")
        page = min(max(int(asked) if asked.isdecimal() else 1, 1), pages)
        entries, _ = decisions.search(
            con, project.id, actions=actions, since=since, words=words, limit=PAGE, offset=(page - 1) * PAGE
        )
        anything = bool(total or decisions.latest(con, project.id, limit=1))
    if not anything:
        st.info(
            ui._(
                "No decision yet. The first check writes one: it runs by itself, or at once with Check now on Overview."
            )
        )
        return
    if not entries:
        st.info(ui._("No decision fits these filters. Take one away, or choose quiet checks too: Waiting and Healthy."))
        return
    st.caption(ui._("{total} decisions, the newest first", total=total))
    with st.container(border=True, gap="small"):
        for entry in entries:
            line(entry)
    if pages > 1:
        key = f"page {page}"  # the address says which one is open: no state of the session beside it
        st.pagination(pages, default=page, key=key, on_change=_turn, args=(key,), width="stretch")


def _turn(key: str) -> None:
    st.query_params["page"] = str(st.session_state[key])


def filters() -> tuple[tuple[Action, ...], datetime | None, tuple[tuple[str, tuple[str, ...]], ...]]:
    """What the address asks for: actions, the earliest time, and the words with the reasons they stand in."""
    row = st.container(horizontal=True, vertical_alignment="bottom")
    text = row.text_input(
        ui._("Search"), type="search", max_chars=100, width=280, placeholder=ui._("a word, #12, v3, a name"),
        **ui.in_url("q", None, default=""),
    )  # fmt: skip
    period = row.segmented_control(
        ui._("Period"), list(PERIODS), format_func=lambda name: ui._(PERIODS[name][0]),
        help=ui._("Choose none to see all the time there is."), **ui.in_url("period", PERIODS),
    )  # fmt: skip
    names = [str(action) for action in Action]
    chosen = row.pills(
        ui._("Actions"), names, selection_mode="multi", wrap=True, format_func=lambda name: ui._(ui.LOOK[Action(name)][2]),
        help=ui._("Choose none to see all but the quiet checks."), **ui.in_url("action", names, many=True),
    )  # fmt: skip
    since = datetime.now(UTC) - timedelta(days=PERIODS[period][1]) if period else None
    words = tuple((word, reasons.codes_with(word, ui.language())) for word in (text or "").split()[:MOST_WORDS])
    return tuple(Action(name) for name in chosen) or (() if words else TOLD), since, words


def line(entry: decisions.Entry) -> None:
    """A decision as a sentence, linked to its detail."""
    words, way = st.columns([9, 1], gap="small", vertical_alignment="center")
    color, icon, word = ui.LOOK[entry.action]
    version = f" v{entry.version}" if entry.version else ""
    by = "" if entry.actor == SYSTEM.name else f" · {ui.md(entry.actor)}"
    said = " ".join(ui.md(ui.sentence(reason)) for reason in entry.reasons)
    words.markdown(
        f":{color}-badge[:material/{icon}: {ui._(word)}{version}] :gray[:small[{ui.ago(entry.decided_at)}{by}]]  \n{said}"
    )
    with way:
        ui.link(
            "decisions", f"#{entry.id}", ":material/chevron_right:", {"id": str(entry.id), "project": entry.project}
        )


user = ui.require(Role.VIEWER)
project = ui.project()
asked = st.query_params.get("id", "")
if asked.isdecimal():
    decision_detail.show(user, int(asked[:18]))
elif project is None:
    ui.page_head(ui._("Decisions"))
    ui.no_project()
else:
    actions = ui.page_head(ui._("Decisions"), ui._("What was done, and why"))
    view = actions.segmented_control(
        ui._("View"), list(VIEWS), format_func=lambda name: ui._(VIEWS[name]), label_visibility="collapsed",
        required=True, **ui.in_url("view", VIEWS, default="ledger"),
    )  # fmt: skip
    as_of.show(project) if view == "as-of" else ledger(project)
