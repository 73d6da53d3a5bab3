"""How often the verdict rule is wrong on seeds of nothing, and how many seeds it needs where there is something.

Logarithms of ratios of times are drawn whose centre is the threshold itself, from distributions that runs show:
normal, skewed, heavy-tailed, in two clusters, and censored because training ended before a class got there. Each is
judged at one look, with 3 to 24 seeds, and at a look after every seed. Beside the rule stands the Student-t
quantile that it replaced. The distributions are ours.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import binomtest

from diffclaims.api.evidence import DECISIVE, evidence, most_against
from diffclaims.api.outcome import quantile
from diffclaims.errors import InvalidInput
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp
from diffclaims.studies import pair_rates
from diffclaims.studies.proportion import percent
from diffclaims.terminal import rendered, table

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]

#: Where the record lies, below the baselines.
FILE = "error-rates.nc"
#: Of each distribution and rule.
N_REPETITIONS = 100_000
#: Looks are taken from the first number of seeds to the last.
FIRST, LAST = 3, 24
#: Most wrong decisions of one kind that are acceptable, as a share.
LIMIT = 0.01
#: Share of runs in which one of the classes does not get there before training ends.
CENSORED = 0.3
#: Effects of one claim, and what two of them have in common.
N_EFFECTS, CORRELATIONS = 7, (0.0, 0.5, 0.9)
#: Distances from the threshold, in standard deviations of one seed, at which the cost in seeds is counted.
SIZES = (1.0, 1.5, 2.0, 3.0)
MOST_SEEDS, POWER = 60, 0.95
RULES = ("sign", "student")


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return rng.standard_normal(shape)


def _clusters(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return np.asarray(rng.choice([-1.0, 1.0], shape) + 0.1 * rng.standard_normal(shape))


#: Name -> (draw, median, mean) of ln tau_later/tau_first. A mean that does not exist is 0, the centre.
DISTRIBUTIONS: dict[str, tuple[Draw, float, float]] = {
    "normal": (_normal, 0.0, 0.0),
    # Minus the logarithm of an exponential time: skewness 1.1.
    "skewed": (lambda rng, n: rng.gumbel(size=n), -np.log(np.log(2)), np.euler_gamma),
    # Skewness 2 and 6.2.
    "strongly skewed": (lambda rng, n: rng.exponential(size=n), np.log(2), 1.0),
    "extremely skewed": (lambda rng, n: rng.lognormal(size=n), 1.0, np.exp(0.5)),
    "heavy-tailed": (lambda rng, n: rng.standard_t(3, size=n), 0.0, 0.0),
    "without a mean": (lambda rng, n: rng.standard_cauchy(size=n), 0.0, 0.0),
    "two clusters": (_clusters, 0.0, 0.0),
}
CENSORING = "censored"


def _against(name: str, rng: np.random.Generator, n: int, looks: int) -> tuple[NDArray[np.int64], ...]:
    """Seeds that do not lie above, and below, the median, summed up to each look: (n, looks) each."""
    if name == CENSORING:
        first, later = rng.standard_normal((2, n, looks))
        end = float(np.quantile(rng.standard_normal(10**6), 1 - CENSORED))
        # A time beyond the end is known to lie there, and no more.
        low = np.where(first > end, -np.inf, np.minimum(later, end) - first)
        high = np.where(later > end, np.inf, later - np.minimum(first, end))
    else:
        draw, median, _ = DISTRIBUTIONS[name]
        low = high = draw(rng, (n, looks)) - median
    return (low <= 0).cumsum(axis=1), (high >= 0).cumsum(axis=1)


def _decided(
    against: tuple[NDArray[np.int64], ...], needed: float = DECISIVE
) -> tuple[NDArray[np.bool_], ...]:
    """Where the sign rule says holds, and fails, at each look."""
    most = np.array([most_against(n + 1, needed) for n in range(against[0].shape[1])])
    return tuple(a <= most for a in against)


def _student(name: str, rng: np.random.Generator, n: int, looks: int) -> tuple[NDArray[np.bool_], ...]:
    """The same of the rule by standard errors, about its own centre, the mean."""
    draw, _, mean = DISTRIBUTIONS[name]
    x = draw(rng, (n, looks)) - mean
    k = np.arange(1, looks + 1)
    centre = x.cumsum(axis=1) / k
    variance = ((x**2).cumsum(axis=1) - k * centre**2) / np.maximum(k - 1, 1)
    bar = _bars(looks) * np.sqrt(np.maximum(variance, 1e-300) / k)
    return centre >= bar, centre <= -bar


def _bars(looks: int) -> Floats:
    """Standard errors that decide by the Student-t quantile; one seed has no standard error, so more than any."""
    return np.array([1e300, *(quantile(k) for k in range(2, looks + 1))])


def _counts(decided: tuple[NDArray[np.bool_], ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Repetitions that say holds and fails: at one look with each number of seeds, and first of all looks."""
    seen = [d[:, FIRST - 1 :] for d in decided]
    at_one = np.array([s.sum(axis=0) for s in seen])
    when = [np.where(s.any(axis=1), s.argmax(axis=1), s.shape[1]) for s in seen]
    first = np.array([(when[0] < when[1]).sum(), (when[1] < when[0]).sum()])
    return at_one, first


def _claims(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    """Claims of several effects at their thresholds that say holds and fails: first of all looks."""
    found = []
    for share in CORRELATIONS:
        wrong = np.zeros(2, dtype=np.int64)
        for _ in range(10):
            common = rng.standard_normal((1, n // 10, LAST))
            x = np.sqrt(share) * common + np.sqrt(1 - share) * rng.standard_normal((N_EFFECTS, n // 10, LAST))
            above, below = (x <= 0).cumsum(axis=-1), (x >= 0).cumsum(axis=-1)
            most = np.array([most_against(k) for k in range(1, LAST + 1)])
            worth = np.zeros((LAST, LAST + 1))
            for k in range(1, LAST + 1):
                worth[k - 1, : k + 1] = [evidence(k, j) for j in range(k + 1)]
            mean = worth[np.arange(LAST), below].mean(axis=0)
            wrong += _counts(((above <= most).all(axis=0), mean >= DECISIVE))[1]
        found.append(wrong)
    return np.array(found)


def _cost(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    """Seeds that decide in `POWER` of the repetitions, by size and rule; 0 where `MOST_SEEDS` are too few."""
    needed = np.zeros((len(SIZES), 3), dtype=np.int64)
    k = np.arange(1, MOST_SEEDS + 1)
    for i, size in enumerate(SIZES):
        x = rng.standard_normal((n, MOST_SEEDS)) + size
        against = (x <= 0).cumsum(axis=1)
        centre = x.cumsum(axis=1) / k
        variance = ((x**2).cumsum(axis=1) - k * centre**2) / np.maximum(k - 1, 1)
        bar = _bars(MOST_SEEDS) * np.sqrt(np.maximum(variance, 1e-300) / k)
        one_look = np.array([_fixed(int(j)) for j in k])
        sign = against <= np.array([most_against(int(j)) for j in k])
        for j, held in enumerate((sign, against <= one_look, centre >= bar)):
            enough = held.mean(axis=0) >= POWER
            needed[i, j] = k[enough][0] if enough.any() else 0
    return needed


def _fixed(n: int) -> int:
    """Most values against a decision by a sign test of one look at level `LIMIT`; -1 for none."""
    most = -1
    while most + 1 < n / 2 and binomtest(most + 1, n, alternative="less").pvalue <= LIMIT:
        most += 1
    return most


def error_rates(n_repetitions: int = N_REPETITIONS, seed: int = 0) -> xr.Dataset:
    """Simulate the verdict rule on seeds of nothing.

    Parameters
    ----------
    n_repetitions : int
        Of each distribution and rule, 1,000 or more.
    seed : int
        Of the generator.

    Returns
    -------
    xarray.Dataset
        Kind "error-rates": repetitions that decide, which all are wrong, at ``one_look`` (rule, distribution,
        n_seeds, verdict) and at the first of ``every_look``; ``claim`` (correlation, verdict), the same for a
        claim of 7 effects; ``seeds_needed`` (size, test). -1: not defined.

    Raises
    ------
    InvalidInput
        For fewer repetitions than can show a share of 1 %.
    """
    if n_repetitions < 1000:
        raise InvalidInput.of("repetitions", n_repetitions, "be 1000 or more", "100000 is the default")
    rng = np.random.default_rng(seed)
    names = [*DISTRIBUTIONS, CENSORING]
    looks = np.arange(FIRST, LAST + 1)
    one = np.full((len(RULES), len(names), looks.size, 2), -1)
    every = np.full((len(RULES), len(names), 2), -1)
    for i, name in enumerate(names):
        found = {"sign": _decided(_against(name, rng, n_repetitions, LAST))}
        if name != CENSORING:
            found["student"] = _student(name, rng, n_repetitions, LAST)
        for rule, decided in found.items():
            at_one, first = _counts(decided)
            one[RULES.index(rule), i], every[RULES.index(rule), i] = at_one.T, first
    dataset = xr.Dataset(
        {
            "one_look": (("rule", "distribution", "n_seeds", "verdict"), one),
            "every_look": (("rule", "distribution", "verdict"), every),
            "claim": (("correlation", "verdict"), _claims(rng, n_repetitions)),
            "seeds_needed": (("size", "test"), _cost(rng, min(n_repetitions, 20_000))),
        },
        coords={
            "rule": list(RULES),
            "distribution": names,
            "n_seeds": looks,
            "verdict": ["holds", "fails"],
            "correlation": list(CORRELATIONS),
            "size": list(SIZES),
            "test": ["sign, any look", "sign, one look", "student, one look"],
        },
    )
    command = f"diffclaims error-rates --repetitions {n_repetitions} --seed {seed}"
    attrs = provenance(subject="simulation", seeds=(seed,), command=command, repetitions=n_repetitions)
    return stamp(dataset, "error-rates", attrs)


def report(found: xr.Dataset, *, width: int = 120) -> str:
    """Return the rates as tables."""
    total = int(found.attrs["repetitions"])
    heads = ("distribution", "rule", "worst of one look", "seeds", "a look after every seed: holds", "fails")
    rates = table(*heads, title="wrong decisions at the threshold, in % [95 % interval]")
    for name in found["distribution"].values:
        for rule in found["rule"].values:
            one = found["one_look"].sel(distribution=name, rule=rule)
            worst = one.max("verdict")
            at = int(worst["n_seeds"][int(worst.argmax("n_seeds"))])
            every = found["every_look"].sel(distribution=name, rule=rule)
            shown = [percent(int(every.sel(verdict=v)), total) for v in ("holds", "fails")]
            rates.add_row(str(name), str(rule), percent(int(worst.max()), total), str(at), *shown)
    title = f"a claim of {N_EFFECTS} effects, a look after every seed"
    claims = table("correlation of effects", "holds", "fails", title=title)
    for share in found["correlation"].values:
        row = found["claim"].sel(correlation=share)
        shown = [percent(int(row.sel(verdict=v)), total) for v in ("holds", "fails")]
        claims.add_row(f"{share:g}", *shown)
    title = f"seeds that decide in {100 * POWER:g} % of normal cases"
    cost = table("effect / scatter of a seed", *map(str, found["test"].values), title=title)
    for size in found["size"].values:
        needed = found["seeds_needed"].sel(size=size).values
        cost.add_row(f"{size:g}", *(str(int(n)) if n else f"more than {MOST_SEEDS}" for n in needed))
    return rendered(rates, claims, cost, width=max(60, width))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims error-rates``."""
    parser.add_argument(
        "--pairs", action="store_true", help="of all pairs of many classes, in place of effects by seed"
    )
    parser.add_argument("--repetitions", type=int, help="of each case (100000; 600 of pairs)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (0)")
    parser.add_argument("--out", type=Path, help=f"file of the record ({FILE}, among the baselines)")


def run(args: argparse.Namespace) -> int:
    """Simulate, record and print; 1 when the rule decides wrongly too often."""
    file = pair_rates.FILE if args.pairs else FILE
    out = locate.to_record(file, given=args.out)
    if args.pairs:
        found = pair_rates.pair_rates(args.repetitions or pair_rates.N_REPETITIONS, args.seed)
        text, worst = pair_rates.report(found), pair_rates.worst_share(found)
    else:
        found = error_rates(args.repetitions or N_REPETITIONS, args.seed)
        text, worst = report(found), worst_share(found)
    storage.write(out, found)
    print(text)
    return 0 if worst <= LIMIT else 1


def worst_share(found: xr.Dataset) -> float:
    """Largest share of wrong decisions of the rule in use, in all that was simulated."""
    ours = found.sel(rule="sign")
    most = max(int(ours[name].max()) for name in ("one_look", "every_look", "claim"))
    return most / int(found.attrs["repetitions"])
