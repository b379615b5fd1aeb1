"""Reports: what they freeze, that their files need nothing and let nothing in, and who may do what with them."""

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from core import context, ingest, loop, projects, report_html, report_words, reports
from core.errors import InvalidInput
from core.policy import Policy
from core.records import SYSTEM, Action, Column
from core.settings import Settings
from core.snapshot import Heat, Snapshot
from core.sources import SOURCES
from core.store.codec import dump, load
from core.words import LANGUAGES
from pages import ui
from tests.conftest import NOW

HOSTILE = "<script>alert('x')</script> & \"><img src=http://evil.test/x onerror=alert(1)>"
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def ctx(tmp_path_factory):
    """One database for the whole file: what a test adds, it adds after the period that the others look at."""
    made = context.opened(Settings(_env_file=None, CONTINUAL_DATA_DIR=tmp_path_factory.mktemp("reports") / "data"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def played(ctx):
    """A project with a hostile name and hostile feature names, judged for some windows, an hour apart."""
    sea = SOURCES["sea"]
    names = {column.name: f"{column.name} {HOSTILE}"[:60] for column in sea.schema.features}
    schema = replace(sea.schema, features=tuple(Column(names[c.name], c.kind) for c in sea.schema.features))
    policy = Policy(window_rows=50, warm_up_windows=2, scope="all", estimator="logistic", period=2)
    project = projects.create(ctx, SYSTEM, name=HOSTILE[:60], schema=schema, policy=policy, now=NOW)
    for turn, first in enumerate((0, 100, 150, 200, 250)):
        rows = sea.draw(100 if first == 0 else 50, seed=1, offset=first).rename(columns=names)
        ingest.ingest(ctx, SYSTEM, project, rows, source="test", now=NOW + turn * HOUR)
        loop.run_cycle(ctx, project, NOW + turn * HOUR)
    return project


def frozen(ctx, project, since=NOW - HOUR, until=NOW + 5 * HOUR):
    return reports.freeze(ctx, project, since, until, made_by="amina", now=until)


def empty(ctx, project) -> Snapshot:
    return frozen(ctx, project, NOW - 3 * HOUR, NOW - 2 * HOUR)


# ---- the snapshot ----------------------------------------------------------------------------------------------------
def test_a_snapshot_holds_the_figures_of_its_period_alone(ctx, played):
    whole, half = frozen(ctx, played), frozen(ctx, played, until=NOW + 2 * HOUR)
    assert (whole.rows, whole.labels) == (300, 300)
    assert (half.rows, half.labels) == (150 + 50 - 50, 150)
    assert whole.predictions == 200  # all but the warm-up, which had no champion to answer it
    assert half.predictions < whole.predictions
    assert max(p.window for p in half.scores) < max(p.window for p in whole.scores)
    assert sum(whole.acts.values()) > sum(half.acts.values())
    assert whole.state
    assert whole.state.action is not Action.WAIT
    assert all(p.low <= p.value <= p.high for p in whole.scores)


def test_what_happens_later_changes_no_snapshot_of_before(ctx, played):
    before = frozen(ctx, played)
    rows = SOURCES["sea"].draw(50, seed=1, offset=300)
    rows = rows.rename(
        columns=dict(zip([c.name for c in SOURCES["sea"].schema.features], played.schema.names, strict=True))
    )
    ingest.ingest(ctx, SYSTEM, played, rows, source="test", now=NOW + 9 * HOUR)
    loop.run_cycle(ctx, played, NOW + 9 * HOUR)
    assert replace(frozen(ctx, played), coming=before.coming) == before


def test_a_snapshot_survives_its_json(ctx, played):
    for made in (frozen(ctx, played), empty(ctx, played)):
        assert load(Snapshot, dump(made)) == made


def test_a_period_that_ends_before_it_begins_is_refused(ctx, played):
    with pytest.raises(InvalidInput, match="begin before it ends"):
        frozen(ctx, played, NOW, NOW)


# ---- words -----------------------------------------------------------------------------------------------------------
def test_the_headline_says_what_happened_last(ctx, played):
    made = frozen(ctx, played)
    assert f"version {made.champion}" in report_words.headline(made, "en").lower()
    assert report_words.headline(empty(ctx, played), "en") == "Nothing could be judged in this period"
    troubled = replace(made, state=replace(made.state, action=Action.FAIL))
    assert report_words.headline(troubled, "en") == "The model needs attention"


def test_what_is_unknown_is_called_unknown(ctx, played):
    nothing = empty(ctx, played)
    values = {tile.label: tile.value for tile in report_words.tiles(nothing, "en")}
    assert values["Accuracy"] == values["Drifting features"] == "unknown"
    assert report_words.badge(nothing.state, "en") == ("gray", "Unknown")
    partly = replace(nothing, heat=Heat(("x",), (7,), ((0.2,),), {7: (0, 1)}))
    tile = report_words.tiles(partly, "en")[1]
    assert (tile.value, tile.note) == ("0 of 1", "in window 7; 2 not judged")


def test_a_retrain_is_told_with_what_came_of_it(ctx, played):
    made = frozen(ctx, played)
    told = report_words.acts(made)
    assert made.count(Action.RETRAIN) > 0
    assert all(cause and cause.id == moment.cause for moment, cause in told if moment.action is Action.PROMOTE)
    assert len(told) < len(made.decisions)


def test_decisions_are_called_the_same_in_reports_and_on_pages():
    for action, (color, _, word) in ui.LOOK.items():
        assert report_words.LOOK[action] == (color, word)


# ---- the file --------------------------------------------------------------------------------------------------------
class Reader(HTMLParser):
    """Collects tags, and whatever could make a browser ask for something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.fetched += [
            value or "" for name, value in attributes if name in ("src", "href", "xlink:href", "action", "data")
        ]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_file_is_small_needs_nothing_and_lets_no_name_in(ctx, played, language):
    for made in (frozen(ctx, played), empty(ctx, played)):
        for text in (report_html.page(made, language), report_html.slide(made, language)):
            assert len(text.encode()) < 2_000_000
            read = Reader(text)
            assert not {"script", "img", "link", "iframe", "object", "a", "base", "form"} & set(read.tags)
            assert read.fetched == []
            assert read.handlers == []
            assert all(found.startswith("data:") for found in re.findall(r"url\(([^)]*)\)", text))
            assert "@import" not in text
            assert "default-src 'none'" in text
            assert "<script" not in text
            assert "&lt;script&gt;alert" in text  # the name is there, as words


def test_the_numbers_behind_the_line_are_in_the_file(ctx, played):
    made = frozen(ctx, played)
    text = report_html.page(made)
    rows = re.findall(r"<tr>(.*?)</tr>", text)[1:]
    assert len(rows) == len(made.scores)
    assert text.count('class="dot') == 2 * len(made.scores)  # drawn once for wide and once for narrow screens
    assert f"<td>{made.scores[-1].window}</td>" in rows[0]
