"""Losses at one resolution: of one problem, or of several that are solved together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffclaims.theory.kernels import loss_kernels
from diffclaims.theory.off_axis import solve_off_axis
from diffclaims.theory.outcome import Diagnosis
from diffclaims.theory.poles import Poles, poles
from diffclaims.theory.resolvent import Equations
from diffclaims.theory.stack import Stack

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]


class Losses(NamedTuple):
    """Losses of each class at each training time, shapes (K, n_times), and the solution behind them."""

    test: Floats
    train: Floats
    diagnosis: Diagnosis
    at: Poles
    #: y and delta at the poles, shape (N, r + K)
    unknowns: Complex


class Problem(NamedTuple):
    """What is asked for at one resolution.

    Attributes
    ----------
    equations : Equations
    training_times : ndarray, shape (n_times,)
    filter_error : float
        Error of the training filters, about: they decide how many poles there are.
    tolerance : float
        Relative residual of the resolvent.
    compression : float
        Relative error allowed in the dependence of the resolvent on the neuron type.
    coarser : Losses, optional
        Of the same mixture and model at another resolution, from which the solver starts.
    """

    equations: Equations
    training_times: Floats
    filter_error: float
    tolerance: float = 1e-11
    compression: float = 1e-11
    coarser: Losses | None = None

    @property
    def guessed(self) -> bool:
        """Whether the solver has something to start from."""
        width = self.equations.rank + self.equations.mixture.n_classes
        return self.coarser is not None and self.coarser.unknowns.shape[1] == width


def losses(problems: Sequence[Problem]) -> list[Losses]:
    """Return the losses of one problem, or of several of one `kind` with as many training times each.

    Several have as many poles each as the one of them that needs the most; numbers differ by less than what the
    filters and the compression are allowed.
    """
    several = len(problems) > 1
    members = [one.equations for one in problems]
    models = [one.model for one in members]

    def per_problem(values: Sequence[float] | Sequence[Floats]) -> Floats:
        return np.array(values) if several else np.asarray(values[0])

    rate_times = per_problem([m.kappa * p.training_times for m, p in zip(models, problems, strict=True)])
    high = per_problem([one.highest() for one in members])
    at = poles(
        per_problem([one.lowest() for one in members]),
        high,
        np.maximum(rate_times.max(axis=-1), 1.0 / high),
        per_problem([one.filter_error for one in problems]),
    )
    equations = Stack(members, at.z.shape[-1]) if several else members[0]
    own_poles = [at.of(i) for i in range(len(problems))] if several else [at]
    state, diagnosis = solve_off_axis(
        equations,
        at.z.ravel(),
        tolerance=min(one.tolerance for one in problems),
        guess=_guess(problems, own_poles),
    )
    if several and not diagnosis.ok:
        return [found for one in problems for found in losses([one])]
    own, fractions = equations.parameters, equations.mixture.fractions
    f = at.weights(rate_times)  # (..., n_times, N)
    # lin_l = f applied to sum_j omega_j (pi^T Om_j e_l)
    om = state.om.reshape(*at.z.shape, *state.om.shape[1:])
    linear = np.einsum("j,...k,...njkl->...nl", fractions, own.weights, om)
    lin = 2 * np.swapaxes((f @ linear).real, -1, -2)
    # Conjugate symmetry: of the four quadrants of pairs, two real parts are enough.
    kernels = loss_kernels(equations, state, tolerance=min(one.compression for one in problems))
    both = np.concatenate([f, np.conj(f)], axis=-1)
    noise = own.noise[..., None, None]
    quadratic = [
        2 * np.stack([((f @ one) * both).sum(axis=-1).real for one in kernel], axis=-2)
        for kernel in (kernels.test, kernels.train)
    ]
    test, train = (1 + noise * (part - 2 * lin) for part in quadratic)
    unknowns = np.concatenate([state.y, state.delta], axis=1)
    if not several:
        return [Losses(test, train, diagnosis, at, unknowns)]
    parts = np.split(unknowns, len(problems))
    return [Losses(test[i], train[i], diagnosis, at.of(i), part) for i, part in enumerate(parts)]


def _guess(problems: Sequence[Problem], at: Sequence[Poles]) -> tuple[Complex, Complex] | None:
    """Unknowns at the poles of all problems, from those that are known at others."""
    if not all(one.guessed for one in problems):
        return None
    known = [
        one.coarser.at.carry(one.coarser.unknowns, to)
        for one, to in zip(problems, at, strict=True)
        if one.coarser is not None
    ]
    y, delta = np.split(np.concatenate(known), [problems[0].equations.rank], axis=1)
    return y, delta
