"""How the project judges: its policy in words, what its gates cost, another one, and the earlier ones."""

from dataclasses import fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pandas as pd
import streamlit as st

from core import ledger, policy_words, projects, words
from core.estimators import ESTIMATORS
from core.policy import PRESETS, RANGES, Approval, Policy, Scope
from core.policy_words import GATE_NAMES, GROUPS, MEANINGS, NAMES, SETTINGS
from core.records import Project, Role, User
from pages import ui
from pages.parts import trying

OPTIONS: dict[str, tuple[str, ...]] = {
    "estimator": ("auto", *ESTIMATORS),
    "scope": tuple(Scope),
    "approval": tuple(Approval),
    "gate": ("veto", "superiority", "none"),
}
BLOCKS = [name for name in policy_words.CHOICES if any(name in preset.blocks for preset in PRESETS.values())]
KEEPS = ("estimator", "window_rows", "warm_up_windows", "mature_share", "approval")  # what a preset leaves as it is


def name_of(policy: Policy) -> str:
    return ui._(NAMES[policy.name]) if policy.name in NAMES else ui.md(policy.name)


def in_words(policy: Policy) -> None:
    st.markdown("\n".join(f"- {sentence}" for sentence in policy_words.sentences(policy, ui.language())))


def show(user: User, project: Project) -> None:
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
                    "gate": ui._(GATE_NAMES[name]) + (f" ({ui._('in force')})" if name == policy.gate else ""),
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
        row = st.container(horizontal=True)
        saved = row.form_submit_button(ui._("Judge by this from now on"), type="primary", icon=":material/gavel:")
        tried = row.form_submit_button(
            ui._("Try it on my history first"), icon=":material/science:",
            help=ui._("A backtest plays it beside your policy and the others; nothing else changes."),
        )  # fmt: skip
    wrong = policy_words.objections(given, ui.language()) if saved or tried else []
    for objection in wrong:
        st.error(objection)
    if saved and not wrong:
        with ui.told():
            policy = drawn_up(base, given)
            st.session_state["policy_saved"] = projects.set_policy(
                ui.ctx(), user, project.id, policy, datetime.now(UTC), why=why
            )
            st.rerun()
    if tried and not wrong:
        with ui.told():
            trying.begun(user, project, draft=drawn_up(base, given))
            st.success(ui._("It is being played. How it did is told under Try policies, above."))
    if made := st.session_state.pop("policy_saved", None):
        st.success(ui._("Version {version} of the policy is in force from the next check on.", version=made))


def drawn_up(base: Policy, given: dict[str, Any]) -> Policy:
    """The policy that was asked for, by its preset's name, or as one's own."""
    policy = Policy(**{part.name: given.get(part.name, getattr(base, part.name)) for part in fields(Policy)})
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
    limits = ui._("{low:,.10g} to {high:,.10g}.", low=low * scale, high=high * scale)
    found = st.number_input(  # without bounds: the widget drops what lies beyond them and does not say so
        label, value=None if value is None else kind(round(value * scale, 9)), step=1 if whole else None,
        format=None if whole else "%g", key=key, help=f"{help_} {limits}",
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
