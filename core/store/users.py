"""People who may sign in, their sessions, and their tries."""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from duckdb import DuckDBPyConnection

from core.records import Role, User


@dataclass(frozen=True)
class Account:
    """What an administrator sees of a user. ``email`` is who the identity provider says they are, if there is one."""

    name: str
    display: str
    role: Role
    email: str | None
    created_at: datetime
    disabled_at: datetime | None
    signed_in_at: datetime | None


# What a session is bound to: the password it was opened with, and when all sessions were last ended (a line in
# `signed_out` under the user's name). Either changes, and every session opened before is over.
_SESSION = "left(sha256(u.password_hash || coalesce(epoch_us(s.signed_out_at)::VARCHAR, '')), 12)"
_SESSIONS = "users u LEFT JOIN signed_out s ON s.sha256 = sha256('user:' || u.name)"
_USER = f"SELECT u.name, u.role, u.display, {_SESSION} FROM {_SESSIONS} WHERE u.disabled_at IS NULL"


def insert(con: DuckDBPyConnection, user: User, password_hash: str, at: datetime, *, email: str | None = None) -> None:
    con.execute(
        "INSERT INTO users (name, display, role, password_hash, created_at, email) VALUES (?, ?, ?, ?, ?, ?)",
        [user.name, user.display, user.role, password_hash, at, email],
    )


def get(con: DuckDBPyConnection, name: str) -> User | None:
    """The user with this name; None when there is none, or it is disabled."""
    found = con.execute(f"{_USER} AND u.name = ?", [name]).fetchall()
    return _user(found[0]) if found else None


def every(con: DuckDBPyConnection) -> list[User]:
    """All who may sign in."""
    return [_user(row) for row in con.execute(f"{_USER} ORDER BY u.name").fetchall()]


def accounts(con: DuckDBPyConnection) -> list[Account]:
    """All accounts, the disabled ones too, by name."""
    query = """SELECT name, display, role, email, created_at, disabled_at,
        (SELECT max(tried_at) FROM sign_ins s WHERE s.name = u.name AND succeeded) FROM users u ORDER BY name"""
    return [Account(row[0], row[1], Role(row[2]), *row[3:]) for row in con.execute(query).fetchall()]


def by_email(con: DuckDBPyConnection, email: str) -> str | None:
    """The name of the account with this address, enabled or not."""
    found = con.execute("SELECT name FROM users WHERE lower(email) = lower(?)", [email]).fetchall()
    return found[0][0] if found else None


def exists(con: DuckDBPyConnection, name: str) -> bool:
    return bool(con.execute("SELECT count(*) FROM users WHERE name = ?", [name]).fetchall()[0][0])


def count(con: DuckDBPyConnection) -> int:
    return con.execute("SELECT count(*) FROM users").fetchall()[0][0]


def password_hash(con: DuckDBPyConnection, name: str) -> str | None:
    """The bcrypt hash of an enabled user's password."""
    found = con.execute("SELECT password_hash FROM users WHERE name = ? AND disabled_at IS NULL", [name]).fetchall()
    return found[0][0] if found else None


def set_password_hash(con: DuckDBPyConnection, name: str, password_hash: str) -> None:
    con.execute("UPDATE users SET password_hash = ? WHERE name = ?", [password_hash, name])


def set_disabled(con: DuckDBPyConnection, name: str, at: datetime | None) -> None:
    con.execute("UPDATE users SET disabled_at = ? WHERE name = ?", [at, name])


def set_role(con: DuckDBPyConnection, name: str, role: Role) -> None:
    con.execute("UPDATE users SET role = ? WHERE name = ?", [role, name])


def set_email(con: DuckDBPyConnection, name: str, email: str | None) -> None:
    con.execute("UPDATE users SET email = ? WHERE name = ?", [email, name])


def set_language(con: DuckDBPyConnection, name: str, language: str) -> None:
    con.execute("UPDATE users SET language = ? WHERE name = ?", [language, name])


def language(con: DuckDBPyConnection, name: str) -> str | None:
    """The language the user chose; None when none was."""
    found = con.execute("SELECT language FROM users WHERE name = ?", [name]).fetchall()
    return found[0][0] if found else None


# ---- tries ---------------------------------------------------------------------------------------
def record_try(con: DuckDBPyConnection, name: str, address: str, at: datetime, *, succeeded: bool) -> None:
    con.execute("INSERT INTO sign_ins VALUES (?, ?, ?, ?)", [name, address, at, succeeded])


def settle_try(con: DuckDBPyConnection, name: str, address: str, at: datetime) -> None:
    """The try that was recorded as failed before it was judged has succeeded."""
    query = "UPDATE sign_ins SET succeeded = true WHERE name = ? AND address = ? AND tried_at = ?"
    con.execute(query, [name, address, at])


def failures(con: DuckDBPyConnection, *, since: datetime, name: str, address: str) -> list[datetime]:
    """When this name was tried from this address in vain, since its last success there; newest first."""
    query = """SELECT tried_at FROM sign_ins WHERE name = $name AND address = $address AND NOT succeeded
        AND tried_at >= $since AND tried_at > coalesce((SELECT max(tried_at) FROM sign_ins
            WHERE name = $name AND address = $address AND succeeded), '-infinity'::TIMESTAMPTZ)
        ORDER BY tried_at DESC"""
    return [row[0] for row in con.execute(query, {"name": name, "address": address, "since": since}).fetchall()]


def failures_from(con: DuckDBPyConnection, *, since: datetime, address: str) -> int:
    """How many tries from this address were in vain, whatever the name."""
    query = "SELECT count(*) FROM sign_ins WHERE address = ? AND NOT succeeded AND tried_at >= ?"
    return con.execute(query, [address, since]).fetchall()[0][0]


def failures_of(con: DuckDBPyConnection, *, since: datetime, name: str) -> int:
    """How many tries of this name were in vain, from wherever."""
    query = "SELECT count(*) FROM sign_ins WHERE name = ? AND NOT succeeded AND tried_at >= ?"
    return con.execute(query, [name, since]).fetchall()[0][0]


def sign_ins(con: DuckDBPyConnection, *, name: str | None = None, limit: int = 100) -> pd.DataFrame:
    """The newest tries first: tried_at, name, address, succeeded; of one user if given.

    A name nobody has is left out (None): it may be a password that was typed into the wrong field.
    """
    query = """SELECT tried_at, u.name AS name, address, succeeded FROM sign_ins s LEFT JOIN users u ON u.name = s.name
        WHERE $name IS NULL OR s.name = $name ORDER BY tried_at DESC LIMIT $limit"""
    return con.execute(query, {"name": name, "limit": limit}).df()


# ---- sessions ------------------------------------------------------------------------------------
def sign_out(con: DuckDBPyConnection, cookie_sha256: str, at: datetime) -> None:
    """Remember that this cookie was signed out."""
    con.execute("INSERT OR REPLACE INTO signed_out VALUES (?, ?)", [cookie_sha256, at])


def is_signed_out(con: DuckDBPyConnection, cookie_sha256: str) -> bool:
    return bool(con.execute("SELECT count(*) FROM signed_out WHERE sha256 = ?", [cookie_sha256]).fetchall()[0][0])


def end_sessions(con: DuckDBPyConnection, name: str, at: datetime) -> None:
    """Every session of this user that was opened before is over."""
    con.execute("INSERT OR REPLACE INTO signed_out VALUES (sha256('user:' || ?), ?)", [name, at])


def sessions_from(con: DuckDBPyConnection, name: str) -> datetime | None:
    """When all sessions of this user were last ended."""
    query = "SELECT signed_out_at FROM signed_out WHERE sha256 = sha256('user:' || ?)"
    found = con.execute(query, [name]).fetchall()
    return found[0][0] if found else None


def prune(con: DuckDBPyConnection, *, tries_before: datetime, cookies_before: datetime) -> int:
    """Forget old tries, and cookies that have run out meanwhile; returns how many tries."""
    con.execute(
        """DELETE FROM signed_out WHERE signed_out_at < ?
        AND sha256 NOT IN (SELECT sha256('user:' || name) FROM users)""",
        [cookies_before],
    )
    return con.execute("DELETE FROM sign_ins WHERE tried_at < ?", [tries_before]).fetchall()[0][0]


def language_of_admins(con: DuckDBPyConnection) -> str | None:
    """The language that the longest-standing administrator who chose one chose."""
    query = """SELECT language FROM users WHERE role = 'admin' AND disabled_at IS NULL AND language IS NOT NULL
        ORDER BY created_at, name LIMIT 1"""
    found = con.execute(query).fetchall()
    return found[0][0] if found else None


def _user(row: tuple) -> User:  # type: ignore[type-arg]
    return User(row[0], Role(row[1]), row[2], row[3])
