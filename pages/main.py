"""The frame around every page: who you are, which project, where you can go. Streamlit's script is this file."""

from datetime import UTC, datetime
from pathlib import Path

import streamlit as st
import streamlit_authenticator as stauth
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core import accounts, auth, guard, incidents, projects
from core.errors import ContinualError, SignInRefused
from core.records import GUEST, Role, User
from core.words import mark
from pages import ui

HERE = Path(__file__).parent
COOKIE = "continual_ml"
PAGES = {
    "": [("overview", mark("Overview"), "space_dashboard"), ("account", mark("Your account"), "account_circle")],
    mark("Build"): [
        ("data", mark("Data"), "database"),
        ("models", mark("Models"), "deployed_code"),
        ("predict", mark("Predict"), "bolt"),
    ],
    mark("Watch"): [
        ("monitoring", mark("Monitoring"), "monitoring"),
        ("decisions", mark("Decisions"), "rule"),
        ("alerts", mark("Alerts"), "notifications"),
        ("reports", mark("Reports"), "photo_library"),
    ],
    mark("Operate"): [
        ("automation", mark("Automation"), "event_repeat"),
        ("health", mark("Health"), "ecg_heart"),
        ("admin", mark("Admin"), "admin_panel_settings"),
    ],
}
UNLISTED = {"account"}  # the sidebar's foot leads there
ADDRESSES = {"health": "app-health"}  # /health is what monitors ask
FOR_ADMINS = {"admin"}  # not listed for others; the page asks for the role all the same


def frame() -> None:
    """Sign-in first; then the page that was asked for."""
    st.set_page_config(page_title="Continual ML", page_icon=":material/autorenew:", layout="wide")
    authenticator, people = _authenticator()
    user = _who(authenticator, people)
    if user is not None:
        _speak_to(user)
    unlisted = UNLISTED | (set() if user and user.role is Role.ADMIN else FOR_ADMINS)
    # Every page is registered even before sign-in: an unknown address opens a dialog that blocks the form.
    page = st.navigation(
        {
            ui._(section) if section else "": [
                st.Page(
                    HERE / f"{name}.py", title=ui._(title), icon=f":material/{icon}:", default=name == "overview",
                    visibility="hidden" if name in unlisted else "visible",
                    url_path=ADDRESSES.get(name),
                )
                for name, title, icon in pages
            ]
            for section, pages in PAGES.items()
        },
        position="sidebar" if user else "hidden",
    )  # fmt: skip
    if user is None:
        _sign_in(authenticator)
        st.stop()
    _sidebar(authenticator, user)
    _watch(user)
    if user == GUEST:
        _guest_banner()
    page.run()


# ---- who is here ---------------------------------------------------------------------------------
def _authenticator() -> tuple[stauth.Authenticate, dict[str, User]]:
    """The cookie's keeper, and the users who may sign in by the name that stands in their cookie.

    That name carries what their session is bound to: a new password ends every session of the old one.
    """
    people = auth.sessions(ui.ctx())
    credentials = {"usernames": {key: {"name": user.name, "email": "", "password": ""} for key, user in people.items()}}
    key, days = auth.cookie_key(ui.ctx().settings.data_dir), auth.SESSION_LASTS.total_seconds() / 86_400
    return stauth.Authenticate(credentials, COOKIE, key, days, auto_hash=False, login_sleep_time=0), people


def _who(authenticator: stauth.Authenticate, people: dict[str, User]) -> User | None:
    """Who is here, as the database knows them now: by password, by an identity provider, or as a guest."""
    user = _by_password(authenticator, people) or _by_provider() or _as_guest()
    st.session_state["signed_in"] = user.name if user else None
    _let_upload(user is not None and auth.RANK[user.role] >= auth.RANK[Role.OPERATOR])
    return user


def _by_password(authenticator: stauth.Authenticate, people: dict[str, User]) -> User | None:
    state = st.session_state
    try:
        cookie = st.context.cookies.get(COOKIE)
        if state.get("authentication_status") or not isinstance(cookie, str):
            cookie = None  # signed in by the form, or nothing sent
        if cookie and auth.is_signed_out(ui.ctx(), cookie):
            state["logout"] = True  # the browser still sends it; it opens nothing
        authenticator.login(location="unrendered")
        if cookie and state.get("authentication_status"):
            state["cookie"] = cookie
    except stauth.LoginError:  # the cookie's user is gone, disabled, or has a new password
        state["authentication_status"] = None
    if state.get("authentication_status") and not _ended_elsewhere():
        if state.pop("new_cookie", False):
            _write_cookie(authenticator)
        return people.get(state.get("username") or "")
    return None


def _by_provider() -> User | None:
    st.session_state.pop("provider_said", None)
    if not _providers() or not st.user.get("is_logged_in"):
        return None
    try:
        return auth.user_of_claims(ui.ctx(), st.user.to_dict(), datetime.now(UTC))
    except SignInRefused as error:
        st.session_state["provider_said"] = str(error)
        return None


def _as_guest() -> User | None:
    """A guest, unless they came to sign in."""
    came_for_more = st.session_state.get("wants_to_sign_in") or st.session_state.get("provider_said")
    return GUEST if ui.ctx().settings.guest and not came_for_more else None


def _providers() -> list[str]:
    """The identity providers that are set up in Streamlit's secrets: "" is the one that has no name."""
    if not st.secrets.load_if_toml_exists() or "auth" not in st.secrets:
        return []
    found = st.secrets["auth"]
    named = [name for name, value in found.items() if hasattr(value, "items") and "client_id" in value]
    return [""] * ("client_id" in found) + named


def _ended_elsewhere() -> bool:
    """Whether this session was signed out in another tab."""
    cookie = st.session_state.get("cookie")
    return cookie is not None and auth.is_signed_out(ui.ctx(), cookie)


@st.fragment(run_every="10s")
def _watch(user: User) -> None:
    """Leave the page when the session was ended elsewhere, or the role has changed, though nobody clicks."""
    try:
        if auth.current(ui.ctx(), user.name, Role.VIEWER) == user and not _ended_elsewhere():
            return
    except ContinualError:
        pass
    st.rerun()


# ---- signing in ----------------------------------------------------------------------------------
def _sign_in(authenticator: stauth.Authenticate) -> None:
    _, middle, _ = st.columns([1, 1.2, 1])
    with middle, st.form("sign_in"):
        st.title(ui._("Sign in"), anchor=False)
        st.caption(ui._("Continual ML keeps your model right while the world changes."))
        name = st.text_input(ui._("Name"), autocomplete="username").strip().lower()
        password = st.text_input(ui._("Password"), type="password", autocomplete="current-password")
        asked = st.form_submit_button(ui._("Sign in"), type="primary", width="stretch")
    with middle:
        _other_ways()
    if not asked:
        return
    try:
        user = auth.check_password(ui.ctx(), name, password, ui.address(), datetime.now(UTC))
    except SignInRefused as error:
        middle.error(ui.heard(str(error)))
        return
    st.session_state.update(username=auth.session_key(user), name=user.display, authentication_status=True, logout=None)
    _write_cookie(authenticator)
    st.session_state.pop("wants_to_sign_in", None)
    middle.info(ui._("Signing you in"))  # the cookie's component runs this script again once the browser has it


def _write_cookie(authenticator: stauth.Authenticate) -> None:
    authenticator.cookie_controller.set_cookie()
    st.session_state["cookie"] = authenticator.cookie_controller.cookie_model._token_encode()


def _other_ways() -> None:
    """Identity providers, and looking around as a guest, where they are set up."""
    told = st.session_state.get("provider_said")
    if told:
        st.error(told)
        st.button(ui._("Use another account"), on_click=st.logout, width="stretch")
    for provider in _providers():
        label = ui._("Sign in with {provider}", provider=provider or ui._("your organisation"))
        if st.button(label, key=f"provider-{provider}", icon=":material/key:", width="stretch"):
            st.login(provider or None)
    if ui.ctx().settings.guest and not told:
        st.button(
            ui._("Look around as a guest"), icon=":material/visibility:", width="stretch",
            on_click=st.session_state.pop, args=("wants_to_sign_in", None),
        )  # fmt: skip


def _guest_banner() -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(
            ":blue-badge[:material/visibility: " + ui._("Guest") + "] &nbsp;"
            + ui._("You are looking around: you see everything of the projects, and can change nothing."),
            width="content",
        )  # fmt: skip
        st.button(ui._("Sign in"), key="guest_signs_in", type="primary", on_click=_want_to_sign_in)


def _want_to_sign_in() -> None:
    st.session_state["wants_to_sign_in"] = True


def _let_upload(allowed: bool) -> None:
    run = get_script_run_ctx()
    if run is not None:
        guard.let_upload(run.session_id, allowed=allowed)


# ---- the sidebar ---------------------------------------------------------------------------------
def _speak_to(user: User) -> None:
    """The language this user chose, once a session."""
    if st.session_state.get("spoken_to") != user.name:
        st.session_state["spoken_to"] = user.name
        if chosen := accounts.language(ui.ctx(), user):
            ui.set_language(chosen)


def _sidebar(authenticator: stauth.Authenticate, user: User) -> None:
    with st.sidebar:
        active = projects.active(ui.ctx())
        chosen = ui.project()
        if chosen is not None:
            ids = [project.id for project in active]
            names = {project.id: project.name for project in active}
            picked = st.selectbox(ui._("Project"), ids, index=ids.index(chosen.id), format_func=names.__getitem__)
            ui.choose(picked)
        if opened := _open_incidents(str(ui.ctx().settings.data_dir)):
            ui.link("alerts", ui._("Open incidents: {count}", count=opened), ":material/notifications_active:")
        st.caption(f"{ui.md(user.display)} · {ui._(user.role)}")
        with st.container(horizontal=True, vertical_alignment="center"):
            ui.link("account", ui._("Your account"), ":material/account_circle:")
            if user != GUEST and st.button(ui._("Sign out"), icon=":material/logout:", type="tertiary"):
                _sign_out(authenticator)


@st.cache_data(ttl=10, show_spinner=False)
def _open_incidents(data_dir: str) -> int:
    return incidents.count_open(ui.ctx())


def _sign_out(authenticator: stauth.Authenticate) -> None:
    _let_upload(False)
    if cookie := st.session_state.pop("cookie", None):
        auth.sign_out(ui.ctx(), cookie, datetime.now(UTC))
    authenticator.authentication_controller.logout()
    authenticator.cookie_controller.delete_cookie()
    for key in ("signed_in", "spoken_to", "language"):
        st.session_state.pop(key, None)
    if _providers() and st.user.get("is_logged_in"):
        st.logout()
    st.info(ui._("Signed out"))
    st.stop()


if __name__ == "__main__":
    try:
        frame()
    except ContinualError as error:
        st.error(str(error))
