"""How often the limits of all pairs together are wrong, where nothing orders the classes.

Times are drawn that know nothing of the quantity by which classes are to be ordered. Then a share of pairs above 1/2
and a rank correlation above 0 are chance, and to say *holds* or *fails* is wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from diffclaims.api.outcome import Outcome
from diffclaims.api.pairs import FEWEST_APART, FEWEST_CLASSES, Draws, Pairs, effect
from diffclaims.errors import InvalidInput
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp
from diffclaims.studies.proportion import percent
from diffclaims.terminal import rendered, table

Floats = NDArray[np.float64]

#: File of the record, among the baselines.
FILE = "pair-rates.nc"
#: Of each kind and number of classes.
N_REPETITIONS = 600
N_CLASSES = (FEWEST_CLASSES, FEWEST_APART, 10)
N_SEEDS = 2
#: Draws of classes and seeds in each repetition.
N_DRAWS = 1000
#: Scatter of a seed beside that of 1 between classes.
SCATTER = 0.3
#: What is not reached ends here.
END = 0.5
EFFECTS = ("share", "rank correlation", "partial")


def _trained_together(rng: np.random.Generator, first: NDArray[np.intp], second: NDArray[np.intp]) -> Floats:
    """Every class has a time, with a scatter of its own in each seed."""
    n = int(max(first.max(), second.max())) + 1
    times = rng.standard_normal((n, 1)) + SCATTER * rng.standard_normal((n, N_SEEDS))
    ratios: Floats = times[first] - times[second]
    return ratios


def _trained_in_pairs(rng: np.random.Generator, first: NDArray[np.intp], second: NDArray[np.intp]) -> Floats:
    """Half of what orders a pair is its own."""
    own = np.sqrt(2) * rng.standard_normal((first.size, 1))
    scatter = SCATTER * rng.standard_normal((first.size, N_SEEDS))
    ratios: Floats = _trained_together(rng, first, second) + own + scatter
    return ratios


def _few_snapshots(rng: np.random.Generator, first: NDArray[np.intp], second: NDArray[np.intp]) -> Floats:
    """Times fall on so few snapshots that many are equal."""
    return np.asarray(np.round(_trained_together(rng, first, second)))


def _ends_early(rng: np.random.Generator, first: NDArray[np.intp], second: NDArray[np.intp]) -> Floats:
    """A third of the classes is not reached."""
    n = int(max(first.max(), second.max())) + 1
    times = rng.standard_normal((n, 1)) + SCATTER * rng.standard_normal((n, N_SEEDS))
    times[times > END] = np.inf
    with np.errstate(invalid="ignore"):
        return np.asarray(times[first] - times[second])


KINDS: dict[str, Callable[[np.random.Generator, NDArray[np.intp], NDArray[np.intp]], Floats]] = {
    "trained together": _trained_together,
    "trained in pairs": _trained_in_pairs,
    "few snapshots": _few_snapshots,
    "training ends early": _ends_early,
}


def pair_rates(n_repetitions: int = N_REPETITIONS, seed: int = 0) -> xr.Dataset:
    """Simulate the orders of all pairs where nothing orders them.

    Parameters
    ----------
    n_repetitions : int
        Of each kind and number of classes, 100 or more.
    seed : int
        Of the generator.

    Returns
    -------
    xarray.Dataset
        Kind "pair-rates": ``wrong(kind, n_classes, effect, verdict)``, repetitions that decide.
    """
    if n_repetitions < 100:
        raise InvalidInput.of("repetitions", n_repetitions, "be 100 or more", "600 is the default")
    rng = np.random.default_rng(seed)
    wrong = np.zeros((len(KINDS), len(N_CLASSES), len(EFFECTS), 2), dtype=np.int64)
    for i, draw in enumerate(KINDS.values()):
        for j, n in enumerate(N_CLASSES):
            first, second = np.array(list(itertools.combinations(range(n), 2))).T
            for number in range(n_repetitions):
                pairs = Pairs(tuple(map(str, range(n))), first, second, draw(rng, first, second), ())
                quantities = rng.standard_normal((len(EFFECTS), n))
                outcomes = _judged(pairs, quantities[:, first] - quantities[:, second], number)
                wrong[i, j, :, 0] += [o is Outcome.HOLDS for o in outcomes]
                wrong[i, j, :, 1] += [o is Outcome.FAILS for o in outcomes]
    dataset = xr.Dataset(
        {"wrong": (("kind", "n_classes", "effect", "verdict"), wrong)},
        {
            "kind": list(KINDS),
            "n_classes": list(N_CLASSES),
            "effect": list(EFFECTS),
            "verdict": ["holds", "fails"],
        },
    )
    command = f"diffclaims error-rates --pairs --repetitions {n_repetitions} --seed {seed}"
    attrs = provenance(subject="simulation", seeds=(seed,), command=command, repetitions=n_repetitions)
    return stamp(dataset, "pair-rates", attrs)


def _judged(pairs: Pairs, expected: Floats, seed: int) -> list[Outcome]:
    """Each effect by the first quantity; the last one, whether it explains more than the second beside the third."""
    draws = Draws.of(pairs, N_DRAWS, seed)
    share, correlation, more = (
        draws.share(pairs, expected[0]),
        draws.rank_correlations(pairs, [expected[0]])[:, 0, 1],
        np.abs(draws.partial_correlations(pairs, list(expected))[:, :2]) @ [1, -1],
    )
    effects = (
        effect(EFFECTS[0], share, pairs, 0.5),
        effect(EFFECTS[1], correlation, pairs),
        effect(EFFECTS[2], more, pairs, fewest=FEWEST_APART),
    )
    return [e.outcome for e in effects]


def worst_share(found: xr.Dataset) -> float:
    """Largest share of wrong decisions."""
    return int(found["wrong"].max()) / int(found.attrs["repetitions"])


def report(found: xr.Dataset, *, width: int = 120) -> str:
    """Return the rates as a table."""
    title = "all pairs of classes that nothing orders: % that hold / % that fail, all of them wrong"
    shown = table(title=title)
    for head in ("times", "classes", *EFFECTS):
        shown.add_column(head, no_wrap=True)
    total = int(found.attrs["repetitions"])
    for kind in found["kind"].values:
        for n in found["n_classes"].values:
            shares = 100 * found["wrong"].sel(kind=kind, n_classes=n).values / total
            shown.add_row(str(kind), str(n), *(f"{holds:.2f} / {fails:.2f}" for holds, fails in shares))
    worst = f"worst, with its 95 % interval: {percent(int(found['wrong'].max()), total)}"
    return rendered(shown, worst, width=max(60, width))
