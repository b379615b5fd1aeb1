"""People who may sign in, and their tries."""

from datetime import datetime

from duckdb import DuckDBPyConnection

from core.records import Role, User


def insert(con: DuckDBPyConnection, user: User, password_hash: str, at: datetime) -> None:
    con.execute(
        "INSERT INTO users (name, display, role, password_hash, created_at) VALUES (?, ?, ?, ?, ?)",
        [user.name, user.display, user.role, password_hash, at],
    )


def get(con: DuckDBPyConnection, name: str) -> User | None:
    """The user with this name; None when there is none, or it is disabled."""
    query = "SELECT name, role, display FROM users WHERE name = ? AND disabled_at IS NULL"
    found = con.execute(query, [name]).fetchall()
    return User(found[0][0], Role(found[0][1]), found[0][2]) if found else None


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


def record_try(con: DuckDBPyConnection, name: str, address: str, at: datetime, *, succeeded: bool) -> None:
    con.execute("INSERT INTO sign_ins VALUES (?, ?, ?, ?)", [name, address, at, succeeded])


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


def password_hashes(con: DuckDBPyConnection) -> dict[str, str]:
    """The bcrypt hash of every user who may sign in."""
    return dict(con.execute("SELECT name, password_hash FROM users WHERE disabled_at IS NULL").fetchall())


def sign_out(con: DuckDBPyConnection, cookie_sha256: str, at: datetime) -> None:
    """Remember that this cookie was signed out."""
    con.execute("INSERT OR REPLACE INTO signed_out VALUES (?, ?)", [cookie_sha256, at])


def is_signed_out(con: DuckDBPyConnection, cookie_sha256: str) -> bool:
    return bool(con.execute("SELECT count(*) FROM signed_out WHERE sha256 = ?", [cookie_sha256]).fetchall()[0][0])
