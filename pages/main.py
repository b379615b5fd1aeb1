"""The frame around every page: who you are, which project, where you can go. Streamlit's script is this file."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import streamlit as st
import streamlit_authenticator as stauth
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core import auth, guard, projects
from core.errors import ContinualError, SignInRefused
from core.records import User
from pages import ui

HERE = Path(__file__).parent
COOKIE, COOKIE_DAYS = "continual_ml", 1.0
PAGES = {
    "": [("overview", "Overview", "space_dashboard")],
    "Build": [("data", "Data", "database"), ("models", "Models", "deployed_code"), ("predict", "Predict", "bolt")],
    "Watch": [("monitoring", "Monitoring", "monitoring"), ("decisions", "Decisions", "rule")],
    "Operate": [("automation", "Automation", "event_repeat")],
}


def frame() -> None:
    """Sign-in first; then the page that was asked for."""
    st.set_page_config(page_title="Continual ML", page_icon=":material/autorenew:", layout="wide")
    authenticator, people = _authenticator()
    user = _signed_in(authenticator, people)
    # Every page is registered even before sign-in: an unknown address opens a dialog that blocks the form.
    page = st.navigation(
        {
            section: [
                st.Page(HERE / f"{name}.py", title=title, icon=f":material/{icon}:", default=name == "overview")
                for name, title, icon in pages
            ]
            for section, pages in PAGES.items()
        },
        position="sidebar" if user else "hidden",
    )
    if user is None:
        _sign_in(authenticator)
        st.stop()
    _sidebar(authenticator, user)
    page.run()


# ---- signing in ----------------------------------------------------------------------------------
def _authenticator() -> tuple[stauth.Authenticate, dict[str, User]]:
    """The cookie's keeper, and the users who may sign in by the name that stands in their cookie.

    That name carries what their session is bound to: a new password ends every session of the old one.
    """
    people = auth.sessions(ui.ctx())
    credentials = {"usernames": {key: {"name": user.name, "email": "", "password": ""} for key, user in people.items()}}
    key = auth.cookie_key(ui.ctx().settings.data_dir)
    keeper = stauth.Authenticate(credentials, COOKIE, key, COOKIE_DAYS, auto_hash=False, login_sleep_time=0)
    return keeper, people


def _signed_in(authenticator: stauth.Authenticate, people: dict[str, User]) -> User | None:
    """Who is signed in, as the database knows them now."""
    try:
        cookie = st.context.cookies.get(COOKIE)
        if st.session_state.get("authentication_status") or not isinstance(cookie, str):
            cookie = None  # signed in by the form, or nothing sent
        if cookie and auth.is_signed_out(ui.ctx(), cookie):
            st.session_state["logout"] = True  # the browser still sends it; it opens nothing
        authenticator.login(location="unrendered")
        if cookie and st.session_state.get("authentication_status"):
            st.session_state["cookie"] = cookie
    except stauth.LoginError:  # the cookie's user is gone, disabled, or has a new password
        st.session_state["authentication_status"] = None
    user = people.get(st.session_state.get("username") or "") if st.session_state.get("authentication_status") else None
    st.session_state["signed_in"] = user.name if user else None
    _let_upload(user is not None)
    return user


def _sign_in(authenticator: stauth.Authenticate) -> None:
    _, middle, _ = st.columns([1, 1.2, 1])
    with middle, st.form("sign_in"):
        st.title("Sign in", anchor=False)
        st.caption("Continual ML keeps your model right while the world changes.")
        name = st.text_input("Name", autocomplete="username").strip().lower()
        password = st.text_input("Password", type="password", autocomplete="current-password")
        asked = st.form_submit_button("Sign in", type="primary", width="stretch")
    if not asked:
        return
    try:
        user = auth.check_password(ui.ctx(), name, password, _address(), datetime.now(UTC))
    except SignInRefused as error:
        middle.error(str(error))
        return
    st.session_state.update(username=auth.session_key(user), name=user.display, authentication_status=True, logout=None)
    authenticator.cookie_controller.set_cookie()
    st.session_state["cookie"] = authenticator.cookie_controller.cookie_model._token_encode()
    middle.info("Signing you in")  # the cookie's component runs this script again once the browser has it


def _address() -> str:
    address: Any = st.context.ip_address
    return address if isinstance(address, str) else "local"


def _let_upload(allowed: bool) -> None:
    run = get_script_run_ctx()
    if run is not None:
        guard.let_upload(run.session_id, allowed=allowed)


# ---- the sidebar ---------------------------------------------------------------------------------
def _sidebar(authenticator: stauth.Authenticate, user: User) -> None:
    with st.sidebar:
        active = projects.active(ui.ctx())
        chosen = ui.project()
        if chosen is not None:
            ids = [project.id for project in active]
            names = {project.id: project.name for project in active}
            picked = st.selectbox("Project", ids, index=ids.index(chosen.id), format_func=names.__getitem__)
            ui.choose(picked)
        st.caption(f"{ui.md(user.display)} · {user.role}")
        if st.button("Sign out", icon=":material/logout:", type="tertiary"):
            _sign_out(authenticator)


def _sign_out(authenticator: stauth.Authenticate) -> None:
    _let_upload(False)
    if cookie := st.session_state.pop("cookie", None):
        auth.sign_out(ui.ctx(), cookie, datetime.now(UTC))
    authenticator.authentication_controller.logout()
    authenticator.cookie_controller.delete_cookie()
    st.session_state["signed_in"] = None
    st.info("Signed out")
    st.stop()


if __name__ == "__main__":
    try:
        frame()
    except ContinualError as error:
        st.error(str(error))
