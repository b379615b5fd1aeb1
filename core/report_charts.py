"""The charts of a report as SVG, drawn by our own few lines.

They need neither a script nor a browser, follow the reader's light or dark theme (classes, coloured by the document),
print sharply and weigh some ten kilobytes, where Plotly's smallest bundle alone is over a megabyte. The numbers behind
a mark stand in its `<title>`, which a browser shows on hovering and a screen reader reads.
"""

import math
from collections.abc import Callable, Sequence
from html import escape

from core.performance import label
from core.records import Action
from core.snapshot import Heat, Moment, Point, Snapshot
from core.words import mark, number, say, short_when

MARKED = {
    Action.PROMOTE: mark("promoted"),
    Action.HOLD: mark("held"),
    Action.ROLL_BACK: mark("rolled back"),
    Action.ALERT: mark("alert"),
}
STEPS = (0.75, 1.0, 1.3, 1.6, 2.0)  # of score / limit: calm below 1, then amber to rust; classes h0 to h5
LARGEST = 1e15  # what is larger is written with an exponent
CHARACTER = 0.56  # mean width of a character of Inter, in units of its size


def quality(snapshot: Snapshot, language: str, *, width: int, height: int, size: int = 13) -> str:
    """Is the model still good? The score with its 95 % band by window, hollow where labels are missing; what was done
    is marked above. ``size`` is that of the letters, in pixels. Empty text when nothing was scored."""
    points = snapshot.scores
    if not points:
        return ""
    ticks = nice_ticks(*_reach(points), most=5 if height < 300 else 6)
    texts = [score_text(tick, language, step=ticks[1] - ticks[0]) for tick in ticks]
    left, right = 10 + max(len(text) for text in texts) * size * CHARACTER, 14.0
    top, bottom = size * 2.2, size * 2.9
    first, last = points[0].window, points[-1].window
    across = _scale(first, last, left, width - right)
    down = _scale(ticks[0], ticks[-1], height - bottom, top)

    def clipped(value: float) -> float:
        return min(max(down(value), top), height - bottom)

    drawn = [_grid(ticks, texts, down, left, width - right, size)]
    drawn += _window_axis(points, across, height - bottom, size, language, width)
    drawn += _marks(snapshot.decisions, across, (first, last), top, height - bottom, size, language)
    for run in _unbroken(points):
        edge = [f"{across(p.window):.1f},{clipped(p.high):.1f}" for p in run]
        edge += [f"{across(p.window):.1f},{clipped(p.low):.1f}" for p in reversed(run)]
        drawn.append(f'<polygon class="band" points="{" ".join(edge)}"/>')
        line = " ".join(f"{across(p.window):.1f},{clipped(p.value):.1f}" for p in run)
        drawn.append(f'<polyline class="line" points="{line}"/>')
    radius = max(1.6, min(size / 4, (width - left) / len(points) / 2.6))
    for p in points:
        kind = "dot" if p.maturity >= 0.999 else "dot hollow"
        drawn.append(
            f'<circle class="{kind}" cx="{across(p.window):.1f}" cy="{clipped(p.value):.1f}" r="{radius:.1f}">'
            f"<title>{escape(point_text(p, language))}</title></circle>"
        )
    name = say(label(snapshot.metric), language)
    alt = say("{metric} by window, with its 95 % interval", language, metric=name)
    return _svg(width, height, size, alt, drawn)


def heatmap(snapshot: Snapshot, language: str, *, width: int, size: int = 13, most: int | None = None) -> str:
    """Which features moved, when? A row a feature, those that moved most on top. Empty text when nothing was judged."""
    heat = snapshot.heat
    if not heat.features:
        return ""
    names = [_cut(name, 22) for name in heat.features[:most]]
    left = 10 + max(len(name) for name in names) * size * CHARACTER
    top, bottom, row = 2.0, size * 2.9, size * 1.75
    cell = (width - left - 8) / len(heat.windows)
    gap = min(1.5, cell / 6)
    height = round(top + row * len(names) + bottom)
    drawn = []
    for i, name in enumerate(names):
        y = top + row * i
        drawn.append(_text(left - 8, y + row / 2 + size * 0.36, name, "end", "label"))
        for j, ratio in enumerate(heat.ratios[i]):
            if ratio is None:
                continue
            told = say(
                "{feature}, {windows}: {ratio:.2f} of its limit", language, feature=heat.features[i],
                windows=columns_text(heat, j, language), ratio=ratio,
            )  # fmt: skip
            drawn.append(
                f'<rect class="h{step(ratio)}" x="{left + cell * j:.1f}" y="{y:.1f}" width="{cell - gap:.1f}" '
                f'height="{row - 2:.1f}" rx="{min(3.0, cell / 4):.1f}"><title>{escape(told)}</title></rect>'
            )
    axis = top + row * len(names)
    when = {p.window: p for p in snapshot.scores}
    for j in _spread(len(heat.windows), max(2, int((width - left) / (size * 6)))):
        window = heat.windows[j]
        middle = min(left + cell * (j + 0.5), width - size * 1.6)
        drawn.append(_text(middle, axis + size * 1.2, str(window), "middle", "tick"))
        if window in when:
            shown = short_when(when[window].measured_at, language, clock=_one_day(snapshot.scores))
            drawn.append(_text(middle, axis + size * 2.4, shown, "middle", "tick faint"))
    alt = say("Drift of each feature by window, as a share of its limit", language)
    return _svg(width, height, size, alt, drawn)


def step(ratio: float) -> int:
    """The colour class of a score divided by its limit.

    >>> [step(ratio) for ratio in (0.2, 0.99, 1.0, 1.01, 5)]
    [0, 1, 1, 2, 5]
    """
    return sum(ratio > limit for limit in STEPS)


# ---- words for numbers -----------------------------------------------------------------------------------------------
def score_text(value: float, language: str, *, step: float | None = None, like: float | None = None) -> str:
    """A score as it is written: three significant digits; or as many decimals as ``step``, or as the score ``like``, has.

    >>> score_text(0.87345, "fr"), score_text(12345.6, "en"), score_text(0.8, "en", step=0.02), score_text(12, "en")
    ('0,873', '12,346', '0.80', '12.0')
    >>> score_text(4.9e-18, "en", like=0.31)
    '0.000'
    """
    if step is None:
        like = abs(value if like is None else like)
        step = 0.001 if like == 0 or 0.1 <= like < 1 else 10.0 ** (math.floor(math.log10(like)) - 2)
    if abs(value) >= LARGEST:
        return f"{value:.3g}"
    decimals = min(max(0, -math.floor(math.log10(step) + 1e-9)), 12)
    if abs(value) < 0.5 * 10.0**-decimals:
        value = 0.0  # no "-0.000"
    return number(value, language, "#,##0" + ("." + "0" * decimals if decimals else ""))


def point_text(point: Point, language: str) -> str:
    """A point in words, for its tooltip."""
    return say(
        "Window {window}: {value} ({low} to {high}), {rows} labelled rows, {share:.0%} of labels in", language,
        window=point.window, value=score_text(point.value, language), low=score_text(point.low, language),
        high=score_text(point.high, language), rows=number(point.rows, language), share=point.maturity,
    )  # fmt: skip


def columns_text(heat: Heat, column: int, language: str) -> str:
    """Which windows a column of the heatmap stands for."""
    first = heat.windows[column]
    width = heat.windows[1] - heat.windows[0] if len(heat.windows) > 1 else 1
    if width == 1:
        return say("window {window}", language, window=first)
    return say("windows {first} to {last}", language, first=first, last=first + width - 1)


# ---- parts -----------------------------------------------------------------------------------------------------------
def nice_ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Round numbers, evenly spaced, that enclose ``low`` and ``high``; at least two, about ``most``.

    >>> [round(tick, 6) for tick in nice_ticks(0.803, 0.894)]
    [0.8, 0.82, 0.84, 0.86, 0.88, 0.9]
    >>> nice_ticks(3.0, 3.0)
    [2.0, 2.5, 3.0, 3.5, 4.0]
    """
    if not high > low:
        pad = abs(high) / 3 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def _reach(points: Sequence[Point]) -> tuple[float, float]:
    """What the vertical axis must show: every value, and the bands but for the widest few."""
    lows, highs = sorted(p.low for p in points), sorted(p.high for p in points)
    few = len(points) // 25
    return (
        min(lows[few], *(p.value for p in points), points[-1].low),
        max(highs[-1 - few], *(p.value for p in points), points[-1].high),
    )


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The straight line through (low, start) and (high, end); the middle when there is one value only."""
    if high == low:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _unbroken(points: Sequence[Point]) -> list[list[Point]]:
    """The points in runs of windows that follow each other: no line is drawn across what was not measured."""
    runs: list[list[Point]] = []
    for p in points:
        if runs and p.window == runs[-1][-1].window + 1:
            runs[-1].append(p)
        else:
            runs.append([p])
    return runs


def _grid(
    ticks: Sequence[float], texts: Sequence[str], down: Callable[[float], float], left: float, right: float, size: int
) -> str:
    lines = []
    for tick, text in zip(ticks, texts, strict=True):
        y = down(tick)
        lines.append(f'<line class="grid" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(_text(left - 8, y + size * 0.36, text, "end", "tick"))
    return "".join(lines)


def _window_axis(
    points: Sequence[Point], across: Callable[[float], float], y: float, size: int, language: str, width: int
) -> list[str]:
    """Window numbers with, below, the day they were measured (or the time, when all were on one day)."""
    clock = _one_day(points)
    drawn = []
    for i in _spread(len(points), max(2, int(width / (size * 8)))):
        x = min(max(across(points[i].window), size * 2), width - size * 2)
        drawn.append(_text(x, y + size * 1.4, str(points[i].window), "middle", "tick"))
        drawn.append(
            _text(x, y + size * 2.6, short_when(points[i].measured_at, language, clock=clock), "middle", "tick faint")
        )
    return drawn


def _marks(
    decisions: Sequence[Moment], across: Callable[[float], float], span: tuple[int, int], top: float, bottom: float,
    size: int, language: str,
) -> list[str]:  # fmt: skip
    """What was done, as a dotted line with a sign above; a label where there is room for it."""
    drawn = []
    shown = [m for m in decisions if m.action in MARKED and m.window is not None and span[0] <= m.window <= span[1]]
    shown.sort(key=lambda m: (m.window or 0, m.id))
    places = [across(m.window or 0) for m in shown]
    for i, (moment, x) in enumerate(zip(shown, places, strict=True)):
        free = places[i + 1] if i + 1 < len(places) else across(span[1]) + size * 3
        y = top - size * 0.75
        version = f"v{moment.version}" if moment.version else ""
        word = say(MARKED[moment.action], language)
        told = say("Window {window}: {what}", language, window=moment.window, what=f"{word} {version}".strip())
        drawn.append(f'<line class="event" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{bottom:.1f}"/>')
        drawn.append(f'<g class="sign"><title>{escape(told)}</title>{_sign(moment.action, x, y, size * 0.36)}</g>')
        if version and x + size + len(version) * size * CHARACTER < free:
            drawn.append(_text(x + size * 0.6, y + size * 0.34, version, "start", "label"))
    return drawn


def _sign(action: Action, x: float, y: float, r: float) -> str:
    """Told apart by shape: up, down, cross, diamond."""
    if action is Action.HOLD:
        return (
            f'<path class="cross" d="M{x - r:.1f} {y - r:.1f}L{x + r:.1f} {y + r:.1f}M{x - r:.1f} {y + r:.1f}'
            f'L{x + r:.1f} {y - r:.1f}"/>'
        )
    corners = {
        Action.PROMOTE: ((0, -1), (1, 0.9), (-1, 0.9)),
        Action.ROLL_BACK: ((0, 1), (1, -0.9), (-1, -0.9)),
    }.get(action, ((0, -1.15), (1.15, 0), (0, 1.15), (-1.15, 0)))
    return f'<polygon points="{" ".join(f"{x + r * dx:.1f},{y + r * dy:.1f}" for dx, dy in corners)}"/>'


def _spread(count: int, most: int) -> list[int]:
    """At most ``most`` of ``range(count)``, evenly spaced, both ends among them.

    >>> _spread(10, 4), _spread(2, 5), _spread(1, 5)
    ([0, 3, 6, 9], [0, 1], [0])
    """
    chosen = min(count, most)
    return [round(i * (count - 1) / (chosen - 1)) for i in range(chosen)] if chosen > 1 else [0]


def _one_day(points: Sequence[Point]) -> bool:
    return len({p.measured_at.date() for p in points}) == 1


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: int, height: int, size: int, alt: str, drawn: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(alt)}" font-size="{size}">'
        f"{''.join(drawn)}</svg>"
    )
