"""What follows from the unknowns of the resolvent's equations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Complex, or real where everything is: outside the support, on the axis itself.
Numbers = NDArray[Any]


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
    left, psi, om : (N, J, K, K)
        ``(I + Sigma~_j Y)^-1``, ``Psi_j`` and ``Om_j``.
    q : (N, T)
        Diagonal of the resolvent by neuron type.
    """

    z: Numbers
    y: Numbers
    delta: Numbers
    inverse: Numbers
    sigma: Numbers
    left: Numbers
    psi: Numbers
    om: Numbers
    q: Numbers

    def take(self, index: NDArray[np.intp]) -> State:
        """Return the state at some of the points."""
        return State(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def put(self, index: NDArray[np.intp], other: State) -> State:
        """Return the state with some of the points replaced."""
        parts = []
        for name in self.__dataclass_fields__:
            array = getattr(self, name).copy()
            array[index] = getattr(other, name)
            parts.append(array)
        return State(*parts)

    def real(self) -> State:
        """Return the real parts."""
        return State(*(getattr(self, name).real for name in self.__dataclass_fields__))

    def replace(self, index: NDArray[np.intp], other: State) -> None:
        """Overwrite what is at some of the points, which stay where they are; for who made this state alone."""
        for name in self.__dataclass_fields__:
            if name != "z":
                getattr(self, name)[index] = getattr(other, name)

    def conjugate(self) -> State:
        """Return the state at the conjugate points."""
        return State(*(np.conj(getattr(self, name)) for name in self.__dataclass_fields__))

    def with_conjugate(self) -> State:
        """Return the state at these points followed by the conjugate ones."""
        parts = (getattr(self, name) for name in self.__dataclass_fields__)
        return State(*(np.concatenate([part, np.conj(part)]) for part in parts))
