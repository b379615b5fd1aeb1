"""What was seen at a turn, and what is remembered of it from turn to turn: small values, stored with every decision.

`note` puts the evidence of a turn into the memory: which windows may be learned from, how the champion stands against
its first windows, its yardstick and its predecessor. Everything is judged on windows that the model in question was not
trained on, by block means of row losses (`core.gate`), so that levels hold for rows that depend on their neighbours.
"""

import math
from dataclasses import dataclass, field, replace

from scipy import stats

from core.diagnosis import Diagnosis
from core.feed import Fault
from core.gate import FEWEST_BLOCKS, Spread, Tally
from core.policy import Policy, Stored
from core.records import Reason, Verdict

BASELINE_WINDOWS = 3  # at most so many tell what is normal for a champion
HANDICAPS = 8  # so many fresh models are remembered
LEAD_HALF_LIFE = 2.0  # windows: how fast what the predecessor has lost less is forgotten
MOST_CREDIT = 3.0  # retrains that may be saved up
NO_SKILL, CLEAR_SKILL = 3.0, 8.0  # standard errors
SKILL_MEMORY = 0.8


# ---- values ------------------------------------------------------------------------------------
@dataclass(frozen=True)
class VersionLoss:
    """Block mean losses of one model version on a window it was not trained on."""

    version: int
    blocks: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.blocks) / len(self.blocks)


@dataclass(frozen=True)
class Judged:
    """A window whose labels have become mature: ``rows`` of them, and what each version in view lost on them.

    ``yardstick`` are the block mean losses of a light model that was trained on the newest labelled windows before this
    one, and of nothing else: what the newest rows alone could have taught. ``skill`` is how surely the champion's answers
    go with the labels at all, in standard errors (`core.gate.skill`).
    """

    window: int
    rows: int
    losses: tuple[VersionLoss, ...] = ()
    yardstick: tuple[float, ...] = ()
    skill: float | None = None

    def of(self, version: int | None) -> VersionLoss | None:
        return next((loss for loss in self.losses if loss.version == version), None)


@dataclass(frozen=True)
class Evidence(Stored):
    """What was seen at turn ``turn``, which comes after window ``turn`` was served.

    ``judged`` are the windows that have become mature since the last turn, oldest first; ``pending`` those seen that
    are not yet. ``faults`` are what is wrong with the feed of the newest; it is ``blocked`` then.
    ``diagnoses`` are what kind of change there is in windows whose labels have come, and in the newest. ``lacking``
    is why the labels of the warm-up make no first model yet, where they do not. ``logic``
    is the `LOGIC` of the release that saw and judged it; 0 where it did not say.
    """

    turn: int
    rows: int
    judged: tuple[Judged, ...] = ()
    pending: tuple[int, ...] = ()
    metric: str = "error"
    drift: Verdict = Verdict.UNKNOWN
    drifting: tuple[str, ...] = ()
    drift_note: str = ""
    faults: tuple[Fault, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    lacking: Reason | None = None
    blocked: bool = False
    logic: int = 0


@dataclass(frozen=True)
class Contender:
    """A model version in view: trained at turn ``born`` on labelled rows before ``trained_to``, by ``scope``."""

    version: int
    scope: str
    trained_to: int
    born: int


@dataclass(frozen=True)
class Memory(Stored):
    """What judgement carries from turn to turn. ``Memory()`` is a project's beginning.

    ``labelled`` are the windows to train on, ``pending`` those whose labels are not mature, ``quarantined`` those set
    aside; ``faulty`` are the features that block now, and since which window, ``accepted`` those whose values a person
    has said are right, and from which window on. ``baseline`` are the champion's losses on its first windows (the one
    it was compared on, and those without a breach), ``limit`` what its newest window was held to; ``resting`` is the predecessor's
    baseline, should it come back; ``ahead`` what it was better by, ``lead`` the same of late, relative, the newest
    windows counting most, summed up over ``lead_windows``; ``stands_in`` while it answers in the champion's place;
    ``trial`` what the challenger is, on windows that neither was trained on; ``spread`` what earlier reigns have shown of
    how much such windows differ. ``learned`` are the windows that the newest
    challenger could learn from. ``stale`` is what the champion's staleness
    has cost so far, in relative loss x windows, over ``stale_windows`` of them with the variance ``stale_variance``, and
    ``handicaps`` what fresh models lost more than their yardsticks did
    in the first window they served (`_note_staleness`); ``fresh`` until the champion has served one. ``credit`` is how many
    retrains the budget allows now, ``owed`` why one was decided but not carried out.
    """

    champion: Contender | None = None
    previous: Contender | None = None
    challenger: Contender | None = None
    awaiting: bool = False  # the challenger waits for a person
    trial: Tally = field(default_factory=Tally)
    trial_rows: int = 0
    crowned: int = 0
    challenged: int | None = None
    next_window: int = 0
    pending: tuple[int, ...] = ()
    labelled: tuple[int, ...] = ()
    quarantined: tuple[int, ...] = ()
    faulty: tuple[tuple[str, int], ...] = ()
    accepted: tuple[tuple[str, int], ...] = ()
    suspect: int | None = None
    skill: float | None = None
    changed: int = 0
    labels: int = 0
    labels_then: int = 0
    learned: int = 0
    baseline: Tally = field(default_factory=Tally)
    resting: Tally = field(default_factory=Tally)
    limit: float | None = None
    ahead: Tally = field(default_factory=Tally)
    lead: float = 0.0
    lead_windows: float = 0.0
    stands_in: bool = False
    spread: Spread = field(default_factory=Spread)
    stale: float = 0.0
    stale_variance: float = 0.0
    stale_windows: int = 0
    fresh: bool = False  # the champion is new and has not served a window that was judged
    handicaps: tuple[float, ...] = ()
    credit: float = 0.6
    drifts: int = 0
    breaches: int = 0
    owed: tuple[Reason, ...] = ()

    @property
    def serving(self) -> Contender | None:
        """Who answers: the champion, or its predecessor while that stands in."""
        return self.previous if self.stands_in else self.champion


# ---- noting ------------------------------------------------------------------------------------
def note(policy: Policy, evidence: Evidence, memory: Memory) -> Memory:
    """The memory with this turn's evidence in it."""
    turns = max(0, evidence.turn + 1 - memory.next_window)
    drift = Verdict.UNKNOWN if evidence.blocked else evidence.drift  # of the feed, not of the world
    drifts = {Verdict.DRIFTING: memory.drifts + 1, Verdict.STABLE: 0, Verdict.UNKNOWN: memory.drifts}[drift]
    noted = replace(
        memory,
        next_window=memory.next_window + turns,
        pending=evidence.pending,
        drifts=drifts,
        credit=min(MOST_CREDIT, memory.credit + turns * policy.most_retrains) if memory.champion else memory.credit,
        quarantined=_joined(memory.quarantined, evidence.turn) if evidence.blocked else memory.quarantined,
        faulty=tuple(
            (fault.feature, dict(memory.faulty).get(fault.feature, evidence.turn)) for fault in evidence.faults
        ),
    )
    for judged in evidence.judged:
        noted = _note_window(policy, judged, noted)
    return noted


def _joined(windows: tuple[int, ...], window: int) -> tuple[int, ...]:
    return tuple(sorted({*windows, window}))


def _note_window(policy: Policy, judged: Judged, memory: Memory) -> Memory:
    if judged.window in memory.quarantined:
        return replace(memory, labels=memory.labels + judged.rows)
    new = _is_new_to_champion(policy, judged, memory)
    if not new and _is_suspect(judged, memory):
        if memory.suspect is None:
            return replace(
                memory,
                suspect=judged.window,
                quarantined=_joined(memory.quarantined, judged.window),
                labels=memory.labels + judged.rows,
            )
        memory = _rehabilitated(memory)  # two in a row: it is the world that changed
    elif judged.skill is not None and not new:
        usual = judged.skill if memory.skill is None else memory.skill
        memory = replace(memory, suspect=None, skill=SKILL_MEMORY * usual + (1 - SKILL_MEMORY) * judged.skill)
    noted = replace(memory, labelled=_joined(memory.labelled, judged.window), labels=memory.labels + judged.rows)
    return _note_losses(policy, judged, noted)


def _is_new_to_champion(policy: Policy, judged: Judged, memory: Memory) -> bool:
    """Does the window hold values that a person has said are right, and the champion was trained on none of them? Then
    answers that do not go with the labels speak of the champion: the labels are no fault, and no measure of its skill.
    """
    champion = memory.champion
    return champion is not None and any(
        judged.window >= since and champion.trained_to <= since * policy.window_rows for _, since in memory.accepted
    )


def _is_suspect(judged: Judged, memory: Memory) -> bool:
    if judged.skill is None or memory.skill is None:
        return False
    return judged.skill < NO_SKILL and memory.skill > CLEAR_SKILL


def _rehabilitated(memory: Memory) -> Memory:
    assert memory.suspect is not None
    return replace(
        memory,
        suspect=None,
        skill=None,
        labelled=_joined(memory.labelled, memory.suspect),
        quarantined=tuple(window for window in memory.quarantined if window != memory.suspect),
    )


def _note_losses(policy: Policy, judged: Judged, memory: Memory) -> Memory:
    champion = memory.champion and judged.of(memory.champion.version)
    if not champion:
        return memory
    limit = performance_limit(policy, memory, champion.blocks)
    breached = limit is not None and champion.mean > limit
    noted = replace(
        memory,
        limit=limit,
        breaches=memory.breaches + 1 if breached else 0,
        changed=judged.window if breached and not memory.breaches else memory.changed,
        baseline=memory.baseline
        if breached or memory.baseline.looks >= BASELINE_WINDOWS
        else memory.baseline.plus(champion.blocks),
    )
    if judged.yardstick:
        noted = _note_staleness(judged, champion, noted)
    if memory.previous and (before := judged.of(memory.previous.version)):
        noted = _note_lead(policy, champion, before, replace(noted, ahead=noted.ahead.plus(gains(champion, before))))
    if memory.challenger and (challenger := judged.of(memory.challenger.version)):
        trial = noted.trial.plus(gains(champion, challenger))
        noted = replace(noted, trial=trial, trial_rows=noted.trial_rows + judged.rows)
    return noted


def _note_lead(policy: Policy, champion: VersionLoss, before: VersionLoss, memory: Memory) -> Memory:
    """Who answers the next rows: the predecessor once it has lost ``stand_in`` less of late, relative to the mean of both,
    and the champion again once it has. Of two experts the one that has done better of late (Herbster & Warmuth, Machine
    Learning 1998, on tracking the best expert); no proof that it is the better model, which a rollback asks for.
    """
    keep = 0.5 ** (1 / LEAD_HALF_LIFE)
    found, _ = excess(champion.blocks, before.blocks)
    noted = replace(memory, lead=round(keep * memory.lead + found, 9), lead_windows=keep * memory.lead_windows + 1)
    if policy.stand_in is None or not policy.lets_stand_in:
        return replace(noted, stands_in=False)
    ahead = noted.lead / noted.lead_windows
    return replace(noted, stands_in=ahead > (-policy.stand_in if memory.stands_in else policy.stand_in))


def _note_staleness(judged: Judged, champion: VersionLoss, memory: Memory) -> Memory:
    """What staleness has cost the champion after one more window that it served, in relative loss x windows; 0 and up.

    The first window that a fresh champion serves tells its handicap: what it loses more than the yardstick although no
    model of its kind could be newer, labels coming when they do. What it loses more than the mean handicap is summed up
    window by window and starts anew at 0, as in Page's cumulative sum (Biometrika 1954). ``stale_variance`` is that of
    the sum, as the blocks tell it.
    """
    found, error = excess(champion.blocks, judged.yardstick)
    if memory.fresh and judged.window > memory.crowned:
        return replace(memory, fresh=False, handicaps=(*memory.handicaps, found)[-HANDICAPS:])
    handicap = sum(memory.handicaps) / (len(memory.handicaps) + 1)  # as if one more fresh champion had had none
    stale = memory.stale + found - handicap
    if stale <= 0:
        return replace(memory, stale=0.0, stale_variance=0.0, stale_windows=0)
    return replace(
        memory, stale=stale, stale_variance=memory.stale_variance + error**2, stale_windows=memory.stale_windows + 1
    )


def stale_error(memory: Memory) -> float:
    """The standard error of the staleness: of its windows, and of the handicap that was taken off each of them.

    A handicap that is a mean of n is known to about the variance of a window by n + 1, and errs alike in every window.
    """
    alike = memory.stale_windows / (len(memory.handicaps) + 1)
    return math.sqrt(memory.stale_variance * (1 + alike))


def excess(losses: tuple[float, ...], others: tuple[float, ...]) -> tuple[float, float]:
    """How much larger the first block means are than the second, relative to the mean of both, and its standard error.

    The mean of both is taken at least as large as the error of the difference: one wrong row more than none is not
    infinitely worse.

    >>> excess((0.3, 0.3), (0.2, 0.2))
    (0.4, 0.0)
    """
    gap = Tally().plus([loss - other for loss, other in zip(losses, others, strict=True)])
    error = gap.error if math.isfinite(gap.error) else 0.0
    unit = max((_mean(losses) + _mean(others)) / 2 + error, 1e-12)
    return round(gap.mean / unit, 9), round(error / unit, 9)


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)


def gains(champion: VersionLoss, rival: VersionLoss) -> list[float]:
    """What the rival is better by, block by block."""
    return [ours - theirs for ours, theirs in zip(champion.blocks, rival.blocks, strict=True)]


def performance_limit(policy: Policy, memory: Memory, blocks: tuple[float, ...]) -> float | None:
    """The mean loss of a window above which chance no longer explains it; None while there are too few blocks to tell.

    One-sided comparison with the champion's first windows, on block means, by the t test for unequal variances (Welch,
    Biometrika 1947; degrees of freedom as in Satterthwaite, Biometrics Bulletin 1946) at ``performance_level``:
    approximate, of 0.1 % it makes up to 0.5 where the window has no more than four blocks (fewer than 100 rows). The first ``performance_margin`` of
    relative loss is not worth a retrain.
    """
    now = Tally().plus(blocks)
    if min(memory.baseline.blocks, now.blocks) < FEWEST_BLOCKS:
        return None
    parts = [(tally.error**2, tally.blocks - 1) for tally in (memory.baseline, now)]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / count for part, count in parts) if variance else math.inf
    quantile = float(stats.t.ppf(1 - policy.performance_level, freedom))
    return memory.baseline.mean * (1 + policy.performance_margin) + math.sqrt(variance) * quantile


# ---- successions -------------------------------------------------------------------------------
def took_over(
    memory: Memory, contender: Contender, turn: int, *, forget: bool = False, baseline: Tally | None = None
) -> Memory:
    """The memory after ``contender`` became champion at ``turn``: its predecessor goes into the shadow.

    Also for what a person does: promote a version by hand, or go back to an older one. ``forget``: whoever goes has
    been found worse and is not watched any longer. ``baseline`` is what its loss was where it was compared; of a predecessor
    that comes back, what it was in its first reign.
    """
    going = None if forget or memory.champion == contender else memory.champion
    returns = memory.previous is not None and memory.previous.version == contender.version
    return replace(
        memory,
        champion=contender,
        previous=going,
        challenger=None,
        awaiting=False,
        trial=Tally(),
        trial_rows=0,
        crowned=turn,
        baseline=baseline or (memory.resting if returns else Tally()),
        resting=memory.baseline if going else Tally(),
        ahead=Tally(),
        lead=0.0,
        lead_windows=0.0,
        stands_in=False,
        spread=memory.spread.plus(memory.ahead.spread).faded,
        stale=0.0,
        stale_variance=0.0,
        stale_windows=0,
        fresh=contender.born == turn,
        breaches=0,
        drifts=0,
        owed=(),
    )


def accepted_feed(memory: Memory) -> Memory:
    """The memory after a person said that the features which block are right as they are.

    What they were before counts no longer; the windows that were set aside since then are judged anew.
    """
    since = dict(memory.faulty)
    first = min(since.values())
    released = {window for window in memory.quarantined if window >= first and window != memory.suspect}
    return replace(
        memory,
        faulty=(),
        accepted=tuple(sorted({**dict(memory.accepted), **since}.items())),
        quarantined=tuple(window for window in memory.quarantined if window not in released),
        pending=tuple(sorted({*memory.pending, *released})),
    )
