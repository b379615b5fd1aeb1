"""What is wrong with a challenger besides its mean loss, and for whom it is better or worse.

Everything is judged on block means of rows that neither model was trained on (`core.gate`). Each check gives the reason
that speaks against the challenger, or None; a policy names those that block a promotion.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.gate import BLOCK_ROWS, FEWEST_BLOCKS, Floats, Tally, blocks
from core.records import Reason, SliceGain

SANITY_LEVEL = 0.001
FAR_WORSE = 0.25  # of the champion's loss
FORGOTTEN = 0.1
FEWEST_SLICE_ROWS = 30
SLICE_LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Trial:
    """What the sanity checks look at: the same labelled rows, in order, none seen by champion or challenger.

    ``champion`` and ``challenger`` are row losses (None without a champion), ``trivial`` the row losses of the best
    constant answer; ``scores`` are Brier-like row scores of both, or None; ``past`` are block mean losses of both on
    windows long ago that neither was trained on; ``slices`` maps a slice's name to the mask of its rows; ``missing``
    counts rows without an answer; ``strange`` names what the challenger has and the project's schema has not, or has
    otherwise: features, answers.
    """

    challenger: Floats
    champion: Floats | None = None
    trivial: Floats | None = None
    missing: int = 0
    scores: tuple[Floats, Floats] | None = None
    past: tuple[Floats, Floats] | None = None
    slices: dict[str, NDArray[np.bool_]] | None = None
    strange: tuple[str, ...] = ()


def _schema_differs(trial: Trial) -> Reason | None:
    return Reason("schema_differs", {"what": ", ".join(trial.strange)}) if trial.strange else None


def _answers_missing(trial: Trial) -> Reason | None:
    if not trial.missing:
        return None
    return Reason("answers_missing", {"missing": trial.missing, "rows": len(trial.challenger)})


def _worse_than_trivial(trial: Trial) -> Reason | None:
    if trial.trivial is None:
        return None
    if Tally().plus(blocks(trial.challenger) - blocks(trial.trivial)).low(SANITY_LEVEL) <= 0:
        return None
    params = {"seen": float(trial.challenger.mean()), "trivial": float(trial.trivial.mean())}
    return Reason("worse_than_trivial", params)


def _slice_worse(trial: Trial) -> Reason | None:
    """The slice hit hardest, if the challenger is far worse there, beyond chance over all slices (Bonferroni).

    Tested is what the slice adds to the loss of each block: that of rows outside of it is 0.
    """
    if trial.champion is None or not trial.slices:
        return None
    worst, hit = 0.0, None
    for name, mask in trial.slices.items():
        rows = int(mask.sum())
        if rows < FEWEST_SLICE_ROWS or rows == len(mask):
            continue
        ours, theirs = trial.champion[mask], trial.challenger[mask]
        excess = float((theirs - ours).mean())
        spread = Tally().plus(blocks(np.where(mask, trial.challenger - trial.champion, 0.0)))
        if excess > max(worst, FAR_WORSE * float(trial.champion.mean())) and (
            spread.low(SANITY_LEVEL / len(trial.slices)) > 0
        ):
            worst = excess
            hit = Reason(
                "slice_worse",
                {"slice": name, "rows": rows, "champion": float(ours.mean()), "challenger": float(theirs.mean())},
            )
    return hit


def _calibration_worse(trial: Trial) -> Reason | None:
    """Probabilities that are worth less than the champion's by a proper score (Brier, Monthly Weather Review 1950)."""
    if trial.scores is None:
        return None
    ours, theirs = trial.scores
    if Tally().plus(blocks(theirs) - blocks(ours)).low(SANITY_LEVEL) <= 0:
        return None
    return Reason("calibration_worse", {"champion": float(ours.mean()), "challenger": float(theirs.mean())})


def _forgets(trial: Trial) -> Reason | None:
    """Regimes of long ago on which the challenger is clearly worse than whoever answered then: they may come back.

    The losses of then are those of answers given before the labels were known, and the challenger was not trained on
    these windows either: to compare it with a champion that was would mistake fit for memory.
    """
    if trial.past is None:
        return None
    ours, theirs = trial.past
    excess = Tally().plus(theirs - ours)
    if excess.mean <= FORGOTTEN * float(ours.mean()) or excess.low(SANITY_LEVEL) <= 0:
        return None
    return Reason("forgets", {"champion": float(ours.mean()), "challenger": float(theirs.mean())})


SANITY: dict[str, Callable[[Trial], Reason | None]] = {
    "schema_differs": _schema_differs,
    "answers_missing": _answers_missing,
    "worse_than_trivial": _worse_than_trivial,
    "slice_worse": _slice_worse,
    "calibration_worse": _calibration_worse,
    "forgets": _forgets,
}


def findings(trial: Trial) -> tuple[Reason, ...]:
    """What is wrong with the challenger, besides its mean loss; each reason's code is a key of `SANITY`."""
    return tuple(reason for check in SANITY.values() if (reason := check(trial)))


# ---- for whom ----------------------------------------------------------------------------------
def by_slice(trial: Trial) -> tuple[SliceGain, ...]:
    """The challenger's gain in each slice that has enough rows, in the order of ``trial.slices``.

    The two-sided intervals hold for all slices at once with 95 % (Bonferroni): one looks for the worst of them. Slices
    of fewer than `FEWEST_BLOCKS` blocks, those that are all the rows, and those in which the losses differ nowhere or by
    the same everywhere, are left out: the latter do not tell how far their gain may be off.
    """
    if trial.champion is None:
        return ()
    gains = trial.champion - trial.challenger
    enough = FEWEST_BLOCKS * BLOCK_ROWS
    masks = {name: mask for name, mask in (trial.slices or {}).items() if enough <= mask.sum() < len(mask)}
    level = SLICE_LEVEL / (2 * max(len(masks), 1))
    found = []
    for name, mask in masks.items():
        tally = Tally().plus(blocks(gains[mask]))
        if tally.variance <= 1e-12 * tally.squares / tally.blocks:
            continue
        ends = (tally.low(level), tally.mean, -tally.turned().low(level))
        low, gain, high = (round(end, 9) for end in ends)
        found.append(SliceGain(name, int(mask.sum()), gain, low, high))
    return tuple(found)
