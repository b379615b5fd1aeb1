"""The sentences of the app and their translations: `make words` adds new ones to core/locale/*.po and drops unused ones.

A sentence is what stands in ``_("...")``, ``say("...")`` or ``mark("...")``, and what the tables below hold. Nothing is
written with ``--check``: it says what is missing, and fails if anything is.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
LOCALE = ROOT / "core" / "locale"
CALLS = {"_", "say", "mark"}


def tables() -> Iterator[str]:
    """Sentences that stand in tables of their own."""
    from core import performance, reasons
    from core.estimators import ESTIMATORS
    from core.records import Kind, Outcome, Role, Task
    from core.sources import SOURCES
    from jobs import JOBS
    from pages import ui

    yield from reasons.SENTENCES.values()
    yield from (name for name, _better in performance.METRICS.values())
    yield from (text for source in SOURCES.values() for text in (source.label, source.description))
    yield from (word for _color, _icon, word in ui.LOOK.values())
    yield from (str(word) for kind in (Role, Outcome, Kind, Task) for word in kind)
    yield from (job.label for job in JOBS)
    yield from (kind.label for kind in ESTIMATORS.values())


def written(path: Path) -> Iterator[str]:
    """The sentences that a file hands to `_`, `say` or `mark`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            first = node.args[0]
            if name in CALLS and isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value:
                yield first.value


def sentences() -> list[str]:
    """Every sentence of the app, in the order in which files and lines come."""
    files = sorted(path for folder in ("core", "pages", "jobs") for path in (ROOT / folder).rglob("*.py"))
    found = [text for path in files for text in written(path)]
    return list(dict.fromkeys([*found, *tables()]))


def translations(language: str) -> dict[str, str]:
    path = LOCALE / f"{language}.po"
    if not path.exists():
        return {}
    with path.open("rb") as file:
        return {str(message.id): str(message.string) for message in read_po(file) if message.id}


def update(language: str) -> int:
    """Rewrite a catalogue in the order of the code; how many sentences have no translation."""
    kept = translations(language)
    catalogue = Catalog(locale=language, project="Continual ML", charset="utf-8")
    for text in sentences():
        catalogue.add(text, kept.get(text, ""))
    LOCALE.mkdir(exist_ok=True)
    with (LOCALE / f"{language}.po").open("wb") as file:
        write_po(file, catalogue, width=120, omit_header=True)
    return sum(not kept.get(text) for text in sentences())


if __name__ == "__main__":
    missing = [text for text in sentences() if not translations("fr").get(text)]
    if "--check" in sys.argv:
        print("\n".join(missing))
    else:
        print(f"core/locale/fr.po: {update('fr')} sentences to translate")
    sys.exit("--check" in sys.argv and bool(missing))
