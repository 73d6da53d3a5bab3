"""Copies of training samples among generated ones, by four published measures and per class.

No one of them is to be trusted alone. Each has a null value, what samples that nobody trained on give, and that
is not zero.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput
from diffclaims.memorization.distances import class_names, distinct, labels, two_nearest, vectors
from diffclaims.problem.arguments import Seed, checked

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

#: A sample whose nearest training sample is this many times nearer than the second nearest is a copy.
RATIO = 1 / 3
#: A sample is a copy if it is nearer to its class's training samples than this share of held-out ones.
QUANTILE = 0.05
#: Resamplings behind the interval of `c_t`.
N_RESAMPLINGS = 400

_SHARES = ("gap_ratio", "auth_pct", "copied")
_ABOUT = {
    "gap_ratio": "share of samples whose nearest training sample is less than a third as far as the second nearest",
    "auth_pct": "share of samples no nearer to their nearest training sample than that is to its own nearest one",
    "copied": "share of samples nearer to the class's training samples than 5 % of its held-out ones",
    "c_t": "z-score of distances to the class's training samples, generated against held-out: below 0 is nearer",
}


@checked
def copies(
    samples: ArrayLike,
    sample_labels: ArrayLike,
    train: ArrayLike,
    train_labels: ArrayLike,
    held_out: ArrayLike | None = None,
    held_out_labels: ArrayLike | None = None,
    *,
    features: Callable[[Floats], ArrayLike] | None = None,
    seed: Seed = 0,
) -> xr.Dataset:
    """Measure per class how many generated samples are copies of training samples.

    Parameters
    ----------
    samples, train, held_out : array_like, shape (n, ...)
        Generated, training and held-out samples, in pixels or in features. Without held-out ones two measures and
        all null values are missing.
    sample_labels, train_labels, held_out_labels : array_like, shape (n,)
        The class of each. Samples of a class without training samples are refused.
    features : callable ``(samples, shape (n, f)) -> (n, g)``, optional
        Where distances are measured; the pixels by default.
    seed : int
        Of the resamplings of `c_t`.

    Returns
    -------
    xarray.Dataset
        By ``class``: ``gap_ratio`` (Yoon et al. 2023; the nearest two of all training samples), ``auth_pct``
        (AuthPct as in Alaa et al., arXiv:2102.08921, as a share; over all training samples), ``copied`` (fixed
        radius, ours) and ``c_t`` (Meehan et al., arXiv:2004.05675, with the classes as cells), each with ``_low``,
        ``_high`` (95 %; Clopper-Pearson, `c_t` by bootstrap) and ``_null``, its value for held-out samples in place
        of generated ones; counts ``n_samples``, ``n_train``, ``n_held_out`` and ``n_repeated``, training samples
        that are the same as an earlier one and are left out of `gap_ratio` and `auth_pct`. What cannot be measured
        is NaN, and the attribute ``missing`` says why.

    Raises
    ------
    InvalidInput
        For samples of different sizes, labels that do not fit, or a class that was never trained on.
    """
    known = Known(train, train_labels, held_out, held_out_labels, features)
    return known.copies(samples, sample_labels, seed=seed)


class Known:
    """Training and held-out samples, as all measures need them, for samples that come again and again.

    Parameters are those of `copies`.
    """

    def __init__(
        self,
        train: ArrayLike,
        train_labels: ArrayLike,
        held_out: ArrayLike | None,
        held_out_labels: ArrayLike | None,
        features: Callable[[Floats], ArrayLike] | None,
    ) -> None:
        self.features = features
        self.size: int | None = None
        self.classes: list[int | str] = []
        self.train, self.train_class = self.read("train", train, train_labels)
        self.classes = class_names(self.train_class)
        self.held, self.held_class = np.empty((0, self.train.shape[1])), np.empty(0, dtype=object)
        if (held_out is None) != (held_out_labels is None):
            raise InvalidInput.of(
                "held_out, held_out_labels", "<one of them>", "be given both or neither", "give both"
            )
        if held_out is not None and held_out_labels is not None:
            self.held, self.held_class = self.read("held_out", held_out, held_out_labels)
        self.first = distinct(self.train)
        self.kept = np.unique(self.first)
        # How far each of the different training samples is from its own nearest one.
        self.spacing = two_nearest(self.train[self.kept], self.train[self.kept])[0][:, 1]

    def copies(self, samples: ArrayLike, sample_labels: ArrayLike, *, seed: int = 0) -> xr.Dataset:
        """Measure some samples, as `copies` does."""
        made, made_class = self.read("samples", samples, sample_labels)
        by_all = self.by_all(made)
        null_by_all = self.by_all(self.held) if len(self.held) else {}
        rng = np.random.default_rng(seed)
        rows, missing = [], []
        for name in self.classes:
            own = made_class == name
            held = self.held[self.held_class == name]
            row, why = _of_class(made[own], {k: v[own] for k, v in by_all.items()}, self.of(name), held, rng)
            row |= {f"{k}_null": _share(v[self.held_class == name])[0] for k, v in null_by_all.items()}
            counts = self.counts(name)
            rows.append({**row, **counts, "n_samples": int(own.sum())})
            missing += [f"{name}: {text}" for text in why]
        names = list(dict.fromkeys(key for row in rows for key in row))
        return xr.Dataset(
            {key: ("class", [row.get(key, np.nan) for row in rows], _attributes(key)) for key in names},
            {"class": self.classes},
            {"missing": "; ".join(missing), "n_features": self.train.shape[1]},
        )

    def read(self, name: str, values: ArrayLike, given: ArrayLike) -> tuple[Floats, NDArray[np.object_]]:
        """Samples as rows of features, and their classes."""
        flat = vectors(name, values, self.size)
        self.size = flat.shape[1]
        found = labels(f"{name}_labels", given, len(flat))
        unknown = set(found.tolist()) - set(self.classes) if self.classes else set()
        if unknown:
            raise InvalidInput.of(
                f"{name}_labels",
                sorted(map(str, unknown)),
                f"be among the classes of the training samples, {self.classes}",
                "leave out samples of other classes, and those that no class was told for",
            )
        if self.features is not None:
            flat = vectors(f"features of {name}", np.asarray(self.features(flat)))
            if len(flat) != len(found):
                raise InvalidInput.of(
                    f"features of {name}",
                    f"<{len(flat)} rows>",
                    f"have {len(found)} rows",
                    "keep one a sample",
                )
        return flat, found

    def of(self, name: int | str) -> Floats:
        """Training samples of a class."""
        return np.asarray(self.train[self.train_class == name])

    def counts(self, name: int | str) -> dict[str, float]:
        """How many samples of a class there are, and how many come twice."""
        own = self.train_class == name
        repeated = own & (self.first != np.arange(len(self.train)))
        return {
            "n_train": int(own.sum()),
            "n_held_out": int((self.held_class == name).sum()),
            "n_repeated": int(repeated.sum()),
        }

    def by_all(self, samples: Floats) -> dict[str, Booleans]:
        """What is counted against all different training samples; empty where there is only one."""
        if len(self.kept) < 2:
            return {}
        is_copy, nearest, distance = self.nearest(samples)
        return {"gap_ratio": is_copy, "auth_pct": distance >= self.spacing[nearest]}

    def nearest(self, samples: Floats) -> tuple[Booleans, NDArray[np.intp], Floats]:
        """Of each sample whether it is a copy by `gap_ratio`, which different training sample is nearest, how far."""
        distance, nearest = two_nearest(samples, self.train[self.kept])
        return distance[:, 0] < RATIO * distance[:, 1], nearest, distance[:, 0]


def _of_class(
    samples: Floats, by_all: dict[str, Booleans], train: Floats, held_out: Floats, rng: np.random.Generator
) -> tuple[dict[str, float], list[str]]:
    """All measures of one class, and why some of them are missing."""
    row: dict[str, float] = {}
    if not len(samples):
        return row, ["no samples were generated"]
    why = [] if by_all else ["gap_ratio and auth_pct need two different training samples"]
    if len(held_out) < 2:
        why.append(f"copied and c_t need two held-out samples or more, there are {len(held_out)}")
    else:
        mine, theirs = (two_nearest(x, train)[0][:, 0] for x in (samples, held_out))
        by_all = {**by_all, "copied": mine < np.quantile(theirs, QUANTILE)}
        # One half tells the radius, the other how many real ones lie within it.
        row["copied_null"] = float((theirs[1::2] < np.quantile(theirs[::2], QUANTILE)).mean())
        row |= _c_t(mine, theirs, rng)
    for key, is_so in by_all.items():
        row[key], row[f"{key}_low"], row[f"{key}_high"] = _share(is_so)
    return row, why


def _share(is_so: Booleans) -> tuple[float, float, float]:
    if not len(is_so):
        return np.nan, np.nan, np.nan
    from scipy.stats import binomtest  # takes as long to import as all else here

    found = binomtest(int(is_so.sum()), len(is_so))
    low, high = found.proportion_ci(0.95, method="exact")
    return float(found.statistic), float(low), float(high)


def _c_t(mine: Floats, theirs: Floats, rng: np.random.Generator) -> dict[str, float]:
    """Mann-Whitney z-score of distances: below 0 where generated samples are nearer than held-out ones."""

    def z(a: Floats, b: Floats) -> float:
        m, n, b = len(a), len(b), np.sort(b)
        # Of all pairs, those in which the held-out one is nearer; ties count half.
        u = (np.searchsorted(b, a, "left") + np.searchsorted(b, a, "right")).sum() / 2
        return float((u - m * n / 2) / np.sqrt(m * n * (m + n + 1) / 12))

    drawn = [z(rng.choice(mine, mine.size), rng.choice(theirs, theirs.size)) for _ in range(N_RESAMPLINGS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    # Of held-out samples against themselves it is 0, with a standard deviation of 1.
    return {"c_t": z(mine, theirs), "c_t_low": float(low), "c_t_high": float(high), "c_t_null": 0.0}


def _attributes(key: str) -> dict[str, str]:
    base = key.removesuffix("_low").removesuffix("_high").removesuffix("_null")
    if base not in _ABOUT:
        return {"units": "1"}
    what = {"_low": "lower 95 % limit of the ", "_high": "upper 95 % limit of the "}
    prefix = next((text for end, text in what.items() if key.endswith(end)), "")
    suffix = ", of held-out samples in place of generated ones" if key.endswith("_null") else ""
    return {"units": "1", "long_name": f"{prefix}{_ABOUT[base]}{suffix}"}
