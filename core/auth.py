"""Who may do what: passwords, sessions and tokens checked, and the role that every verb asks for.

A role is read from the database each time it is asked for, so that a demotion, a disabled account or a session that
was ended counts at once. Passwords are kept as bcrypt hashes, token secrets as SHA-256; neither is ever shown again.
Who the accounts are, and how they change, is in `core.accounts`.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bcrypt
from duckdb import DuckDBPyConnection

from core.context import Context
from core.errors import ContinualError, Forbidden, InvalidInput, SignInRefused
from core.records import GUEST, SYSTEM, Role, User
from core.store import tokens, users

RANK = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}
TOKEN = re.compile(r"Bearer cml_([A-Za-z0-9]{8})_([A-Za-z0-9]{43})")
SESSION_LASTS = timedelta(days=1)
FORGOTTEN_AFTER = timedelta(hours=1)  # failed tries older than that no longer count
TRIES_KEPT = timedelta(days=30)
FREE_TRIES = 4  # of one name from one address, before it has to wait
LONGEST_WAIT = timedelta(minutes=15)
MOST_FROM_ADDRESS, MOST_OF_NAME = 60, 200  # failed tries an hour
ROUNDS = 12  # of bcrypt, as a power of two
WEAK_KEYS = {"some_key", "abcdef", "random_signature_key", "secret", "changeme", ""}


# ---- asking --------------------------------------------------------------------------------------
def require(ctx: Context, user: User, role: Role) -> None:
    """Raise Forbidden unless the user has at least this role now, in a session that has not been ended."""
    if user == SYSTEM:
        return
    known = _known(ctx, user.name)
    if known is None:
        raise Forbidden(f"{user.display or user.name} may not sign in any more. Ask an administrator")
    if user.session and user.session != known.session:
        raise Forbidden("This session has ended. Sign in again")
    if RANK[known.role] < RANK[role]:
        raise Forbidden(
            f"This needs the role {role}; {user.display or user.name} is {known.role}. Ask an administrator"
        )


def current(ctx: Context, name: str, role: Role) -> User:
    """The user with this name, as the database knows it now. Raises Forbidden."""
    user = _known(ctx, name)
    if user is None:
        raise Forbidden(f"{name} may not sign in any more. Ask an administrator")
    require(ctx, user, role)
    return user


def has(ctx: Context, user: User, role: Role) -> bool:
    """Whether the user has at least this role now: what a page shows; the verbs ask again."""
    try:
        require(ctx, user, role)
    except Forbidden:
        return False
    return True


def _known(ctx: Context, name: str) -> User | None:
    """Whoever has this name now: a person, a token, a guest, or somebody the identity provider vouches for."""
    kind, colon, rest = name.partition(":")
    with ctx.database.read() as con:
        if not colon:
            return users.get(con, name)
        if kind == "token":
            token = tokens.get(con, rest)
            return User(name, token.role, token.name) if token else None
        if kind == "email":
            welcome = ctx.settings.unknown_email == Role.VIEWER and users.by_email(con, rest) is None
            return User(name, Role.VIEWER, rest) if welcome else None
    return GUEST if name == GUEST.name and ctx.settings.guest == Role.VIEWER else None


# ---- signing in ----------------------------------------------------------------------------------
_NOBODY = bcrypt.hashpw(b"nobody has this password", bcrypt.gensalt(ROUNDS)).decode()


def check_password(ctx: Context, name: str, password: str, address: str, now: datetime) -> User:
    """The user who signs in. Raises SignInRefused; an unknown name takes as long as a wrong password.

    A try counts as failed until it is judged, so that many at once are slowed like many in a row.
    """
    with ctx.database.write() as con:
        _may_try(con, name, address, now)
        users.record_try(con, name, address, now, succeeded=False)
        kept = users.password_hash(con, name)
    matches = bcrypt.checkpw(password.encode()[:72], (kept or _NOBODY).encode())
    if not matches or kept is None:
        raise SignInRefused("Wrong name or password")
    with ctx.database.write() as con:
        users.settle_try(con, name, address, now)
        user = users.get(con, name)
    if user is None:
        raise SignInRefused("Wrong name or password")
    return user


def _may_try(con: DuckDBPyConnection, name: str, address: str, now: datetime) -> None:
    """Raise SignInRefused while this name, tried from this address, has to wait.

    The wait doubles with each failed try and ends by itself, after 15 minutes at most; it binds the address that
    failed, so a stranger cannot lock the owner out. Asked before any hash is computed.
    """
    since = now - FORGOTTEN_AFTER
    failed = users.failures(con, since=since, name=name, address=address)
    crowded = users.failures_from(con, since=since, address=address) >= MOST_FROM_ADDRESS
    crowded |= len(failed) > 0 and users.failures_of(con, since=since, name=name) >= MOST_OF_NAME
    over = len(failed) - FREE_TRIES
    wait = min(timedelta(seconds=2.0 ** min(over, 20)), LONGEST_WAIT) if over >= 0 else timedelta(0)
    wait = LONGEST_WAIT if crowded and not failed else wait
    left = (failed[0] + wait - now) if failed else wait
    if left > timedelta(0):
        raise SignInRefused(f"Too many failed tries. Wait {max(round(left.total_seconds()), 1)} s and try again")


def hash_password(password: str) -> str:
    """The bcrypt hash. Raises InvalidInput for a password that is too short, or longer than bcrypt reads."""
    size = len(password.encode())
    if not 8 <= size <= 72:
        raise InvalidInput(f"The password has {size} bytes; it must have 8 to 72")
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(ROUNDS)).decode()


def user_of_claims(ctx: Context, claims: Mapping[str, Any], now: datetime) -> User:
    """Who an identity provider vouches for, by the e-mail address of their account. Raises SignInRefused.

    ``claims`` are those of its ID token, whose signature was checked: email, email_verified, iat (seconds). An address
    that the provider has not verified is nobody's. One without an account is refused, or a viewer where
    CONTINUAL_UNKNOWN_EMAIL says so. It lasts as long as any session, and ends with the account's others.
    """
    email = str(claims.get("email") or "").strip()
    if not email or str(claims.get("email_verified")).lower() != "true":
        raise SignInRefused("The identity provider gave no e-mail address that it has verified. Ask an administrator")
    since = datetime.fromtimestamp(float(claims.get("iat") or 0), UTC)
    if since + SESSION_LASTS < now:
        raise SignInRefused("This session has run out. Sign in again")
    with ctx.database.read() as con:
        name = users.by_email(con, email)
        user = users.get(con, name) if name else None
        ended_at = users.sessions_from(con, name) if name else None
    if user and ended_at and since <= ended_at:
        raise SignInRefused("This session has ended. Sign in again")
    user = user or _known(ctx, f"email:{email}")
    if user is None:
        raise SignInRefused(f"No account here goes with {email}. Ask an administrator to put the address into one")
    return user


# ---- sessions ------------------------------------------------------------------------------------
def session_key(user: User) -> str:
    """What stands in the user's cookie: the name, and what the session is bound to."""
    return f"{user.name}|{user.session}"


def sessions(ctx: Context) -> dict[str, User]:
    """Everyone who may sign in, by the key their cookie must hold now."""
    with ctx.database.read() as con:
        return {session_key(user): user for user in users.every(con)}


def sign_out(ctx: Context, cookie: str, now: datetime) -> None:
    """End the session of this cookie for good: neither it nor a copy of it signs in again."""
    with ctx.database.write() as con:
        users.sign_out(con, sha256(cookie), now)


def is_signed_out(ctx: Context, cookie: str) -> bool:
    with ctx.database.read() as con:
        return users.is_signed_out(con, sha256(cookie))


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


def prune(ctx: Context, now: datetime) -> int:
    """Forget tries of long ago, and cookies that have run out by themselves; returns how many tries."""
    with ctx.database.write() as con:
        return users.prune(con, tries_before=now - TRIES_KEPT, cookies_before=now - 2 * SESSION_LASTS)


# ---- programs ------------------------------------------------------------------------------------
def user_of_token(ctx: Context, header: str) -> User:
    """Who sends this ``Authorization`` header. Raises Forbidden."""
    found = TOKEN.fullmatch(header)
    if found is None:
        raise Forbidden("A token is needed: Authorization: Bearer cml_...")
    with ctx.database.read() as con:
        token = tokens.get(con, found[1])
    if token is None or not hmac.compare_digest(token.sha256, sha256(found[2])):
        raise Forbidden("The token is unknown, has run out or was revoked. Ask an administrator for another")
    return User(f"token:{token.id}", token.role, token.name)


def sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
