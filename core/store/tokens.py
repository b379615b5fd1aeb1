"""API tokens: what is kept is the SHA-256 of the secret, never the secret."""

from dataclasses import dataclass
from datetime import datetime

from duckdb import DuckDBPyConnection

from core.records import Role

STATES = ("valid", "run out", "revoked")


@dataclass(frozen=True)
class Token:
    id: str
    name: str
    role: Role
    sha256: str
    created_at: datetime
    created_by: str
    revoked_at: datetime | None = None
    expires_at: datetime | None = None

    def state(self, now: datetime) -> str:
        """One of `STATES`."""
        if self.revoked_at:
            return "revoked"
        return "run out" if self.expires_at and self.expires_at <= now else "valid"


def insert(con: DuckDBPyConnection, token: Token) -> None:
    con.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?)", list(vars(token).values()))


def get(con: DuckDBPyConnection, id_: str) -> Token | None:
    """The token with this id, unless it was revoked or has run out, by the database's own clock."""
    query = "SELECT * FROM tokens WHERE id = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
    found = con.execute(query, [id_]).fetchall()
    return _token(found[0]) if found else None


def every(con: DuckDBPyConnection) -> list[Token]:
    return [_token(row) for row in con.execute("SELECT * FROM tokens ORDER BY created_at").fetchall()]


def revoke(con: DuckDBPyConnection, id_: str, at: datetime) -> None:
    con.execute("UPDATE tokens SET revoked_at = ? WHERE id = ?", [at, id_])


def _token(row: tuple) -> Token:  # type: ignore[type-arg]
    return Token(row[0], row[1], Role(row[2]), *row[3:])
