"""Who may do what: users with passwords, tokens for programs, roles that every verb asks for.

A role is read from the database each time it is asked for, so that a demotion or a disabled account counts at once.
Passwords are kept as bcrypt hashes, token secrets as SHA-256; neither is ever shown again.
"""

import hashlib
import hmac
import re
import secrets
import string
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bcrypt

from core.context import Context
from core.errors import Conflict, ContinualError, Forbidden, InvalidInput, NotFound, SignInRefused
from core.records import SYSTEM, Role, User
from core.store import tokens, users
from core.store.tokens import Token

RANK = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
BASE62 = string.ascii_letters + string.digits
TOKEN = re.compile(r"Bearer cml_([A-Za-z0-9]{8})_([A-Za-z0-9]{43})")
FORGOTTEN_AFTER = timedelta(hours=1)  # failed tries older than that no longer count
FREE_TRIES = 4  # of one name from one address, before it has to wait
LONGEST_WAIT = timedelta(minutes=15)
MOST_FROM_ADDRESS, MOST_OF_NAME = 60, 200  # failed tries an hour
WEAK_KEYS = {"some_key", "abcdef", "random_signature_key", "secret", "changeme", ""}


@dataclass(frozen=True)
class Made:
    """What was made at the first start, to be shown once; None where it was there or given already."""

    user: str
    password: str | None = None
    token: str | None = None


# ---- asking --------------------------------------------------------------------------------------
def require(ctx: Context, user: User, role: Role) -> None:
    """Raise Forbidden unless the user has at least this role now."""
    if user == SYSTEM:
        return
    held = _held(ctx, user)
    if held is None:
        raise Forbidden(f"{user.name} may not sign in any more. Ask an administrator")
    if RANK[held] < RANK[role]:
        raise Forbidden(f"This needs the role {role}; {user.display or user.name} is {held}. Ask an administrator")


def current(ctx: Context, name: str, role: Role) -> User:
    """The user with this name, as the database knows it now. Raises Forbidden."""
    with ctx.database.read() as con:
        user = users.get(con, name)
    if user is None:
        raise Forbidden(f"{name} may not sign in any more. Ask an administrator")
    require(ctx, user, role)
    return user


def _held(ctx: Context, user: User) -> Role | None:
    with ctx.database.read() as con:
        if user.name.startswith("token:"):
            token = tokens.get(con, user.name.removeprefix("token:"))
            return token.role if token else None
        found = users.get(con, user.name)
        return found.role if found else None


# ---- people --------------------------------------------------------------------------------------
def create_user(
    ctx: Context, actor: User, *, name: str, password: str, role: Role, display: str = "", now: datetime
) -> User:
    """A new user. Raises InvalidInput, Conflict (the name is taken)."""
    require(ctx, actor, Role.ADMIN)
    if not NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} cannot be a user name: 1 to 32 of a-z, 0-9, dot, dash and underscore")
    user = User(name, role, display or name)
    hashed = hash_password(password)
    with ctx.database.write() as con:
        if users.exists(con, name):
            raise Conflict(f"There is a user {name!r} already")
        users.insert(con, user, hashed, now)
    return user


def set_password(ctx: Context, actor: User, name: str, password: str) -> None:
    """A new password for oneself, or, as an administrator, for anyone."""
    require(ctx, actor, Role.VIEWER if actor.name == name else Role.ADMIN)
    hashed = hash_password(password)
    with ctx.database.write() as con:
        if not users.exists(con, name):
            raise NotFound(f"There is no user {name!r}")
        users.set_password_hash(con, name, hashed)


def disable_user(ctx: Context, actor: User, name: str, now: datetime) -> None:
    """Shut the user out at once, open sessions too."""
    require(ctx, actor, Role.ADMIN)
    with ctx.database.write() as con:
        users.set_disabled(con, name, now)


def hash_password(password: str) -> str:
    """The bcrypt hash. Raises InvalidInput for a password that is too short, or longer than bcrypt reads."""
    size = len(password.encode())
    if not 8 <= size <= 72:
        raise InvalidInput(f"The password has {size} bytes; it must have 8 to 72")
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()


# ---- signing in ----------------------------------------------------------------------------------
_NOBODY = bcrypt.hashpw(b"nobody has this password", bcrypt.gensalt()).decode()


def may_try(ctx: Context, name: str, address: str, now: datetime) -> None:
    """Raise SignInRefused while this name, tried from this address, has to wait.

    The wait doubles with each failed try and ends by itself, after 15 minutes at most; it binds the address that
    failed, so a stranger cannot lock the owner out. Asked before any hash is computed.
    """
    since = now - FORGOTTEN_AFTER
    with ctx.database.read() as con:
        failed = users.failures(con, since=since, name=name, address=address)
        crowded = users.failures_from(con, since=since, address=address) >= MOST_FROM_ADDRESS
        crowded |= len(failed) > 0 and users.failures_of(con, since=since, name=name) >= MOST_OF_NAME
    over = len(failed) - FREE_TRIES
    wait = min(timedelta(seconds=2.0 ** min(over, 20)), LONGEST_WAIT) if over >= 0 else timedelta(0)
    wait = LONGEST_WAIT if crowded and not failed else wait
    left = (failed[0] + wait - now) if failed else wait
    if left > timedelta(0):
        raise SignInRefused(f"Too many failed tries. Wait {max(round(left.total_seconds()), 1)} s and try again")


def check_password(ctx: Context, name: str, password: str, address: str, now: datetime) -> User:
    """The user who signs in. Raises SignInRefused; an unknown name takes as long as a wrong password."""
    may_try(ctx, name, address, now)
    with ctx.database.read() as con:
        kept = users.password_hash(con, name)
    matches = bcrypt.checkpw(password.encode()[:72], (kept or _NOBODY).encode())
    with ctx.database.write() as con:
        users.record_try(con, name, address, now, succeeded=matches and kept is not None)
        user = users.get(con, name)
    if not matches or kept is None or user is None:
        raise SignInRefused("Wrong name or password")
    return user


def sign_out(ctx: Context, cookie: str, now: datetime) -> None:
    """End the session of this cookie for good: neither it nor a copy of it signs in again."""
    with ctx.database.write() as con:
        users.sign_out(con, _sha256(cookie), now)


def is_signed_out(ctx: Context, cookie: str) -> bool:
    with ctx.database.read() as con:
        return users.is_signed_out(con, _sha256(cookie))


def cookie_key(data_dir: Path) -> str:
    """The key that signs the sign-in cookie: made once, kept in the data directory, readable by its owner only."""
    path = data_dir / "cookie.key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48))
    key = path.read_text().strip()
    if key.lower() in WEAK_KEYS or len(key) < 32:
        raise ContinualError(
            f"The key in {path} is weak: anyone could forge a sign-in. Delete the file; a new one is made"
        )
    return key


# ---- programs ------------------------------------------------------------------------------------
def create_token(ctx: Context, actor: User, *, name: str, role: Role = Role.OPERATOR, now: datetime) -> str:
    """A new token for the API: this is the only time its secret is seen."""
    require(ctx, actor, Role.ADMIN)
    id_, secret = (("".join(secrets.choice(BASE62) for _ in range(n))) for n in (8, 43))
    with ctx.database.write() as con:
        tokens.insert(con, Token(id_, name, role, _sha256(secret), now, actor.name))
    return f"cml_{id_}_{secret}"


def revoke_token(ctx: Context, actor: User, id_: str, now: datetime) -> None:
    require(ctx, actor, Role.ADMIN)
    with ctx.database.write() as con:
        tokens.revoke(con, id_, now)


def user_of_token(ctx: Context, header: str) -> User:
    """Who sends this ``Authorization`` header. Raises Forbidden."""
    found = TOKEN.fullmatch(header)
    if found is None:
        raise Forbidden("A token is needed: Authorization: Bearer cml_...")
    with ctx.database.read() as con:
        token = tokens.get(con, found[1])
    if token is None or not hmac.compare_digest(token.sha256, _sha256(found[2])):
        raise Forbidden("The token is unknown or was revoked. Ask an administrator for another")
    return User(f"token:{token.id}", token.role, token.name)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


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
    """``python -m core.auth reset-password NAME``: for who is locked out. The app must not be running."""
    from core import context

    if len(arguments) != 2 or arguments[0] != "reset-password":
        print("usage: python -m core.auth reset-password NAME", file=sys.stderr)  # noqa: T201
        return 2
    try:
        ctx = context.current()
        password = secrets.token_urlsafe(12)
        set_password(ctx, SYSTEM, arguments[1], password)
        print(f"New password of {arguments[1]} ({datetime.now(UTC):%Y-%m-%d}): {password}")  # noqa: T201
        context.close_current()
    except ContinualError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
