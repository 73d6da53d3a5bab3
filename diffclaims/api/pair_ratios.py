"""Ratios of times of all pairs of many classes, by seed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.api.effects import levels_of, log_times
from diffclaims.errors import InvalidInput, NotMeasured
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.names import by_name
from diffclaims.problem.validate import numbers
from diffclaims.times.definitions import Milestone

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """``ln(tau_first/tau_second)`` of pairs of classes, by seed.

    Attributes
    ----------
    classes : tuple of str
    first, second : ndarray of int, shape (n_pairs,)
        Positions in `classes`.
    ratios : ndarray, shape (n_pairs, n_seeds)
        Infinite where only one of the two was reached, NaN where neither was.
    asked : tuple of (str, int, int)
        For each pair the name of its experiment, and the positions of its classes there.
    seeds : tuple of int
    """

    classes: tuple[str, ...]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    ratios: Floats
    asked: tuple[tuple[str, int, int], ...]
    seeds: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        experiments: Mapping[str, Experiment],
        data: Mapping[str, xr.Dataset],
        milestone: Milestone,
        level: float | str | None = None,
    ) -> Pairs:
        """Read them off learning curves.

        Parameters
        ----------
        experiments : mapping of str to Experiment
            One of all classes, or one of each pair.
        data : mapping of str to Dataset
            Their learning curves, kind "curves", with seeds.
        milestone : {"gen", "best", "mem"}
        level : float or str, optional
            As in `effects.log_time`; the middle one of the curves by default, or their main definition.

        Raises
        ------
        NotMeasured
            When the experiments have no seed in common, or have none.
        """
        missing = sorted(experiments.keys() - data.keys())
        if missing or not experiments:
            raise InvalidInput.of(
                "data",
                list(data),
                f"hold the learning curves of every experiment, and of one at least ({missing} are missing)",
                "measure them, or leave the experiments out",
            )
        asked, rows, names = [], [], []
        curves = {k: by_name(data[k], e.mixture.classes) for k, e in experiments.items()}
        seeds = _common_seeds(curves)
        for name, e in experiments.items():
            one = _of_seeds(curves[name], seeds)
            levels = levels_of(one, milestone)
            chosen = levels[len(levels) // 2] if level is None else level
            # The upper limit: +inf where the run ended before.
            (found,) = log_times(one, {milestone: (chosen,)}, range(e.mixture.n_classes))[milestone]
            times = [time.high for time in found]
            words = [str(c) for c in e.mixture.classes]
            for i, j in itertools.combinations(range(len(words)), 2):
                asked.append((name, i, j))
                names.append((words[i], words[j]))
                with np.errstate(invalid="ignore"):
                    rows.append(times[i] - times[j])
        classes = tuple(dict.fromkeys(itertools.chain.from_iterable(names)))
        first, second = (np.array([classes.index(pair[side]) for pair in names]) for side in (0, 1))
        return cls(classes, first, second, np.array(rows), tuple(asked), tuple(seeds))

    def contrast(
        self, experiments: Mapping[str, Experiment], of_classes: Callable[[GaussianMixture], ArrayLike]
    ) -> Floats:
        """Return how much more of a quantity the first class of each pair has than the second.

        Parameters
        ----------
        experiments : mapping of str to Experiment
            As in `of`.
        of_classes : callable ``(mixture) -> array, shape (K,)``

        Returns
        -------
        ndarray, shape (n_pairs,)
        """
        known = {k: numbers("of_classes(mixture)", of_classes(e.mixture)) for k, e in experiments.items()}
        for k, e in experiments.items():
            if known[k].shape != (e.mixture.n_classes,):
                limit = f"hold one number for each of the {e.mixture.n_classes} classes"
                raise InvalidInput.of("of_classes(mixture)", known[k], limit, "return an array of shape (K,)")
        return np.array([known[name][i] - known[name][j] for name, i, j in self.asked])

    @property
    def values(self) -> Floats:
        """The mean over seeds of each pair, see `mean_over_seeds`."""
        values: Floats = mean_over_seeds(self.ratios, np.ones((1, self.ratios.shape[1])))[0]
        return values

    @property
    def n_without_order(self) -> int:
        """How many pairs have none: a seed reached neither class, or seeds contradict each other by infinities."""
        with np.errstate(invalid="ignore"):
            return int(np.isnan(self.ratios.mean(axis=1)).sum())


def _of_seeds(curves: xr.Dataset, seeds: list[int]) -> xr.Dataset:
    """Curves of these seeds; as they are, without a copy, where these are their seeds."""
    return curves if curves.variables["seed"].values.tolist() == seeds else curves.sel(seed=seeds)


def _common_seeds(curves: Mapping[str, xr.Dataset]) -> list[int]:
    if any("seed" not in one.dims for one in curves.values()):
        raise NotMeasured("orders of many classes are judged by seeds, and these curves have none")
    sets = [set(map(int, one["seed"].values)) for one in curves.values()]
    common = sorted(set.intersection(*sets))
    if not common:
        raise NotMeasured(f"the {len(sets)} experiments that are compared have no seed in common")
    return common


def mean_over_seeds(ratios: Floats, counts: Floats) -> Floats:
    """Return the mean over seeds of ``ln(tau_first/tau_second)`` in each draw.

    Parameters
    ----------
    ratios : ndarray, shape (n_pairs, n_seeds)
    counts : ndarray, shape (n, n_seeds)
        How often each seed counts in each draw.

    Returns
    -------
    ndarray, shape (n, n_pairs)
        Infinite where a seed reached only one class; 0, no order, where a seed reached neither, or
        seeds contradict each other by infinities.
    """
    weights = counts / counts.sum(axis=1, keepdims=True)
    mean: Floats = weights @ np.where(np.isfinite(ratios), ratios, 0.0).T
    up, down, unknown = (
        weights @ kind.T > 0 for kind in (ratios == np.inf, ratios == -np.inf, np.isnan(ratios))
    )
    mean[up], mean[down] = np.inf, -np.inf
    mean[(up & down) | unknown] = 0.0
    return mean
