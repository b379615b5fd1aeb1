"""Has the data moved, is the model still good, is the feed whole?"""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core import breakdown, charts, drift_history, monitoring, performance, words
from core.errors import ContinualError
from core.records import Action, Project, Role, Verdict
from core.store import decisions, labels, models, performances, rows
from pages import ui
from pages.parts import feed

_ = ui._
SPANS = (30, 60, 120, 400)  # windows that are shown
EVENTS = (Action.PROMOTE, Action.HOLD, Action.ROLL_BACK)
MOST_ROWS = 20_000  # of a stretch, that are read to draw or to break down
SHOWN_SLICES = 8
HELP = {
    "accuracy": words.mark("Share of the answers that were right."),
    "balanced_accuracy": words.mark(
        "Mean over the classes of the share that was recognised: rare classes count as much."
    ),
    "roc_auc": words.mark("How often a row of the class is ranked above one that is not: 0.5 is chance, 1 is perfect."),
    "log_loss": words.mark("Mean surprise at the true label, in nats: sure and wrong costs most. Lower is better."),
    "brier": words.mark("Mean squared distance of the probabilities from the truth. Lower is better."),
    "f1": words.mark("Of the rows that are or were called this class: twice the hits over both. 1 is perfect."),
    "mae": words.mark("Mean distance of the answer from the label, in the label's unit. Lower is better."),
    "rmse": words.mark(
        "Root of the mean squared error, in the label's unit: large errors count more. Lower is better."
    ),
    "r2": words.mark("Share of the label's variance that is explained; 0 is always answering the mean."),
}


def stamp(project: Project) -> tuple[Any, ...]:
    """What a cached figure was drawn from: it is drawn anew when this has moved on."""
    with ui.ctx().database.read() as con:
        newest = decisions.latest(con, project.id, limit=1)
        count = labels.count(con, project.id)
    return str(ui.ctx().settings.data_dir), project.id, newest[0].id if newest else 0, count, ui.language()


def chosen_windows(newest: int, key: str) -> tuple[int, int]:
    """The windows that were dragged over or clicked, first and last; the newest one without."""
    kept = st.session_state.get(key)
    return kept if kept and kept[1] <= newest else (newest, newest)


def select_windows(event: Any, key: str) -> None:
    """Remember the windows of the points in a chart's selection."""
    points = event["selection"]["points"] if event else []
    windows = sorted(int(point["x"]) for point in points if isinstance(point.get("x"), int | float))
    if windows and st.session_state.get(key) != (windows[0], windows[-1]):
        st.session_state[key] = windows[0], windows[-1]
        st.rerun()


def named(span: tuple[int, int]) -> str:
    first, last = span
    return _("window {first}", first=first) if first == last else _("windows {first} to {last}", first=first, last=last)


# ---- drift ---------------------------------------------------------------------------------------
@st.cache_resource(max_entries=32, show_spinner=False)
def heatmap(stamp: tuple[Any, ...], windows: int, _project: Project) -> go.Figure:
    cells = drift_history.heatmap(ui.ctx(), _project, windows=windows)
    return charts.drift_heatmap(cells, language=ui.language())


def drift(project: Project, windows: int, stamp: tuple[Any, ...]) -> None:
    with ui.ctx().database.read() as con:
        scores = decisions.scores(con, project.id, windows=windows)
    if scores.empty:
        st.info(_("No window has been judged yet. Drift is judged whenever a whole window of rows has come in."))
        return
    newest = int(scores["window_number"].max())
    drift_verdict(project)
    with ui.card(
        st,
        _("Which features moved, when?"),
        _("Each window against the rows the champion of that time was trained on. Click a cell, or drag over windows."),
        help=_(
            "The drift score over its limit; above 1 it is past what the budget of false alarms allows for chance. A question"
            " mark: it could not be judged."
        ),
    ):
        event = ui.chart(
            heatmap(stamp, windows, project), key="heatmap", select=("points", "box"),
            alt=_("Drift score over its limit, by feature and window"),
        )  # fmt: skip
        remember_cell(event, project)
    span = chosen_windows(newest, "drift_windows")
    with ui.card(
        st, _("How did it change?"), _("The champion's training rows (dashed) against {windows}", windows=named(span))
    ):
        how_it_changed(project, scores, span)
    compare(project, newest)


def drift_verdict(project: Project) -> None:
    found = drift_history.standing(ui.ctx(), project)
    if found is None:
        return
    names = [", ".join(map(ui.md, part)) for part in (found.moved, found.unjudged)]
    params = {"window": found.window, "judged": len(found.judged), "count": len(found.moved), "names": names[0]}
    foot = (
        _("{count} more could not be judged, for too few rows, or rows too like their neighbours: {names}.",
          count=len(found.unjudged), names=names[1])
        if found.unjudged else None
    )  # fmt: skip
    if found.verdict is Verdict.UNKNOWN:
        text = _("Too little of window {window} could be judged to call it stable.", **params)
        ui.verdict("gray", "help", _("Unknown"), text, foot)
    elif found.verdict is Verdict.STABLE:
        text = _("None of {judged} features is past its limit in window {window}.", **params)
        ui.verdict("green", "check_circle", _("Stable"), text, foot)
    else:
        text = (
            _("{count} of {judged} features are past their limit in window {window}: {names}.", **params) if found.moved
            else _("No feature alone is past its limit in window {window}, but all of them together have moved.", **params)
        )  # fmt: skip
        ui.verdict("orange", "moving", _("Drifting"), text, foot)


def remember_cell(event: Any, project: Project) -> None:
    points = event["selection"]["points"] if event else []
    names = [point.get("y") for point in points if point.get("y") in project.schema.names]
    if names and st.session_state.get("cell") != (names[0], len(points)):
        st.session_state["cell"] = names[0], len(points)
        st.session_state["feature"] = names[0]
    select_windows(event, "drift_windows")


def how_it_changed(project: Project, scores: pd.DataFrame, span: tuple[int, int]) -> None:
    here = scores[scores["window_number"].between(*span)]
    ratio = (here["value"] / here["threshold"].clip(lower=1e-12)).groupby(here["feature"]).max()
    ordered = [name for name in ratio.sort_values(ascending=False).index if name in project.schema.names]
    names = ordered + [name for name in project.schema.names if name not in ordered]
    feature = st.selectbox(_("Feature"), names, key="feature", bind="query-params")
    size = ui.policy(project).window_rows
    first, last = span[0] * size, min((span[1] + 1) * size, span[0] * size + MOST_ROWS)
    with ui.ctx().database.read() as con:
        champion = models.get(con, project.id, models.champion_number(con, project.id))
        current = rows.span(con, project.id, project.schema, first, last)
        begin = max(champion.first, champion.last - MOST_ROWS) if champion else first
        reference = rows.span(con, project.id, project.schema, begin, champion.last) if champion else current
    figure = charts.distribution(reference[feature], current[feature], name=feature, language=ui.language())
    ui.chart(figure, key="distribution", alt=_("Shares of {feature}, before and now", feature=feature))
    table = here[here["feature"] == feature][["window_number", "metric", "value", "threshold", "drifting"]]
    if len(table):
        st.dataframe(
            table, hide_index=True, height="content" if len(table) < 8 else 260,
            column_config={
                "window_number": _("Window"), "metric": _("Metric"), "value": _("Score"), "threshold": _("Limit"),
                "drifting": _("Past its limit"),
            },
        )  # fmt: skip
    else:
        st.caption(_("Unknown: this feature could not be judged here."))
    worst = [one for one in sliced(project, span) if one.worse]
    if worst:
        one = worst[0]
        st.caption(
            _("Hit hardest there: {slice}, {label} {inside:.3f} against {outside:.3f} elsewhere.",
              slice=ui.md(one.name), label=ui.score_label(one.inside.metric), inside=one.inside.value,
              outside=one.outside.value)
        )  # fmt: skip


def compare(project: Project, newest: int) -> None:
    """Any two stretches against each other, from what was kept of them."""
    if newest < 1:
        return
    with ui.card(st, _("How do two stretches differ?"), _("From the kept profiles: no row is read again.")):
        left, right = st.columns(2)
        half = newest // 2
        before = left.slider(_("Windows before"), 0, newest, (0, half), key="before")
        after = right.slider(_("Windows after"), 0, newest, (half + 1, newest), key="after")
        if not st.button(_("Compare"), key="compare", icon=":material/compare_arrows:"):
            return
        with ui.told(), st.spinner(_("Comparing")):
            found = drift_history.compare(
                ui.ctx(), project, (before[0], before[1] + 1), (after[0], after[1] + 1), now=datetime.now(UTC)
            )
            show_compared(found)


def show_compared(found: drift_history.Compared) -> None:
    scores = pd.DataFrame([vars(score) for score in found.check.scores])
    if found.check.verdict is Verdict.UNKNOWN or scores.empty:
        st.info(_("Unknown: {note}", note=found.check.note))
        return
    moved = sorted(set(scores.loc[scores["drifting"], "feature"]))
    if moved:
        st.warning(_("They differ in: {names}.", names=", ".join(map(ui.md, moved))))
    else:
        st.success(_("No feature differs by more than chance allows."))
    if found.check.detectable is not None:
        st.caption(
            _(
                "In half of the features a shift of {shift:.3f} would have been caught in 4 of 5 cases.",
                shift=found.check.detectable,
            )
        )
    facts = pd.DataFrame(found.facts)
    facts["drifting"] = facts["name"].isin(moved)
    quality_table(facts)


# ---- performance ---------------------------------------------------------------------------------
@st.cache_resource(max_entries=32, show_spinner=False)
def performance_figure(
    stamp: tuple[Any, ...], windows: int, metric: str, _scores: pd.DataFrame, _marks: Any, _guesses: pd.DataFrame | None
) -> go.Figure:
    return charts.performance(
        _scores,
        _marks,
        label=ui.score_label(metric),
        language=ui.language(),
        guesses=_guesses,
        guessed=_("guessed without labels"),
    )


def scores_over_time(project: Project, windows: int, stamp: tuple[Any, ...]) -> None:
    with ui.ctx().database.read() as con:
        scores = performances.latest(con, project.id, windows=windows)
        events = decisions.latest(con, project.id, actions=EVENTS, limit=windows)
    guessed, trust = monitoring.estimates(ui.ctx(), project, ui.policy(project), windows=windows)
    if scores.empty and not guessed:
        st.info(_("No window has labels yet. Scores appear when the labels of answered rows arrive."))
        return
    headline = performance.headline(project.schema)
    metrics = list(dict.fromkeys(scores["metric"])) or [headline]
    metric = st.selectbox(_("Score"), metrics, format_func=ui.score_label, key="metric", bind="query-params")
    shown = scores[scores["metric"] == metric]
    with ui.card(
        st,
        _("Is the model still good?"),
        _(
            "Each window scored before anything was trained on it; hollow: labels still missing. Drag to choose windows."
        ),
        help=_(HELP[metric.partition(":")[0]]),
    ):
        marks = [
            (entry.window_number, entry.action, f"{ui.LOOK[entry.action][2]} v{entry.version}")
            for entry in events
            if entry.window_number is not None
        ]
        guesses = guess_frame(guessed) if metric == headline and trust.valid is not False else None
        drawn_from = (*stamp, str(scores["measured_at"].max()), len(guessed))  # scores come after their decision
        figure = performance_figure(drawn_from, windows, metric, shown, marks, guesses)
        alt = _("{label} by window with its 95 % interval", label=ui.score_label(metric))
        select_windows(ui.chart(figure, key="scores", alt=alt, select=("box", "points")), "score_windows")
        trust_sentence(trust, guessed, scores[scores["metric"] == headline])
        watch_sentence(project, drawn_from)
    if shown.empty:
        return
    newest = int(shown["window_number"].max())
    span = chosen_windows(newest, "score_windows")
    current_scores(scores, span)
    where_wrong(project, span, stamp)
    with ui.card(st, _("Are the labels coming?"), _("Share of each window's labels that have arrived")):
        figure = charts.label_arrival(scores, language=ui.language())
        ui.chart(figure, key="arrival", alt=_("Share of labels that have arrived, by window"))


def guess_frame(guessed: list[monitoring.Guessed]) -> pd.DataFrame:
    """The guesses of the windows whose labels are not there yet: elsewhere the score itself is shown."""
    lines = [(one.window, one.guess.value, one.guess.low, one.guess.high) for one in guessed if one.realised is None]
    return pd.DataFrame(lines, columns=["window_number", "value", "low", "high"])


def trust_sentence(trust: Any, guessed: list[monitoring.Guessed], scores: pd.DataFrame) -> None:
    """What a guess is worth now: said beside every guess, and in its place when it is worth nothing."""
    last = scores.tail(1)
    fallback = (
        _("The last score from labels: {value:.3f} in window {window}.",
          value=last["value"].iloc[0], window=int(last["window_number"].iloc[0]))
        if len(last) else ""
    )  # fmt: skip
    if not guessed:
        st.caption(_("Nothing is guessed without labels yet: that needs an answered window whose labels have come."))
    elif trust.valid is None:
        st.caption(_("Guesses without labels have not been checked against labels yet: take them as unknown."))
    elif not trust.valid:
        st.warning(
            _("Guesses without labels are not valid now: what the labels said has parted from them, as when the concept "
              "changes.") + f" {fallback}",
            icon=":material/report:",
        )  # fmt: skip
    else:
        params = {"error": trust.error, "rival": trust.rival_error, "windows": min(trust.windows, 12)}
        text = (
            _("Guesses without labels were off by {error:.3f} in the last {windows} windows; saying \"as last time\", by "
              "{rival:.3f}.", **params)
        )  # fmt: skip
        more = "" if trust.trusted else " " + _("They have not proved better than the last known score.")
        st.caption(f"{text}{more} {fallback}")


@st.cache_data(max_entries=8, show_spinner=False)
def _watched(stamp: tuple[Any, ...], version: int, _project: Project) -> monitoring.Watched | None:
    return monitoring.watched(ui.ctx(), _project, ui.policy(_project), version)


def watch_sentence(project: Project, stamp: tuple[Any, ...]) -> None:
    """How the champion's loss has gone since it took over: limits that hold however often one looks."""
    with ui.ctx().database.read() as con:
        version = models.champion_number(con, project.id)
    seen = _watched(stamp, version, project) if version else None
    if not version:
        return
    if seen is None or seen.loss is None:
        st.caption(
            _("Version {version} has too few labelled rows after its first window to watch its loss.", version=version)
        )
        return
    loss = (
        _("Version {version} since its first window: {loss:.3f} of its answers wrong ({low:.3f} to {high:.3f}), of "
          "{rows:,} labelled rows.", **asdict(seen))
        if project.schema.task.is_classification else
        _("Version {version} since its first window: off by {loss:.4g} on average ({low:.4g} to {high:.4g}), in "
          "{rows:,} labelled rows.", **asdict(seen))
    )  # fmt: skip
    if seen.risen_after is not None:
        risen = _("A rise above {limit:.4g} was proven after {risen_after:,} of them.", **asdict(seen))
    else:
        risen = _("No rise above {limit:.4g} is proven.", **asdict(seen))
    st.caption(
        f"{loss} {risen}",
        help=_("The limits hold at every look at once with 95 % (a confidence sequence), as long as blocks of rows are independent. The rise is looked for row by "
               "row; without one, a false alarm comes at most once in 100,000 rows, however often one looks."),
    )  # fmt: skip


def current_scores(scores: pd.DataFrame, span: tuple[int, int]) -> None:
    """Every score of the chosen windows, with its interval."""
    here = scores[scores["window_number"].between(*span)]
    with st.expander(_("All scores of {windows}", windows=named(span))):
        table = here.assign(metric=here["metric"].map(ui.score_label))
        st.dataframe(
            table[["window_number", "metric", "value", "low", "high", "rows", "maturity"]], hide_index=True,
            column_config={
                "window_number": _("Window"), "metric": _("Score"), "value": _("Value"), "low": _("95 % from"),
                "high": _("to"), "rows": _("Rows"),
                "maturity": st.column_config.ProgressColumn(_("Labels in"), format="percent", min_value=0, max_value=1),
            },
        )  # fmt: skip


def told(project: Project, span: tuple[int, int]) -> breakdown.Answered:
    size = ui.policy(project).window_rows
    first, last = span[0] * size, (span[1] + 1) * size
    return monitoring.answered(ui.ctx(), project, max(first, last - MOST_ROWS), last)


@st.cache_data(max_entries=64, show_spinner=False)
def _sliced(stamp: tuple[Any, ...], span: tuple[int, int], _project: Project) -> list[breakdown.SliceScore]:
    return breakdown.by_slice(told(_project, span), _project.schema)


def sliced(project: Project, span: tuple[int, int]) -> list[breakdown.SliceScore]:
    return _sliced(stamp(project), span, project)


@st.cache_resource(max_entries=64, show_spinner=False)
def breakdown_figures(stamp: tuple[Any, ...], span: tuple[int, int], _project: Project) -> dict[str, go.Figure]:
    """The figures that break the chosen windows down; those that their rows allow."""
    schema, answered = _project.schema, told(_project, span)
    found: dict[str, go.Figure] = {}
    slices = sliced(_project, span)[:SHOWN_SLICES]
    if slices:
        table = pd.DataFrame(
            [{"name": one.name, "value": one.inside.value, "low": one.inside.low, "high": one.inside.high,
              "rows": one.inside.rows, "rest": one.outside.value} for one in slices]
        )  # fmt: skip
        figure = charts.by_slice(
            table, label=ui.score_label(slices[0].inside.metric), inside=_("in the slice"), outside=_("elsewhere")
        )
        found["slices"] = figure
    curve = breakdown.reliability(answered, schema)
    if len(curve):
        classes = schema.task.is_classification
        figure = charts.reliability(
            curve, said=_("Confidence of the answer") if classes else _("Answer"),
            happened=_("Share that was right") if classes else _("Mean label"), share=classes,
            perfect=_("as it should be"),
        )  # fmt: skip
        found["reliability"] = figure
    if schema.task.is_classification and answered.known.any():
        figure = charts.confusion(breakdown.confusion(answered, schema), true=_("True"), answered=_("Answered"))
        found["confusion"] = figure
    return found


BREAKDOWN = {
    "slices": (
        words.mark("Where is it wrong?"),
        words.mark("The weakest slices, with 95 % intervals; the mark is all other rows."),
    ),
    "reliability": (
        words.mark("Is it as sure as it should be?"),
        words.mark("On the dashed line, what it says is what happens; below it, it is too sure."),
    ),
    "confusion": (words.mark("What is taken for what?"), words.mark("Share of each true class, by the answer it got.")),
}


def where_wrong(project: Project, span: tuple[int, int], stamp: tuple[Any, ...]) -> None:
    figures = breakdown_figures(stamp, span, project)
    if not figures:
        st.info(_("There are too few labelled rows in {windows} to break them down.", windows=named(span)))
        return
    st.caption(_("Below: {windows}. Drag over the chart above to choose others.", windows=named(span)))
    widths = [1.5 if name == "slices" else 1.0 for name in figures]  # its lines have long names
    for column, (name, figure) in zip(st.columns(widths), figures.items(), strict=True):
        title, caption = BREAKDOWN[name]
        with ui.card(column, _(title), _(caption)):
            ui.chart(figure, key=name, alt=_(caption))


# ---- data quality --------------------------------------------------------------------------------
def data_quality(project: Project, broken: bool) -> None:
    with ui.ctx().database.read() as con:
        count = rows.count(con, project.id)
        early, conflicts = labels.waiting(con, project.id), labels.conflicts(con, project.id)
        scores = decisions.scores(con, project.id, windows=1)
    size = ui.policy(project).window_rows
    full = count // size
    if full < 2 or scores.empty:
        st.info(_("Data quality is judged against earlier windows: it appears when a first model watches a window."))
        return
    known = (max(0, full - 1 - 12), full - 1)
    with ui.card(
        st,
        _("Is the feed whole?"),
        _("Window {window} against the {count} before it", window=full - 1, count=known[1] - known[0]),
        help=_("Missing: share of empty values. Unseen: share of values that the training rows never held."),
    ):
        try:
            found = drift_history.compare(
                ui.ctx(), project, known, (full - 1, full), now=datetime.now(UTC),
                features=(*project.schema.names, "prediction"),
            )  # fmt: skip
        except ContinualError as error:
            st.error(str(error))
            return
        facts = pd.DataFrame(found.facts)
        odd = facts[
            (facts["missing_now"] > facts["missing_before"] + 0.05)
            | (facts["unseen_share"] > 0.05)
            | ((facts["distinct_now"] == 1) & (facts["distinct_before"] > 1))
        ]["name"]
        if len(odd):
            st.warning(_("Worth a look: {names}.", names=", ".join(ui.md(name) for name in odd)))
        elif not broken:
            st.success(_("Nothing is missing more than before, unseen or stuck."))
        quality_table(facts.assign(drifting=facts["name"].isin({s.feature for s in found.check.scores if s.drifting})))
    with ui.card(st, _("Do the labels agree with their rows?")):
        st.caption(
            _("{waiting} labels wait for their row; {conflicts} were offered twice with different values.",
              waiting=early, conflicts=len(conflicts))
        )  # fmt: skip
        if len(conflicts):
            st.dataframe(conflicts, hide_index=True)


def quality_table(facts: pd.DataFrame) -> None:
    st.dataframe(
        facts[["name", "drifting", "missing_before", "missing_now", "unseen_share", "distinct_before", "distinct_now",
               "mean_before", "mean_now", "std_before", "std_now"]],
        hide_index=True,
        column_config={
            "name": _("Feature"), "drifting": _("Drifting"),
            "missing_before": st.column_config.NumberColumn(_("Missing before"), format="percent"),
            "missing_now": st.column_config.NumberColumn(_("now"), format="percent"),
            "unseen_share": st.column_config.NumberColumn(_("Unseen"), format="percent"),
            "distinct_before": _("Bins in use before"), "distinct_now": _("in use now"),
            "mean_before": st.column_config.NumberColumn(_("Mean before"), format="%.4g"),
            "mean_now": st.column_config.NumberColumn(_("mean now"), format="%.4g"),
            "std_before": st.column_config.NumberColumn(_("Spread before"), format="%.4g"),
            "std_now": st.column_config.NumberColumn(_("spread now"), format="%.4g"),
        },
    )  # fmt: skip


# ---- the page ------------------------------------------------------------------------------------
TABS = {"drift": words.mark("Drift"), "performance": words.mark("Performance"), "quality": words.mark("Data quality")}

user = ui.require(Role.VIEWER)
project = ui.project()
actions = ui.page_head(_("Monitoring"))
if project is None:
    ui.no_project()
    st.stop()
windows = actions.segmented_control(
    _("Windows shown"), SPANS, default=60, key="windows", bind="query-params", label_visibility="collapsed",
    format_func=lambda count: _("{count} windows", count=count),
) or 60  # fmt: skip
tabs = st.tabs([_(label) for label in TABS.values()], key="watch", on_change="rerun")
now = stamp(project)
broken = feed.blocked(user, project)
if tabs[0].open:
    with tabs[0]:
        drift(project, windows, now)
if tabs[1].open:
    with tabs[1]:
        scores_over_time(project, windows, now)
if tabs[2].open:
    with tabs[2]:
        data_quality(project, broken)
