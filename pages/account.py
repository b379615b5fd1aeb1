"""Your own account: language, password, sessions."""

from datetime import UTC, datetime

import streamlit as st

from core import accounts, auth, words
from core.records import Role, User
from pages import ui


def language(user: User, *, keep: bool) -> None:
    with ui.card(st, ui._("Which language do you read?")):
        chosen = st.segmented_control(
            ui._("Language"), list(words.LANGUAGES), default=ui.language(), format_func=words.LANGUAGES.__getitem__,
            required=True, label_visibility="collapsed", key="chosen_language",
        )  # fmt: skip
        if chosen != ui.language():
            with ui.told():
                if keep:
                    accounts.set_language(ui.ctx(), user, chosen)
                ui.set_language(chosen)
                st.rerun()


def password(user: User) -> None:
    with ui.card(st, ui._("How do you sign in?"), ui._("With a new password, every other session of yours ends.")):
        with st.form("password", border=False):
            present = st.text_input(ui._("Present password"), type="password", autocomplete="current-password")
            new = st.text_input(
                ui._("New password"), type="password", autocomplete="new-password", help=ui._("8 to 72 bytes")
            )
            again = st.text_input(ui._("New password once more"), type="password", autocomplete="new-password")
            asked = st.form_submit_button(ui._("Change my password"), type="primary")
        if asked and new != again:
            st.error(ui._("The two new passwords differ. Nothing was changed."))
        elif asked:
            with ui.told():
                changed = accounts.change_password(
                    ui.ctx(), user, present=present, new=new, address=ui.address(), now=datetime.now(UTC)
                )
                # This session goes on: the frame writes it a new cookie.
                key = auth.session_key(changed)
                st.session_state.update(username=key, new_cookie=True, password_changed=key)
                st.rerun()
        elif st.session_state.get("password_changed") == auth.session_key(user):
            st.success(ui._("Your password is changed; every other session has ended."))


def sessions(user: User) -> None:
    with ui.card(st, ui._("Was it you?"), ui._("The newest tries to sign in under your name.")):
        ui.sign_ins(accounts.own_sign_ins(ui.ctx(), user))
        st.caption(ui._("If it was not: change your password. If you left a session open somewhere, end them all."))
        if st.button(ui._("Sign out everywhere"), icon=":material/logout:"):
            with ui.told():
                accounts.end_sessions(ui.ctx(), user, user.name, datetime.now(UTC))
                st.rerun()


user = ui.require(Role.VIEWER)
ui.page_head(ui._("Your account"), f"{ui.md(user.display)} · {ui._(user.role)}")
own = ":" not in user.name  # guests, and those an identity provider vouches for, have no account here
left, right = st.columns(2)
with left:
    language(user, keep=own)
    if own:
        password(user)
with right:
    if own:
        sessions(user)
    else:
        st.info(ui._("You have no account here, so there is no password to change."))
