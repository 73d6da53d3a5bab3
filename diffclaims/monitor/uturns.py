"""U-turns of a denoiser: held-out samples are noised to a level and brought back, and their class is told.

The protocol is that of our U-Nets. The network is asked without a class: told one, it would return to it always.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffclaims.denoisers.denoiser import Denoiser
from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.memorization.distances import two_nearest, vectors
from diffclaims.monitor.ask import BATCH, Asked
from diffclaims.monitor.data import Data, digest
from diffclaims.monitor.noise import Floats
from diffclaims.monitor.sampling import Draw, ancestral, uturn_grid

#: ``(samples (n, ...)) -> classes (n,)``; what is no class's name counts as none.
Classifier = Callable[[NDArray[np.float32]], ArrayLike]

#: Starting points of a class, of all classes together and at least, and returns from each.
EACH, IN_ALL, LEAST, RETURNS = 32, 256, 8, 2
#: Lowest and highest level in distances between centroids: the least one, the largest one.
LOW, HIGH = 0.1, 1.5
#: Levels for each factor of ten: the same for all trainings, so that those of other seeds can be compared.
PER_DECADE = 8
#: Noise levels of the way back from the highest level.
STEPS = 24
#: Training samples of each class that ends are compared with.
COMPARED = 512
#: Told from the draws for losses, which have the same key.
_TAG = 1


def uturn_levels(distances: Floats, lowest: float, denoiser: Denoiser) -> Floats:
    """Return the levels at which U-turns begin, increasing; none for classes with one centroid.

    Parameters
    ----------
    distances : ndarray, shape (2,)
        The least and the largest between the centroids of two classes.
    lowest : float
        Lowest level of the losses, where the way back ends.
    denoiser : Denoiser
        Levels are moved to those at which one call of it is enough.
    """
    if not np.isfinite(distances).all() or distances[1] <= 0:
        return np.empty(0)
    low, high = max(LOW * distances[0], lowest), HIGH * distances[1]
    first, last = (int(np.round(PER_DECADE * np.log10(v))) for v in (low, high))
    wanted = 10.0 ** (np.arange(first, last + 1) / PER_DECADE)
    found = np.unique(denoiser.nearest(wanted))
    return np.asarray(found[found >= lowest * (1 - 1e-9)])


class Turns:
    """What is turned, and how ends are told apart.

    Parameters
    ----------
    data : Data
    classifier : callable, optional
        By default the class of the nearest training sample, among equally many of each class: a class of more
        samples is nearer to everything.
    features : callable, optional
        Where the nearest is looked for.

    Attributes
    ----------
    starts : list of ndarray
        Of each class.
    missing : str
        Why nothing can be turned; else empty.
    """

    def __init__(
        self, data: Data, classifier: Classifier | None, features: Callable[[Floats], ArrayLike] | None
    ) -> None:
        self.data, self.classifier, self.features = data, classifier, features
        k_all = len(data.classes)
        n = int(np.clip(IN_ALL // k_all, LEAST, EACH))
        held = [data.chosen.get(("held_out", k)) for k in range(k_all)]
        self.starts = [np.empty((0, *data.train.x.shape[1:])) if c is None else c.x[:n] for c in held]
        without = [str(data.classes[k]) for k, x in enumerate(self.starts) if not len(x)]
        self.missing = f"no held-out samples of {', '.join(without)}" if without else ""
        if k_all < 2:
            self.missing = "one class: there is nowhere else to end"
        if classifier is None and not self.missing:
            each = min(COMPARED, *(len(data.train.of_class(c)) for c in data.classes))
            self._near = self._vectors(np.concatenate([data.some_of(k, each) for k in range(k_all)]))
            self._of = np.repeat(np.arange(k_all), each)

    @property
    def rule(self) -> str:
        """How the class of an end is told."""
        return "the nearest training sample" if self.classifier is None else "the given classifier"

    def classes_of(self, x: NDArray[np.floating]) -> NDArray[np.int16]:
        """Return the position of the class of each sample, -1 for none."""
        if self.classifier is None:
            return np.asarray(self._of[two_nearest(self._vectors(x), self._near)[1]], dtype=np.int16)
        told = np.asarray(self.classifier(x.astype(np.float32)))
        if told.shape != (len(x),):
            limit = f"give one class for each of the {len(x)} samples"
            raise InvalidInput.of(
                "uturns", f"<answer of shape {told.shape}>", limit, "return labels, shape (n,)"
            )
        found = np.full(len(x), -1, dtype=np.int16)
        for k, name in enumerate(self.data.classes):
            found[told == name] = k
        return found

    def accuracy(self) -> list[float]:
        """Return the share of the starting points of each class that are told as what they are."""
        found = [self.classes_of(x) for x in self.starts]
        if all((f < 0).all() for f in found):
            limit = f"name classes of the training samples, {self.data.classes}"
            raise InvalidInput.of("uturns", "<answers that name no class>", limit, "return their names")
        return [float((f == k).mean()) for k, f in enumerate(found)]

    def noise(self, level: int, steps: int, seed: int) -> NDArray[np.float32]:
        """Return standard normal noise, shape (n, 1 + RETURNS * steps, ...): to go, and to come back.

        A function of the sample, the level's number and the seed alone, so that it is the same at every measurement.
        """
        drawn = []
        for x in np.concatenate(self.starts):
            key = [seed, _TAG, level, *np.frombuffer(digest(x), dtype=np.uint32).tolist()]
            rng = np.random.default_rng(key)
            drawn.append(rng.standard_normal((1 + RETURNS * steps, *x.shape), dtype=np.float32))
        return np.stack(drawn)

    def _vectors(self, x: NDArray[np.floating]) -> Floats:
        flat = vectors("samples", x)
        return flat if self.features is None else vectors("features", np.asarray(self.features(flat)))


def measure_uturns(
    asked: Asked, turns: Turns, levels: Floats, lowest: float, seed: int
) -> tuple[dict[str, Any], NDArray[np.int16]]:
    """Turn held-out samples at each level, and tell where they end.

    Returns
    -------
    info : dict
        ``starts`` by class, ``accuracy`` of the classifier on them, ``rule``; or ``missing``, why there are none.
    ends : ndarray, shape (L, n, RETURNS)
        Position of the class, class after class, -1 for none; empty where nothing can be turned.
    """
    nothing = np.empty((0, 0, RETURNS), dtype=np.int16)
    missing = (
        turns.missing
        or ("" if len(levels) else "the classes have one centroid")
        or _refusal(asked, turns, levels)
    )
    if missing:
        return {"missing": missing}, nothing
    info = {"starts": [len(x) for x in turns.starts], "accuracy": turns.accuracy(), "rule": turns.rule}
    x, ask, torch = np.concatenate(turns.starts), asked.function(None), asked.torch
    ends = []
    for i, level in enumerate(levels):
        grid = uturn_grid(float(level), float(levels[-1]), lowest, STEPS)
        grid = np.unique(asked.denoiser.nearest(grid))[::-1]
        drawn = turns.noise(i, len(grid) - 1, seed)
        start = np.repeat(x + level * drawn[:, 0], RETURNS, axis=0)
        back = drawn[:, 1:].reshape(len(start), len(grid) - 1, *x.shape[1:])
        out = []
        for rows in np.split(np.arange(len(start)), np.arange(BATCH, len(start), BATCH)):
            y = ancestral(ask, asked.tensor(start[rows]), grid, _given(asked, back[rows]))
            out.append(y.float().cpu())
        found = turns.classes_of(torch.cat(out).numpy())
        ends.append(found.reshape(len(x), RETURNS))
    return info, np.stack(ends)


def _given(asked: Asked, noise: NDArray[np.float32]) -> Draw:
    """Give noise of shape (n, steps, ...) step by step."""
    steps = iter(np.moveaxis(noise, 1, 0))
    return lambda _: asked.tensor(next(steps))


def _refusal(asked: Asked, turns: Turns, levels: Floats) -> str:
    """Say why a network cannot be asked without a class, or nothing."""
    x = asked.tensor(turns.starts[0][:2])
    try:
        asked.function(None)(x, x.new_full((len(x),), float(levels[-1])))
    except DiffclaimsError:
        raise
    except Exception as error:
        if not asked.denoiser.network.takes_labels:
            raise
        return f"the network cannot be asked without a class ({type(error).__name__}: {error})"
    return ""
