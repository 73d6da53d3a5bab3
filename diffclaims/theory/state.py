"""What follows from the unknowns at many points; matrices of it only where somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]


class ByMatrix(NamedTuple):
    """``(I + Sigma~_j Y)^-1``, ``Psi_j`` and ``Om_j``, each of shape (N, J, K, K)."""

    left: Complex
    psi: Complex
    om: Complex


class ByVector(NamedTuple):
    """Where Y = y v v^T: ``v^T Sigma~_j v`` and ``1/(1 + y v^T Sigma~_j v)``, each of shape (N, J)."""

    total: Complex
    gain: Complex


@dataclass(frozen=True)
class State:
    """Everything that follows from the unknowns at N points.

    Attributes
    ----------
    z : (N,)
    y : (N, r)
    delta, inverse : (N, K)
        delta and ``1/(1 + delta)``.
    sigma : (N, J, K)
        Diagonal of Sigma~_j.
    q : (N, T)
        Diagonal of the resolvent by neuron type.
    form : ByMatrix or ByVector
        What the matrices are made from.
    vector : (K,), optional
        v, where Y is a number times v v^T.
    """

    z: Complex
    y: Complex
    delta: Complex
    inverse: Complex
    sigma: Complex
    q: Complex
    form: ByMatrix | ByVector
    vector: Floats | None = None

    @cached_property
    def diagonal(self) -> Complex:
        """Diagonals of Om_j, shape (N, J, K)."""
        if isinstance(self.form, ByMatrix):
            return np.asarray(np.einsum("njkk->njk", self.form.om))
        assert self.vector is not None
        return np.asarray((self.y * self.form.gain)[..., None] * (self.vector * self.vector))

    @cached_property
    def matrices(self) -> ByMatrix:
        """The matrices, however they are made."""
        if isinstance(self.form, ByMatrix):
            return self.form
        v = self.vector
        assert v is not None
        om = (self.y * self.form.gain)[..., None, None] * (v[:, None] * v)
        left = np.eye(v.size) - self.sigma[..., None] * om
        return ByMatrix(left, left * self.sigma[..., None, :], om)

    def take(self, index: NDArray[np.intp]) -> State:
        """Return the state at some of the points."""
        return self._each(lambda array: array[index])

    def with_conjugate(self) -> State:
        """Return the state at these points followed by the conjugate ones."""
        return self._each(lambda array: np.concatenate([array, np.conj(array)]))

    def put(self, index: NDArray[np.intp], other: State) -> State:
        """Return the state with some of the points replaced."""
        new = iter([*other._arrays, *other.form])

        def replaced(array: Complex) -> Complex:
            array = array.copy()
            array[index] = next(new)
            return array

        return self._each(replaced)

    @property
    def _arrays(self) -> tuple[Complex, ...]:
        return self.z, self.y, self.delta, self.inverse, self.sigma, self.q

    def _each(self, change: Callable[[Complex], Complex]) -> State:
        z, y, delta, inverse, sigma, q = (change(array) for array in self._arrays)
        form = type(self.form)(*(change(array) for array in self.form))
        return State(z, y, delta, inverse, sigma, q, form, self.vector)
