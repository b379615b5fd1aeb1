"""A policy in plain words: its sentences, what each preset means, what each setting is called."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.policy import OPTIONAL, RANGES, TRIGGER_SETTINGS, Approval, Policy, Scope
from core.words import mark, say

NAMES = {
    "current": mark("Your policy"),
    "draft": mark("Your draft"),
    "never": mark("Never"),
    "always": mark("Every window"),
    "every_8": mark("Every 8 windows"),
    "careful": mark("Careful"),
    "balanced": mark("Balanced"),
    "eager": mark("Eager"),
    "own": mark("Your own"),
}
MEANINGS = {
    "careful": mark(
        "Retrains rarely, and a new model takes over only when it is proved better. For models whose changes must be"
        " explained, and for retrains that cost much."
    ),
    "balanced": mark(
        "Retrains when staleness has cost a fifth of a window's loss; a new model takes over unless it is proved worse."
        " The default."
    ),
    "eager": mark(
        "Retrains early and often; a new model takes over unless it is proved worse. For worlds that move fast."
    ),
    "never": mark("The first model answers for ever. To compare with, or while you retrain elsewhere."),
    "always": mark("Retrains after every window, without a gate. To compare with; dear."),
    "every_8": mark("A calendar: retrains after every 8th window, without a gate. To compare with."),
}
GATES = {
    "veto": mark("It takes over unless it is significantly worse than the champion (error level {level:.2g})."),
    "superiority": mark(
        "It takes over only if it is significantly better than the champion (error level {level:.2g}), and waits for more"
        " rows while that is open."
    ),
    "none": mark("It takes over at once, without a comparison."),
}
GATE_NAMES = {"veto": mark("Veto"), "superiority": mark("Superiority"), "none": mark("No gate")}
SCOPES = {
    Scope.ALL: mark("all labelled rows, the newest {most:,} at most"),
    Scope.SLIDING: mark("the newest {windows} labelled windows"),
    Scope.SINCE_CHANGE: mark("the labelled rows since the world last changed"),
    Scope.BEST: mark("whichever of all rows, the newest windows or those since the last change does best"),
}
CHOICES = {  # the values of settings that are one of a few
    "veto": mark("Veto: unless significantly worse"),
    "superiority": mark("Superiority: only if significantly better"),
    "none": mark("No gate"),
    "automatic": mark("Automatic"),
    "manual": mark("A person approves"),
    "all": mark("All labelled rows"),
    "sliding": mark("The newest windows"),
    "since_change": mark("Since the last change"),
    "best": mark("The best of these"),
    "auto": mark("Chosen by the app"),
    "hist_gradient_boosting": mark("Gradient boosting"),
    "logistic": mark("Logistic regression"),
    "schema_differs": mark("It was trained on other columns"),
    "answers_missing": mark("It leaves rows without an answer"),
    "worse_than_trivial": mark("It is worse than one constant answer"),
    "slice_worse": mark("It is far worse for a slice of the rows"),
    "calibration_worse": mark("Its probabilities are worth less"),
    "forgets": mark("It forgets what came long ago"),
}


@dataclass(frozen=True)
class Setting:
    """How a setting is asked for. ``percent``: shown times 100."""

    label: str
    help: str
    percent: bool = False


GROUPS: dict[str, tuple[str, ...]] = {
    mark("What is judged"): ("window_rows", "warm_up_windows", "mature_share"),
    mark("What is trained"): ("estimator", "scope", "sliding_windows", "most_rows"),
    mark("When"): (
        "retrains", "on_staleness", "price", "growth", "period", "after_labels", "on_performance", "performance_level",
        "performance_margin", "performance_checks", "on_drift", "drift_budget", "drift_checks", "quorum", "cool_down",
        "most_retrains",
    ),
    mark("Who serves"): ("approval", "gate", "gate_level", "minimum_gain", "blocks", "rollback_level", "stand_in"),
}  # fmt: skip
SETTINGS: dict[str, Setting] = {
    "window_rows": Setting(mark("Rows a window"), mark("So many rows are judged together.")),
    "warm_up_windows": Setting(mark("Warm-up, windows"), mark("So many labelled windows train the first model.")),
    "mature_share": Setting(
        mark("Labels needed, %"), mark("A window is judged once this share of its labels has come."), percent=True
    ),
    "estimator": Setting(mark("Estimator"), mark("The kind of model that is trained.")),
    "scope": Setting(mark("Trained on"), mark("Which labelled rows a new model learns from.")),
    "sliding_windows": Setting(
        mark("Newest windows"), mark("How many, where the newest windows are trained on. Empty: as many as the warm-up.")
    ),
    "most_rows": Setting(mark("Rows at most"), mark("No model learns from more rows than this.")),
    "retrains": Setting(mark("Retrain at all"), mark("Off: the first model answers for ever.")),
    "on_staleness": Setting(
        mark("When it has become stale"),
        mark("Measured against a light model of the newest rows, whose answers are never served."),
    ),
    "price": Setting(
        mark("Price of a retrain, % of a window's loss"),
        mark("A retrain is due once staleness has cost this much, and surely so. Lower: more retrains."),
        percent=True,
    ),
    "growth": Setting(
        mark("When there are so many times the labelled rows"),
        mark("More rows make a better model even of a world that stands still. Empty: never for this."),
    ),
    "period": Setting(mark("Every so many windows"), mark("A calendar. Empty: none.")),
    "after_labels": Setting(mark("After so many new labels"), mark("Empty: never for this.")),
    "on_performance": Setting(
        mark("As soon as its loss has risen"), mark("Rather than when a fresh model would do better.")
    ),
    "performance_level": Setting(
        mark("Error level of that, % a window"), mark("How often chance alone may look like a rise."), percent=True
    ),
    "performance_margin": Setting(
        mark("Rise that is let pass, %"), mark("The loss may rise so much before it counts."), percent=True
    ),
    "performance_checks": Setting(mark("Windows in a row"), mark("The rise must last so long.")),
    "on_drift": Setting(mark("When the inputs drift"), mark("Inputs that move need no new model if the rule stays.")),
    "drift_budget": Setting(
        mark("False alarms of drift, % of checks"), mark("So many checks at most cry wolf when nothing has changed."),
        percent=True,
    ),
    "drift_checks": Setting(mark("Checks in a row"), mark("The drift must last so long.")),
    "quorum": Setting(mark("Triggers that must agree"), mark("Of those that are on.")),
    "cool_down": Setting(mark("Cool-down, windows"), mark("The least time between two challenges.")),
    "most_retrains": Setting(
        mark("Retrains at most, % of windows"), mark("The budget in the long run."), percent=True
    ),
    "approval": Setting(mark("Promotion and rollback"), mark("A person's approval, or by itself.")),
    "gate": Setting(mark("Gate"), mark("What a challenger must show on rows that neither model has seen.")),
    "gate_level": Setting(
        mark("Error level of the gate, %"), mark("How often chance alone may stop an equal challenger, or pass one."),
        percent=True,
    ),
    "minimum_gain": Setting(mark("Gain asked for"), mark("In units of the loss; for the gate that asks for a proof.")),
    "blocks": Setting(mark("Never promote if"), mark("What is not ticked is told only.")),
    "rollback_level": Setting(
        mark("Error level of the rollback, % of reigns"),
        mark("How often a good champion may be undone. 0: never undone by itself."), percent=True,
    ),
    "stand_in": Setting(
        mark("Predecessor stands in from a lead of, %"),
        mark("So much less must it have lost of late, the newest windows counting most, to answer in the champion's place."
             " Empty: never."), percent=True,
    ),
}  # fmt: skip


def objections(given: Mapping[str, Any], language: str = "en") -> list[str]:
    """What is wrong with these settings, in the names and units they are asked for by; nothing where they make a policy.

    >>> objections({"mature_share": 0.02, "window_rows": None})
    ['Rows a window: a number from 20 to 1,000,000 is missing.', 'Labels needed, %: 2 is not within 5 to 100.']
    """
    wrong = []
    for name in (name for name in RANGES if name in given):
        (low, high), value, setting = RANGES[name], given[name], SETTINGS[name]
        if name in OPTIONAL if value is None else low <= value <= high:
            continue
        text = mark("{setting}: a number from {low:,.10g} to {high:,.10g} is missing.")
        if value is not None:
            text = mark("{setting}: {value:,.10g} is not within {low:,.10g} to {high:,.10g}.")
        scale = 100 if setting.percent else 1
        params = {"low": low * scale, "high": high * scale, "value": (value or 0) * scale}
        wrong.append(say(text, language, setting=say(setting.label, language), **params))
    on = [f"“{say(SETTINGS[name].label, language)}”" for name in TRIGGER_SETTINGS if given.get(name)]
    if not wrong and given.get("retrains") and len(on) < given["quorum"]:
        text = mark("{quorum} triggers must agree, but {count} are on ({names}): nothing would ever be retrained.")
        wrong.append(say(text, language, quorum=given["quorum"], count=len(on), names=", ".join(on) or "-"))
    return wrong


def sentences(policy: Policy, language: str = "en") -> list[str]:
    """What the policy does, in the order in which it does it.

    >>> sentences(Policy())[0]
    'Every 500 rows are judged together, once 80 % of their labels have come.'
    """

    def word(text: str, **params: object) -> str:
        return say(text, language, **params)

    told = [
        word(
            mark("Every {rows:,} rows are judged together, once {share:.3g} % of their labels have come."),
            rows=policy.window_rows, share=100 * policy.mature_share,
        ),
        word(
            mark("The first model is trained on {windows} windows; drift may cry wolf in {budget:.3g} % of checks."),
            windows=policy.warm_up_windows, budget=100 * policy.drift_budget,
        ),
    ]  # fmt: skip
    if not policy.retrains:
        return [*told, word(mark("Nothing is retrained."))]
    whens = _whens(policy, language)
    head = mark("A challenger is trained when {quorum} of these agree:") if policy.quorum > 1 else None
    told.append(
        (word(head, quorum=policy.quorum) if head else word(mark("A challenger is trained:"))) + " " + "; ".join(whens)
        + "."
        if whens
        else word(mark("A challenger is trained only when a person asks for it."))
    )  # fmt: skip
    told.append(
        word(
            mark("At most {share:.3g} % of the windows end in a retrain in the long run; cool-down: {cool} windows."),
            share=100 * policy.most_retrains, cool=policy.cool_down,
        )
    )  # fmt: skip
    scope = word(SCOPES[policy.scope], most=policy.most_rows, windows=policy.sliding)
    told.append(word(mark("It learns from {scope}."), scope=scope))
    told.append(word(GATES[policy.gate], level=policy.gate_level))
    if policy.rollback_level:
        told.append(
            word(
                mark("Its predecessor stays in the shadow and comes back if it proves better; chance alone does that in"
                     " {level:.3g} % of reigns at most."),
                level=100 * policy.rollback_level,
            )
        )  # fmt: skip
    if policy.stand_in is not None and policy.lets_stand_in:
        text = mark(
            "While its predecessor has lost {lead:.3g} % less than it of late, the predecessor answers in its place."
        )
        told.append(word(text, lead=100 * policy.stand_in))
    if policy.approval is Approval.MANUAL:
        told.append(word(mark("A person approves promotions and rollbacks.")))
    return told


def _whens(policy: Policy, language: str) -> list[str]:
    """What starts a retrain, a clause each."""
    clauses = {
        mark("when staleness has cost {price:.3g} % of a window's loss"): policy.on_staleness,
        mark("when there are {growth:g} times the labelled rows"): policy.growth is not None,
        mark("after every window"): policy.period == 1,
        mark("every {period} windows"): policy.period is not None and policy.period > 1,
        mark("as soon as its loss has risen above what chance explains"): policy.on_performance,
        mark("when drift lasts for {checks} checks"): policy.on_drift,
        mark("after {labels:,} new labels"): policy.after_labels is not None,
    }
    params = {
        "price": 100 * policy.price, "growth": policy.growth, "period": policy.period, "checks": policy.drift_checks,
        "labels": policy.after_labels,
    }  # fmt: skip
    return [say(text, language, **params) for text, on in clauses.items() if on]
