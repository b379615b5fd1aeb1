"""What the score of a window was guessed to be before its labels came. The first guess stands."""

from datetime import datetime

from duckdb import DuckDBPyConnection

from core.records import Guess
from core.store.codec import dump, load


def insert(
    con: DuckDBPyConnection, project: str, window_number: int, version: int, guess: Guess, guessed_at: datetime
) -> None:
    con.execute(
        "INSERT OR IGNORE INTO guesses VALUES (?, ?, ?, ?, ?)",
        [project, window_number, version, dump(guess), guessed_at],
    )


def newest(con: DuckDBPyConnection, project: str, *, windows: int = 120) -> dict[int, Guess]:
    """The guesses of the newest guessed windows, by window number, oldest first."""
    query = """SELECT * FROM (SELECT window_number, guess FROM guesses WHERE project = ? ORDER BY window_number DESC LIMIT ?)
        ORDER BY window_number"""
    return {number: load(Guess, kept) for number, kept in con.execute(query, [project, windows]).fetchall()}
