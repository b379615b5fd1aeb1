"""Which model answered at a moment, and why it was champion: read from reigns, which are only ever added to."""

from datetime import UTC, datetime

import streamlit as st

from core import charts, performance, words
from core.estimators import ESTIMATORS
from core.records import Project
from core.store import decisions, models, performances
from core.store.models import Reign
from pages import ui

MOST_REIGNS = 12  # drawn around the moment


def show(project: Project) -> None:
    with ui.ctx().database.read() as con:
        reigns = models.reigns(con, project.id)[::-1]  # oldest first
    if not reigns:
        st.info(ui._("No model has answered yet. The first one takes over once enough rows have their labels."))
        return
    at = _moment()
    index = next((i for i in reversed(range(len(reigns))) if reigns[i].began_at <= at), None)
    if index is None:
        first = words.when(reigns[0].began_at, ui.language())
        st.info(ui._("Nobody answered then: the first champion began on {when}.", when=first))
    else:
        _answer(project, reigns[index], reigns[index + 1] if index + 1 < len(reigns) else None, at)
    _reigns(reigns, index or 0, at)


def _moment() -> datetime:
    now = datetime.now(UTC)
    row = st.container(horizontal=True, vertical_alignment="bottom")
    asked = row.datetime_input(
        ui._("At this moment (UTC)"), value=now.replace(tzinfo=None, second=0, microsecond=0), key="at",
        bind="query-params", step=60, width=260,
    )  # fmt: skip
    return asked.replace(tzinfo=UTC) if asked else now


def _answer(project: Project, reign: Reign, following: Reign | None, at: datetime) -> None:
    metric = performance.headline(project.schema)
    with ui.ctx().database.read() as con:
        model = models.get(con, project.id, reign.version)
        story = decisions.story(con, reign.decision)
        then = performances.latest(con, project.id, as_of=at, windows=400)
    language = ui.language()
    until = words.when(following.began_at, language) if following else ui._("today")
    with st.container(border=True, gap="small"):
        st.markdown(
            ui._("**v{version} answered** from {begin} to {until}.", version=reign.version,
                 begin=words.when(reign.began_at, language), until=until)
        )  # fmt: skip
        for step in story:
            said = " ".join(ui.md(ui.sentence(reason)) for reason in step.reasons)
            st.markdown(f":small[**#{step.id} {ui._(ui.LOOK[step.action][2])}** {said}]")
        ui.link("decisions", ui._("Decision #{id}, from which on it answered", id=reign.decision), ":material/rule:",
                {"id": str(reign.decision)})  # fmt: skip
    left, right = st.columns(2, gap="small")
    with ui.card(left, ui._("What had it learned from?")):
        if model is None:
            st.caption(ui._("Its record is gone."))
        else:
            st.markdown(
                ui._("{estimator}, trained on {rows:,} labelled rows: from row {first:,} to row {last:,}, in the order they came.",
                     estimator=ui._(ESTIMATORS[model.estimator].label), rows=model.rows, first=model.first, last=model.last - 1)
            )  # fmt: skip
            st.caption(ui._("Fitted in {seconds:.1f} s with seed {seed}. Training data {data}, model file {file}"
                            " (SHA-256).", seconds=model.seconds, seed=model.seed, data=model.data_hash[:12],
                            file=model.sha256[:12]))  # fmt: skip
    with ui.card(right, ui._("How good was it, as far as was known then?")):
        known = then[(then["metric"] == metric) & (then["version"] == reign.version)]
        if len(known):
            last = known.iloc[-1]
            st.markdown(
                ui._("{metric} **{value:.3f}** ({low:.3f} to {high:.3f}) in window {window}, on {rows:,} labelled rows.",
                     metric=ui.score_label(metric), window=int(last["window_number"]), rows=int(last["rows"]),
                     **{name: float(last[name]) for name in ("value", "low", "high")})
            )  # fmt: skip
            st.caption(ui._("The newest window that had been scored by then; {windows} windows of its reign had been.",
                            windows=len(known)))  # fmt: skip
        elif model and (before := next((score for score in model.scores if score.metric == metric), None)):
            st.markdown(
                ui._("{metric} **{value:.3f}** ({low:.3f} to {high:.3f}) on {rows:,} rows it had not seen.",
                     metric=ui.score_label(metric), value=before.value, low=before.low, high=before.high,
                     rows=before.rows)
            )  # fmt: skip
            st.caption(ui._("Measured before it took over; none of the rows it answered had been scored by then."))
        else:
            st.caption(ui._("Unknown: nothing had been scored by then."))


def _reigns(reigns: list[Reign], index: int, at: datetime) -> None:
    first = max(0, min(index - MOST_REIGNS // 2, len(reigns) - MOST_REIGNS))
    shown = reigns[first : first + MOST_REIGNS]
    # The newest reign goes on: it is drawn to the end of what is shown, and says so.
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    ends = [*(reign.began_at for reign in reigns[first + 1 : first + MOST_REIGNS + 1]), max(now, reigns[-1].began_at)]
    spans = tuple(
        charts.Span(f"v{reign.version}", reign.began_at, end, f"#{reign.decision}",
                    "calm" if reign is reigns[index] else "muted")
        for reign, end in zip(shown, ends, strict=False)
    )  # fmt: skip
    with ui.card(st, ui._("Who answered when?"), ui._("Each bar is a reign, with the decision that began it")):
        alt = "; ".join(f"{span.label}: {words.when(span.start, ui.language())}" for span in spans)
        ui.chart(_figure(spans, at), key="reigns", alt=alt)


@st.cache_resource(max_entries=50, show_spinner=False)
def _figure(spans: tuple[charts.Span, ...], at: datetime):  # type: ignore[no-untyped-def]
    return charts.timeline(spans, at=at)
