"""Who may do what: roles are read anew each time, guessing is slowed and never locks the owner out."""

import time
from datetime import timedelta

import pytest

from core import accounts, auth
from core.errors import ContinualError, Forbidden, InvalidInput, SignInRefused
from core.records import SYSTEM, Role, User
from core.store import users
from tests.conftest import NOW, PASSWORD

WRONG = "wrong password"


def refused(ctx, name, address, at, password=WRONG):
    with pytest.raises(SignInRefused) as told:
        auth.check_password(ctx, name, password, address, at)
    return str(told.value)


def test_a_role_is_what_the_database_says_now(ctx, people):
    viewer, admin = people[Role.VIEWER], people[Role.ADMIN]
    forged = User(viewer.name, Role.ADMIN)
    with pytest.raises(Forbidden, match="operator"):
        auth.require(ctx, forged, Role.OPERATOR)
    with ctx.database.write() as con:
        users.set_role(con, admin.name, Role.VIEWER)
    with pytest.raises(Forbidden):
        auth.require(ctx, admin, Role.ADMIN)
    accounts.disable_user(ctx, SYSTEM, viewer.name, NOW)
    with pytest.raises(Forbidden, match="may not sign in"):
        auth.require(ctx, viewer, Role.VIEWER)


def test_a_right_password_signs_in_and_a_wrong_one_does_not(ctx, people):
    assert auth.check_password(ctx, "admin", PASSWORD, "a", NOW).role is Role.ADMIN
    assert refused(ctx, "admin", "a", NOW) == "Wrong name or password"
    assert refused(ctx, "nobody", "a", NOW) == "Wrong name or password"


def test_guessing_waits_longer_and_longer_and_the_owner_still_gets_in(ctx, people, monkeypatch):
    hashed = []
    monkeypatch.setattr(auth.bcrypt, "checkpw", lambda *_: hashed.append(1) or False)
    at = NOW
    for _ in range(600):  # ten minutes of a guess a second
        refused(ctx, "admin", "stranger", at)
        at += timedelta(seconds=1)
    assert len(hashed) <= 16
    assert "Too many failed tries" in refused(ctx, "admin", "stranger", at)
    monkeypatch.undo()
    assert auth.check_password(ctx, "admin", PASSWORD, "home", at)
    later = at + timedelta(minutes=16)  # never for ever
    assert auth.check_password(ctx, "admin", PASSWORD, "stranger", later)


def test_an_unknown_name_takes_as_long_as_a_wrong_password(ctx, monkeypatch):
    monkeypatch.setattr(auth, "ROUNDS", 12)
    accounts.create_user(ctx, SYSTEM, name="admin", password=PASSWORD, role=Role.ADMIN, now=NOW)

    def seconds(name):
        began = time.perf_counter()
        for i in range(3):
            refused(ctx, name, f"{name}-{i}", NOW)
        return time.perf_counter() - began

    known, unknown = seconds("admin"), seconds("nobody")
    assert 0.5 < known / unknown < 2.0


@pytest.mark.parametrize("password", ["short", "x" * 73, "é" * 40])
def test_passwords_bcrypt_would_cut_or_that_are_too_short_are_refused(ctx, password):
    with pytest.raises(InvalidInput, match="8 to 72"):
        accounts.create_user(ctx, SYSTEM, name="ana", password=password, role=Role.VIEWER, now=NOW)


def test_a_token_is_kept_hashed_works_once_made_and_not_once_revoked(ctx):
    secret = accounts.create_token(ctx, SYSTEM, name="app", now=NOW)
    user = auth.user_of_token(ctx, f"Bearer {secret}")
    assert user.role is Role.OPERATOR
    auth.require(ctx, user, Role.OPERATOR)
    with pytest.raises(Forbidden):
        auth.require(ctx, user, Role.ADMIN)
    with ctx.database.read() as con:
        assert secret.split("_")[2] not in str(con.execute("SELECT * FROM tokens").fetchall())
    for header in ("", secret, f"Bearer {secret}x", f"bearer {secret}", f"Bearer {secret[:-1]}a", "Bearer cml_x_y"):
        if header != f"Bearer {secret}":
            with pytest.raises(Forbidden):
                auth.user_of_token(ctx, header)
    accounts.revoke_token(ctx, SYSTEM, secret.split("_")[1], NOW)
    with pytest.raises(Forbidden):
        auth.user_of_token(ctx, f"Bearer {secret}")
    with pytest.raises(Forbidden):
        auth.require(ctx, user, Role.VIEWER)


def test_a_cookie_that_was_signed_out_stays_out(ctx):
    assert not auth.is_signed_out(ctx, "cookie")
    auth.sign_out(ctx, "cookie", NOW)
    assert auth.is_signed_out(ctx, "cookie")
    assert not auth.is_signed_out(ctx, "another")


def test_the_cookie_key_is_made_once_private_and_never_weak(tmp_path):
    key = auth.cookie_key(tmp_path)
    path = tmp_path / "cookie.key"
    assert (auth.cookie_key(tmp_path), path.stat().st_mode & 0o077) == (key, 0)
    for weak in ("some_key", "", "short", "secret"):
        path.write_text(weak)
        with pytest.raises(ContinualError, match="weak"):
            auth.cookie_key(tmp_path)


def test_the_first_start_makes_an_admin_and_a_token_and_the_second_does_not(ctx):
    made = accounts.bootstrap(ctx, NOW)
    assert auth.check_password(ctx, "admin", made.password, "a", NOW).role is Role.ADMIN
    assert auth.user_of_token(ctx, f"Bearer {made.token}")
    again = accounts.bootstrap(ctx, NOW)
    assert (again.password, again.token) == (None, None)
