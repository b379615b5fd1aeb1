"""Frames in, Plotly figures out, one chart a question.

Series colours follow the theme's order: 1 champion / current, 2 challenger / attention, 3 reference. What is neither
is drawn in MUTED, which keeps 3:1 contrast on light and dark.

Building figures is most of a rerun, so pages keep them (`st.cache_resource`): as they are, since Streamlit validates a
dict anew at every run, which took 12 ms where a figure took 1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.words import say

MUTED = "#7C889B"
CHAMPION, CHALLENGER, REFERENCE = "#5873E8", "#E06A14", MUTED  # readable on light and dark
BAND = "rgba(124, 136, 155, 0.20)"
# Calm below the limit, amber to rust above it: score divided by its limit, never a continuous rainbow.
HEAT = [[0.0, "#ECEEF2"], [0.499, "#DDE1E8"], [0.5, "#FBD9A5"], [0.65, "#F6A94B"], [0.8, "#DF7414"], [1.0, "#8F3606"]]
MARKS = {"promote": "triangle-up", "hold": "x", "roll_back": "triangle-down", "alert": "diamond"}


def _plain(figure: go.Figure, *, height: int, x_title: str = "", y_title: str = "") -> go.Figure:
    figure.update_layout(
        height=height, margin={"l": 8, "r": 8, "t": 28, "b": 8}, hovermode="x unified", showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )  # fmt: skip
    figure.update_xaxes(title=x_title, showgrid=False, zeroline=False, automargin=True)
    figure.update_yaxes(title=y_title, zeroline=False, automargin=True, nticks=6)
    return figure


def _whole_windows(figure: go.Figure, windows: pd.Series) -> go.Figure:
    """Ticks at whole windows, where so few are shown that Plotly would put some between."""
    return figure.update_xaxes(dtick=1) if len(windows) and windows.max() - windows.min() < 8 else figure


def performance(
    scores: pd.DataFrame,
    events: Iterable[tuple[int, str, str]] = (),
    *,
    label: str = "Score",
    guesses: pd.DataFrame | None = None,
    guessed: str = "guessed without labels",
    language: str = "en",
) -> go.Figure:
    """Is the model still good? ``scores`` of one metric: window_number, value, low, high, maturity, rows.

    ``events`` are (window number, action, text). Windows whose labels are not all there are hollow. ``guesses`` of the
    same metric, called ``guessed``: window_number, value, low, high.
    """
    scores = scores.sort_values("window_number")
    figure = go.Figure()
    x = scores["window_number"]
    figure.add_scatter(x=x, y=scores["high"], mode="lines", line={"width": 0}, hoverinfo="skip", showlegend=False)
    figure.add_scatter(
        x=x, y=scores["low"], mode="lines", line={"width": 0}, fill="tonexty", fillcolor=BAND, hoverinfo="skip",
        name=say("95 % interval", language),
    )  # fmt: skip
    mature = scores["maturity"] >= 0.999
    figure.add_scatter(
        x=x, y=scores["value"], mode="lines+markers", name=label, line={"width": 2.2, "color": CHAMPION},
        marker={"size": 6, "symbol": ["circle" if m else "circle-open" for m in mature]},
        customdata=scores[["rows", "maturity", "low", "high"]].to_numpy(),
        hovertemplate="%{y:.3f} (%{customdata[2]:.3f} – %{customdata[3]:.3f}), %{customdata[0]} "
        + say("labelled rows", language) + ", %{customdata[1]:.0%} " + say("of labels in", language) + "<extra></extra>",
    )  # fmt: skip
    if guesses is not None and len(guesses):
        figure.add_scatter(
            x=guesses["window_number"], y=guesses["value"], mode="markers", name=guessed,
            marker={"symbol": "diamond-open", "size": 7, "color": CHALLENGER},
            error_y={
                "type": "data", "symmetric": False, "array": guesses["high"] - guesses["value"],
                "arrayminus": guesses["value"] - guesses["low"], "color": CHALLENGER, "thickness": 1, "width": 0,
            },
            customdata=guesses[["low", "high"]].to_numpy(),
            hovertemplate="%{y:.3f} (%{customdata[0]:.3f} to %{customdata[1]:.3f})<extra></extra>",
        )  # fmt: skip
    if len(scores):
        _mark_events(figure, scores, events)
    return _whole_windows(_plain(figure, height=300, x_title=say("window", language)), x)


def _mark_events(figure: go.Figure, scores: pd.DataFrame, events: Iterable[tuple[int, str, str]]) -> None:
    """What happened, over the windows that are shown: two traces, for a shape each made the figure cost seconds."""
    first, last = scores["window_number"].min(), scores["window_number"].max()
    shown = [event for event in events if first <= event[0] <= last]
    low, top = float(scores["low"].min()), float(scores["high"].max())
    figure.add_scatter(
        x=[x for window, _, _ in shown for x in (window, window, None)], y=[low, top, None] * len(shown), mode="lines",
        line={"color": MUTED, "width": 1, "dash": "dot"}, opacity=0.5, hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    figure.add_scatter(
        x=[window for window, _, _ in shown], y=[top] * len(shown), mode="markers", showlegend=False,
        hovertext=[text for _, _, text in shown], hoverinfo="text",
        marker={"symbol": [MARKS.get(action, "circle") for _, action, _ in shown], "size": 10, "color": MUTED},
    )  # fmt: skip


def drift_count(scores: pd.DataFrame, *, language: str = "en") -> go.Figure:
    """How many features were past their limit, window by window? ``scores``: window_number, feature, drifting."""
    counts = scores.groupby(["window_number", "feature"])["drifting"].any().groupby("window_number").sum()
    figure = go.Figure(
        go.Bar(x=counts.index, y=counts.to_numpy(), name=say("drifting features", language), marker={"color": MUTED})
    )
    figure.update_yaxes(rangemode="tozero", tickformat="d", dtick=1 if len(counts) == 0 or counts.max() < 6 else None)
    return _whole_windows(_plain(figure, height=150, x_title=say("window", language)), scores["window_number"])


def drift_heatmap(cells: pd.DataFrame, *, language: str = "en") -> go.Figure:
    """Which features moved, when? ``cells``: window_number, feature, ratio, verdict (`drift_history.heatmap`).

    What could not be judged has no colour and a question mark.
    """
    table = cells.pivot(index="feature", columns="window_number", values="ratio")
    table = table.loc[table.max(axis=1).sort_values(na_position="first").index]
    unknown = cells.assign(mark=cells["verdict"].eq("unknown").map({True: "?", False: ""}))
    marks = unknown.pivot(index="feature", columns="window_number", values="mark").reindex(table.index).fillna("")
    figure = go.Figure(
        go.Heatmap(
            z=table.to_numpy(), x=table.columns, y=table.index, zmin=0, zmax=2, colorscale=HEAT, xgap=1, ygap=2,
            text=marks.to_numpy(), texttemplate="%{text}", textfont={"color": MUTED}, hoverongaps=False,
            colorbar={"title": say("score / limit", language), "tickvals": [0, 1, 2],
                      "ticktext": ["0", say("limit", language), "2x"], "len": 0.8},
            hovertemplate="%{y}, " + say("window", language) + " %{x}: %{z:.2f} " + say("of its limit", language)
            + "<extra></extra>",
        )
    )  # fmt: skip
    _plain(figure, height=110 + 26 * max(len(table), 1), x_title=say("window", language)).update_layout(
        showlegend=False
    )
    return figure.update_yaxes(showgrid=False, nticks=None, dtick=1)


def distribution(reference: pd.Series, current: pd.Series, *, name: str, language: str = "en") -> go.Figure:
    """How did this feature change? Shares of rows, reference dashed against current, in the same bins."""
    numeric = pd.api.types.is_numeric_dtype(reference)
    figure = go.Figure()
    if numeric:
        both = pd.concat([reference, current]).dropna()
        low, high = (float(both.quantile(q)) for q in (0.005, 0.995)) if len(both) else (0.0, 1.0)
        edges = np.linspace(low, high if high > low else low + 1, 31)
        for series, label, dash, color in (
            (current, say("current", language), "solid", CHAMPION),
            (reference, say("reference", language), "dash", REFERENCE),
        ):
            counts, _ = np.histogram(series.dropna().clip(edges[0], edges[-1]), edges)
            shares = counts / max(len(series), 1)
            figure.add_scatter(
                x=edges[:-1],
                y=shares,
                mode="lines",
                name=label,
                line={"shape": "hv", "dash": dash, "width": 2, "color": color},
            )
    else:
        order = reference.value_counts().index.union(current.value_counts().index, sort=False)[:25]
        for series, label, color in (
            (current, say("current", language), CHAMPION),
            (reference, say("reference", language), REFERENCE),
        ):
            of_each = series.value_counts(normalize=True).reindex(order).fillna(0)
            figure.add_bar(x=[str(value) for value in order], y=of_each.to_numpy(), name=label, marker={"color": color})
    figure.update_yaxes(tickformat=".0%")
    return _plain(figure, height=260, x_title=name)


def by_slice(slices: pd.DataFrame, *, label: str, inside: str, outside: str) -> go.Figure:
    """Where is it wrong? One line a slice: name, value, low, high (``inside`` it), rest (``outside`` it); worst on top."""
    slices = slices.iloc[::-1]
    figure = go.Figure()
    figure.add_scatter(
        x=slices["rest"], y=slices["name"], mode="markers", name=outside,
        marker={"symbol": "line-ns-open", "size": 14, "color": REFERENCE, "line": {"width": 2}},
        hovertemplate="%{x:.3f}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=slices["value"], y=slices["name"], mode="markers", name=inside, marker={"size": 9, "color": CHAMPION},
        error_x={
            "type": "data", "symmetric": False, "array": slices["high"] - slices["value"],
            "arrayminus": slices["value"] - slices["low"], "color": CHAMPION, "thickness": 1.5, "width": 4,
        },
        customdata=slices[["low", "high", "rows"]].to_numpy(),
        hovertemplate="%{x:.3f} (%{customdata[0]:.3f} to %{customdata[1]:.3f}), %{customdata[2]} rows<extra></extra>",
    )  # fmt: skip
    _plain(figure, height=90 + 28 * max(len(slices), 1), x_title=label).update_layout(hovermode="closest")
    return figure.update_yaxes(type="category", tickmode="linear", dtick=1, nticks=None)


def reliability(found: pd.DataFrame, *, said: str, happened: str, share: bool, perfect: str) -> go.Figure:
    """Is the model as sure as it should be? ``found``: said, happened, low, high, rows; on the line it is."""
    figure = go.Figure()
    ends = [
        float(min(found["said"].min(), found["low"].min())), float(max(found["said"].max(), found["high"].max())),
    ] if len(found) else [0.0, 1.0]  # fmt: skip
    figure.add_scatter(
        x=ends, y=ends, mode="lines", name=perfect, line={"dash": "dash", "color": REFERENCE, "width": 1.5},
        hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=found["said"], y=found["happened"], mode="lines+markers", name=happened, line={"color": CHAMPION, "width": 2},
        error_y={
            "type": "data", "symmetric": False, "array": found["high"] - found["happened"],
            "arrayminus": found["happened"] - found["low"], "color": CHAMPION, "thickness": 1, "width": 3,
        },
        customdata=found["rows"].to_numpy(), hovertemplate="%{x:.3f}: %{y:.3f}, %{customdata} rows<extra></extra>",
    )  # fmt: skip
    _plain(figure, height=300, x_title=said, y_title=happened).update_layout(hovermode="closest")
    if share:
        figure.update_xaxes(tickformat=".0%").update_yaxes(tickformat=".0%")
    return figure


def confusion(counts: pd.DataFrame, *, true: str, answered: str) -> go.Figure:
    """What is taken for what? ``counts`` by true class (index) and answered class (columns); shares of the true class."""
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0).to_numpy()
    answers, truths = [str(name) for name in counts.columns], [str(name) for name in counts.index]
    cells = go.Heatmap(
        z=shares, x=answers, y=truths, zmin=0, zmax=1, xgap=2, ygap=2, showscale=False, customdata=counts.to_numpy(),
        colorscale=[[share, f"rgba(88, 115, 232, {alpha})"] for share, alpha in ((0, 0.04), (0.5, 0.16), (0.5, 0.85), (1, 1))],
        hovertemplate="%{y} → %{x}: %{customdata} rows, %{z:.0%}<extra></extra>",
    )  # fmt: skip
    # A heatmap chooses the colour of its texts by that of the cell, as if nothing showed through: unreadable on dark.
    # Half is where the cell becomes opaque, and its text white.
    texts = go.Scatter(
        x=np.tile(answers, len(truths)), y=np.repeat(truths, len(answers)), mode="text",
        text=[f"{share:.0%}" for share in shares.ravel()], hoverinfo="skip",
        textfont={"color": np.where(shares.ravel() > 0.5, "#FFFFFF", MUTED).tolist()},
    )  # fmt: skip
    figure = go.Figure([cells, texts])
    _plain(figure, height=120 + 34 * len(counts), x_title=answered, y_title=true)
    figure.update_layout(showlegend=False, hovermode="closest")
    figure.update_xaxes(type="category")
    return figure.update_yaxes(type="category", autorange="reversed", nticks=len(counts), showgrid=False)


def label_arrival(scores: pd.DataFrame, *, language: str = "en") -> go.Figure:
    """How many of each window's labels are in? ``scores``: window_number, maturity."""
    shares = scores.groupby("window_number")["maturity"].max()
    figure = go.Figure(
        go.Bar(x=shares.index, y=shares.to_numpy(), name=say("labels in", language), marker={"color": MUTED})
    )
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    return _plain(figure, height=150, x_title=say("window", language))


# ---- a decision ----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Bullet:
    """A bar that is measured against its limit; ``text`` says both in words, ``more`` what else is said on pointing.

    ``tone`` is a key of `TONES`.
    """

    label: str
    seen: float
    needed: float
    text: str
    tone: str
    more: str = ""


TONES = {"attention": CHALLENGER, "calm": CHAMPION, "muted": MUTED}
LONGEST_BULLET = 1.6  # times the limit; a longer bar is cut there and its text says how far it went


def bullets(rows: Sequence[Bullet], *, limit: str) -> go.Figure:
    """What triggered it? Each bar is what was seen over its limit, which is one line for all, called ``limit``."""
    rows = list(reversed(rows))  # Plotly counts from below
    labels, lengths = _apart(row.label for row in rows), [_of_limit(row) for row in rows]
    figure = go.Figure(
        go.Bar(
            y=labels, x=lengths, orientation="h", width=0.42, marker={"color": [TONES[row.tone] for row in rows]},
            hovertext=[f"{row.text} {row.more}" for row in rows], hovertemplate="%{y}: %{hovertext}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_vline(x=1, line={"color": MUTED, "width": 1.5, "dash": "dash"})
    # Right of the bar and of the limit, so that neither runs through it.
    _write(figure, labels, [max(length, 1.0) for length in lengths], [row.text for row in rows])
    figure.update_xaxes(range=[0, LONGEST_BULLET * 1.75], tickvals=[0, 1], ticktext=["0", limit], fixedrange=True)
    return _rows(figure, len(rows))


def _write(
    figure: go.Figure, labels: list[str], right_of: Sequence[float] | Sequence[datetime], texts: Sequence[str]
) -> None:
    """A text in each row, to the right of a place in it."""
    figure.add_scatter(
        x=list(right_of), y=labels, text=[f" {text}" for text in texts], mode="text", textposition="middle right",
        cliponaxis=False, hoverinfo="skip",
    )  # fmt: skip


def _of_limit(row: Bullet) -> float:
    if row.needed <= 0:
        return LONGEST_BULLET if row.tone == "attention" else 0.0
    return float(min(max(row.seen / row.needed, 0.0), LONGEST_BULLET))


@dataclass(frozen=True)
class Gain:
    """One row of a forest plot: the challenger's gain with its interval (infinite ends are left out)."""

    label: str
    gain: float
    low: float
    high: float


def forest(rows: Sequence[Gain], texts: Sequence[str], *, needed: float = 0.0, needed_label: str = "") -> go.Figure:
    """Is the challenger better, and for whom? Gains with intervals; right of the line at 0 it is better.

    The first row is the whole, drawn larger. ``texts`` are written behind the rows. ``needed`` is the gain that was asked for, if any.
    """
    order = list(reversed(rows))
    labels = _apart(row.label for row in order)
    ends = [
        (row.low, row.high) if abs(row.low) < 1e9 and abs(row.high) < 1e9 else (row.gain, row.gain) for row in order
    ]
    whole = [index == len(order) - 1 for index in range(len(order))]
    figure = go.Figure(
        go.Scatter(
            x=[row.gain for row in order], y=labels, mode="markers",
            marker={"size": [11 if first else 8 for first in whole], "color": CHALLENGER,
                    "symbol": ["diamond" if first else "circle" for first in whole]},
            error_x={"type": "data", "symmetric": False, "color": CHALLENGER, "thickness": 2, "width": 0,
                     "array": [high - row.gain for row, (_, high) in zip(order, ends, strict=True)],
                     "arrayminus": [row.gain - low for row, (low, _) in zip(order, ends, strict=True)]},
            customdata=ends,
            hovertemplate="%{y}: %{x:+.4f} (%{customdata[0]:+.4f} – %{customdata[1]:+.4f})<extra></extra>",
        )
    )  # fmt: skip
    figure.add_vline(x=0, line={"color": MUTED, "width": 1.5})
    _write(figure, labels, [max(row.gain, high) for row, (_, high) in zip(order, ends, strict=True)], texts[::-1])
    least, most = min(0.0, *(low for low, _ in ends)), max(0.0, needed, *(high for _, high in ends))
    room = (most - least or 1.0) / 20
    figure.update_xaxes(range=[least - room, most + 5 * room])
    if needed:
        figure.add_vline(
            x=needed, line={"color": MUTED, "width": 1.5, "dash": "dash"}, annotation_text=needed_label,
            annotation_position="top",
        )  # fmt: skip
    return _rows(figure, len(rows), pitch=34)


@dataclass(frozen=True)
class Span:
    """One row of a timeline; without an ``end`` it is a moment. ``tone`` is a key of `TONES`."""

    label: str
    start: datetime
    end: datetime | None
    text: str
    tone: str


def timeline(rows: Sequence[Span], *, at: datetime | None = None) -> go.Figure:
    """How did it go, or who answered when? Bars over time, the first row on top; ``at`` is a moment to point out.

    Rows of one label share a line. What is too short to be seen is drawn as a thin mark.
    """
    figure = go.Figure()
    earliest, latest = min(row.start for row in rows), max(row.end or row.start for row in rows)
    shortest = (latest - earliest).total_seconds() * 1000 / 150 or 10.0
    for tone, color in TONES.items():
        mine = [row for row in rows if row.tone == tone]
        widths = [((row.end or row.start) - row.start).total_seconds() * 1000 for row in mine]
        figure.add_bar(
            base=[row.start for row in mine], x=[max(width, shortest) for width in widths],
            y=[row.label for row in mine], orientation="h", width=0.5, marker={"color": color},
            hovertext=[row.text for row in mine], hovertemplate="%{y}: %{hovertext}<extra></extra>",
        )  # fmt: skip
    least = timedelta(milliseconds=shortest)
    _write(figure, [row.label for row in rows], [max(row.end or row.start, row.start + least) for row in rows],
           [row.text for row in rows])  # fmt: skip
    if at is not None:
        figure.add_vline(x=at, line={"color": MUTED, "width": 1.5, "dash": "dash"})
    labels = list(dict.fromkeys(row.label for row in rows))
    room = max((latest - earliest) * 0.4, timedelta(seconds=1))  # for the last row's text
    figure.update_layout(barmode="overlay")
    figure.update_yaxes(categoryorder="array", categoryarray=labels[::-1])
    figure.update_xaxes(type="date", range=[earliest, latest + room], nticks=5)
    return _rows(figure, len(labels))


def _rows(figure: go.Figure, count: int, *, pitch: int = 30) -> go.Figure:
    """The look of a chart that has a line of text for each row."""
    _plain(figure, height=70 + pitch * max(count, 1))
    figure.update_layout(showlegend=False, hovermode="closest", margin={"l": 8, "r": 8, "t": 16, "b": 8})
    figure.update_yaxes(showgrid=False, ticks="", nticks=None, tickmode="linear", dtick=1)
    return figure


def _apart(labels: Iterable[str]) -> list[str]:
    """The labels, made different where two are the same: Plotly would draw them on one line."""
    seen: dict[str, int] = {}
    out = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        out.append(label + "\u200b" * (seen[label] - 1))
    return out


def backtest(
    points: pd.DataFrame, *, current: str, recommended: str | None, x_title: str, y_title: str, lower_is_better: bool
) -> go.Figure:
    """What does a better score cost in retrains? ``points`` has a line a policy: name, label, retrains, score, low, high.

    ``low`` and ``high`` bound the score of each policy by the interval of its difference to the current one. Up is
    better for every score.
    """
    figure = go.Figure()
    ordered = points.sort_values(["retrains", "score"], ignore_index=True)
    same = ordered.groupby(["retrains", "score"])["label"]  # policies that did the same share a label
    ordered["text"] = same.transform(" · ".join).where(~ordered.duplicated(["retrains", "score"]), "")
    most = max(int(points["retrains"].max()), 1)
    for _, line in ordered.iterrows():
        chosen, mine = line["name"] == recommended, line["name"] == current
        color = CHAMPION if chosen else MUTED
        figure.add_scatter(
            x=[line["retrains"]], y=[line["score"]], mode="markers+text", text=[f"  {line['text']}  "], showlegend=False,
            textposition="middle left" if line["retrains"] > 0.8 * most else "middle right",
            textfont={"color": color},
            marker={"size": 15 if chosen else 11, "color": color,
                    "symbol": "star" if chosen else "circle" if mine else "circle-open"},
            error_y=None if mine else {
                "type": "data", "symmetric": False, "array": [line["high"] - line["score"]],
                "arrayminus": [line["score"] - line["low"]], "color": color, "thickness": 1.2, "width": 4,
            },
            hovertemplate=f"{line['label']}: %{{y:.4g}}, %{{x}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(range=[-0.12 * most, 1.12 * most])
    if lower_is_better:
        figure.update_yaxes(autorange="reversed")
    return _plain(figure, height=380, x_title=x_title, y_title=y_title).update_layout(hovermode="closest")


def trend(at: pd.Series, values: pd.Series, *, percent: bool = False) -> go.Figure:
    """How did this number go? A small line; where nothing was measured it breaks."""
    figure = go.Figure(
        go.Scatter(x=at, y=values, mode="lines", line={"width": 1.8, "color": CHAMPION}, connectgaps=False, name="")
    )
    alone = values.notna() & values.shift(1).isna() & values.shift(-1).isna()
    figure.add_scatter(x=at[alone], y=values[alone], mode="markers", marker={"size": 4, "color": CHAMPION}, name="")
    figure.update_yaxes(rangemode="tozero", tickformat=".0%" if percent else "~s", nticks=3)
    figure.update_xaxes(range=[at.iloc[0], at.iloc[-1]], nticks=3)
    _plain(figure, height=130).update_layout(showlegend=False, margin={"l": 4, "r": 4, "t": 6, "b": 4})
    figure.update_yaxes(nticks=3)
    return figure
