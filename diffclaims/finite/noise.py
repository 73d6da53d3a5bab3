"""Normal numbers of U-turns, drawn so that averages over points scatter less.

Whether a point returns is decided along the line on which the centroids lie farthest apart: by where it starts there,
and by the noise of each backward step there. Along this line the numbers come from scrambled Sobol sequences
(Owen, SIAM J. Numer. Anal. 34, 1884 (1997)), one dimension for the start and one for each step; in all other
directions they are independent. The numbers are turned so that the first dimension is the one that decides
(`diffclaims.finite.decisive`), as in the linear transformations of Imai and Tan (J. Comput. Finance 10, 129 (2006)).
Each point has the law of independent numbers, so that no mean moves.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from diffclaims.finite.decisive import direction, growth, turned
from diffclaims.finite.draw import Population

Floats = NDArray[np.float64]

#: Sobol numbers are multiples of 2^-30; in the middle of each there is no infinite normal.
_HALF_BIT = 2.0**-31


class Noise:
    """Starts and backward steps of points that start together.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where everything comes from.
    population : Population
        Whose classes start.
    n_points : int
        Points of each class in a cohort.
    mirrored : bool
        Give every second class the numbers of the class before it with the opposite sign.
    sobol : bool
        Use Sobol sequences along the line between centroids.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        population: Population,
        n_points: int,
        *,
        mirrored: bool = False,
        sobol: bool = False,
    ) -> None:
        self.rng, self.n_points, self.mirrored = rng, n_points, mirrored
        self.population = population
        self.k, self.d = population.centroids.shape
        self.sets = (self.k + 1) // 2 if mirrored else self.k
        _, lengths, axes = np.linalg.svd(population.centroids - population.centroids.mean(axis=0))
        self.axis = axes[0] if sobol and lengths[0] > 1e-9 else None
        self._along: Iterator[Floats] = iter(())

    def start(self, grid: Floats, clean: Floats, added: float) -> Floats:
        """How far the starts of a cohort lie from the noised centroids, shape (n_points, K, d).

        Parameters
        ----------
        grid : ndarray, shape (S + 1,)
            Decreasing diffusion times, from where the cohort starts to where it ends.
        clean : ndarray, shape (K, d)
            Standard deviation of the scaled data.
        added : float
            That of the noise.
        """
        n = self.n_points
        if self.axis is None:
            apart = [self.rng.standard_normal((n, self.d)) for _ in range(0 if self.mirrored else self.k)]
            data = np.stack(apart, axis=1) if apart else self._full(None)
            return np.asarray(clean * data + added * self._full(None))
        # Data and noise are one normal number.
        spread = np.hypot(clean, added)
        weights = direction(float((spread @ self.axis**2).mean()), *growth(self.population, self.axis, grid))
        bits = int(n - 1).bit_length()
        sequences = [qmc.Sobol(len(grid), seed=self.rng).random_base2(bits)[:n] for _ in range(self.sets)]
        normal = turned(ndtri(np.stack(sequences) + _HALF_BIT), weights)
        self._along = iter(normal.transpose(2, 1, 0))
        return np.asarray(spread * self._full(next(self._along)))

    def step(self) -> Floats:
        """Numbers (n_points, K, d) of the next step of the cohort that started last."""
        return self._full(None if self.axis is None else next(self._along))

    def _full(self, along: Floats | None) -> Floats:
        z = self.rng.standard_normal((self.n_points, self.sets, self.d))
        if along is not None:
            assert self.axis is not None
            z += (along - z @ self.axis)[:, :, None] * self.axis
        if not self.mirrored:
            return z
        return np.asarray(np.stack([z, -z], axis=2).reshape(self.n_points, -1, self.d)[:, : self.k])
