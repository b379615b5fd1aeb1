"""Reasons as sentences. A reason is stored as a code with parameters (`records.Reason`) and put into words here."""

import re
from collections.abc import Mapping
from typing import Any

from core.records import Reason
from core.words import mark, say

_PLACE = re.compile(r"\{[^}]*\}")
# Parameters that are words themselves, and what the first two may be; the others are roles and names of jobs.
_WORDS = frozenset({"metric", "scope", "given", "before", "after", "label"})
TERMS = (mark("error"), mark("absolute error"), mark("all"), mark("sliding"), mark("since_change"), mark("best"))

SENTENCES: dict[str, str] = {
    # waiting
    "warming_up": "{seen} of {needed} windows have their labels; the first model is trained when all have.",
    "no_labels_yet": "No window has enough labels to be judged yet.",
    "window_filling": "{seen:,} of {needed:,} rows of the next window have come in; it is judged when it is full.",
    "too_few_labels": "{rows:,} labelled rows are too few to train on; {needed} are needed.",
    "one_answer": "The labels to train on are {seen}: a model needs two answers with {needed} rows each. It is trained when"
    " they have come.",
    # why a model is trained
    "first_model": "{windows} labelled windows are there: enough for a first model.",
    "performance_fell": "The {metric} in window {window} was {seen:.4g}, above the {limit:.4g} that chance explains"
    " (it began at {baseline:.4g}).",
    "old_enough": "The champion is {age} windows old; a new one is due every {period}.",
    "drift_lasted": "The inputs have drifted in {checks} checks in a row: {features}.",
    "labels_came": "{labels:,} new labels have come since the champion was trained; {needed:,} were asked for.",
    "stale": "Measured against light models of the newest rows, staleness has cost the champion {seen:.0%} of a window's"
    " loss; a retrain is due at {needed:.0%}: its price, or what chance could make of it, if that is more.",
    "grown": "{seen} windows have their labels; the champion could learn from {before} (a new one is due at {needed}).",
    "asked_by_hand": "{user} asked for it: {why}",
    "promoted_by_hand": "{user} made version {version} the champion: {why}",
    "rolled_back_by_hand": "{user} went back to version {version}: {why}",
    "declined_by_hand": "{user} declined version {version}: {why}",
    "owed": "It was decided before and could not be carried out.",
    # why nothing is done
    "healthy": "The {metric} in window {window} is {seen:.4g}, within the {limit:.4g} that chance explains.",
    "measuring": "There is nothing yet to compare the loss in window {window} with.",
    "fresh": "Measured against light models of the newest rows, staleness has cost the champion {seen:.0%} of a window's"
    " loss; a retrain is due at {needed:.0%}: its price, or what chance could make of it, if that is more.",
    "not_grown": "{seen} windows have their labels; a model that learns from more of them is due at {needed}.",
    "age_fine": "The champion is {age} windows old; a new one is due after {period}.",
    "no_new_labels": "No labelled window has come since the champion was trained.",
    "cooling_down": "The last challenge was {age} windows ago; the next may start after {needed}.",
    "never_retrain": "The policy never retrains.",
    "drift_stable": "No input has drifted.",
    "drift_seen": "Inputs that have drifted: {features}.",
    "drift_unknown": "Drift could not be judged: {note}",
    "performance_low": "The {metric} in window {window} is {seen:.4g}, above the {limit:.4g} that chance explains; it"
    " has to last before it counts.",
    "on_trial": "Version {version} is on trial since {windows} windows; nothing else is trained meanwhile.",
    "budget_spent": "The budget of retrains ({share:.0%} of the windows) is spent; the next may start in {windows}"
    " windows.",
    # alerts
    "training_failed": "The challenger could not be trained: {why}",
    "broken_feed": "The feed looks broken ({what}): the window is set aside and nothing is trained on it. Mend the feed.",
    "feed_accepted": "{user} says that the feed is right and the world has changed ({features}): {why}",
    "feed_missing": "{feature}: {seen:.0%} of the values are missing; it was {usual:.0%} at most.",
    "feed_unit": "{feature}: divided by {seen:g} the values are the usual ones; the unit has changed.",
    "feed_stuck": "{feature}: one value fills {seen:.0%} of the window in a row; it was {usual:.0%} at most.",
    "change_covariate": "Window {window}: the inputs have moved ({features}); what they mean for the answer has not.",
    "change_label": "Window {window}: the answers come in other shares; within each, the inputs are the usual ones.",
    "change_concept": "Window {window}: the same inputs have other answers than before.",
    "change_noise": "Window {window}: the labels go with the answers less, everywhere alike: noise, or labels mixed up.",
    "feed_unseen": "{feature}: {seen:.0%} of the values are categories that were never seen.",
    "labels_suspicious": "The labels of window {window} do not go with the answers at all ({seen:.1f} standard errors;"
    " {usual:.1f} are usual): they may be mixed up. They are set aside unless the next window shows the same.",
    "rollback_advised": "Version {version} beats the champion by {advantage:.4g} over {windows} windows;"
    " the policy leaves the step to you.",
    "job_failed": "{label} failed after {tries}: {message}",
    "job_recovered": "{label} works again.",
    "job_overdue": "{label} has been running for {minutes} minutes and has not ended.",
    "storage_failed": "The database cannot be written: {message}. What was acknowledged is safe; nothing new is stored.",
    "trouble_over": "What alert {alert} told of is over.",
    "interrupted": "The app ended while {runs} runs were under way: {jobs}. They were not finished.",
    "fire_drill": "The fire drill drew {number:.2f}: all is well. Nothing was trained.",
    "report_made": "A report is ready: {title}.",
    "test": "{user} tests this channel. It works.",
    # the audit trail
    "user_created": "{actor} made an account for {subject}, as {given}.",
    "role_changed": "{actor} gave {subject} the role {after}; it was {before}.",
    "email_changed": "{actor} changed the e-mail address of {subject}.",
    "user_disabled": "{actor} disabled the account of {subject}.",
    "user_enabled": "{actor} enabled the account of {subject} again.",
    "password_reset": "{actor} reset the password of {subject}.",
    "password_changed": "{actor} changed their own password.",
    "sessions_ended": "{actor} signed {subject} out everywhere.",
    "token_created": "{actor} made the token {subject} ({id}), as {given}.",
    "policy_set": "{actor} set version {version} of the policy of {subject}: {why}",
    "backup_made": "{actor} made the backup {subject}.",
    "backup_taken": "{actor} took the backup {subject} away.",
    "token_revoked": "{actor} revoked the token {subject} ({id}).",
    "report_deleted": "{actor} deleted report {subject}.",
    "report_restored": "{actor} brought report {subject} back.",
    "report_shared": "{actor} made a link that opens report {subject} until {until}.",
    "report_link_revoked": "{actor} revoked a link to report {subject}.",
    # how the app is
    "app_running": "Running for {hours:.1f} hours.",
    "health_unreadable": "It cannot be told: {message}",
    "database_answers": "Answers within {milliseconds:.0f} ms.",
    "scheduler_beats": "Its last sign of life was {seconds:.0f} s ago.",
    "scheduler_silent": "It has not given a sign of life yet.",
    "disk_free": "{gigabytes:.1f} GB are free.",
    "mirror_failing": "MLflow could not be told of the newest versions. Nothing waits for it; it is tried again.",
    "mirror_waiting": "MLflow is about to be told of the newest versions.",
    "mirror_empty": "There is no model yet that MLflow could be told of.",
    "mirror_whole": "MLflow knows every version and champion.",
    "channel_off": "Not set up: alerts are shown in the app only. {setting} in the environment or .env sends them on.",
    "channel_untried": "Set up, and nothing was sent yet. Send a test.",
    "channel_delivered": "Works: the last alert was delivered; {waiting} wait.",
    "channel_failed": "Not reached, and tried again soon: {detail}; {waiting} alerts wait.",
    "channel_given_up": "The last alert was given up: {detail}. Check {setting}; {waiting} alerts wait.",
    "channel_proof_old": "The last alert was delivered {days:.0f} days ago. Send a test to know.",
    "pictures_on": "A browser is there to take the pictures of reports.",
    "pictures_off": "No browser is installed: reports come as words and HTML, without pictures. Install chromium, or"
    " name a browser in BROWSER_PATH.",
    # after a promotion
    "predecessor_better": "Version {version} beats the champion by {advantage:.4g} on average over {windows} labelled"
    " windows; a difference that chance gives in at most {level:.0%} of reigns.",
    "stands_in": "Version {version}, in the shadow, has lost {lead:.0%} less than the champion of late: it answers until that"
    " turns.",
    "steps_back": "The champion, version {champion}, has lost {lead:.0%} less than version {version} of late: it answers again.",
    "answers_again": "The policy lets nobody stand in any longer: the champion, version {champion}, answers again.",
    "shadow_better": "Version {version}, in the shadow, beats the champion by {advantage:.4g} over {windows} labelled"
    " windows.",
    # comparisons
    "challenger_not_worse": "On {rows:,} rows neither had seen, the challenger is not significantly worse"
    " (gain {gain:+.4g}).",
    "challenger_worse": "On {rows:,} rows neither had seen, the challenger is significantly worse (gain {gain:+.4g}).",
    "challenger_better": "On {rows:,} rows neither had seen, the challenger is significantly better (gain {gain:+.4g}).",
    "challenger_no_better": "On {rows:,} rows neither had seen, the challenger is no better (gain {gain:+.4g}; at least"
    " {minimum_gain:.4g} was asked for).",
    "challenger_unproven": "The challenger looks better on {rows:,} rows (gain {gain:+.4g}); {rows_needed:,} rows would"
    " settle it.",
    "window_chosen": "Window {window} proves nothing for the challenger: the champion's bad luck there is why it was"
    " challenged. The trial begins with the next labelled window.",
    "too_few_to_compare": "{rows:,} rows are too few to compare two models on; it is settled with {rows_needed:,}.",
    "gate_off": "The policy promotes without a gate (gain {gain:+.4g} on {rows:,} rows).",
    "no_comparison": "There are no labelled rows that neither model was trained on.",
    "worse_than_trivial": "The challenger's loss of {seen:.4g} is no better than always answering the most common"
    " label ({trivial:.4g}).",
    "schema_differs": "The challenger does not fit the project's schema: {what}.",
    "answers_missing": "The challenger gave no answer for {missing:,} of {rows:,} rows.",
    "slice_worse": "Where {slice} ({rows:,} rows) the challenger is far worse: {challenger:.4g} against {champion:.4g}.",
    "calibration_worse": "The challenger's probabilities are worth less: Brier score {challenger:.4g} against"
    " {champion:.4g}.",
    "forgets": "On windows of long ago the challenger is clearly worse ({challenger:.4g} against {champion:.4g}): should"
    " they come back, it has forgotten them.",
    "awaiting_approval": "Version {version} passed; the policy leaves the promotion to you.",
    "trained_on": "Trained on {rows:,} labelled rows ({scope}).",
    # backtests
    "backtest_short": "Only {windows} windows could be scored; {needed} are needed before policies can be told apart.",
    "backtest_change": "{policy} is significantly better than your policy: with retrains at {price:g} of a window's loss"
    " each, it would have saved {gain:.1%} of a window's loss in every window (at least {low:.1%}).",
    "backtest_fewest": "It is the one that retrains least ({retrains} times in {windows} windows) of those that are not"
    " significantly worse than the best ({best}).",
    "backtest_keep": "No other policy is shown to be better than yours. The nearest is {policy}: with retrains at"
    " {price:g} of a window's loss each, it would have saved {gain:+.1%} of a window's loss in every window (90 % interval"
    " {low:+.1%} to {high:+.1%}).",
    "backtest_keep_dearer": "No other policy is shown to be better than yours. The nearest is {policy}: with retrains at"
    " {price:g} of a window's loss each, it would have cost {gain:.1%} of a window's loss more in every window (90 %"
    " interval {low:+.1%} to {high:+.1%}).",
    "backtest_unknown": "{windows} windows cannot tell yet. {policy} looks better than your policy: with retrains at"
    " {price:g} of a window's loss each, it would have saved {gain:+.1%} of a window's loss in every window, but with so"
    " few windows that means {low:+.1%} to {high:+.1%}. Your policy stays until there is more history.",
    "backtest_costs_more": "{policy} has {share:.0%} less loss, but its {more} further retrains cost more than that is"
    " worth to you.",
    # what would have decided otherwise
    "flip_loss_above": "It would have been retrained, had its {metric} in window {window} been above {needed:.4g}"
    " (it was {seen:.4g}).",
    "flip_loss_below": "It would have been left alone, had its {metric} in window {window} been {needed:.4g} or"
    " less (it was {seen:.4g}).",
    "flip_alert_above": "There would have been an alert, had its {metric} in window {window} been above {needed:.4g}"
    " (it was {seen:.4g}).",
    "flip_alert_below": "There would have been no alert, had its {metric} in window {window} been {needed:.4g} or less"
    " (it was {seen:.4g}).",
    "flip_age_reached": "It could have been retrained {windows} windows later.",
    "flip_stale": "It would have been retrained, had staleness cost {needed:.0%} of a window's loss (it was {seen:.0%}).",
    "flip_fresh": "It would have been left alone, had staleness cost less than {needed:.0%} of a window's loss (it was"
    " {seen:.0%}).",
    "flip_younger": "It would have been left alone, had the champion been at most {needed} windows old"
    " (it was {seen}).",
    "flip_drift_lasts": "It would have been retrained, had the drift been seen in {needed} checks in a row"
    " (it was {seen}).",
    "flip_drift_ends": "It would have been left alone, had this check seen no drift.",
    "flip_labels": "It would have gone on with {needed} labelled windows (there were {seen}).",
    "flip_label_count": "It would have been otherwise with {needed} new labels (there were {seen}).",
    "flip_advantage": "The champion would have stayed, had its predecessor's advantage in window {window} been"
    " {needed:+.4g} or less (it was {seen:+.4g}).",
    "flip_feed_whole": "It would have gone on, had the feed been whole.",
    "flip_skill": "It would have gone on, had the labels of window {window} gone with the answers by {needed:.1f} standard"
    " errors (it was {seen:.1f}).",
    "flip_gain": "The champion would have stayed, had the challenger's gain in window {window} been {needed:+.4g} or"
    " less (it was {seen:+.4g}).",
    "flip_measured": "It is told when the champion's first windows are judged.",
    "flip_several": "It would have been otherwise only if {count} things had changed together. {each}",
}


def sentence(reason: Reason, language: str = "en") -> str:
    """The reason in plain words. An unknown code (a newer release wrote it) is shown with its parameters.

    >>> sentence(Reason("age_fine", {"age": 3, "period": 8}))
    'The champion is 3 windows old; a new one is due after 8.'
    >>> flips = [{"code": "flip_age_reached", "params": {"windows": 3}}, {"code": "flip_drift_ends", "params": {}}]
    >>> sentence(Reason("flip_several", {"count": 2, "flips": flips})).split(". ")[1:]
    ['It could have been retrained 3 windows later', 'It would have been left alone, had this check seen no drift.']
    """
    if flips := reason.params.get("flips"):  # each in its own words
        each = " ".join(sentence(Reason(flip["code"], flip["params"]), language) for flip in flips)
        reason = Reason(reason.code, {"count": len(flips), "each": each})
    try:
        return say(SENTENCES[reason.code], language, **_spoken(reason.params, language))
    except (KeyError, ValueError, TypeError):
        listed = ", ".join(f"{name} {value}" for name, value in reason.params.items())
        return f"{reason.code.replace('_', ' ')}{': ' if listed else ''}{listed}"


def _spoken(params: Mapping[str, Any], language: str) -> dict[str, Any]:
    """The parameters with those that are words in the reader's language."""
    return {
        name: say(value, language) if name in _WORDS and isinstance(value, str) else value
        for name, value in params.items()
    }


def codes_with(word: str, language: str = "en") -> tuple[str, ...]:
    """The codes whose sentence holds this word, in the reader's language; for a search of the ledger.

    >>> codes_with("staleness")
    ('stale', 'fresh', 'flip_stale', 'flip_fresh')
    """
    wanted = word.lower().replace("'", "’") if language == "fr" else word.lower()
    return tuple(code for code, text in SENTENCES.items() if wanted in _PLACE.sub(" ", say(text, language)).lower())
