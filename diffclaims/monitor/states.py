"""In which state each class is, since when, and what is known of the times at which it gets there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, fisher_exact

from diffclaims.monitor.alarms import began
from diffclaims.monitor.curves import ERROR, LEARNED, MEMORIZED, MEMORIZING, ClassCurves
from diffclaims.times.by_sample import resampled

Floats = NDArray[np.float64]

#: From the least to the most; *unknown* is apart.
STATES = ("not learned", "learned", "memorizing", "memorized")
UNKNOWN = "unknown"
#: Limits of the share of copies beyond that of held-out samples.
FEW_COPIES, MANY_COPIES = 0.05, 0.5


@dataclass(frozen=True)
class CopyEvidence:
    """What generated samples of a class say at one measurement.

    Attributes
    ----------
    step : float
    level : int
        0 for none beyond chance, 1 for `FEW_COPIES`, 2 for `MANY_COPIES`.
    could_tell : bool
        Whether so many copies would be beyond chance if all were copies, compared with held-out samples.
    """

    step: float
    level: int
    could_tell: bool


def copy_evidence(step: float, samples: dict[str, Any], k: int, n_classes: int) -> CopyEvidence | None:
    """Compare the copies of a class with those among held-out samples; None where nothing was generated."""
    n, share = samples["n_samples"][k], samples.get("gap_ratio", [np.nan] * n_classes)[k]
    if not n or not np.isfinite(share):
        return None
    null = samples.get("gap_ratio_null", [np.nan] * n_classes)[k]
    held, pool = samples.get("n_null", samples["n_held_out"])[k], samples["pool_share"]
    # Generated samples with the same nearest training sample count as one.
    sources, copied = round(samples["n_sources"][k]), round(samples["copied_sources"][k])
    if not held or not np.isfinite(null):
        # Without anything to compare with: no more than a third are nearest by that factor in any dimension.
        low = float(binomtest(copied, sources).proportion_ci(0.95, method="exact").low)
        return CopyEvidence(step, 2 * (low > MANY_COPIES * pool), False)
    kept = [round(null * held), round((1 - null) * held)]
    beyond, could_tell = (
        fisher_exact([[k, sources - k], kept], alternative="greater").pvalue < ERROR / n_classes
        for k in (copied, sources)
    )
    # Copies of training samples that are not in the pool are not seen.
    excess = (share - null) / pool
    return CopyEvidence(
        step, int(beyond) * (int(excess >= FEW_COPIES) + int(excess >= MANY_COPIES)), could_tell
    )


@dataclass(frozen=True, eq=False)
class ClassStates:
    """The states of a class over all measurements.

    Attributes
    ----------
    states : list of str
        One a measurement.
    columns : dict
        Numbers for the last measurement.
    times : dict of ndarray, shape (1 + B,)
        As `ClassCurves.times` has them, with copies counted.
    why : str
        Why the state is unknown; else empty.
    """

    states: list[str]
    columns: dict[str, float]
    times: dict[str, Floats]
    why: str


def class_states(curves: ClassCurves, copies: list[CopyEvidence | None], seed: int) -> ClassStates:
    """Read the states of a class off its curves and the copies known at each measurement.

    Parameters
    ----------
    curves : ClassCurves
    copies : list
        One a measurement: the last evidence up to then.
    seed : int
        Of the resamplings.
    """
    n = curves.n
    p, states = _judged(curves, copies)
    why = ""
    if n == 0:
        times = {name: np.full(1, np.nan) for name in ("learned_at", "memorizing_at", "memorized_at")}
        why = "no held-out samples, so that neither the held-out loss nor the gap can be measured"
    else:
        times = curves.times(seed)
    if n and not np.isfinite(p[-1]):
        why = "no Gaussian is better than a trivial answer: there is nothing to learn that could be measured"
    elif n:
        why = (
            f"{n} held-out and {curves.m} training samples cannot tell: even a class that is learned by heart "
            "would not be beyond chance; hold out more samples"
        )
    # Evidence of before is repeated where nothing was generated; it is one look.
    looks = [c for c, step in zip(copies, curves.steps, strict=True) if c is not None and c.step == step]
    for name, limit in (("memorizing_at", 1), ("memorized_at", 2)):
        i = began(np.array([c.level >= limit for c in looks], dtype=bool))
        if i is not None:
            times[name] = np.fmin(times[name], looks[i].step)
    return ClassStates(states, _columns(curves, n, p), times, "" if states[-1] != UNKNOWN else why)


def last_state(curves: ClassCurves, copies: CopyEvidence | None) -> tuple[int, dict[str, float]]:
    """Return the place among `STATES` of one measurement, -1 for unknown, and its numbers without intervals."""
    p, states = _judged(curves, [copies])
    place = -1 if states[0] == UNKNOWN else STATES.index(states[0])
    if curves.n == 0:
        return place, {}
    gap, memorizing = curves.gap()[0], curves.memorizing()[0]
    level = int(np.argmax(memorizing if np.isfinite(memorizing).any() else gap))
    return place, {
        "generalization": float(p[0]),
        "gap": float(gap[level]),
        "auc": float(curves.auc()[0, level]),
    }


def _judged(curves: ClassCurves, copies: list[CopyEvidence | None]) -> tuple[Floats, list[str]]:
    """Return P and the state at each measurement."""
    levels = np.array([0 if c is None else c.level for c in copies])
    compared = np.array([c is not None and c.could_tell for c in copies])
    if curves.n == 0:
        p = g = a = np.full(len(curves.steps), np.nan)
    else:
        memorizing = curves.memorizing()
        p, g = curves.generalization(), memorizing.max(axis=1)
        a = curves.memorized(memorizing).max(axis=1)
    with np.errstate(invalid="ignore"):
        rank = np.where(p >= LEARNED, 1, 0)
        rank = np.where((g >= MEMORIZING) | (levels >= 1), 2, rank)
        rank = np.where((a >= MEMORIZED) | (levels >= 2), 3, rank)
    known = np.isfinite(p) & (compared | curves.could_tell())
    return p, [STATES[r] if ok or r > 1 else UNKNOWN for r, ok in zip(rank, known, strict=True)]


def _columns(curves: ClassCurves, n: int, p: Floats) -> dict[str, float]:
    """Numbers of the last measurement with 95 % intervals, at the level that shows most."""
    names = ("generalization", "gap", "auc")
    if n == 0:
        return {f"{name}{end}": np.nan for name in names for end in ("", "_low", "_high")} | {
            "gap_level": np.nan
        }
    last = ClassCurves(
        steps=curves.steps[-1:],
        loss=curves.loss[-1:],
        held_out=curves.held_out[-1:],
        train=curves.train[-1:],
        trivial=curves.trivial,
        gaussian=curves.gaussian,
        n_tests=curves.n_tests,
        perfect=curves.perfect,
    )
    rng = np.random.default_rng(0)
    w, v = (resampled(n, 400, rng) for n in (last.n, last.m))
    gap = last.gap()[0]
    shows = last.memorizing()[0]
    level = int(np.argmax(shows if np.isfinite(shows).any() else gap))
    values = {
        "generalization": (p[-1], last.generalization(w)[0]),
        "gap": (gap[level], last.gap(w, v)[0, level]),
        "auc": (last.auc()[0, level], last.auc(w, v)[0, level]),
    }
    out: dict[str, float] = {"gap_level": float(level)}
    for name, (value, drawn) in values.items():
        out[name] = float(value)
        out[f"{name}_low"], out[f"{name}_high"] = (float(q) for q in np.quantile(drawn, [0.025, 0.975]))
    return out
