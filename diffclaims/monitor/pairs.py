"""Pairs of sample and noise that a training is measured on again and again, and what answers lose on them.

One way to measure losses, for a user's network, for our U-Nets, and for answers that take no network. Which samples,
and how noise is drawn, whoever measures says: recordings of before depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclaims.extras import need
from diffclaims.monitor.sampling import Function, relative_errors

Floats = NDArray[np.float64]
#: ``(noisy rows (n, d), sigma) -> x0 (n, d)``, without a network.
Answer = Callable[[Floats, float], Floats]

#: Losses in units of the noise are kept above this, which is rounding in single precision, before logarithms.
FLOOR = 1e-6


def n_draws(n: int, wanted: int, most: int | None = None) -> int:
    """Return how many draws of noise each of n samples needs for about `wanted` pairs, `most` at the most.

    So a class of few samples is measured about as precisely as a large one.
    """
    draws = max(1, round(wanted / max(1, n)))
    return draws if most is None else min(most, draws)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Samples of one class and split with their noise, the same at every measurement.

    Parameters
    ----------
    x : ndarray, shape (n, ...)
    levels : ndarray, shape (L,)
    noise : float32 ndarray, shape (L, n * draws, ...)
        Standard normal; draws of a sample stand next to each other.
    """

    x: NDArray[np.floating]
    levels: Floats
    noise: NDArray[np.float32]

    @property
    def draws(self) -> int:
        """Of noise, for each sample and level."""
        return int(self.noise.shape[1] // len(self.x))

    @property
    def size(self) -> int:
        """Pairs, over all levels."""
        return int(self.noise.shape[0] * self.noise.shape[1])

    def by_sample(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return one value a pair as shape (L, n, draws)."""
        return values.reshape(len(self.levels), len(self.x), self.draws)

    def errors(self, answer: Answer, dtype: type[np.floating] = np.float64) -> Floats:
        """Return squared errors per coordinate, shape (L, n, draws).

        Parameters
        ----------
        answer : callable
        dtype : type
            In which samples are noised.
        """
        x = np.repeat(self.x.reshape(len(self.x), -1).astype(dtype), self.draws, axis=0)
        rows = [
            np.square(answer((x + dtype(s) * e.reshape(x.shape)).astype(np.float64), float(s)) - x).mean(
                axis=1
            )
            for s, e in zip(self.levels, self.noise, strict=True)
        ]
        return self.by_sample(np.stack(rows))

    def lowest(self, answers: Sequence[Answer]) -> Floats:
        """Return the losses of the answer that is best at each level, by its mean over samples, shape (L, n)."""
        losses = np.stack([self.errors(answer).mean(axis=2) for answer in answers])
        best = losses.mean(axis=2).argmin(axis=0)
        return np.asarray(losses[best, np.arange(len(self.levels))])

    def log(self, answer: Answer) -> Floats:
        """Return `log_mean` of an answer, shape (L, n)."""
        return log_mean(in_noise(self.errors(answer), self.levels))


def in_noise(errors: Floats, levels: Floats) -> Floats:
    """Return errors, shape (L, ...), in units of the noise of their level."""
    return np.asarray(errors / levels.reshape(-1, *(1,) * (errors.ndim - 1)) ** 2)


def log_mean(
    losses: NDArray[Any], reference: NDArray[Any] | float = 1.0, floor: float = FLOOR
) -> NDArray[Any]:
    """Return the mean over draws of ln(loss over that of a reference on the very pair), shape (L, n).

    Parameters
    ----------
    losses : ndarray, shape (L, n, draws)
        In units of the noise.
    reference : ndarray of the same shape, or 1
    floor : float
        What losses are kept above: an answer without error has no logarithm.
    """
    return np.asarray(np.log(np.maximum(losses, floor) / reference).mean(axis=2))


class Probe:
    """Pairs on a device, on which any denoiser is measured.

    Parameters
    ----------
    pairs : sequence of Pairs
        One after the other; a batch may reach from one into the next.
    tensor : callable ``(ndarray) -> tensor``
        Brings an array to the device and type of the network.
    """

    def __init__(self, pairs: Sequence[Pairs], tensor: Callable[[NDArray[Any]], Any]) -> None:
        self._torch = torch = need("torch", "unet", "monitoring")
        self.pairs = tuple(pairs)
        self._x = torch.cat([tensor(np.repeat(p.x, p.draws, axis=0)) for p in pairs])
        self._noise = torch.cat([tensor(p.noise.reshape(p.size, *p.x.shape[1:])) for p in pairs])
        self._sigma = torch.cat([tensor(np.repeat(p.levels, p.noise.shape[1])) for p in pairs])
        first, rows = 0, []
        for p in pairs:
            n = p.noise.shape[1]
            rows.append(first + np.tile(np.arange(n), len(p.levels)))
            first += n
        self._rows = torch.from_numpy(np.concatenate(rows)).to(self._x.device)

    @property
    def n_pairs(self) -> int:
        """Evaluations of the denoiser at each measurement."""
        return len(self._rows)

    def __call__(self, function: Function, batch: int) -> list[Floats]:
        """Measure.

        Parameters
        ----------
        function : callable
            The denoiser, of noisy samples and their levels.
        batch : int
            Pairs that are asked at once.

        Returns
        -------
        list of ndarray, shape (L, n, draws)
            Squared error per coordinate in units of the noise, for each of `pairs`.
        """
        with self._torch.no_grad():
            parts = [
                relative_errors(function, self._x[rows], self._noise[own], self._sigma[own])
                for own, rows in self._batches(batch)
            ]
        flat = self._torch.cat(parts).cpu().double().numpy()
        ends = np.cumsum([p.size for p in self.pairs])[:-1]
        return [p.by_sample(own) for p, own in zip(self.pairs, np.split(flat, ends), strict=True)]

    def _batches(self, batch: int) -> list[tuple[slice, Any]]:
        starts = range(0, self.n_pairs, batch)
        return [(slice(i, i + batch), self._rows[i : i + batch]) for i in starts]
