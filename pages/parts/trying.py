"""Whether another policy would have served better: a backtest asked for, watched, read, and put to use."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pandas as pd
import streamlit as st

from core import backtest, backtesting, charts, runs
from core.backtesting import Kept
from core.errors import NotEnoughRows
from core.policy import Policy
from core.policy_words import NAMES
from core.records import Outcome, Project, Role, User
from core.store.runs import RunRow
from pages import ui

PRICES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def show(user: User, project: Project) -> None:
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
    try:
        windows = backtesting.scored_windows(ui.ctx(), project)
    except NotEnoughRows as error:
        st.info(ui.heard(str(error)))
        return
    told = ui._("{windows} windows of your history can be scored.", windows=windows)
    if windows < backtest.FEWEST_WINDOWS:
        told += " " + ui._("With fewer than {needed} no policy is recommended.", needed=backtest.FEWEST_WINDOWS)
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
            begun(user, project, delay=delay)
            st.rerun()
    st.caption(told)


def begun(user: User, project: Project, *, delay: int | None = None, draft: Policy | None = None) -> None:
    """Ask for a backtest, and remember that it was asked for here. Raises as `backtesting.request` does."""
    now = datetime.now(UTC)
    run = backtesting.request(ui.ctx(), user, project, label_delay=delay, draft=draft, now=now)
    st.session_state["backtest_run"] = run


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
        st.error(ui.heard(state.message))
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
    at = others.index(advice.name) if advice.name in others else None  # nothing is put forward that was not recommended
    name = row.selectbox(
        ui._("Policy"), others, at, format_func=lambda name: ui._(NAMES[name]), key=f"adopt-{kept.run}-{at}", width=220,
        placeholder=ui._("Choose one"),
    )  # fmt: skip
    kind: Literal["primary", "secondary"] = "primary" if advice.change else "secondary"
    pressed = row.button(ui._("Use this policy"), type=kind, icon=":material/gavel:", disabled=name is None)
    if pressed and name is not None:
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
    ).replace([float("inf"), float("-inf")], float("nan"))  # an interval of too few windows: not known


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
