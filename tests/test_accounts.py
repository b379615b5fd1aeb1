"""Accounts change by verbs that leave a trail, never lose the last administrator, and end sessions everywhere."""

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest

from core import accounts, auth, reasons
from core.errors import Conflict, Forbidden, InvalidInput, NotFound, SignInRefused
from core.records import GUEST, SYSTEM, Role, User
from core.settings import Settings, in_force
from core.store import users
from tests.conftest import NOW, PASSWORD

LATER = NOW + timedelta(minutes=1)
NEW = "a brand new password"


@pytest.fixture
def admin(people):
    return people[Role.ADMIN]


def signed_in(ctx, name, password=PASSWORD, at=NOW):
    return auth.check_password(ctx, name, password, f"home of {name}", at)


def test_each_deed_leaves_a_line_that_reads_as_a_sentence_and_holds_no_secret(ctx, admin):
    accounts.create_user(ctx, admin, name="ana", password=PASSWORD, role=Role.VIEWER, now=NOW)
    accounts.set_role(ctx, admin, "ana", Role.OPERATOR, NOW)
    accounts.set_email(ctx, admin, "ana", "ana@example.org", NOW)
    secret = accounts.create_token(ctx, admin, name="billing", now=NOW)
    accounts.revoke_token(ctx, admin, secret.split("_")[1], NOW)
    password = accounts.reset_password(ctx, admin, "ana", NOW)
    ana = signed_in(ctx, "ana", password, LATER)
    accounts.change_password(ctx, ana, present=password, new=NEW, address="home", now=LATER)
    accounts.end_sessions(ctx, admin, "ana", LATER)
    accounts.disable_user(ctx, admin, "ana", LATER)
    accounts.enable_user(ctx, admin, "ana", LATER)
    told = [reasons.sentence(deed.reason) for deed in reversed(accounts.trail(ctx, admin))][3:]  # three people before
    id_ = secret.split("_")[1]
    assert told == [
        "admin made an account for ana, as viewer.",
        "admin gave ana the role operator; it was viewer.",
        "admin changed the e-mail address of ana.",
        f"admin made the token billing ({id_}), as operator.",
        f"admin revoked the token billing ({id_}).",
        "admin reset the password of ana.",
        "ana changed their own password.",
        "admin signed ana out everywhere.",
        "admin disabled the account of ana.",
        "admin enabled the account of ana again.",
    ]
    with ctx.database.read() as con:
        kept = str(con.execute("SELECT * FROM audit").fetchall())
    assert not any(word in kept for word in (PASSWORD, NEW, password, secret, secret.split("_")[2], "$2b$"))


def test_a_refused_deed_leaves_no_line(ctx, people, admin):
    before = accounts.trail(ctx, admin)
    for deed in (
        lambda: accounts.set_role(ctx, people[Role.VIEWER], "viewer", Role.ADMIN, NOW),
        lambda: accounts.create_user(ctx, admin, name="viewer", password=PASSWORD, role=Role.ADMIN, now=NOW),
        lambda: accounts.disable_user(ctx, admin, "nobody", NOW),
        lambda: accounts.disable_user(ctx, admin, "admin", NOW),
        lambda: accounts.revoke_token(ctx, admin, "nothing", NOW),
    ):
        with pytest.raises((Forbidden, Conflict, NotFound)):
            deed()
    assert accounts.trail(ctx, admin) == before


def test_the_last_administrator_stays_one(ctx, admin):
    for deed in (
        lambda: accounts.set_role(ctx, admin, "admin", Role.VIEWER, NOW),
        lambda: accounts.disable_user(ctx, admin, "admin", NOW),
    ):
        with pytest.raises(Conflict, match="last administrator"):
            deed()
    accounts.set_role(ctx, admin, "admin", Role.ADMIN, NOW)  # no change is no harm
    accounts.set_role(ctx, admin, "operator", Role.ADMIN, NOW)
    accounts.disable_user(ctx, admin, "operator", NOW)
    with pytest.raises(Conflict, match="last administrator"):  # a disabled one does not count
        accounts.set_role(ctx, admin, "admin", Role.VIEWER, NOW)
    accounts.enable_user(ctx, admin, "operator", NOW)
    accounts.set_role(ctx, admin, "admin", Role.VIEWER, NOW)
    with pytest.raises(Forbidden):
        accounts.every(ctx, admin)


def test_two_administrators_who_demote_each_other_at_once_leave_one(ctx, people, admin):
    accounts.set_role(ctx, admin, "operator", Role.ADMIN, NOW)
    start = Barrier(2)

    def demote(actor, name):
        start.wait()
        try:
            accounts.set_role(ctx, actor, name, Role.VIEWER, NOW)
        except (Conflict, Forbidden):
            pass

    threads = [
        Thread(target=demote, args=(admin, "operator")),
        Thread(target=demote, args=(people[Role.OPERATOR], "admin")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a.role for a in accounts.every(ctx, SYSTEM)].count(Role.ADMIN) == 1


@pytest.mark.parametrize("how", ["password", "reset", "disable", "everywhere", "disable and enable"])
def test_a_session_ends_everywhere(ctx, admin, how):
    here, there = signed_in(ctx, "viewer"), signed_in(ctx, "viewer")
    assert auth.session_key(here) in auth.sessions(ctx)
    match how:
        case "password":
            here = accounts.change_password(ctx, here, present=PASSWORD, new=NEW, address="home", now=LATER)
            auth.require(ctx, here, Role.VIEWER)  # who changed it goes on
            assert auth.session_key(here) in auth.sessions(ctx)
        case "reset":
            accounts.reset_password(ctx, admin, "viewer", LATER)
        case "disable":
            accounts.disable_user(ctx, admin, "viewer", LATER)
        case "everywhere":
            accounts.end_sessions(ctx, here, "viewer", LATER)
        case _:
            accounts.disable_user(ctx, admin, "viewer", LATER)
            accounts.enable_user(ctx, admin, "viewer", LATER)
    assert auth.session_key(there) not in auth.sessions(ctx)
    with pytest.raises(Forbidden, match="session has ended|may not sign in"):
        auth.require(ctx, there, Role.VIEWER)  # a button of a page that is still open
    assert not auth.has(ctx, there, Role.VIEWER)


def test_a_new_password_is_asked_for_the_present_one_and_slowed_like_a_sign_in(ctx, people):
    viewer = signed_in(ctx, "viewer")

    def change(present, new=NEW):
        accounts.change_password(ctx, viewer, present=present, new=new, address="home", now=NOW)

    with pytest.raises(InvalidInput, match="8 to 72"):
        change(PASSWORD, "short")
    with pytest.raises(InvalidInput, match="present one"):
        change(PASSWORD, PASSWORD)
    for _ in range(auth.FREE_TRIES):
        with pytest.raises(SignInRefused, match="Wrong"):
            change("a guess of it")
    with pytest.raises(SignInRefused, match="Too many"):
        change(PASSWORD)
    assert signed_in(ctx, "viewer")


def test_many_guesses_at_once_are_slowed_like_many_in_a_row(ctx, people, monkeypatch):
    hashed, start = [], Barrier(20)
    monkeypatch.setattr(auth.bcrypt, "checkpw", lambda *_: hashed.append(1) or False)

    def guess():
        start.wait()
        with pytest.raises(SignInRefused):
            auth.check_password(ctx, "admin", "a guess of it", "stranger", NOW)

    threads = [Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hashed) == auth.FREE_TRIES


def test_an_address_that_tries_many_names_is_slowed_too(ctx, people, monkeypatch):
    monkeypatch.setattr(auth.bcrypt, "checkpw", lambda *_: False)
    for i in range(auth.MOST_FROM_ADDRESS):
        with pytest.raises(SignInRefused, match="Wrong"):
            auth.check_password(ctx, f"name{i}", "x", "stranger", NOW)
    with pytest.raises(SignInRefused, match="Too many"):
        auth.check_password(ctx, "one more", "x", "stranger", NOW)
    with pytest.raises(SignInRefused, match="Wrong"):
        auth.check_password(ctx, "one more", "x", "elsewhere", NOW)


def test_tries_of_long_ago_and_dead_cookies_are_forgotten_and_ended_sessions_stay_ended(ctx, people):
    old = signed_in(ctx, "viewer")
    auth.sign_out(ctx, "cookie", NOW)
    accounts.end_sessions(ctx, old, "viewer", LATER)
    assert auth.prune(ctx, NOW + timedelta(days=31)) == 1
    assert not auth.is_signed_out(ctx, "cookie")
    assert auth.session_key(old) not in auth.sessions(ctx)


def test_what_was_typed_as_a_name_that_nobody_has_is_not_shown(ctx, admin):
    with pytest.raises(SignInRefused):
        auth.check_password(ctx, "my password, oh", "x", "home", NOW)
    signed_in(ctx, "viewer", at=LATER)
    seen = accounts.sign_ins(ctx, admin)
    assert "oh" not in seen.to_string()
    assert seen["succeeded"].tolist() == [True, False]
    assert accounts.own_sign_ins(ctx, people_named(ctx, "viewer"))["name"].tolist() == ["viewer"]


def people_named(ctx, name):
    return auth.current(ctx, name, Role.VIEWER)


@pytest.mark.parametrize("name", ["", "Ana", "a b", "continual-ml", "guest:", "token:x", "email:a@b", "x" * 33, "../x"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(ctx, name):
    with pytest.raises(InvalidInput, match="user name"):
        accounts.create_user(ctx, SYSTEM, name=name, password=PASSWORD, role=Role.VIEWER, now=NOW)


def test_an_email_address_belongs_to_one_account(ctx, admin):
    accounts.set_email(ctx, admin, "viewer", "V@Example.org", NOW)
    with pytest.raises(Conflict):
        accounts.set_email(ctx, admin, "operator", "v@example.ORG", NOW)
    with pytest.raises(InvalidInput):
        accounts.set_email(ctx, admin, "operator", "no address", NOW)
    accounts.set_email(ctx, admin, "viewer", "", NOW)
    accounts.set_email(ctx, admin, "operator", "v@example.org", NOW)
    assert {a.name: a.email for a in accounts.every(ctx, admin)}["operator"] == "v@example.org"


def test_a_token_ends_when_it_was_said_to(ctx, admin):
    now = datetime.now(UTC)
    lasting = accounts.create_token(ctx, admin, name="week", lasts=timedelta(days=7), now=now)
    over = accounts.create_token(ctx, admin, name="past", lasts=timedelta(days=7), now=now - timedelta(days=8))
    user = auth.user_of_token(ctx, f"Bearer {lasting}")
    auth.require(ctx, user, Role.OPERATOR)
    with pytest.raises(Forbidden, match="run out"):
        auth.user_of_token(ctx, f"Bearer {over}")
    with pytest.raises(Forbidden):
        auth.require(ctx, User(f"token:{over.split('_')[1]}", Role.OPERATOR), Role.VIEWER)
    assert [t.name for t in accounts.every_token(ctx, admin)] == ["past", "week"]
    for name, lasts in (("", None), ("x", timedelta(0)), ("x", timedelta(days=9999))):
        with pytest.raises(InvalidInput):
            accounts.create_token(ctx, admin, name=name, lasts=lasts, now=now)


def test_a_language_is_kept_and_only_a_known_one(ctx, people):
    viewer = people[Role.VIEWER]
    assert accounts.language(ctx, viewer) is None
    accounts.set_language(ctx, viewer, "fr")
    assert accounts.language(ctx, viewer) == "fr"
    with pytest.raises(InvalidInput, match="en, fr"):
        accounts.set_language(ctx, viewer, "xx")


# ---- those without an account --------------------------------------------------------------------
@pytest.fixture
def open_house(ctx):
    """The same database, in a process that lets guests and unknown addresses in."""
    from dataclasses import replace

    return replace(ctx, settings=ctx.settings.model_copy(update={"guest": "viewer", "unknown_email": "viewer"}))


def test_a_guest_is_a_viewer_where_that_was_set_and_nobody_elsewhere(ctx, open_house):
    auth.require(open_house, GUEST, Role.VIEWER)
    for role in (Role.OPERATOR, Role.ADMIN):
        with pytest.raises(Forbidden, match="needs the role"):
            auth.require(open_house, User(GUEST.name, Role.ADMIN), role)
    with pytest.raises(Forbidden):
        auth.require(ctx, GUEST, Role.VIEWER)
    for own in (
        lambda: accounts.change_password(open_house, GUEST, present="x", new=NEW, address="home", now=NOW),
        lambda: accounts.set_language(open_house, GUEST, "fr"),
        lambda: accounts.end_sessions(open_house, GUEST, GUEST.name, NOW),
        lambda: accounts.own_sign_ins(open_house, GUEST),
    ):
        with pytest.raises(Forbidden, match="no account of its own"):
            own()


def claims(email, at=NOW, **changed):
    return {"email": email, "email_verified": True, "iat": at.timestamp(), **changed}


def test_an_identity_provider_s_user_is_the_account_with_that_address(ctx, admin):
    accounts.set_email(ctx, admin, "operator", "Olga@example.org", NOW)
    olga = auth.user_of_claims(ctx, claims("olga@EXAMPLE.org", LATER), LATER)
    assert (olga.name, olga.role) == ("operator", Role.OPERATOR)
    refused = [
        claims("eve@example.org"),
        claims("olga@example.org", email_verified=False),
        claims("olga@example.org", email_verified=None),
        claims(""),
        {},
        claims("olga@example.org", NOW - timedelta(days=2)),
    ]
    for said in refused:
        with pytest.raises(SignInRefused):
            auth.user_of_claims(ctx, said, LATER)
    accounts.end_sessions(ctx, admin, "operator", LATER)
    with pytest.raises(SignInRefused, match="ended"):
        auth.user_of_claims(ctx, claims("olga@example.org", LATER), LATER)
    again = LATER + timedelta(minutes=1)
    assert auth.user_of_claims(ctx, claims("olga@example.org", again), again)
    accounts.disable_user(ctx, admin, "operator", again)
    with pytest.raises(SignInRefused):
        auth.user_of_claims(ctx, claims("olga@example.org", again), again)


def test_an_unknown_address_is_a_viewer_only_where_that_was_set(ctx, open_house, admin):
    eve = auth.user_of_claims(open_house, claims("eve@example.org"), NOW)
    assert eve.role is Role.VIEWER
    auth.require(open_house, eve, Role.VIEWER)
    with pytest.raises(Forbidden):
        auth.require(open_house, eve, Role.OPERATOR)
    with pytest.raises(Forbidden):
        auth.require(ctx, eve, Role.VIEWER)
    accounts.set_email(ctx, admin, "viewer", "eve@example.org", NOW)
    accounts.disable_user(ctx, admin, "viewer", NOW)
    with pytest.raises(SignInRefused):  # a disabled account does not come in by this door
        auth.user_of_claims(open_house, claims("eve@example.org", LATER), LATER)
    with pytest.raises(Forbidden):
        auth.require(open_house, eve, Role.VIEWER)


def test_settings_are_shown_as_they_are_in_force_and_secrets_never(ctx, admin, tmp_path):
    settings = Settings(
        _env_file=None, CONTINUAL_DATA_DIR=tmp_path, CONTINUAL_ADMIN_PASSWORD="canary-password",
        DISCORD_WEBHOOK_URL="https://discord.com/api/webhooks/12345/canary",
        MLFLOW_TRACKING_URI="postgresql://ml:canary@db/ml",
    )  # fmt: skip
    seen = {s.name: s for s in in_force(settings)}
    assert "canary" not in str(seen)
    assert seen["DISCORD_WEBHOOK_URL"].value == "(set)"
    assert seen["CONTINUAL_DATA_DIR"].changed
    assert not seen["CONTINUAL_PORT"].changed
    assert len(seen) == len(Settings.model_fields)
    assert accounts.settings_in_force(ctx, admin)
    with ctx.database.read() as con:
        assert users.count(con) == 3
