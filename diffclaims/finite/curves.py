"""Learning curves of the random-features model at finite size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.errors import InvalidInput
from diffclaims.finite.backend import Backend
from diffclaims.finite.control import Control
from diffclaims.finite.draw import Draw, check_seeds
from diffclaims.finite.flow import Flow
from diffclaims.finite.gram import POPULATION_ORDER, SAMPLE_ORDER, ClassFeatureMoments, class_moments
from diffclaims.finite.setup import Question, Setup, check_times, read
from diffclaims.problem.arguments import checked
from diffclaims.problem.validate import POSITIVE, at_least
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp

Floats = NDArray[np.float64]

#: n noise draws per sample bias late test losses by up to this over n, relative. Measured at d = 50 over four
#: seeds and 50 to 400 draws, tau = 1e4: 0.3 to 0.6 for isotropic classes without centroids, 0.7 to 1.4 for
#: two classes with centroids; other experiments may differ.
DRAW_BIAS = 1.4


@checked
def learning_curves(
    question: Question,
    training_times: ArrayLike | None = None,
    *,
    n_dims: int | None = None,
    seeds: int | Sequence[int] = 4,
    n_noise: int | None = None,
    n_test: int | None = None,
    tolerance: Annotated[float, POSITIVE] | None = None,
    order: int = SAMPLE_ORDER,
    paired: bool = False,
    control: bool = False,
    x: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    backend: str = "numpy",
    device: str = "cpu",
    block_bytes: Annotated[int, at_least(1)] = 1 << 27,
) -> xr.Dataset:
    """Train by exact gradient flow at finite size and return the losses of each class.

    Parameters
    ----------
    question : Experiment or tuple (GaussianMixture or None, RandomFeatures)
        Data and model. With `x` the mixture may be None; its weights and moments are then the samples'.
    training_times : array_like, shape (T,), optional
        Increasing times tau >= 0 in units of the gradient flow ``dA/dtau = -d^2 dL/dA``; by default
        20 a decade from 0.1 to 1e5.
    n_dims : int
        Dimension d; p = round(psi_p d), n = round(psi_n d). Not with `x`.
    seeds : int or sequence of int
        Seeds, or how many; each draws weights, samples and (where used) noise and test points.
    n_noise : int, optional
        Noise draws per training sample. By default the average over all noise is computed, as in
        the loss that the theory trains; draws are a control.
    n_test : int, optional
        Fresh test points per class. By default the average over the whole class is computed for a
        mixture, and all held-out samples are used with `x`.
    tolerance : float, optional
        With `n_noise`: the relative bias of late test losses that is acceptable.
    order : int
        Where Mehler's sum stops in the average over the noise of a sample.
    paired : bool
        Make each seed the mean over two runs that err in opposite ways (`diffclaims.finite.draw.draw_gaussian`): the
        classes exchange their random numbers, and neurons that overlap much with the centroids overlap little. Each
        run is as likely as one alone, so that the mean over seeds stays; it takes twice the time. For a mixture.
    control : bool
        Subtract from each training loss the deviation, on these samples, of the loss of a readout that never saw
        them (`diffclaims.finite.control`): its mean is zero. For a mixture, without `n_test`.
    x, labels : array_like, shapes (N, ...) and (N,), optional
        Real samples in place of the mixture's; flattened, centred about the mixture's mean, and split into
        disjoint training and test sets by each seed. Labels are matched by name to the mixture's
        classes, and samples of other classes are left out; without a mixture, the classes are the
        labels in sorted order.
    backend : {"numpy", "torch"}
        Array library.
    device : str
        Device of torch.
    block_bytes : int
        Scratch memory of one block; the result depends on it by rounding only.

    Returns
    -------
    xarray.Dataset
        Kind "curves": ``test_loss`` and ``train_loss`` (seed, class, training_time), ``bayes_loss``
        (class). Attribute ``noise_average`` says how noise was averaged and ``gram_error_bound``
        bounds the relative Frobenius error of the feature Gram matrices that comes from stopping
        Mehler's sum.

    Raises
    ------
    InvalidInput
        For sizes too small, draws too few, a class of the mixture that no label names, or any
        other argument that cannot be used.

    Notes
    -----
    At d = 128, two balanced classes of variance ratio 2 with squared centroid norms 4 and 0, ``ln tau_mem`` of one
    class less that of the other scatters by 0.06 a seed at a gap of 0.05; with `control` by 0.024, with `paired` by
    0.022, with both by 0.0044.
    Setting of arXiv:2605.06367, normalisation of arXiv:2505.17638. Exact: the flow in tau, V, the
    diagonal of U. Truncated with a stated bound: the rest of U. Stopping at order 4 instead of 10 moved
    no loss by more than 1.4e-7 at d = 50 and 2.2e-8 at d = 100 (two classes with centroids, tau up to
    1e4). Class counts are exact shares of n.
    """
    setup = read(question, n_dims=n_dims, x=x, labels=labels)
    times, listed = check_times(training_times), check_seeds(seeds)
    check_noise(n_noise, tolerance)
    check_count("n_test", n_test)
    xp = Backend(name=backend, device=device)
    _check_reduction(setup, paired, control, n_test)

    def measure(draw: Draw) -> tuple[Floats, Floats, float]:
        moments = class_moments(
            draw, setup.model, backend=xp, n_noise=n_noise, order=order, block_bytes=block_bytes
        )
        return (*_losses(moments, setup.model.noise, times, xp, control), moments.bound)

    test, train, bound = [], [], 0.0
    for seed in listed:
        runs = [measure(setup.draw(seed, n_test))]
        if paired:
            runs.append(measure(setup.draw(seed, n_test, partner=True)))
        test.append(np.mean([run[0] for run in runs], axis=0))
        train.append(np.mean([run[1] for run in runs], axis=0))
        bound = max(bound, *(run[2] for run in runs))
    return curves_dataset(
        setup,
        np.array(test),
        np.array(train),
        setup.bayes(setup.draw(listed[0], n_test)),
        times,
        listed,
        xp,
        n_noise=n_noise,
        n_test=n_test,
        order=order,
        extra={
            "optimizer": "gradient flow",
            "gram_error_bound": bound,
            "paired": int(paired),
            "control": int(control),
        },
    )


def _losses(
    moments: ClassFeatureMoments, noise: float, times: Floats, backend: Backend, control: bool
) -> tuple[Floats, Floats]:
    """Test and training losses of one run, (class, time) each."""
    flow = Flow(moments, noise, backend=backend)
    test = np.array([flow.losses(m, times) for m in moments.test])
    # The mean over classes costs nothing; the largest class is what it leaves.
    shares, last = moments.shares, int(moments.shares.argmax())
    train = np.array([0 * times if k == last else flow.losses(m, times) for k, m in enumerate(moments.train)])
    train[last] = (flow.mean_losses(times) - shares @ train) / shares[last]
    if control:
        known = Control(moments, noise, backend=backend)
        train -= [known.deviation(k, times) for k in range(len(train))]
    return test, train


def _check_reduction(setup: Setup, paired: bool, control: bool, n_test: int | None) -> None:
    """Reject ways to less scatter that need to know the mixture, where samples stand for it."""
    for name, asked in (("paired", paired), ("control", control)):
        if asked and setup.attrs["data"] != "gaussian":
            raise InvalidInput.of(
                name,
                True,
                "go with a mixture: real samples cannot be drawn anew",
                "leave out x, or leave it False",
            )
    if control and n_test is not None:
        raise InvalidInput.of(
            "n_test",
            n_test,
            "be left out with control, which needs the whole class",
            "leave out one of the two",
        )


def curves_dataset(
    setup: Setup,
    test: Floats,
    train: Floats,
    bayes: Floats,
    times: Floats,
    seeds: list[int],
    backend: Backend,
    *,
    n_noise: int | None,
    n_test: int | None,
    order: int,
    extra: dict[str, str | int | float],
) -> xr.Dataset:
    """Dress losses (seed, class, time) as a dataset of kind "curves"."""
    dims = ("seed", "class", "training_time")
    dataset = xr.Dataset(
        {"test_loss": (dims, test), "train_loss": (dims, train), "bayes_loss": (("class",), bayes)},
        coords={"seed": seeds, "class": setup.classes, "training_time": times},
    )
    if n_noise is None:
        noise = f"all noise; Mehler's sum to order {order}, exact diagonal"
    else:
        noise = f"{n_noise} draws per sample; training loss on the draws used"
    if setup.attrs["data"] != "gaussian":
        over = "held-out samples, all noise"
    elif n_test is None:
        over = f"the whole class and all noise; Mehler's sum to order {POPULATION_ORDER}, exact diagonal"
    else:
        over = f"{n_test} fresh points per class, all noise"
    probe = setup.model
    attrs: dict[str, str | int | float] = provenance(
        subject="finite",
        experiment=setup.experiment,
        seeds=seeds,
        device=backend.device,
        backend=backend.name,
        n_dims=setup.n_dims,
        n_features=round(probe.psi_p * setup.n_dims),
        n_samples=round(probe.psi_n * setup.n_dims),
        noise_average=noise,
        test_average=over,
        class_counts="exact shares of n (largest remainder)",
    )
    return stamp(dataset, "curves", {**attrs, **setup.attrs, **extra})


def check_count(name: str, value: int | None) -> None:
    """Reject a count that is not a positive integer; None is allowed."""
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1
    ):
        raise InvalidInput.of(name, value, "be an integer of at least 1", "give a count, or leave it out")


def check_noise(n_noise: int | None, tolerance: float | None) -> None:
    """Reject too few noise draws for the tolerance asked."""
    check_count("n_noise", n_noise)
    if tolerance is None or n_noise is None:
        return
    if not tolerance > 0:
        raise InvalidInput.of("tolerance", tolerance, "be above 0", "give a relative bias, such as 0.003")
    needed = int(np.ceil(DRAW_BIAS / tolerance))
    if n_noise < needed:
        raise InvalidInput.of(
            "n_noise",
            n_noise,
            f"be at least {needed} for a tolerance of {tolerance:g}: the bias is near {DRAW_BIAS:g}/n_noise",
            "raise it, or leave it out: the average over all noise has no such bias",
        )
