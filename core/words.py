"""Words in the reader's language: English sentences are the keys of gettext catalogues; numbers and dates by Babel.

A sentence is written where it is used, ``say("{rows} rows", language, rows=3)``, and translated in
``core/locale/<language>.po`` (`make words` adds what is new). Sentences that stand in tables are marked with `mark`.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

from babel.dates import format_datetime, format_timedelta
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

LANGUAGES = {"en": "English", "fr": "Français"}
LOCALE = Path(__file__).parent / "locale"
_FRENCH = str.maketrans({",": "\u202f", ".": ","})

_SINGULAR = {  # one, and the plural that follows it
    "en": re.compile(r"(?<![\d.,])\b1 (?:labelled |new |further )?(?:windows|rows|labels|checks|comparisons|retrains|minutes|hours)\b"),
    "fr": re.compile(r"(?<![\d,\u202f])\b1 (?:fenêtres?|lignes?|étiquettes?|contrôles?|comparaisons?|réentraînements?|minutes?|heures?)"
                     r"(?: (?:étiquetées|nouvelles|vérifiées|mesurées))?\b"),
}  # fmt: skip


def mark(text: str) -> str:
    """The same text: it says that this sentence of a table is to be in the catalogues."""
    return text


def say(text: str, language: str = "en", **params: Any) -> str:
    """The sentence in this language, with its parameters filled in; in English where it is not translated.

    >>> say("{share:.2f} of {rows} rows", "fr", share=0.125, rows=40)
    '0,12 of 40 rows'
    """
    found = catalogue(language).get(text) or text
    return _one(_Localised(language).vformat(found, (), params), language) if params else found


def _one(text: str, language: str) -> str:
    """The same text, with one of a thing in the singular.

    >>> _one("It is settled over 1 labelled windows, not 21 windows.", "en")
    'It is settled over 1 labelled window, not 21 windows.'
    >>> _one("sur 1 fenêtres étiquetées, 1 lignes, 11 fenêtres", "fr")
    'sur 1 fenêtre étiquetée, 1 ligne, 11 fenêtres'
    """
    return _SINGULAR[language].sub(lambda found: re.sub(r"s\b", "", found[0]), text)


@cache
def catalogue(language: str) -> dict[str, str]:
    """The translations of a language by their English sentence; none for English."""
    path = LOCALE / f"{language}.po"
    if not path.exists():
        return {}
    with path.open("rb") as file:
        return {str(message.id): str(message.string) for message in read_po(file) if message.id and message.string}


def number(value: float, language: str = "en", form: str = "#,##0.###") -> str:
    """The number as the language writes it; ``form`` is a CLDR pattern.

    >>> number(1234.5, "en"), number(0.25, "fr", "0.00")
    ('1,234.5', '0,25')
    """
    return format_decimal(value, format=form, locale=language)


def when(at: datetime, language: str = "en") -> str:
    """Day and time in UTC."""
    return f"{format_datetime(at.astimezone(UTC), 'd MMM HH:mm', locale=language)} UTC"


def short_when(at: datetime, language: str = "en", *, clock: bool = False) -> str:
    """The day in UTC, or the time of day when the day goes without saying."""
    return str(format_datetime(at.astimezone(UTC), "HH:mm" if clock else "d MMM", locale=language))


def day(at: datetime, language: str = "en") -> str:
    """Day and year in UTC.

    >>> day(datetime(2026, 11, 5, tzinfo=UTC)), day(datetime(2026, 11, 5, tzinfo=UTC), "fr")
    ('5 Nov 2026', '5 nov. 2026')
    """
    return str(format_datetime(at.astimezone(UTC), "d MMM y", locale=language))


def duration(seconds: float, language: str = "en") -> str:
    """A span of time, roundly.

    >>> duration(30), duration(7200, "fr")
    ('30 seconds', '2\xa0heures')
    """
    return format_timedelta(timedelta(seconds=seconds), locale=language, format="long", threshold=1.5)


def ago(at: datetime, now: datetime, language: str = "en") -> str:
    """How long ago that was."""
    return format_timedelta(at - now, add_direction=True, locale=language, format="long", threshold=1)


class _Localised(Formatter):
    """Fills braces as `str.format` does; numbers with the language's decimal sign."""

    def __init__(self, language: str) -> None:
        self.language = language

    def format_field(self, value: Any, format_spec: str) -> str:
        text = super().format_field(value, format_spec)
        if self.language != "fr" or isinstance(value, bool | str) or not isinstance(value, int | float):
            return text
        return text.translate(_FRENCH).replace("%", "\u202f%")
