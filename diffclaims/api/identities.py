"""Equations that every answer of the random-features model obeys, whatever the claim.

They are known without solving the model: moments of the spectrum, the slope at which each class's losses begin to
fall, detailed balance of U-turns. An answer that breaks one is not of the experiment that was asked: of other
weights, of other variances, of classes under each other's names, of another clock. It is then invalid, and nothing
is concluded from it. Identities are checked on each answer that a claim gets, of subjects of this model alone
(`Tags.model`).
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from diffclaims.api.answers import check_answer
from diffclaims.api.subject import SAME_MODEL, Subject, Tags
from diffclaims.errors import SubjectInvalid
from diffclaims.problem.experiment import Experiment
from diffclaims.theory.neurons import Neurons, neurons

Floats = NDArray[np.float64]

#: Relative error of an identity that is allowed to an exact subject, beside its stated accuracy.
EXACT = 0.01
#: The same of a subject with seeds, and what 1/d adds; beside three standard errors.
STOCHASTIC, BY_DIMENSION = 0.03, 3.0
#: Dimension that is taken where a dataset does not state its own (attribute ``n_dims``).
USUAL_DIMENSION = 100.0
#: The same of a spectrum, whose identities are sums, and of return probabilities that are known, absolute.
EXACT_SPECTRUM, EXACT_RETURN = 0.002, 0.005
#: Where a loss has fallen by so much its slope is read off, or by this many times its stated accuracy if that is
#: more; and by two more points, each fallen twice as far as the one before, it is extrapolated to 0.
FALLEN, ABOVE_ACCURACY, MOST_FALLEN = 2e-4, 200.0, 0.04
#: From this diffusion time on a U-turn must have forgotten where it came from, to the second number.
FORGOTTEN = (5.0, 0.1)


class Checked:
    """A subject whose answers are checked against the identities as they are given.

    Parameters
    ----------
    subject : Subject
        What is asked.
    identities : bool
        Whether to check more than what holds of every subject.
    """

    def __init__(self, subject: Subject, *, identities: bool = True) -> None:
        self.subject = subject
        self.identities = identities
        self.name = subject.name
        #: Samples of the rarest class in what was answered so far; infinite where none are stated.
        self.fewest_samples = np.inf

    def __getattr__(self, name: str) -> object:
        return getattr(self.subject, name)

    @property
    def tags(self) -> Tags:
        """Those of the subject."""
        return self.subject.tags

    def learning_curves(self, experiment: Experiment) -> xr.Dataset:
        """As the subject's, checked."""
        found = self.subject.learning_curves(experiment)
        if self._checks(found, experiment, "learning_curves"):
            if "n_samples" in found.attrs:
                rarest = float(found.attrs["n_samples"]) * float(experiment.mixture.weights.min())
                self.fewest_samples = min(self.fewest_samples, rarest)
            check_curves(found, experiment, self.tags, who=self._who("learning_curves"))
        return found

    def speciation(self, experiment: Experiment, diffusion_times: ArrayLike) -> xr.Dataset:
        """As the subject's, checked."""
        found = self.subject.speciation(experiment, diffusion_times)
        if self._checks(found, experiment, "speciation"):
            check_speciation(found, experiment, self.tags, who=self._who("speciation"))
        return found

    def spectrum(self, experiment: Experiment) -> xr.Dataset:
        """As the subject's, checked."""
        found = self.subject.spectrum(experiment)
        if self._checks(found, experiment, "spectrum"):
            check_spectrum(found, experiment, self.tags, who=self._who("spectrum"))
        return found

    def _who(self, what: str) -> str:
        return f"subject {self.name!r}, {what}"

    def _checks(self, found: object, experiment: Experiment, what: str) -> bool:
        """Check what holds of every subject's answers; return whether it is of the random-features model."""
        if not isinstance(found, xr.Dataset):
            return False
        check_answer(found, experiment, self._who(what))
        return self.identities and self.tags.model == SAME_MODEL and experiment.data == "gaussian"


def _types(experiment: Experiment) -> Neurons:
    return neurons(experiment.mixture, experiment.model, n_normal=2)


def initial_slopes(experiment: Experiment) -> Floats:
    """Return how fast the loss of each class begins to fall, per unit of training time: shape (K,).

    ``2 Delta kappa psi_p E[a_bar a_k]``, the expectation over neurons, ``a_k = E act'`` the response of a
    neuron to class k and a_bar its mean over the classes with their weights. Test and training loss share it. Ours.
    """
    n, model = _types(experiment), experiment.model
    mean = n.a @ experiment.mixture.weights
    return np.asarray(2 * model.noise * model.kappa * model.psi_p * (n.weight @ (mean[:, None] * n.a)))


def check_curves(curves: xr.Dataset, experiment: Experiment, tags: Tags, *, who: str) -> None:
    """Check that losses begin to fall as they must, class by class.

    Raises
    ------
    SubjectInvalid
        With the class, the slope and what it must be.
    """
    slopes = initial_slopes(experiment)
    times = np.asarray(curves["training_time"].values, dtype=np.float64)
    accuracy = float(curves.attrs.get("accuracy", 0.0))
    if slopes.size != curves.sizes.get("class"):
        return  # the contract tells of it
    # Variables without their coordinates, and once: every answer of a run comes by here.
    dims, names = ("class", "training_time", ...), ("test_loss", "train_loss")
    losses = {n: curves.variables[n].transpose(*dims).values for n in names}
    for k, slope in enumerate(slopes):
        places = _early(slope * times, accuracy)
        if places is None:
            continue  # curves that begin later do not show their beginning
        fallen = slope * times[places]
        for name in names:
            loss = losses[name][k]
            ratio = (1 - loss[places].reshape(len(places), -1)) / fallen[:, None]
            start = _extrapolated(fallen, ratio)
            off = abs(float(start.mean()) - 1)
            # An extrapolation by three points may err by twice as much as it differs from one by two.
            bend = 2 * abs(float((start - _extrapolated(fallen[:2], ratio[:2])).mean()))
            allowed = _allowed(curves, tags, start) + accuracy / fallen[0] + bend
            if not off <= allowed:
                raise SubjectInvalid(
                    f"{who}: {name} of class {curves['class'].values[k]!s} begins to fall "
                    f"{float(start.mean()):.3f} times as fast as the random-features model does, "
                    f"which is known to {allowed:.2g}: "
                    f"{slope:.4g} per unit of training time for {_named(experiment)}. {_HINT}"
                )


def _early(expected: Floats, accuracy: float) -> NDArray[np.intp] | None:
    """Three early points of a loss that is expected to fall so far, each twice as far as the one before."""
    at = min(max(FALLEN, ABOVE_ACCURACY * accuracy), MOST_FALLEN / 8)
    places = []
    for _ in range(3):
        place = int(np.searchsorted(expected, at))
        if place >= expected.size or expected[place] > MOST_FALLEN:
            return None
        places.append(place)
        at = 2 * expected[place]
    return np.array(places)


def _extrapolated(x: Floats, y: Floats) -> Floats:
    """Value at 0 of the polynomial through points (n,) and (n, seeds)."""
    weights = [np.prod([b / (b - a) for j, b in enumerate(x) if j != i]) for i, a in enumerate(x)]
    return np.asarray(np.array(weights) @ y)


def check_spectrum(spectrum: xr.Dataset, experiment: Experiment, tags: Tags, *, who: str) -> None:
    """Check mass and mean of the spectrum, the energy of each class in all of it, and how both agree by bulk.

    Raises
    ------
    SubjectInvalid
        With the identity, both sides and how near they must be.
    """
    if "bulk_mass" not in spectrum or "bulk_training_energy" not in spectrum:
        return
    n, model, m = _types(experiment), experiment.model, experiment.mixture
    mass, mean = spectrum["bulk_mass"].values, spectrum["bulk_mean"].values
    atom = float(spectrum.get("atom_mass", 0.0))
    at = float(spectrum.get("atom_eigenvalue", 0.0))
    population, training = (
        spectrum[f"bulk_{name}_energy"].transpose("class", "bulk").values
        for name in ("population", "training")
    )
    ratio = model.psi_p / model.psi_n
    linear = model.signal * (n.weight @ n.a**2) * m.class_variance
    rest = n.weight @ n.v2
    allowed = (EXACT_SPECTRUM if tags.exact else _allowed(spectrum, tags)) + float(
        spectrum.attrs.get("accuracy", 0.0)
    )
    sides: list[tuple[str, Floats, Floats]] = [
        ("mass", np.array([mass.sum() + atom]), np.ones(1)),
        ("first moment", np.array([mass @ mean + atom * at]), np.array([_trace(n, experiment)])),
        ("population energy of each class", population.sum(axis=1), ratio * (linear + rest * (1 - atom))),
        ("training energy of each class", training.sum(axis=1), ratio * (linear + rest)),
    ]
    if n.n_types == 1 and m.fractions.size == 1:
        # Energies of the classes are of one matrix W W^T, so that they agree bulk by bulk, and with the eigenvalues.
        share = (population / ratio - rest[:, None] * mass) / linear[:, None]
        noise = model.noise * (m.weights @ n.a[0] ** 2) * share.mean(axis=0) + (m.weights @ n.s2[0]) * mass
        sides += [
            ("share of the first layer in each bulk, by class", share.ravel(), np.tile(share[0], len(share))),
            ("eigenvalues of each bulk", mass * mean, m.weights @ training / ratio + noise),
        ]
    for name, left, right in sides:
        off = float(np.abs(left - right).max() / np.abs(right).max())
        if not off <= allowed:
            raise SubjectInvalid(
                f"{who}: {name} is {np.round(left, 4).tolist()}, and must be {np.round(right, 4).tolist()} within "
                f"{allowed:.2g} for {_named(experiment)}. {_HINT}"
            )
    if "bulk_training_log" in spectrum and "bulk_edge" in spectrum:
        _logs_inside(spectrum, training, who)


def _trace(n: Neurons, experiment: Experiment) -> float:
    """Mean diagonal entry of U: the first moment of its spectrum."""
    model, m = experiment.model, experiment.mixture
    diagonal = n.a**2 * (model.signal * m.class_variance + model.noise) + n.v2 + n.s2
    return float(n.weight @ diagonal @ m.weights)


def _logs_inside(spectrum: xr.Dataset, training: Floats, who: str) -> None:
    """Check that the mean logarithm of the eigenvalues of each bulk lies between its edges."""
    logs = spectrum["bulk_training_log"].transpose("class", "bulk").values
    edges = np.log(spectrum["bulk_edge"].transpose("bulk", "side").values)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(training > 0, logs / training, edges.mean(axis=1))
    if (mean < edges[:, 0] - 1e-6).any() or (mean > edges[:, 1] + 1e-6).any():
        raise SubjectInvalid(
            f"{who}: bulk_training_log over bulk_training_energy is {np.round(mean, 3).tolist()}, and must lie "
            f"between the logarithms of the edges of its bulk, {np.round(edges, 3).tolist()}. {_HINT}"
        )


def check_speciation(found: xr.Dataset, experiment: Experiment, tags: Tags, *, who: str) -> None:
    """Check that U-turns are probabilities of one process, forget under full noise, and balance.

    Raises
    ------
    SubjectInvalid
        With the identity and by how much it is broken.
    """
    weights = experiment.mixture.weights
    stays = found["return_probability"].transpose("class", "diffusion_time", ...)
    if stays.sizes["class"] != weights.size:
        return  # the contract tells of it
    times = stays["diffusion_time"].values
    allowed = 1e-6 + 3 * float(found["return_probability_stderr"].max()) if _has_errors(found) else 1e-6
    if "transition" in found:
        moves = found["transition"].transpose("class", "to_class", "diffusion_time", ...).values
        on = np.arange(weights.size)
        _need(
            np.abs(moves.sum(axis=1) - 1).max(), 1e-5, "transition probabilities of a class add up to 1", who
        )
        apart = np.abs(moves[on, on] - stays.values).max()
        _need(apart, 1e-5, "the diagonal of transition is return_probability", who)
    mean = stays.mean("seed").values if "seed" in stays.dims else stays.values
    late = times >= FORGOTTEN[0]
    if late.any():
        off = np.abs(mean[:, late] - weights[:, None]).max()
        _need(
            off,
            FORGOTTEN[1] + allowed,
            "a return under full noise has the probability of the class's weight",
            who,
        )
    if tags.exact:
        known = known_return(experiment, times, found.attrs.get("n_dims"))
        if known is not None:
            allowed_here = EXACT_RETURN + float(found.attrs.get("accuracy", 0.0))
            _need(
                np.abs(mean - known).max(),
                allowed_here,
                "classes of one covariance return by a known curve",
                who,
            )
        if weights.size == 2:
            flow = weights[:, None] * (1 - mean)
            _need(np.abs(flow[0] - flow[1]).max(), allowed, "as many U-turns lead from 0 to 1 as back", who)
        elif "transition" in found:
            flow = weights[:, None, None] * moves
            _need(
                np.abs(flow - flow.swapaxes(0, 1)).max(),
                allowed,
                "as many U-turns lead from k to l as back",
                who,
            )


def known_return(experiment: Experiment, times: Floats, n_dims: float | None) -> Floats | None:
    """Return the probability that a U-turn returns, shape (2, T), where it has a closed form; else None.

    Two classes of one isotropic covariance have log-odds ``log(pi_k/pi_l) + D^2/2 + D z`` with z normal and
    ``D^2 = exp(-2t) |mu_k - mu_l|^2/Gamma^2``; a U-turn returns with the mean of their logistic function.
    """
    m = experiment.mixture
    if n_dims is None or m.n_classes != 2 or np.ptp(m.variances) > 0:
        return None
    gram = m.centroid_gram
    apart = float(n_dims) * (gram[0, 0] + gram[1, 1] - 2 * gram[0, 1])
    signal = np.exp(-2 * times)
    d2 = signal * apart / (signal * float(m.variances.flat[0]) - np.expm1(-2 * times))
    z, w = np.polynomial.hermite_e.hermegauss(80)
    prior = np.log(m.weights / m.weights[::-1])[:, None, None]
    odds = prior + d2[None, :, None] / 2 + np.sqrt(d2)[None, :, None] * z
    return np.asarray((expit(odds) @ w) / w.sum())


def _has_errors(found: xr.Dataset) -> bool:
    return "return_probability_stderr" in found


def _need(off: float, allowed: float, what: str, who: str) -> None:
    if not off <= allowed:
        raise SubjectInvalid(
            f"{who}: {what}, within {allowed:.2g}; here this is off by {float(off):.3g}. {_HINT}"
        )


def _allowed(dataset: xr.Dataset, tags: Tags, by_seed: Floats | None = None) -> float:
    """Relative error that is allowed: to an exact subject, or to one of finite size with few seeds."""
    if tags.exact:
        return EXACT
    error = 0.0
    if by_seed is not None and by_seed.size > 1:
        error = 3 * float(by_seed.std(ddof=1)) / np.sqrt(by_seed.size)
    return STOCHASTIC + BY_DIMENSION / float(dataset.attrs.get("n_dims", USUAL_DIMENSION)) + error


def _named(experiment: Experiment) -> str:
    m = experiment.mixture
    return f"weights {np.round(m.weights, 4).tolist()} and variances {np.round(m.class_variance, 4).tolist()}"


_HINT = (
    "Answer the experiment that is asked, under the names of its classes; a subject of another model says so by "
    "Tags(model=...)"
)
