"""What `theory.learning_curves` costs as work grows, beside simulation and root finding.

`python -m tests.benchmarks.cost` writes `baselines/cost.nc`, of which docs/pictures.py draws two figures; with
`--table` it prints the tables of docs/cost.md from that file and measures nothing. Every row is a process of its own,
whose one thread's CPU time and peak of memory it states; a small solve before the clock starts pays for what is paid
once.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import xarray as xr

from diffclaims import finite, theory
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.provenance import provenance
from diffclaims.studies.converge import CASES
from diffclaims.studies.maps.pool import ONE_THREAD
from diffclaims.theory.neurons import neurons
from diffclaims.theory.spectrum import AXIS_RULE
from tests.benchmarks import by_roots
from tests.theory import thirty
from tests.theory.hard import many_classes

COMMAND = "python -m tests.benchmarks.cost"
#: Where they are not what grows: training times, and those of a comparison of errors.
TIMES, FEW_TIMES = np.geomspace(0.1, 1e5, 200), np.geomspace(1.0, 1e4, 17)
#: Accuracy of what errors are measured against.
REFERENCE = {"isotropic": 1e-8, "centroids": 1e-7}
#: Seeds of a simulation by dimension.
SEEDS = {"isotropic": {50: 16, 100: 8, 200: 2}, "centroids": {50: 16, 100: 16, 200: 8, 400: 2}}
#: Eigenvalues of a density, and those of them that root finding is asked for.
EIGENVALUES, ROOTS = 400, 4
#: Errors at which simulation is compared.
ERRORS = (3e-2, 1e-2, 3e-3, 1e-3)
#: What is measured, and what it is: nan where it was not.
MEASURED = {
    "cpu_seconds": "CPU time of one thread",
    "peak_memory_mb": "peak of memory, of which the row `idle` is the share of Python and its packages",
    "accuracy": "accuracy that the theory states, absolute",
    "error": "root mean square of the errors of all losses",
    "bias": "root mean square over losses of the bias of a simulation, the share of its seeds' spread taken off",
    "spread": "root mean square over losses of the standard deviation over seeds",
    "wrong": "share of the eigenvalues whose density is off by 1e-3 of itself or more",
}


def without_centroids(mixture):
    return GaussianMixture(mixture.weights, mixture.variances, mixture.fractions)


def in_types(count, centroids):
    """Two classes whose variances differ in `count` direction types."""
    rng = np.random.default_rng(0)
    variances = np.array([1.5, 0.5])[:, None] * np.exp(rng.normal(0, 0.5, (2, count)))
    gram = np.array([[1.0, 0.3], [0.3, 2.0]]) if centroids else None
    mixture = GaussianMixture([0.5, 0.5], variances, np.full(count, 1 / count), gram)
    return mixture, RandomFeatures(psi_p=8, psi_n=4, diffusion_time=0.05)


# ---- one measurement each, as columns of `MEASURED`


def curves(mixture, model, times=TIMES, **options):
    found = theory.learning_curves(mixture, model, times, throw=False, **options)
    return {"accuracy": found.attrs["accuracy"]}


def curves_of_case(case, accuracy):
    e = CASES[case]
    exact = theory.learning_curves(e.mixture, e.model, FEW_TIMES, accuracy=REFERENCE[case])
    start = time.process_time()
    found = theory.learning_curves(e.mixture, e.model, FEW_TIMES, accuracy=accuracy)
    spent = time.process_time() - start
    gap = stacked(found) - stacked(exact)
    return {"accuracy": found.attrs["accuracy"], "error": np.sqrt((gap**2).mean()), "cpu_seconds": spent}


def simulation(case, n_dims, count):
    """Bias and spread of a simulation, and CPU time of one seed."""
    e = CASES[case]
    exact = stacked(theory.learning_curves(e.mixture, e.model, FEW_TIMES, accuracy=1e-6))
    start = time.process_time()
    found = finite.learning_curves(e, FEW_TIMES, n_dims=n_dims, seeds=count)
    spent = time.process_time() - start
    each = np.stack([stacked(found.isel(seed=i)) for i in range(count)])
    variance = each.var(axis=0, ddof=1).mean()
    bias = ((each.mean(axis=0) - exact) ** 2).mean() - variance / count
    return {"bias": np.sqrt(max(bias, 0.0)), "spread": np.sqrt(variance), "cpu_seconds": spent / count}


def stacked(found):
    return np.concatenate([found.test_loss.values, found.train_loss.values])


def density(mixture, model):
    theory.spectrum(mixture, model, np.geomspace(0.01, 10, EIGENVALUES), bulks=False)
    return {}


def density_by_roots(mixture, model, one_class):
    """The same by root finding, of fewer eigenvalues, each of which is as much work as another."""
    values = np.geomspace(0.01, 10, ROOTS)
    exact = theory.spectrum(mixture, model, values, bulks=False).density.values
    types = neurons(mixture, model, rule=AXIS_RULE, n_normal=2)
    solver = by_roots.of_one_class if one_class else by_roots.of_classes
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = solver(mixture, model, types, values)
    spent = time.process_time() - start
    wrong = np.abs(found - exact) > 1e-3 * np.maximum(exact, 1e-3)
    return {"wrong": wrong.mean(), "cpu_seconds": spent * EIGENVALUES / ROOTS}


def idle():
    return {}


def measured(function, arguments, options):
    """Run a measurement; for a process of its own, whose peak of memory is looked at."""
    start = GaussianMixture([0.5, 0.5], [1.1, 0.9], (1.0,), np.eye(2))
    curves(start, RandomFeatures(psi_p=2, psi_n=2, diffusion_time=0.3), FEW_TIMES)
    start = time.process_time()
    found = function(*arguments, **options)
    spent = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"cpu_seconds": spent, "peak_memory_mb": peak} | {n: float(v) for n, v in found.items()}


# ---- the plan


def plan():
    """Yield what grows, the method, its value, and the measurement."""
    yield "nothing", "idle", 0, idle, (), {}
    for count in (1, 2, 3, 5, 10, 20, 30, 50, 100):
        mixture, model = many_classes(count)
        yield "classes", "no centroids", count, curves, (without_centroids(mixture), model), {}
    for count in (1, 2, 3, 5, 10, 12, 14):
        yield "classes", "centroids", count, curves, many_classes(count), {"accuracy": 1e-3}
    for count in (10, 14, 20, 30, 50, 100):
        yield "classes", "centroids, max_rank=20", count, curves, many_classes(count), {"max_rank": 20}
    for centroids in (False, True):
        name = "centroids" if centroids else "no centroids"
        for count in (1, 2, 4, 8, 16, 32, 64):
            yield "direction types", name, count, curves, in_types(count, centroids), {}
        for count in (10, 50, 200, 1000, 5000):
            times = np.geomspace(0.1, 1e5, count)
            yield "training times", name, count, curves, (*in_types(2, centroids), times), {}
    for case, digits in (("isotropic", range(2, 9)), ("centroids", range(2, 8))):
        for digit in digits:
            yield "accuracy", case, 10.0**-digit, curves_of_case, (case, 10.0**-digit), {}
    for accuracy in (1e-1, 3e-2, 1e-2, 3e-3, 1e-3):
        yield "accuracy", "ten classes", accuracy, curves, many_classes(10), {"accuracy": accuracy}
    for case, sizes in SEEDS.items():
        for n_dims, count in sizes.items():
            yield "simulation", case, n_dims, simulation, (case, n_dims, count), {}
    for count in (1, 2, 3):
        mixture, model = many_classes(count)
        for name, each in (("no centroids", without_centroids(mixture)), ("centroids", mixture)):
            yield "density", name, count, density, (each, model), {}
            yield "density by roots", name, count, density_by_roots, (each, model, False), {}
    each = without_centroids(many_classes(1)[0])
    yield (
        "density by roots",
        "published, one class",
        1,
        density_by_roots,
        (each, many_classes(1)[1], True),
        {},
    )


def study():
    # CPU time of several threads would also count their waiting.
    os.environ |= ONE_THREAD
    # A process a row, forked from one that has imported what is needed and computed nothing.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([by_roots.__name__, thirty.__name__, "diffclaims.studies.converge"])
    rows = []
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        for grows, method, value, function, arguments, options in plan():
            got = pool.submit(measured, function, arguments, options).result()
            rows.append({"grows": grows, "method": method, "value": float(value)} | got)
            print(grows, method, value, {n: float(f"{v:.3g}") for n, v in got.items()}, flush=True)
        exact, accuracy = pool.submit(thirty.solved).result()
        drawn = [pool.submit(thirty.simulated, d, n).result() for d, n in thirty.SEEDS.items()]
    data = {name: ("row", [row[name] for row in rows]) for name in ("grows", "method", "value")}
    data |= {
        name: ("row", np.array([row.get(name, np.nan) for row in rows]), {"long_name": about})
        for name, about in MEASURED.items()
    }
    means, stderrs = (np.stack(part) for part in zip(*drawn, strict=True))
    found = xr.Dataset(data).merge(thirty.dataset(exact, accuracy, means, stderrs))
    return found.assign_attrs(provenance(subject="theory", command=COMMAND))


# ---- the tables of docs/cost.md


def rows_of(found, grows, method):
    part = found.isel(row=np.flatnonzero((found.grows == grows) & (found.method == method)))
    return {float(p.value): p for p in (part.isel(row=i) for i in range(part.sizes["row"]))}


def seconds(x):
    return f"{float(x):.3f}" if x < 0.1 else f"{float(x):.2f}" if x < 10 else f"{float(x):.0f}"


def at_equal_error(found, case, error):
    """Dimension, seeds and CPU seconds of the cheapest simulation with such an error, of the dimensions measured.

    The number of seeds is what the measured bias and spread ask for; it may be more than were run.
    """
    best = None
    for n_dims, row in rows_of(found, "simulation", case).items():
        left = error**2 - float(row.bias) ** 2
        if left > 0:
            seeds = int(np.ceil(float(row.spread) ** 2 / left))
            spent = seeds * float(row.cpu_seconds)
            if best is None or spent < best[2]:
                best = int(n_dims), seeds, spent
    return best


def tables(found):
    """The tables, as markdown."""
    lines = ["| what grows | | value: CPU s, peak MB, accuracy stated |", "|---|---|---|"]
    for grows in ("classes", "direction types", "training times"):
        methods = list(dict.fromkeys(found.method.values[found.grows.values == grows]))
        for method in methods:
            cells = [
                f"{value:g}: {seconds(r.cpu_seconds)}, {float(r.peak_memory_mb):.0f}, {float(r.accuracy):.0e}"
                for value, r in rows_of(found, grows, method).items()
            ]
            lines.append(f"| {grows} | {method} | {'; '.join(cells)} |")
    cells = [
        f"{value:.0e}: {seconds(r.cpu_seconds)}, {float(r.peak_memory_mb):.0f}, {float(r.accuracy):.0e}"
        for value, r in rows_of(found, "accuracy", "ten classes").items()
    ]
    lines.append(f"| accuracy | ten classes, centroids | {'; '.join(cells)} |")
    lines += ["", "| case | error (rms) | theory, CPU s | simulation, CPU s | by |", "|---|---|---|---|---|"]
    for case in SEEDS:
        runs = rows_of(found, "accuracy", case).values()
        for error in ERRORS:
            own = min(float(r.cpu_seconds) for r in runs if float(r.error) <= error)
            best = at_equal_error(found, case, error)
            other = (
                f"{seconds(best[2])} | {best[1]} seeds at d = {best[0]}" if best else "| no dimension tried"
            )
            lines.append(f"| {case} | {error:g} | {seconds(own)} | {other} |")
    lines += [
        "",
        "| density | classes | `theory.spectrum`, CPU s | root finding, CPU s | of it wrong |",
    ]
    lines.append("|---|---|---|---|---|")
    for method in ("no centroids", "centroids", "published, one class"):
        for value, r in rows_of(found, "density by roots", method).items():
            own = rows_of(found, "density", "centroids" if method == "centroids" else "no centroids")[value]
            spent = f"{seconds(own.cpu_seconds)} | {seconds(r.cpu_seconds)}"
            lines.append(f"| {method} | {value:.0f} | {spent} | {float(r.wrong):.0%} |")
    lines += [
        "",
        "| thirty classes, d | seeds | rms of simulation - theory | of it noise |",
        "|---|---|---|---|",
    ]
    means, stderrs, exact = (found[f"thirty_{n}"].values for n in ("finite", "stderr", "theory"))
    dims = found.n_dims.values
    limit = thirty.extrapolated(dims, means, stderrs)
    for name, seeds, mean, stderr in (
        *zip(dims, found.thirty_seeds.values, means, stderrs, strict=True),
        ("limit of limit + c/d", "", *limit),
    ):
        lines.append(f"| {name} | {seeds} | {thirty.rms(mean - exact):.4f} | {thirty.rms(stderr):.4f} |")
    lines.append(f"| accuracy that the theory states | | {found.thirty_theory.attrs['accuracy']:.4f} | |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="print the tables of what is stored")
    path = locate.baselines_dir() / "cost.nc"
    if not parser.parse_args().table:
        storage.write(path, study())
    print(tables(storage.read_dataset(path)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
