"""The equations of several problems, solved together.

A problem of two classes has arrays of tens of numbers, on which numpy spends its time in calls. The same calls do
the work of many problems when these lie beside each other along a first axis: this is what a map is made of.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from diffclaims.theory.neurons import Neurons
from diffclaims.theory.parameters import Parameters
from diffclaims.theory.resolvent import Equations

Floats = NDArray[np.float64]


def kind(equations: Equations) -> tuple[object, ...] | None:
    """What problems must have in common to be solved together; None where they are large enough alone."""
    if equations.compressed or equations.strided:
        return None
    mixture = equations.mixture
    return mixture.n_classes, tuple(mixture.fractions.tolist()), equations.neurons.n_types == 1


class Stack(Equations):
    """Equations of several problems at as many points each, which follow each other.

    Parameters
    ----------
    members : sequence of Equations
        Of one `kind`. Where they have fewer neuron types than others, types of weight 0 are added.
    count : int
        Points of each.
    """

    members: tuple[Equations, ...]
    count: int

    def __init__(self, members: Sequence[Equations], count: int) -> None:
        n_types = max(one.neurons.n_types for one in members)

        def padded(x: Floats, mode: str = "edge") -> Floats:
            missing = n_types - x.shape[0]
            return np.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1), mode) if missing else x  # type: ignore[call-overload]

        neurons = Neurons(
            np.stack([padded(one.neurons.weight, "constant") for one in members]),
            *(
                np.stack([padded(getattr(one.neurons, name)) for one in members])
                for name in ("a", "c", "v2", "s2")
            ),
        )
        # One type has a basis of its own; of more all have the same.
        basis = np.stack([one.basis for one in members], axis=1) if n_types == 1 else members[0].basis
        self._keep(tuple(members), count, neurons, np.stack([padded(one.p) for one in members]), basis)

    @property
    def rank(self) -> int:
        """Number of coordinates of Y, r."""
        return self.members[0].rank

    @cached_property
    def parameters(self) -> Parameters:
        """Numbers of the problems."""
        return Parameters.stacked([one.parameters for one in self.members])

    @cached_property
    def at_points(self) -> Parameters:
        """The same for each point."""
        return self.parameters.repeated(self.count)

    def unfinished(self, bad: NDArray[np.bool_]) -> tuple[NDArray[np.intp], Equations]:
        """All points of the problems that are not solved at some of them, and the equations of these problems."""
        which = np.flatnonzero(bad.reshape(-1, self.count).any(axis=1))
        if which.size == len(self.members):
            return np.arange(bad.size), self
        index = which[:, None] * self.count + np.arange(self.count)
        return index.ravel(), self._some(which)

    def _some(self, which: NDArray[np.intp]) -> Stack:
        some = object.__new__(Stack)
        some._keep(
            tuple(self.members[i] for i in which),
            self.count,
            Neurons(*(getattr(self.neurons, field.name)[which] for field in dataclasses.fields(Neurons))),
            self.p[which],
            self.basis[:, which] if self.basis.ndim > 3 else self.basis,
        )
        return some

    def _keep(
        self, members: tuple[Equations, ...], count: int, neurons: Neurons, p: Floats, basis: Floats
    ) -> None:
        fields = {
            "members": members,
            "count": count,
            "mixture": members[0].mixture,
            "model": members[0].model,
            "neurons": neurons,
            "max_rank": None,
            "p": p,
            "basis": basis,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _by_point(self, x: Floats) -> Floats:
        return np.repeat(x, self.count, axis=0)

    @cached_property
    def _vector(self) -> Floats | None:
        if self.neurons.n_types == 1:
            return self._by_point(self.neurons.a[:, 0])
        return np.ones(1) if self.mixture.n_classes == 1 else None
