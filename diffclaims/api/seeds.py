"""Whether the seeds of a measurement can be independent repetitions of it.

Standard errors come from the spread over seeds, so seeds that are copies, or that come in groups, make any effect
look certain. Whole curves are compared, of each loss, and of the return probabilities. Three things are refused:

- all seeds alike, within `SAME` of their values;
- two seeds that differ by less than some millionths of the spread everywhere (`copy_limit`);
- groups: seeds are joined to their nearest in turn, by the distance of their curves. Let h(1) <= h(2) <= ... be the
  lengths of the n - 1 joints. Of independent seeds no h(m) is much shorter than the next, nor than the one in the
  middle, h(k). Where the curves vary in one way only, the worst case, joints are spacings of points on a line:
  h(m)/h(m + 1) falls below x with a probability near x^m, and h(m)/h(k) with that of a beta variable of parameters m
  and k - m. Where they vary in more ways, short joints are rarer. The limits are quantiles of these at `ALARM` in
  all, times factors below 1 for values that are skewed: these crowd at their mode and have a few long joints.

Independent seeds, 3 to 24 of them, Gaussian, exponential or log-normal, are refused with a probability below 1e-3,
also where nothing but one number varies; with about 2e-3 if the density of that number is infinite at its mode.
Seeds that fall into two kinds, each far narrower than their distance, look like groups and are refused as well.
Counts of few points tie by chance: where seeds of different groups are as alike in many points of the curves,
nothing is refused. All criteria are ours.
"""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist
from scipy.special import betaincinv

from diffclaims.errors import SubjectInvalid

Floats = NDArray[np.float64]

#: Seeds that agree to this share of their values are one seed: rounding, or a copy with a touch of noise.
SAME = 1e-6
#: Two seeds closer than this share of the spread, everywhere, are copies; less where many pairs may come close.
COPY = 1e-5
#: Closeness times the number of ordered pairs that is allowed for independent seeds.
COPY_PAIRS = 1e-3
#: Counts of few points tie by chance: a pair that is seen more often than this, for want of points, is no copy.
TIE_ALARM = 1e-4
#: Chance of seeing groups among independent seeds, of one dataset.
ALARM = 6e-4
#: By what skewed values bring joints closer to each other, simulated down to a density that is infinite at its mode.
CROWDED = 0.12
#: A point of the curves counts by its own spread, but not if that is below this share of the largest.
LEAST_SPREAD = 0.3
#: The spread is that of the seed in the middle, so that one far off does not count; but this share of the deviation.
FAR_OFF = 1e-3
#: A probability closer to 0 or 1 than this, in the seed in the middle, differs by rare events if at all: left out.
UNDECIDED = 0.02
#: Probabilities of fewer different values than this, or than points, are counts of so few that all may tie by chance.
FEWEST = 3
#: Seeds of different groups that are as alike as those of a group, in more than this share of points, are counts.
COUNTS = 0.1
#: What is compared of each kind.
COMPARED = {"curves": ("test_loss", "train_loss"), "speciation": ("return_probability",)}


def check_seeds(dataset: xr.Dataset, kind: str, who: str) -> None:
    """Refuse seeds that are not independent repetitions.

    Parameters
    ----------
    dataset : xarray.Dataset
        A subject's answer, valid; without a dimension ``seed`` there is nothing to check.
    kind : str
        Kind of the dataset.
    who : str
        Named in the message.

    Raises
    ------
    SubjectInvalid
        For labels that occur twice, another number of seeds than the attribute ``seeds`` states, copies, and groups.
    """
    if "seed" not in dataset.dims:
        return
    labels = _labels(dataset, who)
    names = [n for n in COMPARED.get(kind, ()) if n in dataset and "seed" in dataset[n].dims]
    for name in names:
        values = (
            dataset.variables[name].transpose("seed", ...).values.astype(np.float64).reshape(len(labels), -1)
        )
        if kind == "speciation":
            middle = np.median(values, axis=0)
            values = values[:, (middle > UNDECIDED) & (middle < 1 - UNDECIDED)]
            if np.unique(values).size < max(FEWEST, values.shape[1]):
                continue
        if values.shape[1] and (reason := alike(values, labels, ALARM / len(names))):
            raise SubjectInvalid(f"{who}: {name} of {reason}; give every seed randomness of its own")


def alike(values: Floats, labels: list[object], alarm: float = ALARM) -> str:
    """Say why seeds are not independent, or nothing.

    Parameters
    ----------
    values : ndarray, shape (n_seeds, n_points)
        Of one curve or several.
    labels : list
        What the seeds are called.
    alarm : float
        Probability of seeing groups where there are none.
    """
    n = len(values)
    if n < 2:
        return ""
    scale = float(np.abs(values).max())
    deviation = float(np.ptp(values, axis=0).max())
    if deviation <= SAME * scale:
        return (
            f"all {n} seeds is the same within {deviation:.2g}, its values being up to {scale:.3g}; "
            f"independent seeds differ by more than {SAME:g} of their values"
        )
    if n < 3:
        return ""
    values = values[:, np.ptp(values, axis=0) > 0]
    spread = _spread(values)
    scaled = values / np.maximum(spread, LEAST_SPREAD * spread.max())
    return _copies(scaled, labels) or _groups(scaled, labels, alarm)


def copy_limit(n_seeds: int) -> float:
    """Return the share of the spread below which two of so many seeds are copies."""
    return min(COPY, COPY_PAIRS / (n_seeds * (n_seeds - 1)))


def joint_limits(n_seeds: int, alarm: float = ALARM) -> tuple[Floats, Floats]:
    """Return the limits on ``h(m)/h(m + 1)`` and on ``h(m)/h(k)``, each for m = 1, 2, ...

    Parameters
    ----------
    n_seeds : int
        Three or more; the middle joint is number ``k = (n_seeds - 1) // 2 + 1``.
    alarm : float
        Probability that any of the ratios of independent seeds is below its limit.
    """
    n, k = n_seeds, (n_seeds - 1) // 2 + 1
    m = np.arange(1, n - 1)
    longer = n - 1 - m
    factor = np.minimum(0.2 * longer**2 / n, 0.3 * m / (m + 1.5))
    to_next = factor * (alarm / 2 / (n - 2)) ** (1 / m)
    m = np.arange(1, k)
    # A single pair that is too close is what is most often met: half of the alarms are for it.
    share = np.where(m == 1, 0.5, 0.5 / max(k - 2, 1))
    return np.asarray(to_next), np.asarray(CROWDED * betaincinv(m, k - m, alarm / 2 * share))


def _labels(dataset: xr.Dataset, who: str) -> list[object]:
    n = dataset.sizes["seed"]
    labels: list[object] = dataset["seed"].values.tolist() if "seed" in dataset.coords else list(range(n))
    twice = sorted({str(s) for s in labels if labels.count(s) > 1})
    if twice:
        raise SubjectInvalid(
            f"{who}: of its {n} seeds, {', '.join(twice)} come more than once; every seed counts as a repetition "
            "of its own: leave the copies out"
        )
    try:
        stated = json.loads(str(dataset.attrs.get("seeds", "[]")))
    except ValueError:
        stated = []
    if isinstance(stated, list) and stated and len(set(map(str, stated))) != n:
        raise SubjectInvalid(
            f"{who}: the attribute seeds names {len(set(map(str, stated)))} different seeds, the dimension seed has "
            f"{n}; they must be the same number: leave the copies out"
        )
    return labels


def _spread(values: Floats) -> Floats:
    """Typical difference of two seeds at each point; one seed far off does not count."""
    i, j = np.triu_indices(len(values), 1)
    if len(values) > 64:
        i, j = np.arange(len(values)), np.roll(np.arange(len(values)), 1)
    typical = np.median(np.abs(values[i] - values[j]), axis=0)
    # Where most seeds are copies, the spread is that of the others.
    return np.asarray(np.maximum(typical, FAR_OFF * values.std(axis=0)))


def _copies(scaled: Floats, labels: list[object]) -> str:
    apart, limit = pdist(scaled, "chebyshev"), copy_limit(len(scaled))
    close = int(apart.argmin())
    if apart[close] > limit:
        return ""
    ties = np.array([np.mean(pdist(column[:, None]) <= limit) for column in scaled.T])
    if apart.size * float(np.exp(np.log(ties).sum())) > TIE_ALARM:
        return ""
    i, j = (int(a[close]) for a in np.triu_indices(len(scaled), 1))
    return (
        f"seeds {labels[i]} and {labels[j]} differs by {apart[close]:.2g} of the spread between seeds; "
        f"independent seeds differ by more than {limit:.2g} of it somewhere"
    )


def _groups(scaled: Floats, labels: list[object], alarm: float) -> str:
    tree = linkage(scaled, "single")
    joints = tree[:, 2]
    to_next, to_middle = joint_limits(len(scaled), alarm)
    for limits, long, which in (
        (to_next, joints[1:], "next"),
        (to_middle, np.full(to_middle.size, joints[to_middle.size]), "middle"),
    ):
        short = joints[: limits.size]
        # A tie is no short distance: copies were looked for before.
        ratio = np.divide(short, long, out=np.ones(limits.size), where=(short > 0) & (long > 0))
        if not (ratio < limits).any():
            continue
        m = int(np.argmin(ratio / limits))
        of = fcluster(tree, np.sqrt(joints[m] * joints[m + 1]), "distance")
        if _counted(scaled, of, joints[m]):
            continue
        groups = [[labels[k] for k in np.flatnonzero(of == g)] for g in dict.fromkeys(of.tolist())]
        shown = ", ".join("{" + ", ".join(map(str, g)) + "}" for g in groups if len(g) > 1)
        return (
            f"its {len(scaled)} seeds comes in {len(groups)} kinds, {shown} alike: the distances within are up to "
            f"{ratio[m]:.2g} of the {which} one between; of independent seeds it is above {limits[m]:.2g}"
        )
    return ""


def _counted(scaled: Floats, of: NDArray[np.int32], distance: float) -> bool:
    """Whether seeds of different groups are often as close, at single points, as those of a group are."""
    i, j = np.triu_indices(len(scaled), 1)
    other = of[i] != of[j]
    near = distance / np.sqrt(scaled.shape[1])
    return bool((np.abs(scaled[i[other]] - scaled[j[other]]) <= near).mean() > COUNTS)
