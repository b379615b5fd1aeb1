"""What a report says, in the reader's language: its headline, its tiles, and what happens next."""

import re
from dataclasses import dataclass
from functools import partial

from core.performance import higher_is_better, label
from core.reasons import sentence
from core.records import Action
from core.report_charts import score_text
from core.snapshot import Moment, Snapshot
from core.words import day, duration, mark, number, say

# How a decision looks and is called: tone (green, gray, orange, red, blue) and word. None: nothing was judged.
LOOK: dict[Action | None, tuple[str, str]] = {
    None: ("gray", mark("Unknown")),
    Action.WAIT: ("gray", mark("Waiting")),
    Action.NOTHING: ("green", mark("Healthy")),
    Action.ALERT: ("orange", mark("Attention")),
    Action.RETRAIN: ("blue", mark("Retrain")),
    Action.PROMOTE: ("green", mark("Promoted")),
    Action.HOLD: ("orange", mark("Held")),
    Action.ROLL_BACK: ("orange", mark("Rolled back")),
    Action.ACCEPT: ("blue", mark("Feed accepted")),
    Action.FAIL: ("red", mark("Failed")),
}
TROUBLE = (Action.ALERT, Action.FAIL)


@dataclass(frozen=True)
class Tile:
    label: str
    value: str
    note: str


def headline(snapshot: Snapshot, language: str) -> str:
    """What happened in the period, in one short sentence."""
    _ = partial(say, language=language)
    promoted, version = snapshot.count(Action.PROMOTE), snapshot.champion
    last = next((m.action for m in snapshot.decisions if m.action in (Action.PROMOTE, Action.ROLL_BACK)), None)
    if snapshot.state is None:
        return _("Nothing could be judged in this period")
    if snapshot.state.action in TROUBLE:
        return _("The model needs attention")
    if last is Action.ROLL_BACK:
        return _("A predecessor came back: version {version} answers now", version=version)
    if promoted == 1:
        return _("Version {version} took over and answers now", version=version)
    if promoted:
        return _("The model was renewed {times} times; version {version} answers now", times=promoted, version=version)
    if snapshot.count(Action.HOLD):
        return _("Challengers were tried and did not earn it; version {version} goes on", version=version)
    return _("Version {version} did its work; nothing had to be done", version=version)


def verdict(snapshot: Snapshot, language: str) -> str:
    """The newest check's reasons; where there was none, what that means."""
    if snapshot.state is None:
        return say(
            "No check judged anything between these days, so nothing is known about the model's health.", language
        )
    return told(snapshot.state, language)


def told(moment: Moment, language: str) -> str:
    """The reasons of a decision, sentence after sentence."""
    return " ".join(sentence(reason, language) for reason in moment.reasons)


def shortly(text: str, most: int) -> str:
    """The first sentences of the text, whole ones, of at most ``most`` characters; at least one.

    >>> shortly("It fell. It was 0.31 here. It rose again.", 28)
    'It fell. It was 0.31 here.'
    """
    kept, *rest = re.split(r"(?<=[.!?]) (?=\S)", text)
    for sentence_ in rest:
        if len(kept) + 1 + len(sentence_) > most:
            break
        kept += " " + sentence_
    return kept


def acts(snapshot: Snapshot) -> list[tuple[Moment, Moment | None]]:
    """What was done, newest first, each with the decision to retrain that led to it, which is then not listed again."""
    by_id = {moment.id: moment for moment in snapshot.decisions if moment.action is Action.RETRAIN}
    paired = [(m, by_id.get(m.cause) if m.cause else None) for m in snapshot.decisions]
    told_with = {cause.id for _, cause in paired if cause}
    return [(moment, cause) for moment, cause in paired if moment.id not in told_with]


def badge(moment: Moment | None, language: str) -> tuple[str, str]:
    """Tone and word of a decision; the word names the version it is about."""
    tone, word = LOOK[moment.action if moment else None]
    version = f" v{moment.version}" if moment and moment.version else ""
    return tone, say(word, language) + version


def period(snapshot: Snapshot, language: str) -> str:
    first, last = day(snapshot.since, language), day(snapshot.until, language)
    return first if first == last else say("{first} to {last}", language, first=first, last=last)


def tiles(snapshot: Snapshot, language: str) -> tuple[Tile, ...]:
    """The figures of the period; what is not known says so."""
    _ = partial(say, language=language)
    unknown = _("unknown")
    newest, drifting = snapshot.newest, snapshot.drifting
    retrained = snapshot.count(Action.RETRAIN)
    outcome = _("{promoted} promoted, {held} held, {back} rolled back", promoted=snapshot.count(Action.PROMOTE),
                held=snapshot.count(Action.HOLD), back=snapshot.count(Action.ROLL_BACK))  # fmt: skip
    return (
        Tile(
            _(label(snapshot.metric)),
            score_text(newest.value, language) if newest else unknown,
            _("95 %: {low} to {high}", low=score_text(newest.low, language), high=score_text(newest.high, language))
            if newest else _("no window has all its labels"),
        ),
        Tile(
            _("Drifting features"),
            unknown if drifting is None or _hardly_judged(snapshot) else _("{drifting} of {judged}", drifting=drifting[0], judged=drifting[1]),
            _drift_note(snapshot, language),
        ),
        Tile(
            _("Predictions"), number(snapshot.predictions, language),
            _("{rows} rows came in", rows=number(snapshot.rows, language)),
        ),
        Tile(
            _("Labels received"), number(snapshot.labels, language),
            _("{labels:.0f} to every 100 rows", labels=100 * snapshot.labels / snapshot.rows)
            if snapshot.rows else _("no row came in"),
        ),
        Tile(_("Retrains"), number(retrained, language), outcome),
    )  # fmt: skip


def _hardly_judged(snapshot: Snapshot) -> bool:
    """Has no feature moved, of fewer than half that could be judged? That is not known to be stable."""
    moved, judged = snapshot.drifting or (0, 0)
    return not moved and 2 * judged < snapshot.features


def _drift_note(snapshot: Snapshot, language: str) -> str:
    if snapshot.drifting is None:
        return say("no window was judged", language)
    unjudged, window = snapshot.features - snapshot.drifting[1], max(snapshot.heat.counts)
    if unjudged > 0:
        return say("in window {window}; {unjudged} not judged", language, window=window, unjudged=unjudged)
    return say("in window {window}", language, window=window)


def quality_note(snapshot: Snapshot, language: str) -> str:
    """What the line shows, under its title."""
    _ = partial(say, language=language)
    better = _("higher is better") if higher_is_better(snapshot.metric) else _("lower is better")
    return _("{metric} by window with its 95 % interval, scored before training on it; {better}",
             metric=_(label(snapshot.metric)), better=better)  # fmt: skip


def next_steps(snapshot: Snapshot, language: str) -> list[str]:
    """What happens next, in sentences."""
    _ = partial(say, language=language)
    coming = snapshot.coming
    said = [
        _("Checks are paused: nothing is judged until they are resumed.")
        if coming.paused
        else _("A check runs every {span}.", span=duration(coming.check_seconds, language)),
        _("Window {window} has {rows} of its {needed} rows; it is judged once it is full and {share:.0%} of its labels"
          " have come.", window=coming.window, rows=number(coming.filling, language),
          needed=number(coming.window_rows, language), share=coming.mature_share),
    ]  # fmt: skip
    if not coming.retrains:
        said.append(_("The policy never retrains."))
    elif coming.by_hand:
        said.append(_("A challenger that passes waits for a person to promote it."))
    else:
        said.append(_("A challenger that passes takes over by itself, and can be rolled back."))
    if snapshot.state and snapshot.state.nearest_flip:
        said.append(sentence(snapshot.state.nearest_flip, language))
    return said


def signature(snapshot: Snapshot, language: str) -> str:
    """Who froze it, and when."""
    at = snapshot.made_at
    return say("Made by {who} on {day}, {time} UTC", language, who=snapshot.made_by, day=day(at, language),
               time=f"{at:%H:%M}")  # fmt: skip
