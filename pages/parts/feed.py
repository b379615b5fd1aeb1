"""A broken feed: which features block, and the word of a person that they are right."""

from datetime import UTC, datetime

import streamlit as st

from core import loop
from core.errors import ContinualError
from core.records import Project, Role, User
from pages import ui


def blocked(user: User, project: Project) -> bool:
    """What blocks learning now, with the two ways out; nothing, and False, while the feed is whole."""
    if told := st.session_state.pop("feed_error", None):
        st.error(ui.heard(told))
    features = loop.blocking(ui.ctx(), project)
    if not features:
        return False
    row = st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    row.markdown(
        ":orange[:material/report:] "
        + ui._("The feed looks broken in: {features}. These windows are set aside and nothing is learned from them. Mend"
               " the feed; learning goes on by itself then.", features=", ".join(map(ui.md, features))),
        width="stretch",
    )  # fmt: skip
    if user.role is Role.VIEWER:
        return True
    with row.popover(ui._("The feed is right"), icon=":material/check:"):
        st.markdown(ui._("If the world has changed and these values are real, the windows set aside are judged anew together"
                         " with the next full window, and such values count as usual from then on."))  # fmt: skip
        st.text_input(ui._("Why (kept in the ledger)"), max_chars=200, key="feed_why")
        st.button(ui._("Accept the feed"), type="primary", key="feed_accept", on_click=_accept, args=(user, project))
    return True


def _accept(user: User, project: Project) -> None:
    try:
        why = str(st.session_state.get("feed_why") or "")
        loop.accept_feed(ui.ctx(), user, project, reason=why, now=datetime.now(UTC))
    except ContinualError as error:
        st.session_state["feed_error"] = str(error)
