"""Ways to be wrong, and the subject that is wrong in one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.api.answers import ACCURACY_LIMIT
from diffclaims.api.subject import Subject
from diffclaims.errors import InvalidInput
from diffclaims.problem.experiment import Experiment
from diffclaims.subjects import wrapper
from diffclaims.subjects.contract import PROBE
from diffclaims.subjects.wrapper import Kind, Wrapper

Ask = Callable[[Experiment], Experiment]
#: ``(answer, experiment, ask) -> answer``; ``ask(experiment)`` is the subject's answer to another experiment.
Answer = Callable[[xr.Dataset, Experiment, Callable[[Experiment], xr.Dataset]], xr.Dataset]

#: Training size that a subject is stuck at which ignores the one it is asked for.
_STUCK_PSI_N = 4.0


def _same(experiment: Experiment) -> Experiment:
    return experiment


def _truthful(
    answer: xr.Dataset, experiment: Experiment, ask: Callable[[Experiment], xr.Dataset]
) -> xr.Dataset:
    return answer


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One way to be wrong.

    Parameters
    ----------
    says : str
        What the mutant does.
    kinds : frozenset of str
        Which kinds of answers are spoiled: "curves", "speciation", "spectrum". The others are the subject's.
    question : callable ``(experiment) -> experiment``
        What the subject is asked instead.
    answer : callable ``(answer, experiment, ask) -> answer``
        What is answered instead.
    invalid : bool
        Whether it breaks the contract, so that the contract check must stop it.
    of : str
        Whose answers can be wrong so: "exact" or "stochastic" subjects, or "any".
    """

    says: str
    kinds: frozenset[str] = frozenset({"curves", "speciation", "spectrum"})
    question: Ask = _same
    answer: Answer = _truthful
    invalid: bool = False
    of: Literal["any", "exact", "stochastic"] = "any"

    def applies(self, subject: Subject) -> bool:
        """Whether the answers of a subject can be wrong in this way."""
        return self.of == "any" or bool(getattr(subject.tags, self.of))


class Mutant(Wrapper):
    """A subject that is wrong in one way.

    Parameters
    ----------
    subject : Subject
        Whose answers are spoiled.
    name : str
        A key of `MUTATIONS`, or the name of a mutation that is given.
    mutation : Mutation, optional
        One that is not listed.
    """

    def __init__(self, subject: Subject, name: str, mutation: Mutation | None = None) -> None:
        self.mutation = known_mutant(name) if mutation is None else mutation
        super().__init__(subject, name=f"{subject.name}-{name}")

    def answer(
        self, kind: Kind, experiment: Experiment, ask: wrapper.Ask, times: ArrayLike = ()
    ) -> xr.Dataset:
        """As the subject's, spoiled."""
        if kind not in self.mutation.kinds:
            return ask(experiment)
        return self.mutation.answer(ask(self.mutation.question(experiment)), experiment, ask)


# What the subject is asked instead.


def spoiled_mixture(experiment: Experiment, **changes: object) -> Experiment:
    """Return an experiment with some of its mixture's weights, variances or centroids changed."""
    return experiment.replace(mixture=experiment.mixture.replace(**changes))


def _variances_exchanged(experiment: Experiment) -> Experiment:
    return spoiled_mixture(experiment, variances=experiment.mixture.variances[::-1])


def _centroids_exchanged(experiment: Experiment) -> Experiment:
    return spoiled_mixture(experiment, centroid_gram=experiment.mixture.centroid_gram[::-1, ::-1])


def _no_centroids(experiment: Experiment) -> Experiment:
    return spoiled_mixture(experiment, centroid_gram=None)


def _balanced(experiment: Experiment) -> Experiment:
    k = experiment.mixture.n_classes
    return spoiled_mixture(experiment, weights=np.full(k, 1 / k))


def _stuck_size(experiment: Experiment) -> Experiment:
    return experiment.replace(psi_n=_STUCK_PSI_N)


# What is answered instead. Class k of a reversed answer is class K - 1 - k of the true one; the labels stay.


def _reversed(dataset: xr.Dataset, names: Sequence[str] | None = None) -> xr.Dataset:
    out = dataset.copy(deep=True)
    for name in dataset.data_vars if names is None else names:
        for dim in ("class", "to_class"):
            if name in out and dim in out[name].dims:
                axis = out[name].get_axis_num(dim)
                out[name].values = np.flip(out[name].values, axis=axis)
    return out


def _labels_swapped(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    return _reversed(answer)


def _times_shuffled(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    """Every class's curves in another order of their times, the same in every run."""
    out = answer.copy(deep=True)
    for dim in ("training_time", "diffusion_time"):
        if dim not in answer.dims:
            continue
        # The first time stays: losses start at 1, or the contract check would stop it.
        n = answer.sizes[dim]
        labels = range(answer.sizes["class"])
        orders = [
            np.concatenate([[0], 1 + np.random.default_rng([int(experiment.key, 16), k]).permutation(n - 1)])
            for k in labels
        ]
        for name in answer.data_vars:
            if dim in answer[name].dims and "class" in answer[name].dims:
                parts = [
                    answer[name].isel({"class": k, dim: o}).drop_vars(dim)
                    for k, o in zip(labels, orders, strict=True)
                ]
                mixed = xr.concat(parts, dim="class").transpose(*answer[name].dims)
                out[name].values = mixed.values
    return out


def _floor_zero(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    return answer.assign(bayes_loss=xr.zeros_like(answer.bayes_loss))


def _floors_exchanged(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    return _reversed(answer, ["bayes_loss"])


def _constant(
    answer: xr.Dataset, experiment: Experiment, ask: Callable[[Experiment], xr.Dataset]
) -> xr.Dataset:
    """Whatever is asked: class 0 of the contract's probe, for every class."""
    fixed = ask(PROBE)
    k = answer.sizes["class"]
    out = xr.Dataset(attrs=fixed.attrs)
    for name, array in fixed.data_vars.items():
        one = array
        for dim in ("class", "to_class"):
            if dim in array.dims:
                one = one.isel({dim: 0}, drop=True).expand_dims({dim: k})
        out[name] = one.transpose(*array.dims).variable
        out[name].attrs = array.attrs
    own = {n: c for n, c in answer.coords.items() if set(c.dims) <= {"class", "to_class"}}
    rest = {n: c for n, c in fixed.coords.items() if not {"class", "to_class"} & set(c.dims) and n not in own}
    return out.assign_coords({**own, **rest})


def _no_memorization(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    return answer.assign(train_loss=answer.test_loss.copy().assign_attrs(answer.train_loss.attrs))


def _beyond_chance(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    """The normalised return probability where the raw one is asked for."""
    out = answer.copy(deep=True)
    weights = xr.DataArray(experiment.mixture.weights, dims="class")
    for name in ("return_probability", "commitment"):
        value = ((answer[name] - weights) / (1 - weights)).clip(0.0, 1.0)
        out[name].values = value.transpose(*answer[name].dims).values
    return out


_ENERGIES = ("population_energy", "training_energy", "bulk_population_energy", "bulk_training_energy")
_BY_CLASS = (*_ENERGIES, "bulk_training_log")


def _energies_exchanged(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    return _reversed(answer, _BY_CLASS)


def _energies_pooled(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    out = answer.copy(deep=True)
    for name in _BY_CLASS:
        if name in out:
            mean = answer[name].mean("class").broadcast_like(answer[name]).transpose(*answer[name].dims)
            out[name].values = mean.values
    return out


def _nan(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    out = answer.copy(deep=True)
    for name in out.data_vars:
        if out[name].dtype.kind == "f" and out[name].ndim:
            out[name].values.flat[-1] = np.nan
    return out


def _nan_later(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    """NaN where the contract check does not look."""
    return answer if experiment == PROBE else _nan(answer, experiment, ask)


def _wrong_dims(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    return answer.rename({"class": "dim_0"})


def _percent(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    out = answer.copy(deep=True)
    for name in ("test_loss", "train_loss", "bayes_loss", "return_probability", "commitment"):
        if name in out:
            out[name].values *= 100
    return out


# Seeds that are none, and an accuracy that leaves nothing to fail.


def _seeds(answer: xr.Dataset, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> xr.Dataset:
    """Change every variable by seed; `change` takes and returns values with the seeds in front."""
    out = answer.copy(deep=True)
    for name in answer.data_vars:
        if "seed" in answer[name].dims:
            axis = answer[name].get_axis_num("seed")
            values = change(np.moveaxis(answer[name].values, axis, 0).copy())
            out[name].values = np.moveaxis(values, 0, axis)
    return out


def _copied(last: int, rounding: float = 0.0) -> Answer:
    """The `last` seeds, or all for 0, are the first one, but for rounding."""

    def change(values: NDArray[np.float64]) -> NDArray[np.float64]:
        values[-last:] = values[0] * (1 + rounding)
        return values

    return lambda answer, experiment, ask: _seeds(answer, change)


def _jittered(size: float) -> Answer:
    """Every second seed is the one before, with an affine change of this size relative to the spread."""

    def change(values: NDArray[np.float64]) -> NDArray[np.float64]:
        rng = np.random.default_rng(0)
        mean, spread = values.mean(axis=0), float(values.std(axis=0).max())
        for k in range(1, len(values), 2):
            a, b = rng.uniform(0.5, 1.0, 2) * size
            values[k] = mean + (1 + a) * (values[k - 1] - mean) + b * spread
        return values

    return lambda answer, experiment, ask: _seeds(answer, change)


def _paired(share: float) -> Answer:
    """Every second seed differs from the one before by this share of what it does in truth."""

    def change(values: NDArray[np.float64]) -> NDArray[np.float64]:
        even = len(values) // 2 * 2
        values[1:even:2] = values[0:even:2] + share * (values[1:even:2] - values[0:even:2])
        return values

    return lambda answer, experiment, ask: _seeds(answer, change)


def _same_label(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
    return answer.assign_coords(seed=[answer["seed"].values[0], *answer["seed"].values[:-1]])


def _overstated(factor: float) -> Answer:
    """The largest accuracy that may be stated, times a factor."""

    def change(answer: xr.Dataset, experiment: Experiment, ask: object) -> xr.Dataset:
        return answer.assign_attrs(accuracy=factor * ACCURACY_LIMIT[str(answer.attrs["schema"])])

    return change


def _none(says: str, answer: Answer, of: Literal["exact", "stochastic"] = "stochastic") -> Mutation:
    return Mutation(says=says, answer=answer, invalid=True, of=of)


_CURVES = frozenset({"curves"})
_SPECIATION = frozenset({"speciation"})
_SPECTRUM = frozenset({"spectrum"})

MUTATIONS: dict[str, Mutation] = {
    "labels-swapped": Mutation(says="the classes' answers under each other's labels", answer=_labels_swapped),
    "times-shuffled": Mutation(
        says="each class's curves in a random order of their times, the first excepted",
        answer=_times_shuffled,
    ),
    "variances-reversed": Mutation(
        says="answers as if the classes had each other's variances", question=_variances_exchanged
    ),
    "imbalance-ignored": Mutation(says="a balanced answer to an imbalanced question", question=_balanced),
    "speciation-unweighted": Mutation(
        says="speciation ignores the weights, learning does not", kinds=_SPECIATION, question=_balanced
    ),
    "chance-subtracted": Mutation(
        says="the normalised return probability in place of the raw one",
        kinds=_SPECIATION,
        answer=_beyond_chance,
    ),
    "centroids-ignored": Mutation(says="answers as if all centroids were zero", question=_no_centroids),
    "centroids-exchanged": Mutation(
        says="answers as if the classes had each other's centroids", question=_centroids_exchanged
    ),
    "size-ignored": Mutation(
        says=f"answers for psi_n = {_STUCK_PSI_N:g} whatever the training size", question=_stuck_size
    ),
    "floor-zero": Mutation(says="a loss floor of zero", kinds=_CURVES, answer=_floor_zero),
    "floors-exchanged": Mutation(
        says="the classes' loss floors under each other's labels", kinds=_CURVES, answer=_floors_exchanged
    ),
    "no-memorization": Mutation(
        says="the test loss in place of the training loss", kinds=_CURVES, answer=_no_memorization
    ),
    "constant": Mutation(says="one answer to everything, the same for every class", answer=_constant),
    "energies-exchanged": Mutation(
        says="the classes' energies in the spectrum under each other's labels",
        kinds=_SPECTRUM,
        answer=_energies_exchanged,
    ),
    "energies-pooled": Mutation(
        says="the mean energy of the classes for each of them", kinds=_SPECTRUM, answer=_energies_pooled
    ),
    "nan": Mutation(says="the last value of everything is NaN", answer=_nan, invalid=True),
    "nan-later": Mutation(
        says="the same, except in what the contract check asks", answer=_nan_later, invalid=True
    ),
    "wrong-dims": Mutation(says="the dimension class has no name", answer=_wrong_dims, invalid=True),
    "percent": Mutation(says="losses and probabilities in percent", answer=_percent, invalid=True),
    "seeds-copied": _none("all seeds but the first are copies of it", _copied(0)),
    "seeds-copied-once": _none("the last seed is a copy of the first", _copied(1)),
    "seeds-copied-rounded": _none("the last seed is the first one, rounded", _copied(1, 1e-13)),
    "seeds-same-label": _none("two seeds have one label", _same_label),
    "seeds-jittered": _none("every second seed is a copy, jittered by 1e-6 of the spread", _jittered(1e-6)),
    "seeds-jittered-more": _none("the same by 1e-4 of the spread", _jittered(1e-4)),
    "seeds-jittered-most": _none("the same by 1.5e-3 of the spread", _jittered(1.5e-3)),
    "seeds-in-pairs": _none("pairs of seeds differ by 1e-4 of what they should", _paired(1e-4)),
    "seeds-in-wider-pairs": _none("the same by 1e-3", _paired(1e-3)),
    "seeds-in-widest-pairs": _none("the same by 1.5e-3", _paired(1.5e-3)),
    "accuracy-overstated": _none("an accuracy 100 times the limit", _overstated(100), "exact"),
    "accuracy-overstated-less": _none("an accuracy twice the limit", _overstated(2), "exact"),
    "accuracy-overstated-least": _none("an accuracy 1 % above the limit", _overstated(1.01), "exact"),
}


def known_mutant(name: str) -> Mutation:
    """Return a mutation by name.

    Raises
    ------
    InvalidInput
        For a name that is none.
    """
    if name not in MUTATIONS:
        raise InvalidInput.of("mutant", name, f"be one of {', '.join(MUTATIONS)}", "choose one of them")
    return MUTATIONS[name]
