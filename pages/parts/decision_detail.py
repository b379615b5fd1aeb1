"""One decision: what was done and why, what was seen against the limits, for whom it is better, how the run went."""

import json
from datetime import timedelta
from functools import partial

import pandas as pd
import streamlit as st

from core import charts, drift, ledger, limits, performance, words
from core.errors import ContinualError
from core.estimators import ESTIMATORS
from core.evidence import Evidence, Memory
from core.policy import Policy
from core.records import SYSTEM, Action, Comparison, ModelVersion, Outcome, Project, User
from core.store import alerts, decisions, models, policies, runs
from core.store.alerts import Delivery
from core.store.decisions import Entry
from core.words import mark
from pages import ui
from pages.parts import feed, succession

WHY = {
    Action.WAIT: mark("What is it waiting for?"),
    Action.NOTHING: mark("Why was nothing done?"),
    Action.ALERT: mark("What is wrong?"),
    Action.RETRAIN: mark("Why did it retrain?"),
    Action.PROMOTE: mark("Why was it promoted?"),
    Action.HOLD: mark("Why was it held?"),
    Action.ROLL_BACK: mark("Why was it rolled back?"),
    Action.ACCEPT: mark("Why was the feed accepted?"),
    Action.FAIL: mark("What failed?"),
}
GATES = {
    "veto": mark("Your policy promotes unless the challenger is significantly worse."),
    "superiority": mark(
        "Your policy promotes only if the challenger is significantly better, by the gain it asks for."
    ),
    "none": mark("Your policy promotes without a comparison."),
}
MOST_SLICES = 8  # drawn: those where the two models differ most
MOST_FEATURES = 10
MOST_DIFFERENCES = 50


def show(user: User, decision: int) -> None:
    with ui.ctx().database.read() as con:
        entry = decisions.get(con, decision)
        story = decisions.story(con, decision)
        neighbours = decisions.neighbours(con, entry) if entry else (None, None)
    if entry is None:
        ui.page_head(ui._("Decisions"))
        st.error(ui._("There is no decision {id}. The ledger keeps every decision that was made.", id=decision))
        ui.link("decisions", ui._("All decisions"), ":material/rule:")
        return
    project = ui.project_of(entry.project)
    assert project  # projects are archived, never deleted
    if project.archived_at is None and (chosen := ui.project()) and chosen.id != project.id:
        ui.choose(project.id)  # the sidebar names the project that is shown
        st.rerun()
    _head(user, project, entry, neighbours)
    succession.undo(user, project)
    _verdict(story, entry)
    if any(reason.code == "broken_feed" for reason in entry.reasons):
        feed.blocked(user, project)
    judged = next((step for step in story if step.evidence), None)
    compared = next((step for step in story if step.comparison), None)
    replayable = [step for step in story if ledger.replayable(step)]
    cards = [
        judged and partial(_against_limits, judged),
        compared and compared.comparison and partial(_comparison, compared, compared.comparison),
        compared and compared.comparison and partial(_models, project, compared, compared.comparison),
        next((partial(_timeline, step.run, story) for step in story if step.run), None),
        judged and partial(_drift, judged),
        replayable and partial(_replay, replayable),
    ]
    shown = [card for card in cards if card]
    for first in range(0, len(shown), 2):
        for card, parent in zip(shown[first : first + 2], st.columns(2, gap="small"), strict=False):
            card(parent)


def _head(user: User, project: Project, entry: Entry, neighbours: tuple[int | None, int | None]) -> None:
    row = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    with row.container(gap=None, width="content"):
        by = ui._("by the schedule") if entry.actor == SYSTEM.name else ui._("by {user}", user=ui.md(entry.actor))
        st.caption(f"{words.when(entry.decided_at, ui.language())} · {by} · {ui.md(project.name)}")
        color, icon, word = ui.LOOK[entry.action]
        version = f" v{entry.version}" if entry.version else ""
        st.title(ui._("Decision #{id}", id=entry.id), anchor=False, width="content")
        st.markdown(f":{color}-badge[:material/{icon}: {ui._(word)}{version}]")
    before, after = neighbours
    with row.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", width="content"):
        if before:
            ui.link("decisions", f"#{before}", ":material/chevron_left:", {"id": str(before)})
        if after:
            ui.link("decisions", f"#{after}", ":material/chevron_right:", {"id": str(after)})
        ui.link("decisions", ui._("All decisions"), ":material/rule:")
        _back_button(user, project, entry)


def _back_button(user: User, project: Project, entry: Entry) -> None:
    """Roll back, while the reign that this decision began is the newest one."""
    with ui.ctx().database.read() as con:
        reigns = models.reigns(con, project.id)
    before = succession.predecessor(reigns)
    if not reigns or reigns[0].decision != entry.id or before is None:
        return
    if st.button(ui._("Roll back"), icon=":material/undo:", key="roll_back"):
        succession.ask(user, project, before, back=True)


def _verdict(story: list[Entry], entry: Entry) -> None:
    with st.container(border=True, gap="small"):
        for step in story:
            said = " ".join(ui.md(ui.sentence(reason)) for reason in step.reasons)
            other = "" if step.id == entry.id else f" :small[#{step.id}]"
            st.markdown(f"**{ui._(WHY[step.action])}**{other} {said}")
        for step in story:
            if step.nearest_flip:
                other = "" if step.id == entry.id else f" :small[#{step.id}]"
                flip = ui.md(ui.sentence(step.nearest_flip))
                st.markdown(f"**{ui._('What would have changed it?')}**{other} {flip}")


# ---- what was seen -------------------------------------------------------------------------------
def _against_limits(entry: Entry, parent) -> None:  # type: ignore[no-untyped-def]
    policy = _policy(entry)
    if policy is None or entry.evidence is None or entry.memory_before is None:
        return
    found = limits.against(policy, Evidence.from_json(entry.evidence), Memory.from_json(entry.memory_before))
    rows = tuple(
        charts.Bullet(
            ui._(limit.label, **limit.params), limit.seen, limit.needed,
            ui._("{seen} of {needed}", seen=_number(limit.seen, limit.form), needed=_number(limit.needed, limit.form)),
            _tone(limit),
        )
        for limit in found
    )  # fmt: skip
    with ui.card(parent, ui._("What triggered it?"),
                 ui._("Each bar is what was seen, relative to your policy's limit.")):  # fmt: skip
        alt = "; ".join(f"{row.label}: {row.text}" for row in rows)
        ui.chart(_bullets(rows, ui._("your limit")), key="limits", alt=alt)
        st.caption(ui._("Orange: it asks for action. Blue: it does not. Grey: what an action has to wait for."))


def _tone(limit: limits.Limit) -> str:
    if limit.part is limits.Part.CONDITION:
        return "muted"
    return "attention" if limit.reached else "calm"


def _policy(entry: Entry) -> Policy | None:
    if entry.policy_version is None:
        return None
    with ui.ctx().database.read() as con:
        return Policy.from_json(policies.get(con, entry.project, entry.policy_version))


def _drift(entry: Entry, parent) -> None:  # type: ignore[no-untyped-def]
    with ui.ctx().database.read() as con:
        scores = decisions.scores_of(con, entry.id or 0)
    scores = scores[~scores["feature"].isin([drift.JOINT, *drift.ANSWERS])]
    if scores.empty:
        return
    worst = scores.drop_duplicates("feature").head(MOST_FEATURES)
    rows = tuple(
        charts.Bullet(
            score["feature"], score["value"], score["threshold"],
            ui._("{value:.3g} of {limit:.3g}", value=score["value"], limit=score["threshold"]),
            "attention" if score["drifting"] else "calm", f"({score['metric'].replace('_', ' ')})",
        )
        for score in worst.to_dict("records")
    )  # fmt: skip
    moved = scores[scores["drifting"]]["feature"].nunique()
    with ui.card(parent, ui._("Which features had moved?"),
                 ui._("{moved} of {features} past their limit, in the measure that moved most", moved=moved,
                      features=scores["feature"].nunique())):  # fmt: skip
        alt = "; ".join(f"{row.label}: {row.text}" for row in rows)
        ui.chart(_bullets(rows, ui._("limit")), key="moved", alt=alt)


# ---- champion against challenger -----------------------------------------------------------------
def _comparison(entry: Entry, compared: Comparison, parent) -> None:  # type: ignore[no-untyped-def]
    whole = charts.Gain(ui._("All {rows:,} rows", rows=compared.rows), compared.gain, compared.low, compared.high)
    differing = sorted(compared.slices, key=lambda part: abs(part.gain), reverse=True)[:MOST_SLICES]
    parts = [
        charts.Gain(part.name, part.gain, part.low, part.high) for part in sorted(differing, key=lambda p: -p.gain)
    ]
    policy = _policy(entry)
    needed = policy.minimum_gain if policy and policy.gate == "superiority" else 0.0
    with ui.card(parent, ui._("Is the challenger better, and for whom?"),
                 ui._("Difference in {metric} with its interval, on the same rows, which neither was trained on",
                      metric=ui._(compared.metric))):  # fmt: skip
        texts = tuple(_number(row.gain, "+.3g") if row.gain else "0" for row in (whole, *parts))
        figure = _forest((whole, *parts), texts, needed, ui._("needed"))
        alt = "; ".join(f"{row.label}: {row.gain:+.3g} ({row.low:+.3g}, {row.high:+.3g})" for row in (whole, *parts))
        ui.chart(figure, key="forest", alt=alt)
        st.caption(ui._("Right of the line the challenger is better."))
        if policy:
            st.caption(ui._(GATES[policy.gate]))
        if len(parts) < len(compared.slices):
            st.caption(ui._("The {shown} of {all} segments that differ most; their intervals hold for all of them at once"
                            " (95 %).", shown=len(parts), all=len(compared.slices)))  # fmt: skip
        elif parts:
            st.caption(ui._("The intervals of the segments hold for all of them at once (95 %)."))


def _models(project: Project, entry: Entry, compared: Comparison, parent) -> None:  # type: ignore[no-untyped-def]
    with ui.ctx().database.read() as con:
        pair = [models.get(con, project.id, version) for version in compared.versions or ()]
    champion, challenger, measure = ui._("Champion"), ui._("Challenger"), ui._("Measure")
    better = compared.gain > 0
    badge = f":{'green' if better else 'orange'}-badge[{_number(-compared.gain, '+.4f')}]"
    lines = [
        {measure: ui._("Loss on the rows compared"), champion: _number(compared.champion, ".4f"),
         challenger: f"{_number(compared.challenger, '.4f')} {badge}"},
        *(
            {measure: name, champion: ours, challenger: theirs}
            for name, ours, theirs in zip(_facts(project, None), *(_facts(project, model) for model in pair), strict=True)
        ),
    ] if pair else []  # fmt: skip
    with ui.card(parent, ui._("Champion against challenger"),
                 ui._("The loss was measured on the same rows; the other scores each on rows of its own time")):  # fmt: skip
        st.table(pd.DataFrame(lines), hide_index=True, border="horizontal")
        if entry.version and compared.versions and entry.version > max(compared.versions):
            st.caption(ui._("v{chosen} is v{tried} fitted once more, on the rows that were compared too.",
                            chosen=entry.version, tried=compared.versions[1]))  # fmt: skip


def _facts(project: Project, model: ModelVersion | None) -> list[str]:
    """What there is to say of a version, in words; their names, for None."""
    metric = performance.headline(project.schema)
    if model is None:
        scored = ui._("{metric} before it served", metric=ui.score_label(metric))
        return [
            ui._("Version"),
            ui._("Estimator"),
            ui._("Training rows"),
            ui._("Newest training row"),
            scored,
            ui._("Fit time"),
        ]
    score = next((score.value for score in model.scores if score.metric == metric), None)
    return [
        f"v{model.version}", ui._(ESTIMATORS[model.estimator].label), _number(model.rows, ",d"), _number(model.last - 1, ",d"),
        ui._("unknown") if score is None else _number(score, ".3f"), _seconds(model.seconds),
    ]  # fmt: skip


# ---- the run -------------------------------------------------------------------------------------
def _timeline(number: int, story: list[Entry], parent) -> None:  # type: ignore[no-untyped-def]
    with ui.ctx().database.read() as con:
        attempts = runs.attempts(con, number)
        told = [line for step in story for line in alerts.deliveries_of(con, step.id or 0)]
    spans = [span for run in attempts for span in _spans(run)]
    spans += [
        charts.Span(ui._("Alert on {channel}", channel=channel), at, at + timedelta(seconds=0.2), ui._(ENDED[outcome]),
                    "calm" if outcome is Delivery.DELIVERED else "attention")
        for channel, _, _, at, outcome in told if outcome in TRIED
    ]  # fmt: skip
    with ui.card(parent, ui._("How did the run go?"), ui._("Run {run}", run=number)):
        if not spans:
            st.caption(ui._("The run is over and its times are no longer kept."))
            return
        alt = "; ".join(f"{span.label}: {span.text}" for span in spans)
        ui.chart(_gantt(tuple(spans)), key="run", alt=alt)


TRIED = (Delivery.DELIVERED, Delivery.FAILED, Delivery.GIVEN_UP)
JOBS = {"cycle": mark("Check"), "retrain": mark("Retrain")}
ENDED = {
    Outcome.QUEUED: mark("waiting"), Outcome.RUNNING: mark("running"), Outcome.FAILED: mark("failed"),
    Outcome.SKIPPED: mark("left out"), Outcome.INTERRUPTED: mark("cut off"), Delivery.DELIVERED: mark("delivered"),
    Delivery.FAILED: mark("failed"), Delivery.GIVEN_UP: mark("given up"),
}  # fmt: skip


def _spans(run: runs.RunRow) -> list[charts.Span]:
    """Waiting, and working; a retry is an attempt of its own."""
    name = ui._(JOBS.get(run.job, run.job))
    label = name if run.attempt == 1 else ui._("{job}, attempt {attempt}", job=name, attempt=run.attempt)
    if run.started_at is None:
        return []
    found = []
    if (waited := (run.started_at - run.due_at).total_seconds()) >= 0.5:
        found.append(charts.Span(ui._("Waited"), run.due_at, run.started_at, _seconds(waited), "muted"))
    took = _seconds((run.finished_at - run.started_at).total_seconds()) if run.finished_at else ""
    good = run.outcome in (Outcome.OK, Outcome.RUNNING)
    text = took if run.outcome is Outcome.OK else f"{took} · {ui._(ENDED[run.outcome])}"
    return [*found, charts.Span(label, run.started_at, run.finished_at, text, "calm" if good else "attention")]


def _seconds(seconds: float) -> str:
    return ui._("{seconds:.1f} s", seconds=seconds) if seconds < 90 else ui._("{minutes:.1f} min", minutes=seconds / 60)


# ---- replaying -----------------------------------------------------------------------------------
def _replay(entries: list[Entry], parent) -> None:  # type: ignore[no-untyped-def]
    with ui.card(parent, ui._("Would it decide the same again?"),
                 ui._("What was stored with it, judged anew by the same version of the policy")):  # fmt: skip
        if st.button(ui._("Replay this decision"), icon=":material/replay:", key="replay"):
            for entry in entries:
                _judge_again(entry)
        for entry in entries:
            if entry.evidence:
                with st.expander(ui._("Evidence of #{id} as stored", id=entry.id)):
                    st.json(json.loads(entry.evidence), expanded=1)


def _judge_again(entry: Entry) -> None:
    try:
        again = ledger.replay_decision(ui.ctx(), entry.id or 0)
    except ContinualError as error:
        st.error(str(error))
        return
    if again.same:
        st.success(ui._("#{id}: identical, the same verdict, reasons and numbers.", id=entry.id))
        return
    if again.faulty:
        st.error(ui._("#{id}: it differs, and should not: please report it.", id=entry.id))
    else:
        st.warning(ui._("#{id}: it differs, because this release judges otherwise than the one that decided (logic {then},"
                        " now {now}).", id=entry.id, then=again.logic, now=again.now))  # fmt: skip
    rows = [{ui._("What"): found.where, ui._("Stored"): str(found.stored), ui._("Again"): str(found.again)}
            for found in again.differences[:MOST_DIFFERENCES]]  # fmt: skip
    st.dataframe(pd.DataFrame(rows), hide_index=True)


# ---- figures, kept as dicts ----------------------------------------------------------------------
@st.cache_resource(max_entries=100, show_spinner=False)
def _bullets(rows: tuple[charts.Bullet, ...], limit: str):  # type: ignore[no-untyped-def]
    return charts.bullets(rows, limit=limit)


@st.cache_resource(max_entries=100, show_spinner=False)
def _forest(rows: tuple[charts.Gain, ...], texts: tuple[str, ...], needed: float, label: str):  # type: ignore[no-untyped-def]
    return charts.forest(rows, texts, needed=needed, needed_label=label)


@st.cache_resource(max_entries=100, show_spinner=False)
def _gantt(spans: tuple[charts.Span, ...]):  # type: ignore[no-untyped-def]
    return charts.timeline(spans)


def _number(value: float, form: str) -> str:
    return words.say(f"{{value:{form}}}", ui.language(), value=value)
