"""Who the accounts are and how they change: each deed asks for its role and leaves a line in the audit trail."""

import re
import secrets
import string
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd
from duckdb import DuckDBPyConnection

from core import auth, words
from core.context import Context
from core.errors import Conflict, ContinualError, Forbidden, InvalidInput, NotFound
from core.records import SYSTEM, Role, User
from core.settings import Setting, in_force
from core.store import audit, tokens, users
from core.store.audit import Deed
from core.store.tokens import Token
from core.store.users import Account

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
BASE62 = string.ascii_letters + string.digits
LONGEST_TOKEN = timedelta(days=3650)


@dataclass(frozen=True)
class Made:
    """What was made at the first start, to be shown once; None where it was there or given already."""

    user: str
    password: str | None = None
    token: str | None = None


@contextmanager
def _deed(
    ctx: Context, actor: User, action: str, subject: str, now: datetime, *, role: Role = Role.ADMIN, **detail: str
) -> Iterator[DuckDBPyConnection]:
    """The transaction of a deed: the role is asked for inside, and the audit line is written with it."""
    with ctx.database.write() as con:
        auth.require(ctx, actor, role)
        yield con
        audit.insert(con, actor.name, action, subject, now, **detail)


# ---- people --------------------------------------------------------------------------------------
def every(ctx: Context, actor: User) -> list[Account]:
    """All accounts, the disabled ones too, by name."""
    auth.require(ctx, actor, Role.ADMIN)
    with ctx.database.read() as con:
        return users.accounts(con)


def create_user(
    ctx: Context,
    actor: User,
    *,
    name: str,
    password: str,
    role: Role,
    display: str = "",
    email: str = "",
    now: datetime,
) -> User:
    """A new user. Raises InvalidInput, Conflict (the name or the e-mail address is taken)."""
    auth.require(ctx, actor, Role.ADMIN)
    if not NAME.fullmatch(name) or name == SYSTEM.name:
        raise InvalidInput(f"{name!r} cannot be a user name: 1 to 32 of a-z, 0-9, dot, dash and underscore")
    user = User(name, Role(role), " ".join(display.split())[:60] or name)
    hashed = auth.hash_password(password)
    with _deed(ctx, actor, "user_created", name, now, given=user.role) as con:
        if users.exists(con, name):
            raise Conflict(f"There is a user {name!r} already. Choose another name")
        users.insert(con, user, hashed, now, email=_free_email(con, email, name))
    return user


def invite_user(
    ctx: Context, actor: User, *, name: str, role: Role, display: str = "", email: str = "", now: datetime
) -> tuple[User, str]:
    """A new user with a random password, which is seen this once. Raises as `create_user` does."""
    password = secrets.token_urlsafe(12)
    user = create_user(ctx, actor, name=name, password=password, role=role, display=display, email=email, now=now)
    return user, password


def set_role(ctx: Context, actor: User, name: str, role: Role, now: datetime) -> None:
    """Give the user this role from now on. Raises NotFound, Conflict (nobody would be left to administer)."""
    before = _account(ctx, actor, name).role
    with _deed(ctx, actor, "role_changed", name, now, before=before, after=Role(role)) as con:
        if role != Role.ADMIN:
            _not_the_last_admin(con, name)
        users.set_role(con, name, role)


def set_email(ctx: Context, actor: User, name: str, email: str, now: datetime) -> None:
    """The address by which the identity provider knows this user; "" for none."""
    _account(ctx, actor, name)
    with _deed(ctx, actor, "email_changed", name, now) as con:
        users.set_email(con, name, _free_email(con, email, name))


def disable_user(ctx: Context, actor: User, name: str, now: datetime) -> None:
    """Shut the user out at once, open sessions too. Raises NotFound, Conflict (the last administrator)."""
    _account(ctx, actor, name)
    with _deed(ctx, actor, "user_disabled", name, now) as con:
        _not_the_last_admin(con, name)
        users.set_disabled(con, name, now)
        users.end_sessions(con, name, now)


def enable_user(ctx: Context, actor: User, name: str, now: datetime) -> None:
    """Let the user sign in again, with the password of before; sessions of before stay over."""
    _account(ctx, actor, name)
    with _deed(ctx, actor, "user_enabled", name, now) as con:
        users.set_disabled(con, name, None)


def reset_password(ctx: Context, actor: User, name: str, now: datetime) -> str:
    """A new random password, which is seen this once; every session of the user is over. Raises NotFound."""
    _account(ctx, actor, name)
    password = secrets.token_urlsafe(12)
    hashed = auth.hash_password(password)
    with _deed(ctx, actor, "password_reset", name, now) as con:
        users.set_password_hash(con, name, hashed)
        users.end_sessions(con, name, now)
    return password


def change_password(ctx: Context, actor: User, *, present: str, new: str, address: str, now: datetime) -> User:
    """One's own new password; every session is over but the one of the user who is returned.

    Asks for the present one, and is slowed like a sign-in. Raises Forbidden, SignInRefused, InvalidInput.
    """
    _own(ctx, actor)
    if new == present:
        raise InvalidInput("The new password is the present one. Choose another")
    hashed = auth.hash_password(new)
    auth.check_password(ctx, actor.name, present, address, now)
    with _deed(ctx, actor, "password_changed", actor.name, now, role=Role.VIEWER) as con:
        users.set_password_hash(con, actor.name, hashed)
        users.end_sessions(con, actor.name, now)
    return auth.current(ctx, actor.name, Role.VIEWER)


def end_sessions(ctx: Context, actor: User, name: str, now: datetime) -> None:
    """Sign the user out everywhere: oneself, or, as an administrator, anyone."""
    if actor.name != name:
        _account(ctx, actor, name)
    else:
        _own(ctx, actor)
    role = Role.VIEWER if actor.name == name else Role.ADMIN
    with _deed(ctx, actor, "sessions_ended", name, now, role=role) as con:
        users.end_sessions(con, name, now)


def set_language(ctx: Context, actor: User, language: str) -> None:
    """The language the pages speak to this user. Raises InvalidInput."""
    _own(ctx, actor)
    if language not in words.LANGUAGES:
        raise InvalidInput(f"{language!r} is not spoken here; there are: {', '.join(words.LANGUAGES)}")
    with ctx.database.write() as con:
        users.set_language(con, actor.name, language)


def language(ctx: Context, user: User) -> str | None:
    """The language this user chose; None when none was."""
    with ctx.database.read() as con:
        return users.language(con, user.name)


def own_sign_ins(ctx: Context, actor: User, *, limit: int = 20) -> pd.DataFrame:
    """The newest tries to sign in under one's own name: tried_at, name, address, succeeded."""
    _own(ctx, actor)
    with ctx.database.read() as con:
        return users.sign_ins(con, name=actor.name, limit=limit)


def sign_ins(ctx: Context, actor: User, *, limit: int = 200) -> pd.DataFrame:
    """The newest tries of everyone: tried_at, name (None where nobody has it), address, succeeded."""
    auth.require(ctx, actor, Role.ADMIN)
    with ctx.database.read() as con:
        return users.sign_ins(con, limit=limit)


def _own(ctx: Context, actor: User) -> None:
    """Raise Forbidden unless the actor is a person with an account of their own here."""
    auth.require(ctx, actor, Role.VIEWER)
    with ctx.database.read() as con:
        if not users.exists(con, actor.name):
            raise Forbidden(f"{actor.display or actor.name} has no account of its own. Sign in")


def _account(ctx: Context, actor: User, name: str) -> Account:
    found = [account for account in every(ctx, actor) if account.name == name]
    if not found:
        raise NotFound(f"There is no user {name!r}")
    return found[0]


def _not_the_last_admin(con: DuckDBPyConnection, name: str) -> None:
    admins = {user.name for user in users.every(con) if user.role is Role.ADMIN}
    if admins == {name}:
        raise Conflict(f"{name} is the last administrator. Make somebody else one first")


def _free_email(con: DuckDBPyConnection, email: str, name: str) -> str | None:
    email = email.strip()
    if not email:
        return None
    if not EMAIL.fullmatch(email) or len(email) > 254:
        raise InvalidInput(f"{email!r} is no e-mail address")
    if users.by_email(con, email) not in (None, name):
        raise Conflict(f"Another account has the address {email!r} already")
    return email


# ---- programs ------------------------------------------------------------------------------------
def every_token(ctx: Context, actor: User) -> list[Token]:
    """All tokens, oldest first; of their secrets only the SHA-256 is known."""
    auth.require(ctx, actor, Role.ADMIN)
    with ctx.database.read() as con:
        return tokens.every(con)


def create_token(
    ctx: Context, actor: User, *, name: str, role: Role = Role.OPERATOR, lasts: timedelta | None = None, now: datetime
) -> str:
    """A new token for the API: this is the only time its secret is seen. ``lasts`` None: until it is revoked."""
    auth.require(ctx, actor, Role.ADMIN)
    name = " ".join(name.split())
    if not 1 <= len(name) <= 60:
        raise InvalidInput(f"A token's name has 1 to 60 characters; {name!r} has {len(name)}")
    if lasts is not None and not timedelta(0) < lasts <= LONGEST_TOKEN:
        raise InvalidInput(f"A token lasts up to {LONGEST_TOKEN.days} days; {lasts.days} days cannot be")
    id_, secret = (("".join(secrets.choice(BASE62) for _ in range(n))) for n in (8, 43))
    token = Token(id_, name, Role(role), auth.sha256(secret), now, actor.name, None, now + lasts if lasts else None)
    with _deed(ctx, actor, "token_created", name, now, id=id_, given=token.role) as con:
        tokens.insert(con, token)
    return f"cml_{id_}_{secret}"


def revoke_token(ctx: Context, actor: User, id_: str, now: datetime) -> None:
    """The token opens nothing any more. Raises NotFound."""
    known = {token.id: token for token in every_token(ctx, actor)}
    if id_ not in known:
        raise NotFound(f"There is no token {id_!r}")
    with _deed(ctx, actor, "token_revoked", known[id_].name, now, id=id_) as con:
        tokens.revoke(con, id_, now)


# ---- looking back --------------------------------------------------------------------------------
def trail(ctx: Context, actor: User, *, about: str | None = None, limit: int = 200) -> list[Deed]:
    """What was done, the newest first; by or to ``about`` if given."""
    auth.require(ctx, actor, Role.ADMIN)
    with ctx.database.read() as con:
        return audit.latest(con, about=about, limit=limit)


def settings_in_force(ctx: Context, actor: User) -> list[Setting]:
    """How this process is deployed, in the order of `env.example`; of a secret only whether it is set."""
    auth.require(ctx, actor, Role.ADMIN)
    return in_force(ctx.settings)


# ---- the first start -----------------------------------------------------------------------------
def bootstrap(ctx: Context, now: datetime) -> Made:
    """The first administrator and the first token, if there are none yet."""
    with ctx.database.read() as con:
        first, tokenless = users.count(con) == 0, not tokens.every(con)
    name, given = ctx.settings.admin_user, ctx.settings.admin_password.get_secret_value()
    password = None
    if first:
        password = given or secrets.token_urlsafe(12)
        create_user(ctx, SYSTEM, name=name, password=password, role=Role.ADMIN, now=now)
    token = create_token(ctx, SYSTEM, name="first token", now=now) if tokenless else None
    return Made(name, None if given else password, token)


def main(arguments: list[str]) -> int:
    """``python -m core.accounts reset-password NAME``: for who is locked out. The app must not be running."""
    from core import context

    if len(arguments) != 2 or arguments[0] != "reset-password":
        print("usage: python -m core.accounts reset-password NAME", file=sys.stderr)
        return 2
    try:
        ctx, now = context.current(), datetime.now(UTC)
        password = reset_password(ctx, SYSTEM, arguments[1], now)
        print(f"New password of {arguments[1]} ({now:%Y-%m-%d}): {password}")
        context.close_current()
    except ContinualError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
