"""Who may come in, what was done, how the app is set up."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pandas as pd
import streamlit as st

from core import accounts, backups, runs
from core.records import Role, User
from core.store.users import Account
from core.words import mark
from pages import ui

LASTS = {
    mark("7 days"): timedelta(days=7),
    mark("30 days"): timedelta(days=30),
    mark("90 days"): timedelta(days=90),
    mark("1 year"): timedelta(days=365),
    mark("until it is revoked"): None,
}
MOST_TO_BROWSER = 1_000_000_000  # bytes: the server holds the whole file in memory to send it
ROLES = {  # what each may do, said where one is chosen
    Role.VIEWER: mark("sees everything of the projects, changes nothing"),
    Role.OPERATOR: mark("brings rows and labels, trains, promotes, tries policies"),
    Role.ADMIN: mark("also policies, accounts, tokens, settings and backups"),
}


def once(text: str, what: str) -> None:
    """A secret that is seen this once."""
    st.success(what)
    st.code(text, language=None, wrap_lines=True)
    st.caption(ui._("Shown once: copy it now."))


def choose_role(label: str, key: str, index: int = 0) -> Role:
    chosen: Role | None = st.radio(
        label, list(Role), index=index, key=key, format_func=lambda role: ui._(role).capitalize(),
        captions=[ui._(ROLES[role]) for role in Role],
    )  # fmt: skip
    return chosen or Role.VIEWER


# ---- people --------------------------------------------------------------------------------------
@st.dialog(ui._("Shut this account out?"))
def disable(user: User, account: Account) -> None:
    st.markdown(
        ui._(
            "**{name}** is signed out everywhere at once and cannot sign in any more. Nothing they made is lost, and"
            " you can enable the account again.",
            name=ui.md(account.name),
        )
    )
    if st.button(ui._("Disable the account"), type="primary"):
        with ui.told():
            accounts.disable_user(ui.ctx(), user, account.name, datetime.now(UTC))
            st.rerun()


def people(user: User) -> None:
    top, (left, right) = st.container(), st.columns(2)
    with ui.card(left, ui._("What should change for whom?")):
        accounts_now = {account.name: account for account in accounts.every(ui.ctx(), user)}
        change(user, accounts_now[st.selectbox(ui._("Account"), list(accounts_now), key="account")])
    with ui.card(right, ui._("Who is missing?")):
        invite(user)
    with ui.card(top, ui._("Who may sign in?")):  # drawn last, so that it shows what was just changed
        frame = pd.DataFrame(
            [
                {
                    "name": account.name, "display": account.display, "role": ui._(account.role), "email": account.email or "",
                    "last": ui.when(account.signed_in_at) if account.signed_in_at else ui._("never"),
                    "state": ui._("disabled") if account.disabled_at else ui._("may sign in"),
                }
                for account in accounts.every(ui.ctx(), user)
            ]
        )  # fmt: skip
        st.dataframe(
            frame, hide_index=True,
            column_config=ui.columns(
                name=ui._("Name"), display=ui._("Shown as"), role=ui._("Role"), email=ui._("E-mail"),
                last=ui._("Last sign-in"), state=ui._("State"),
            ),
        )  # fmt: skip
    with ui.card(
        st, ui._("Who tried to sign in?"), ui._("Names that nobody has are left out: they may be a mistyped password.")
    ):
        ui.sign_ins(accounts.sign_ins(ui.ctx(), user))


def invite(user: User) -> None:
    with st.form("new_user", border=False, clear_on_submit=True):
        name = st.text_input(ui._("Name to sign in with"), max_chars=32, help=ui._("a-z, 0-9, dot, dash, underscore"))
        display = st.text_input(ui._("Shown as"), max_chars=60)
        email = st.text_input(ui._("E-mail"), help=ui._("Only needed to sign in through an identity provider."))
        role = choose_role(ui._("Role"), "new_role")
        asked = st.form_submit_button(ui._("Make the account"), type="primary")
    if asked:
        with ui.told():
            made, password = accounts.invite_user(
                ui.ctx(),
                user,
                name=name.strip().lower(),
                role=role,
                display=display,
                email=email,
                now=datetime.now(UTC),
            )
            once(password, ui._("{name} can sign in with this password.", name=made.name))


def change(user: User, account: Account) -> None:
    """What can be done to one account."""
    now = datetime.now(UTC)
    role = choose_role(ui._("Role"), f"role-{account.name}", list(Role).index(account.role))
    email = st.text_input(ui._("E-mail"), account.email or "", key=f"email-{account.name}")
    with st.container(horizontal=True):
        if st.button(
            ui._("Keep these changes"), type="primary", disabled=(role, email) == (account.role, account.email or "")
        ):
            with ui.told():
                if role != account.role:
                    accounts.set_role(ui.ctx(), user, account.name, role, now)
                if email != (account.email or ""):
                    accounts.set_email(ui.ctx(), user, account.name, email, now)
                st.rerun()
        reset = st.button(ui._("Reset the password"))
        if st.button(ui._("Sign out everywhere")):
            with ui.told():
                accounts.end_sessions(ui.ctx(), user, account.name, now)
                st.toast(ui._("Every session of {name} has ended.", name=account.name))
        if account.disabled_at is None:
            if st.button(ui._("Disable the account …")):
                disable(user, account)
        elif st.button(ui._("Enable the account")):
            with ui.told():
                accounts.enable_user(ui.ctx(), user, account.name, now)
                st.rerun()
    if reset:
        with ui.told():
            once(
                accounts.reset_password(ui.ctx(), user, account.name, now),
                ui._("{name} signs in with this password from now on.", name=account.name),
            )


# ---- programs ------------------------------------------------------------------------------------
@st.dialog(ui._("Revoke this token?"))
def revoke(user: User, id_: str, name: str) -> None:
    st.markdown(
        ui._(
            "Programs that use **{name}** are refused from now on. It cannot be brought back; you can make another.",
            name=ui.md(name),
        )
    )
    if st.button(ui._("Revoke the token"), type="primary"):
        with ui.told():
            accounts.revoke_token(ui.ctx(), user, id_, datetime.now(UTC))
            st.rerun()


def programs(user: User) -> None:
    now = datetime.now(UTC)
    found = accounts.every_token(ui.ctx(), user)
    with ui.card(st, ui._("Which programs may come in?")):
        if not found:
            st.info(ui._("None: nothing can call the HTTP API. Make a token below."))
        else:
            frame = pd.DataFrame([vars(token) for token in found])
            frame["state"] = [ui._(token.state(now)) for token in found]
            st.dataframe(
                frame[["name", "id", "role", "state", "expires_at", "created_at", "created_by"]],
                hide_index=True,
                column_config=ui.columns(
                    name=ui._("Token"), id=ui._("Id"), role=ui._("Role"), state=ui._("State"),
                    expires_at=ui._("Runs out"), created_at=ui._("Made"), created_by=ui._("Made by"),
                ),
            )  # fmt: skip
    left, right = st.columns(2)
    with ui.card(left, ui._("Which program needs a token?")):
        with st.form("new_token", border=False, clear_on_submit=True):
            name = st.text_input(ui._("What it is for"), max_chars=60)
            role = choose_role(ui._("Role"), "token_role", index=1)
            lasts = st.selectbox(ui._("Valid for"), list(LASTS), index=2, format_func=ui._)
            asked = st.form_submit_button(ui._("Make the token"), type="primary")
        if asked:
            with ui.told():
                secret = accounts.create_token(ui.ctx(), user, name=name, role=role, lasts=LASTS[lasts], now=now)
                once(secret, ui._("Send it as the header  Authorization: Bearer …"))
    with ui.card(right, ui._("Which one should go?")):
        alive = {token.id: token for token in found if token.state(now) == "valid"}
        if not alive:
            st.info(ui._("There is no valid token."))
        else:
            chosen = st.selectbox(
                ui._("Token"), list(alive), format_func=lambda id_: f"{alive[id_].name} ({id_})", key="token"
            )
            if st.button(ui._("Revoke the token …")):
                revoke(user, chosen, alive[chosen].name)


# ---- looking back --------------------------------------------------------------------------------
def trail(user: User) -> None:
    with ui.card(
        st, ui._("Who did what?"), ui._("Each line was written together with the deed. No line can be changed here.")
    ):
        anyone = ui._("anyone")
        names = [account.name for account in accounts.every(ui.ctx(), user)]
        about = st.selectbox(ui._("By or to"), [anyone, *names], key="about")
        deeds = accounts.trail(ui.ctx(), user, about=None if about == anyone else about, limit=500)
        if not deeds:
            st.info(ui._("Nothing was done yet."))
            return
        with st.container(height=480, border=False):
            st.markdown(
                "  \n".join(
                    f":small[:gray[{ui.when(deed.done_at)}]] {ui.md(ui.sentence(deed.reason))}" for deed in deeds
                )
            )


def settings(user: User) -> None:
    with ui.card(
        st, ui._("How is this app set up?"),
        ui._("Read at the start from the environment and .env; env.example says what each is for. Secrets are not shown."),
    ):  # fmt: skip
        st.dataframe(
            pd.DataFrame([vars(setting) for setting in accounts.settings_in_force(ui.ctx(), user)]),
            hide_index=True,
            column_config=ui.columns(name=ui._("Setting"), value=ui._("In force"), changed=ui._("Changed from the default")),
        )  # fmt: skip


def copies(user: User) -> None:
    now, folder = datetime.now(UTC), ui.ctx().settings.backups_dir
    with ui.card(
        st, ui._("Could you start again tomorrow?"),
        ui._("A backup is one file: the database, with hashed passwords and tokens, and every model. It is made while the"
             " app goes on; inside is written how to start from it. The newest {kept} are kept in {folder}.",
             kept=backups.KEPT, folder=ui.md(folder)),
    ):  # fmt: skip
        if st.button(ui._("Make a backup now"), type="primary", icon=":material/backup:"):
            with ui.told():
                st.session_state["backup_run"] = runs.request(ui.ctx(), user, "backup", now=now)
        if run := st.session_state.get("backup_run"):
            ui.run_progress(run)
        st.caption(ui._("To have one made every day, resume the job on Automation, and copy the files elsewhere."))
    with ui.card(st, ui._("Which backups are there?")):
        kept_backups(user)


@st.fragment(run_every="5s")
def kept_backups(user: User) -> None:
    found = backups.every(ui.ctx(), user)
    if not found:
        st.info(ui._("None yet. If this machine is lost, everything in the app is."))
    for kept in found:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", border=True):
            size = ui._("{size:,.1f} MB", size=kept.size / 1e6)
            st.markdown(f"**{ui.when(kept.made_at)}** · {size}  \n:small[{ui.md(kept.name)}]", width="content")
            if kept.size <= MOST_TO_BROWSER:
                st.download_button(
                    ui._("Download"), partial(backups.read, ui.ctx(), user, kept.name, datetime.now(UTC)), kept.name,
                    mime="application/zip", key=kept.name, on_click="ignore", icon=":material/download:",
                )  # fmt: skip
            else:
                st.caption(ui._("Too large for the browser: copy it on the server."))


user = ui.require(Role.ADMIN)
ui.page_head(ui._("Admin"), ui._("Who may come in, what was done, how the app is set up"))
PARTS = {
    ui._("Users"): people,
    ui._("Tokens"): programs,
    ui._("Audit"): trail,
    ui._("Settings"): settings,
    ui._("Backup"): copies,
}
for tab, part in zip(st.tabs(list(PARTS)), PARTS.values(), strict=True):
    with tab:
        part(user)
