"""How the project judges, whether another policy would have served better, what runs by itself, and how it went."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pandas as pd
import streamlit as st

from core import alerting, backtesting, charts, ledger, policy_words, projects, runs, words
from core.backtesting import Kept
from core.estimators import ESTIMATORS
from core.policy import PRESETS, RANGES, Approval, Policy, Scope
from core.policy_words import GROUPS, MEANINGS, NAMES, SETTINGS
from core.records import Outcome, Project, Role, User
from core.store.runs import RunRow
from core.words import mark
from jobs import JOBS
from jobs.job import Job
from pages import ui

OPTIONS: dict[str, tuple[str, ...]] = {
    "estimator": ("auto", *ESTIMATORS),
    "scope": tuple(Scope),
    "approval": tuple(Approval),
    "gate": ("veto", "superiority", "none"),
}
BLOCKS = [name for name in policy_words.CHOICES if any(name in preset.blocks for preset in PRESETS.values())]
KEEPS = ("estimator", "window_rows", "warm_up_windows", "mature_share", "approval")  # what a preset leaves as it is
PRICES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
OUTCOMES = {
    Outcome.OK: mark("done"),
    Outcome.FAILED: mark("failed"),
    Outcome.SKIPPED: mark("skipped"),
    Outcome.INTERRUPTED: mark("interrupted"),
    Outcome.RUNNING: mark("running"),
    Outcome.QUEUED: mark("waiting"),
}
TABS = (mark("Policy"), mark("Try policies"), mark("Schedule"), mark("History"), mark("Channels"))


def name_of(policy: Policy) -> str:
    return ui._(NAMES[policy.name]) if policy.name in NAMES else ui.md(policy.name)


# ---- the policy ----------------------------------------------------------------------------------
def in_words(policy: Policy) -> None:
    st.markdown("\n".join(f"- {sentence}" for sentence in policy_words.sentences(policy, ui.language())))


def the_policy(user: User, project: Project) -> None:
    versions = projects.policy_versions(ui.ctx(), project.id)
    now = versions[0]
    with ui.card(
        st, ui._("How is this project judged?"),
        ui._("{name}, version {version}, by {who}, {ago}. Every decision names the version that made it.",
             name=name_of(now.policy), version=now.version, who=ui.md(now.made_by), ago=ui.ago(now.made_at)),
    ):  # fmt: skip
        in_words(now.policy)
    with ui.card(st, ui._("What does each gate cost?")):
        gates(project, now.policy)
    if user.role is not Role.ADMIN:
        st.caption(ui._("Administrators change the policy."))
    else:
        with ui.card(st, ui._("What should be different?"), ui._("Nothing changes before you save.")):
            change(user, project, now.version, now.policy)
    with ui.card(st, ui._("How has it been judged before?")):
        earlier(user, project, versions)


def gates(project: Project, policy: Policy) -> None:
    """What each gate lets through and what it stops, at this project's windows and levels."""
    found = ledger.prices(ui.ctx(), project, policy)
    if not found.gates:
        st.caption(ui._("That can be told once a challenger has been compared with the champion."))
        return
    share = project.schema.task.is_classification
    scale, unit = (100, ui._(" points")) if share else (1, "")
    difference = f"{scale * next(iter(found.gates.values())).difference:.3g}{unit}"
    st.caption(
        ui._("The first look at {rows:,} labelled rows, with the policy's error levels.", rows=policy.window_rows)
        + " "
        + (
            ui._("How far two models differ is taken from {count} comparisons of this project.", count=found.comparisons)
            if found.comparisons
            else ui._("Two models are supposed to differ on {share:.0%} of the rows, until this project has compared some.",
                      share=found.disagreement)
        )
    )  # fmt: skip
    never = ui._("never")
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "gate": choice(name) + (f" ({ui._('in force')})" if name == policy.gate else ""),
                    "equal": 100 * price.equal,
                    "worse": 100 * price.worse,
                    "better": 100 * price.better,
                    "harm": never if price.harm is None else f"{scale * price.harm:.3g}{unit}",
                    "rows": never if price.rows_needed is None else words.number(price.rows_needed, ui.language()),
                    "undo": never if price.undo_looks is None else str(price.undo_looks),
                }
                for name, price in found.gates.items()
            ]
        ),
        hide_index=True, height="content",
        column_config={
            "gate": st.column_config.TextColumn(ui._("Gate"), pinned=True),
            "equal": st.column_config.NumberColumn(
                ui._("Equal: promoted, %"), format="%.0f", help=ui._("How often a challenger as good as the champion takes over.")
            ),
            "worse": st.column_config.NumberColumn(
                ui._("{difference} worse: promoted, %", difference=difference), format="%.0f",
                help=ui._("How often a challenger that loses so much more slips through."),
            ),
            "better": st.column_config.NumberColumn(
                ui._("{difference} better: promoted, %", difference=difference), format="%.0f",
                help=ui._("How often a challenger that loses so much less takes over at once."),
            ),
            "harm": st.column_config.TextColumn(
                ui._("Stops harm from"), help=ui._("The smallest excess loss that is stopped in 80 % of the cases.")
            ),
            "rows": st.column_config.TextColumn(
                ui._("Rows to pass a gain"),
                help=ui._("So many labelled rows let a challenger through, in 80 % of the cases, that is {difference} better.",
                          difference=difference),
            ),
            "undo": st.column_config.TextColumn(
                ui._("Undone after windows"),
                help=ui._("After so many labelled windows the rollback undoes a champion that is {difference} worse.",
                          difference=difference),
            ),
        },
    )  # fmt: skip


def change(user: User, project: Project, version: int, current: Policy) -> None:
    """A preset to start from, then every setting; saving makes a new version, from which the form starts afresh."""
    starts = ["current", *PRESETS]
    start = st.radio(
        ui._("Start from"),
        starts,
        horizontal=True,
        format_func=lambda name: ui._(NAMES[name]),
        key=f"policy_start-{version}",
    )
    if start in MEANINGS:
        st.caption(ui._(MEANINGS[start]))
    base = current if start == "current" else replace(
        PRESETS[start], **{name: getattr(current, name) for name in KEEPS}
    )  # fmt: skip
    given: dict[str, Any] = {}
    with st.form("policy", border=False):
        for at, (group, names) in enumerate(GROUPS.items()):
            with st.expander(ui._(group), expanded=at == 0):
                left, right = st.columns(2, gap="medium")
                for number, name in enumerate(names):
                    with (left, right)[number % 2]:
                        given[name] = asked(name, getattr(base, name), f"{version}-{start}-{name}")
        why = st.text_input(ui._("Why"), max_chars=200, placeholder=ui._("kept with the version"))
        saved = st.form_submit_button(ui._("Judge by this from now on"), type="primary", icon=":material/gavel:")
    if saved:
        with ui.told():
            named = {part.name: given.get(part.name, getattr(base, part.name)) for part in fields(Policy)}
            made = projects.set_policy(ui.ctx(), user, project.id, called(Policy(**named)), datetime.now(UTC), why=why)
            st.session_state["policy_saved"] = made
            st.rerun()
    if made := st.session_state.pop("policy_saved", None):
        st.success(ui._("Version {version} of the policy is in force from the next check on.", version=made))


def called(policy: Policy) -> Policy:
    """The policy by its preset's name, or as one's own."""
    same = [
        name
        for name, preset in PRESETS.items()
        if replace(preset, name="", **{kept: getattr(policy, kept) for kept in KEEPS}) == replace(policy, name="")
    ]
    return replace(policy, name=same[0] if same else "own")


def asked(name: str, value: Any, key: str) -> Any:
    """The widget of a setting, and what it is set to."""
    setting = SETTINGS[name]
    label, help_ = ui._(setting.label), ui._(setting.help)
    if name == "blocks":
        return tuple(st.multiselect(label, BLOCKS, value, format_func=choice, key=key, help=help_))
    if name in OPTIONS:
        found = st.selectbox(label, OPTIONS[name], OPTIONS[name].index(value), format_func=choice, key=key, help=help_)
        return {"scope": Scope, "approval": Approval}.get(name, str)(found)
    if isinstance(value, bool):
        return st.toggle(label, value, key=key, help=help_)
    return number(name, value, label, help_, key)


def choice(name: str | StrEnum) -> str:
    return ui._(policy_words.CHOICES[str(name)])


def number(name: str, value: float | None, label: str, help_: str, key: str) -> float | int | None:
    """A number within its range; empty where the setting may be off."""
    low, high = RANGES[name]
    whole = isinstance(getattr(Policy(), name), int) or name in ("sliding_windows", "period", "after_labels")
    scale = 100 if SETTINGS[name].percent else 1
    kind = int if whole else float
    bounds: dict[str, Any] = {"min_value": kind(low * scale), "max_value": kind(high * scale) if high < 1e12 else None}
    limits = ui._("{low:,g} to {high:,g}.", low=low * scale, high=high * scale) if high < 1e12 else ""
    found = st.number_input(
        label, value=None if value is None else kind(round(value * scale, 9)), step=1 if whole else None,
        format=None if whole else "%g", key=key, help=f"{help_} {limits}", **bounds,
    )  # fmt: skip
    return None if found is None else kind(found) if whole else round(found / scale, 12)


def earlier(user: User, project: Project, versions: list[projects.PolicyVersion]) -> None:
    """Every version there was, and the way back to one."""
    st.dataframe(
        pd.DataFrame(
            [{"version": made.version, "made_at": made.made_at, "made_by": made.made_by, "name": name_of(made.policy),
              "why": made.why} for made in versions]
        ),
        hide_index=True, height="content" if len(versions) < 8 else 320,
        column_config=ui.columns(version=ui._("Version"), made_at=ui._("When"), made_by=ui._("Who"), name=ui._("Policy"),
                                 why=ui._("Why")),
    )  # fmt: skip
    if len(versions) < 2:
        return
    row = st.container(horizontal=True, vertical_alignment="bottom")
    chosen = row.selectbox(
        ui._("An earlier version"), [made.version for made in versions[1:]], width=200,
        format_func=lambda version: ui._("Version {version}", version=version),
    )  # fmt: skip
    if user.role is Role.ADMIN and row.button(ui._("Go back to it"), icon=":material/undo:"):
        with ui.told():
            st.session_state["policy_saved"] = projects.restore_policy(
                ui.ctx(), user, project.id, chosen, datetime.now(UTC)
            )
            st.rerun()
    with st.expander(ui._("What it says")):
        in_words(next(made.policy for made in versions if made.version == chosen))


# ---- trying policies -----------------------------------------------------------------------------
def trying(user: User, project: Project) -> None:
    """Play the policies over the project's history, and what came of it last time."""
    with ui.card(
        st, ui._("Would another policy have served you better?"),
        ui._("Each policy is played over your newest labelled windows, with nothing known before its time. It takes some"
             " minutes, in a process of its own; you can leave the page."),
    ):  # fmt: skip
        run = backtesting.under_way(ui.ctx(), project)
        if run is not None:
            watched(user, project, run.id)
        elif user.role is Role.VIEWER:
            st.caption(ui._("Operators try policies."))
        else:
            begin(user, project)
        tell_how_it_ended(project)
    kept = backtesting.latest(ui.ctx(), project)
    if kept is not None:
        found(user, project, kept)


def begin(user: User, project: Project) -> None:
    row = st.container(horizontal=True, vertical_alignment="bottom")
    recorded = row.selectbox(
        ui._("Labels come"), [True, False], key="delay_kind", width=260,
        format_func=lambda recorded: ui._("as late as they really came") if recorded else ui._("after so many windows"),
    )  # fmt: skip
    delay = None
    if not recorded:
        delay = row.number_input(ui._("Windows late"), 0, backtesting.LONGEST_DELAY, 0, key="delay", width=140)
    if row.button(ui._("Try these policies on my history"), type="primary", icon=":material/science:"):
        with ui.told():
            asked_for = backtesting.request(ui.ctx(), user, project, label_delay=delay, now=datetime.now(UTC))
            st.session_state["backtest_run"] = asked_for
            st.rerun()


@st.fragment(run_every="1s")
def watched(user: User, project: Project, run: int) -> None:
    """How far it has come; the whole page is drawn anew when it has ended."""
    state = runs.get(ui.ctx(), run)
    if state.outcome not in (Outcome.QUEUED, Outcome.RUNNING):
        st.session_state["backtest_run"] = run
        st.rerun()
    where = backtesting.position(state)
    if where is None:
        st.progress(0.0, ui._("Getting ready"))
    else:
        text = ui._(
            "Playing {policy}: {done} of {windows} windows", policy=ui._(NAMES[where.policy]), done=where.done,
            windows=where.windows,
        )  # fmt: skip
        st.progress(where.share, text + left(state, where.share))
    if user.role is not Role.VIEWER and st.button(ui._("Cancel"), icon=":material/close:", key="cancel-backtest"):
        with ui.told():
            runs.cancel(ui.ctx(), user, run, datetime.now(UTC))
        st.rerun()


def left(state: RunRow, share: float) -> str:
    """How long it may still take, once that can be guessed."""
    if state.started_at is None or share < 0.1:
        return ""
    rest = (datetime.now(UTC) - state.started_at) * (1 / share - 1)
    return " · " + ui._("about {minutes:.0f} min left", minutes=max(rest / timedelta(minutes=1), 1))


def tell_how_it_ended(project: Project) -> None:
    """What became of the backtest that was asked for here, if it brought nothing."""
    if (run := st.session_state.get("backtest_run")) is None:
        return
    state = runs.get(ui.ctx(), run)
    if state.project == project.id and state.outcome in (Outcome.FAILED, Outcome.INTERRUPTED):
        st.error(state.message)
    elif state.project == project.id and state.outcome is Outcome.SKIPPED:
        st.info(ui._("It was cancelled; nothing has changed."))


def found(user: User, project: Project, kept: Kept) -> None:
    """What the newest backtest says: the recommendation, the picture, the table."""
    test = kept.test
    with ui.card(
        st, ui._("Which policy is worth its retrains?"),
        ui._("{windows} windows of {rows:,} rows from window {first} on, labels {delay:g} windows late; tried by {who},"
             " {ago}.", windows=test.windows, rows=test.window_rows, first=test.first_window, delay=test.delay,
             who=ui.md(kept.made_by), ago=ui.ago(kept.made_at)),
    ):  # fmt: skip
        if test.in_bulk and test.as_recorded:
            st.caption(
                ui._("The rows came in a few files, so nobody knows how late the labels were: no delay was assumed. Try it"
                     " with the delay you expect.")
            )  # fmt: skip
        mine = test.trial(test.current).policy.price
        price = st.select_slider(
            ui._("What a retrain costs you, in a window's loss"), sorted({*PRICES, mine}), mine, key=f"price-{kept.run}",
            format_func=lambda price: f"{price:.3g}",
            help=ui._("0.2: as much as one window with a loss a fifth above the usual. It decides whether a better score is"
                      " worth its retrains."),
        )  # fmt: skip
        advice = backtesting.advice(kept, price)
        recommend(user, project, kept, advice)
        lines = table(kept)
        scale = 1 if test.regression else 100
        ui.chart(
            charts.backtest(
                lines, current=test.current, recommended=advice.name, x_title=ui._("retrains"),
                y_title=ui._("mean absolute error (up is better)") if test.regression else ui._("accuracy, %"),
                lower_is_better=test.regression,
            ),
            key="backtest",
            alt=ui._("Score against retrains, a point a policy: {points}", points="; ".join(
                f"{line.label} {line.score:.4g}, {line.retrains}" for line in lines.itertuples())),
        )  # fmt: skip
        st.caption(ui._("Bars: 95 % interval of the difference to your policy, window by window. Star: recommended."))
        shown(lines, scale)


def recommend(user: User, project: Project, kept: Kept, advice: Any) -> None:
    color, icon, word = (
        ("gray", "help", ui._("Cannot tell yet")) if advice.name is None
        else ("blue", "swap_horiz", ui._("Take {policy}", policy=ui._(NAMES[advice.name]))) if advice.change
        else ("green", "check_circle", ui._("Keep your policy"))
    )  # fmt: skip
    said = " ".join(ui.sentence(backtesting.told(reason, ui.language())) for reason in advice.reasons)
    ui.verdict(color, icon, word, said)
    if user.role is not Role.ADMIN:
        return
    others = [trial.name for trial in kept.test.trials if trial.name != kept.test.current]
    row = st.container(horizontal=True, vertical_alignment="bottom")
    at = others.index(advice.name) if advice.name in others else 0
    name = row.selectbox(
        ui._("Policy"), others, at, format_func=lambda name: ui._(NAMES[name]), key=f"adopt-{kept.run}-{at}", width=220
    )
    if row.button(ui._("Use this policy"), type="primary" if advice.change else "secondary", icon=":material/gavel:"):
        with ui.told():
            made = backtesting.adopt(ui.ctx(), user, project, kept, name, datetime.now(UTC))
            st.success(
                ui._("Version {version} of the policy is in force from the next check on. Policy has the way back.",
                     version=made)
            )  # fmt: skip


def table(kept: Kept) -> pd.DataFrame:
    """A line a policy, scores in the unit they are shown in; ``low`` and ``high`` as the chart takes them."""
    test, lines = kept.test, backtesting.standings(kept)
    scale = 1 if test.regression else 100
    sign = -1 if test.regression else 1
    mine = next(line for line in lines if line.name == test.current).score.mean
    return pd.DataFrame(
        [
            {
                "name": line.name,
                "label": ui._(NAMES[line.name])
                + (f" ({ui._('yours')})" if line.name == test.current != "current" else ""),
                "score": scale * line.score.mean,
                "score_low": scale * line.score.low,
                "score_high": scale * line.score.high,
                "gain": scale * line.gain.mean,
                "gain_low": scale * line.gain.low,
                "gain_high": scale * line.gain.high,
                "low": scale * min(mine + sign * line.gain.low, mine + sign * line.gain.high),
                "high": scale * max(mine + sign * line.gain.low, mine + sign * line.gain.high),
                "retrains": line.retrains,
                "promotions": line.promotions,
                "rollbacks": line.rollbacks,
                "fit_seconds": line.fit_seconds,
                "worst": scale * line.worst,
                "worst_at": line.worst_at,
                "cost": line.cost,
            }
            for line in lines
        ]
    )


def shown(lines: pd.DataFrame, scale: int) -> None:
    form = "%.2f" if scale == 100 else "%.4g"

    def column(title: str, help_: str | None = None, form: str | None = None) -> Any:
        return st.column_config.NumberColumn(title, help=help_, format=form)

    st.dataframe(
        lines.drop(columns=["name", "low", "high"]),
        hide_index=True, height="content",
        column_config={
            "label": st.column_config.TextColumn(ui._("Policy"), pinned=True),
            "score": column(ui._("Score"), ui._("Accuracy in %, or mean absolute error, before the labels were known."), form),
            "score_low": column(ui._("from"), ui._("95 % interval of the score over windows like these."), form),
            "score_high": column(ui._("to"), None, form),
            "gain": column(ui._("Against yours"), ui._("How much better than your policy; positive is better."), form),
            "gain_low": column(ui._("from"), ui._("95 % interval, window by window."), form),
            "gain_high": column(ui._("to"), None, form),
            "retrains": column(ui._("Retrains")),
            "promotions": column(ui._("Promotions")),
            "rollbacks": column(ui._("Rollbacks")),
            "fit_seconds": column(ui._("Fits, s"), ui._("Time that fitting its models takes."), "%.1f"),
            "worst": column(ui._("Worst stretch"), ui._("The score of the worst four windows in a row."), form),
            "worst_at": column(ui._("began in window")),
            "cost": column(ui._("Cost"), ui._("Loss and retrains together, a window, in units of your policy's loss."), "%.3f"),
        },
    )  # fmt: skip


# ---- what runs by itself -------------------------------------------------------------------------
def pace(every: timedelta) -> str:
    seconds = every.total_seconds()
    for unit, text in (
        (86400, mark("every {count:g} days")),
        (3600, mark("every {count:g} h")),
        (60, mark("every {count:g} min")),
    ):
        if seconds >= 2 * unit:
            return ui._(text, count=seconds / unit)
    return ui._("every {count:g} s", count=seconds)


@st.fragment(run_every="5s")
def schedule(user: User, project: Project | None) -> None:
    """What is running or waiting, then every job with its next run; run now, pause, resume."""
    now = datetime.now(UTC)
    with ui.card(st, ui._("What is running now?")):
        under_way(user, now)
    states = runs.job_states(ui.ctx(), [job.name for job in JOBS])
    turns = runs.turns(ui.ctx())
    with ui.card(st, ui._("What runs by itself, and when next?")):
        for job in JOBS:
            state = states[job.name]
            paused = state.paused if state.changed_at else not job.enabled_by_default
            row = st.container(
                horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", border=True
            )
            with row:
                st.markdown(line(job, state, paused, turns, project, now), width="content")
                if user.role is not Role.VIEWER and job.every is not None:
                    buttons(user, job, paused, project, now)


def line(
    job: Job, state: runs.JobState, paused: bool, turns: Mapping[tuple[str, str | None], datetime],
    project: Project | None, now: datetime,
) -> str:  # fmt: skip
    """A job in a line: its state, its pace, its next turn, how the last one went."""
    if job.every is None:
        badge, parts = f":gray-badge[{ui._('on request')}]", []
    else:
        every = job.every(ui.ctx().settings)
        badge = f":gray-badge[{ui._('paused')}]" if paused else f":green-badge[{ui._('on')}]"
        parts = [pace(every)]
        last = turns.get((job.name, project.id if job.per_project and project else None))
        following = last + every if last else now
        if not paused and following > now:
            parts.append(ui._("next {when}", when=ui.ago(following)))
        elif not paused:
            parts.append(ui._("next: as soon as there is work") if job.has_work else ui._("next: now"))
        if paused and state.changed_at:
            parts.append(ui._("paused by {who}, {ago}", who=ui.md(state.changed_by), ago=ui.ago(state.changed_at)))
    if state.last_at and state.last_outcome:
        parts.append(ui._("last {ago}: {how}", ago=ui.ago(state.last_at), how=ui._(OUTCOMES[state.last_outcome])))
    else:
        parts.append(ui._("has not run yet"))
    return f"{badge} **{ui._(job.label)}** :small[{' · '.join(parts)}]"


def buttons(user: User, job: Job, paused: bool, project: Project | None, now: datetime) -> None:
    with st.container(horizontal=True, width="content"):
        if st.button(ui._("Resume") if paused else ui._("Pause"), key=f"pause-{job.name}"):
            with ui.told():
                runs.set_paused(ui.ctx(), user, job.name, paused=not paused, now=now)
                st.rerun()
        if st.button(ui._("Run now"), key=f"run-{job.name}", disabled=job.per_project and project is None):
            with ui.told():
                target = project.id if job.per_project and project else None
                runs.request(ui.ctx(), user, job.name, target, now=now)
                st.toast(ui._("It starts within a second"))


def under_way(user: User, now: datetime) -> None:
    active = runs.active(ui.ctx())
    if not active:
        st.caption(ui._("Nothing at the moment."))
    labels = {job.name: job.label for job in JOBS}
    for run in active:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            waits = run.outcome is Outcome.QUEUED
            badge = f":gray-badge[{ui._('waiting')}]" if waits else f":blue-badge[{ui._('running')}]"
            again = ui._("attempt {attempt}", attempt=run.attempt) if run.attempt > 1 else ""
            parts = [ui.md(part) for part in (run.project, again, run.progress) if part]
            st.markdown(
                f"{badge} **{ui._(labels.get(run.job, run.job))}** :small[{' · '.join(parts)}]", width="content"
            )
            may = user.role is not Role.VIEWER and (waits or run.job in runs.CANCELLABLE)
            if may and st.button(ui._("Cancel"), key=f"cancel-{run.id}"):
                with ui.told():
                    runs.cancel(ui.ctx(), user, run.id, now)
                    st.rerun()


# ---- how it went ---------------------------------------------------------------------------------
def history(project: Project | None) -> None:
    with ui.card(st, ui._("How did the runs go?"), ui._("A line an attempt; a retry stands under its own attempt.")):
        row = st.container(horizontal=True, vertical_alignment="bottom")
        names = [job.name for job in JOBS]
        labels = {job.name: ui._(job.label) for job in JOBS}
        job = row.selectbox(
            ui._("Job"), [None, *names], format_func=lambda name: labels[name] if name else ui._("All jobs"),
            key="job", width=220,
        )  # fmt: skip
        failed = row.toggle(ui._("Only failed and retried"), key="failed")
        frame = runs.history(ui.ctx(), job=job, limit=500)
        if failed:
            frame = frame[(frame["outcome"] == Outcome.FAILED) | (frame["attempt"] > 1)]
        if frame.empty:
            st.info(ui._("No such run yet. The first ones start within a minute."))
            return
        frame = frame.assign(
            job=frame["job"].map(labels).fillna(frame["job"]),
            outcome=[ui._(OUTCOMES[Outcome(outcome)]) for outcome in frame["outcome"]],
            seconds=(frame["finished_at"] - frame["started_at"]).dt.total_seconds().round(1),
        )
        st.dataframe(
            frame[["started_at", "job", "project", "id", "attempt", "outcome", "message", "seconds", "requested_by"]],
            hide_index=True, height=460,
            column_config=ui.columns(
                started_at=ui._("Started"), job=ui._("Job"), project=ui._("Project"), id=ui._("Run"),
                attempt=ui._("Attempt"), outcome=ui._("How it ended"), message=ui._("What happened"),
                seconds=ui._("Seconds"), requested_by=ui._("Asked for by"),
            ),
        )  # fmt: skip


def channels(user: User) -> None:
    for state in alerting.channel_states(ui.ctx()):
        st.markdown(f"**{state.label}**: {ui.md(ui.sentence(state.reason))}")
        may = user.role is not Role.VIEWER and state.configured
        if may and st.button(ui._("Send a test"), key=f"test-{state.name}"):
            with ui.told():
                alerting.send_test(ui.ctx(), user, datetime.now(UTC))
                st.success(ui._("A test is on its way; the delivery log tells how it went."))
    deliveries = alerting.deliveries(ui.ctx(), limit=50)
    if not deliveries.empty:
        st.dataframe(deliveries, hide_index=True, height=240)


user = ui.require(Role.VIEWER)
project = ui.project()
ui.page_head(ui._("Automation"), ui._("How it judges, and what runs by itself"))
policy_tab, try_tab, schedule_tab, history_tab, channels_tab = st.tabs([ui._(tab) for tab in TABS])
for tab, part in ((policy_tab, the_policy), (try_tab, trying)):
    with tab:
        if project is None:
            ui.no_project()
        else:
            part(user, project)
with schedule_tab:
    schedule(user, project)
with history_tab:
    history(project)
with channels_tab:
    channels(user)
