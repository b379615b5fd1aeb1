"""The charts of a decision say what they were given: pure figures, readable on light and on dark."""

from datetime import timedelta

import pytest

from core import charts
from core.charts import Bullet, Gain, Span


def traces(figure, kind):
    return [trace for trace in figure.to_plotly_json()["data"] if trace["type"] == kind]


def ratio(color: str, ground: str) -> float:
    """Contrast of two colours (WCAG 2.1, relative luminance)."""

    def luminance(text: str) -> float:
        parts = [int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(color), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("tone", charts.TONES)
def test_every_tone_stands_out_on_light_and_on_dark(tone):
    assert min(ratio(charts.TONES[tone], ground) for ground in ("#FFFFFF", "#0E141C")) >= 3.0


def test_bars_are_measured_against_one_limit_and_say_what_was_seen():
    rows = [
        Bullet("Loss", 0.03, 0.02, "0.03 of 0.02", "attention"),
        Bullet("Age", 6, 24, "6 of 24", "calm"),
        Bullet("Age", 500, 24, "500 of 24", "attention"),  # the same label again, and far too long
        Bullet("Lead", -0.4, 0.1, "-0.4 of 0.1", "calm"),
        Bullet("None asked", 1, 0, "1 of 0", "attention"),
    ]
    figure = charts.bullets(rows, limit="your limit")
    (bars,) = traces(figure, "bar")
    lengths = list(bars["x"])[::-1]  # drawn from below
    assert lengths == pytest.approx([1.5, 0.25, charts.LONGEST_BULLET, 0.0, charts.LONGEST_BULLET])
    assert len(set(bars["y"])) == len(rows)
    (texts,) = traces(figure, "scatter")
    assert [text.strip() for text in texts["text"]][::-1] == [row.text for row in rows]
    assert min(texts["x"]) >= 1.0  # no text lies on the limit's line
    assert figure.layout.xaxis.ticktext[1] == "your limit"


def test_the_forest_shows_the_whole_first_and_leaves_out_an_interval_that_is_not_known():
    rows = [Gain("All rows", 0.02, 0.01, 0.03), Gain("x > 1", -0.1, -1e300, 1e300), Gain("x <= 1", 0.05, 0.0, 0.1)]
    figure = charts.forest(rows, ["a", "b", "c"], needed=0.015, needed_label="needed")
    points = next(trace for trace in traces(figure, "scatter") if trace["mode"] == "markers")
    assert list(points["y"])[::-1] == ["All rows", "x > 1", "x <= 1"]
    assert list(points["marker"]["symbol"])[-1] == "diamond"
    assert list(points["error_x"]["array"])[::-1] == pytest.approx([0.01, 0.0, 0.05])
    assert list(points["error_x"]["arrayminus"])[::-1] == pytest.approx([0.01, 0.0, 0.05])
    low, high = figure.layout.xaxis.range
    assert low < -0.1 < 0.1 < high < 1
    assert {line["x0"] for line in figure.to_plotly_json()["layout"]["shapes"]} == {0, 0.015}


def test_a_timeline_has_a_line_for_each_label_and_draws_what_was_short(now):
    spans = [
        Span("Waited", now, now + timedelta(seconds=2), "2 s", "muted"),
        Span("Check", now + timedelta(seconds=2), now + timedelta(seconds=62), "60 s · failed", "attention"),
        Span("Check, attempt 2", now + timedelta(seconds=70), now + timedelta(seconds=80), "10 s", "calm"),
        Span("Alert", now + timedelta(seconds=80), None, "delivered", "calm"),
    ]
    figure = charts.timeline(spans, at=now)
    assert list(figure.layout.yaxis.categoryarray) == ["Alert", "Check, attempt 2", "Check", "Waited"]
    by_label = {
        label: width for trace in traces(figure, "bar") for label, width in zip(trace["y"], trace["x"], strict=True)
    }
    assert by_label["Check"] == 60_000
    assert by_label["Alert"] > 0
    assert len(figure.to_plotly_json()["layout"]["shapes"]) == 1
    assert charts.timeline([Span("v1", now, None, "", "calm")])  # nothing but a moment
