"""Draw the pictures of README.md and docs anew: `python docs/pictures.py`, from a checkout with the extra `plot`.

`python docs/pictures.py FOLDER` draws them there.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot

from diffclaims import Experiment, GaussianMixture, theory
from diffclaims.api.claim import load_claims
from diffclaims.api.evidence import DECISIVE, evidence
from diffclaims.cli import main
from diffclaims.plots import command as plots
from diffclaims.plots.by_weight import draw_by_weight
from diffclaims.plots.orders import draw_class_order, draw_orders
from diffclaims.plots.style import COLORS
from diffclaims.storage import netcdf as storage
from diffclaims.studies.converge import CASES
from diffclaims.studies.predict import CENTROIDS, compare_many, predicted
from diffclaims.subjects.recorded import Recorded
from diffclaims.unet import results

ROOT = Path(__file__).parents[1]
IMAGES = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "img"
IMAGES.mkdir(parents=True, exist_ok=True)

# Learning curves: the canonical case of variance-order, theory and the recorded finite-size runs.
claim = next(c for c in load_claims(ROOT / "claims") if c.id == "variance-order")
experiment = next(c for c in claim.cases if c.name == "ratio-2").experiments["pair"]
frame = plots.learning_curves(
    theory.learning_curves(experiment.mixture, experiment.model),
    finite=Recorded("finite", ROOT / "baselines" / "finite" / "recorded").learning_curves(experiment),
)
plots.save(frame.figure, IMAGES / "learning-curves.png")

for path in sorted((ROOT / "baselines" / "maps").glob("*.nc")):
    main(["plot", str(path), "--out", str(IMAGES / f"map-{path.stem}.png")])

for name in ("error-rates", "shares"):
    main(["plot", str(ROOT / "baselines" / f"{name}.nc"), "--out", str(IMAGES / f"{name}.png")])

# Finite size against theory: one panel a case.
figure, panels = pyplot.subplots(2, 2, figsize=(9.0, 6.6), layout="constrained", sharex=True)
for name, ax in zip(CASES, panels.flat, strict=True):
    plots.draw_convergence(storage.read_dataset(ROOT / "baselines" / "converge" / f"{name}.nc"), ax)
    ax.set_title(name, fontsize=9, loc="left", color="0.25")
plots.save(figure, IMAGES / "convergence.png")

# Minority speciation under scores with errors: a weight a panel.
found = storage.read_dataset(ROOT / "baselines" / "score-errors" / "minority-speciation.nc")
figure, panels = pyplot.subplots(1, 2, figsize=(11.0, 4.4), layout="constrained", sharex=True)
for weight, ax in zip((0.35, 0.05), panels, strict=True):
    plots.draw_score_errors(found, ax, weight=weight)
    ax.get_legend().remove()  # one for both
    ax.set_xlim(-0.05, 1.3)  # the largest error of responsibility lies beyond, and is of the claim's sign
    ax.set_title(f"minority of higher variance, weight {weight:g}", fontsize=9, loc="left", color="0.25")
figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)
plots.save(figure, IMAGES / "score-errors.png")

# U-Nets: curves and U-turns, balanced beside a rare class of high variance.
CAMPAIGN = ROOT / "baselines" / "unet" / "recorded" / "cpu"
SHOWN = {"balanced-n64": "balanced, 64 images each", "bag0.1-n256": "Bag 0.1 of 256 images"}
for kind, draw, picture in (
    ("curves", plots.learning_curves, "unet-curves"),
    ("speciation", plots.draw_speciation, "unet-returns"),
):
    recorded = results.load(CAMPAIGN, kind)
    figure, panels = pyplot.subplots(
        1, 2, figsize=(11.0, 4.2), layout="constrained", sharey=kind == "speciation"
    )
    for (name, title), ax in zip(SHOWN.items(), panels, strict=True):
        draw(recorded[name], ax=ax)
        ax.set_title(f"{title}, {recorded[name].sizes['seed']} seeds", fontsize=9, loc="left", color="0.25")
    if kind == "curves":
        panels[0].get_legend().remove()  # the same as the right one's, which lies outside
    plots.save(figure, IMAGES / f"{picture}.png")

# Ten classes: all pairs against what was expected of them, and each class against the theory.
ORDERS = ROOT / "baselines" / "orders"
figure, panels = pyplot.subplots(1, 2, figsize=(11.0, 4.4), layout="constrained", sharey=True)
for predictor, ax in zip(("total variance", "theory with centroids"), panels, strict=True):
    draw_orders(storage.read_dataset(ORDERS / "cpu-ten-n64.nc"), ax, predictor=predictor)
plots.save(figure, IMAGES / "unet-orders.png")
# Two classes at a time, with the theory of isotropic classes of the same sizes as a line.
for campaign in ("pairs", "digits"):
    trained_alone = ORDERS / f"{campaign}-all-pairs-of-10.nc"
    recorded = results.load(ROOT / "baselines" / "unet" / "recorded" / campaign)
    one = Experiment.from_json(next(iter(recorded.values())).attrs["experiment"])
    found = storage.read_dataset(trained_alone)
    ratios = np.linspace(0.01, 1.05, 9)
    mean = float(one.mixture.class_variance.mean())
    line = []
    for r in ratios:
        isotropic = GaussianMixture([0.5, 0.5], mean * np.exp([r / 2, -r / 2]))
        first, second = predicted(Experiment(mixture=isotropic, model=one.model))[1, 1]
        line.append(first - second)
    figure, panels = pyplot.subplots(1, 2, figsize=(11.0, 4.4), layout="constrained", sharey=True)
    for predictor, ax in zip(("total variance", "theory with centroids"), panels, strict=True):
        draw_orders(found, ax, predictor=predictor)
    panels[0].plot(ratios, line, color="0.3", lw=1.2, label="theory, isotropic classes")
    panels[0].legend(
        title=panels[0].get_legend().get_title().get_text(), frameon=False, fontsize=8, title_fontsize=8
    )
    plots.save(figure, IMAGES / f"unet-{campaign}.png")
figure, panels = pyplot.subplots(1, 2, figsize=(10.4, 4.6), layout="constrained", sharey=True)
against_theory = compare_many(results.load(CAMPAIGN)["ten-n64"])
for centroids, ax in zip(CENTROIDS, panels, strict=True):
    draw_class_order(against_theory, ax, centroids=centroids)
plots.save(figure, IMAGES / "unet-ten.png")

# Six pairs at three weights each.
frame = draw_by_weight(storage.read_dataset(ORDERS / "imbalance-by-weight.nc"))
plots.save(frame.figure, IMAGES / "unet-by-weight.png")

# A rare class at two weights: each effect by seed, and what the verdict rule knows after so many seeds.
subject = Recorded("unet-rare", ROOT / "baselines" / "unet" / "recorded" / "rare")
claim = next(c for c in load_claims(ROOT / "claims") if c.id == "minority-speciation")
# A case for each sentence of the claim.
cases = claim.select(subject.experiments())
effects = [effect for case in cases for effect in claim.run(subject, case).verdict.effects]
figure, (left, right) = pyplot.subplots(1, 2, figsize=(11.0, 3.8), layout="constrained")
for row, (effect, color) in enumerate(zip(effects, COLORS, strict=False)):
    samples = np.array(effect.samples)
    left.plot(samples, np.full(samples.size, -row), "|", color=color, ms=16)
    left.plot([effect.value], [-row - 0.32], "^", color=color, ms=6)
    seen = np.arange(1, samples.size + 1)
    known = [evidence(n, int((samples[:n] <= 0).sum())) for n in seen.tolist()]
    # Effects of which all seeds agree have one line.
    right.plot(seen, known, ("-", "--", "-")[row], color=color, lw=1.6, label=effect.name)
left.axvline(0.0, color="0.6", lw=0.8)
left.set_yticks([])
left.set_ylim(-len(effects) + 0.4, 0.5)
left.set_xlabel("effect of each seed, and the median")
right.axhline(DECISIVE, color="0.6", lw=0.8)
right.set_yscale("log")
right.set_xlabel("seeds")
right.set_ylabel("evidence that it lies above 0")
right.legend(frameon=False, fontsize=8)
plots.save(figure, IMAGES / "unet-rare.png")

# To the end: samples that are memorized.
(path,) = (ROOT / "baselines" / "unet" / "recorded" / "memorize").glob("*.nc")
found = storage.read_dataset(path)
figure, ax = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
for label, color in zip(found["class"].values.tolist(), COLORS, strict=False):
    for sampler, style in (("heun", "-"), ("ancestral", "--")):
        share = found["memorized_fraction"].sel({"class": label}, drop=True).sel(sampler=sampler, drop=True)
        for i, row in enumerate(share.transpose("seed", "sample_time").values):
            legend = f"{label}, {sampler}" if i == 0 else None
            ax.plot(found["sample_time"], row, style, color=color, marker=".", lw=1.2, label=legend)
ax.axhline(0.5, color="0.6", lw=0.8)
ax.set_xscale("log")
ax.set_xlabel("training time in optimizer steps")
ax.set_ylabel("share of samples memorized")
ax.legend(frameon=False, fontsize=8)
plots.save(figure, IMAGES / "unet-memorize.png")

# What the theory costs as work grows, beside simulation and root finding.
found = storage.read_dataset(ROOT / "baselines" / "cost.nc")


def rows(grows, method):
    return found.isel(row=np.flatnonzero((found.grows == grows) & (found.method == method)))


figure, panels = pyplot.subplots(2, 3, figsize=(12.6, 7.2), layout="constrained")
METHODS = {
    "classes": ("no centroids", "centroids", "centroids, max_rank=20"),
    "direction types": ("no centroids", "centroids"),
    "training times": ("no centroids", "centroids"),
}
for ax, grows, what in (
    (panels[0, 0], "classes", "cpu_seconds"),
    (panels[0, 1], "classes", "peak_memory_mb"),
    (panels[0, 2], "direction types", "cpu_seconds"),
    (panels[1, 0], "training times", "cpu_seconds"),
):
    for method, color in zip(METHODS[grows], COLORS, strict=False):
        part = rows(grows, method)
        ax.plot(part.value, part[what], "o-", color=color, ms=4, lw=1.2, label=method)
    ax.set_xlabel(f"{grows}{', two classes' if grows != 'classes' else ''}")
    ax.set_ylabel("CPU time (s)" if what == "cpu_seconds" else "peak memory (MB)")
ax = panels[1, 1]
for case, color in zip(("isotropic", "centroids"), COLORS, strict=False):
    own = rows("accuracy", case)
    ax.plot(own.cpu_seconds, np.maximum(own.error, 1e-13), "o", color=color, ms=4, label=f"theory, {case}")
    drawn = rows("simulation", case)
    seeds = np.geomspace(1, 100, 30)
    for i, (d, spent, bias, spread) in enumerate(
        zip(*(drawn[n].values for n in ("value", "cpu_seconds", "bias", "spread")), strict=True)
    ):
        error = np.hypot(bias, spread / np.sqrt(seeds))
        label = f"simulation, {case}: 1 to 100 seeds, by d" if i == 0 else None
        ax.plot(seeds * spent, error, "-", color=color, lw=1.2, label=label)
        ax.annotate(f"{d:.0f}", (spent, error[0]), fontsize=7, color=color)
ax.set_xlabel("CPU time (s)")
ax.set_ylabel("error of the losses (rms)")
ax = panels[1, 2]
for method, color in zip(("no centroids", "centroids"), COLORS, strict=False):
    for grows, mark, label in (
        ("density", "o-", "theory.spectrum"),
        ("density by roots", "s--", "root finding"),
    ):
        part = rows(grows, method)
        ax.plot(part.value, part.cpu_seconds, mark, color=color, ms=4, lw=1.2, label=f"{label}, {method}")
part = rows("density by roots", "published, one class")
ax.plot(part.value, part.cpu_seconds, "x", color="0.2", label="root finding, published equations")
ax.set_xlabel("classes")
ax.set_ylabel("CPU time of a density at 400 points (s)")
ax.set_xticks([1, 2, 3])
for ax in panels.flat:
    if ax is not panels[1, 2]:
        ax.set_xscale("log")
    ax.set_yscale("log")
    ax.legend(frameon=False, fontsize=7)
plots.save(figure, IMAGES / "cost.png")

# Thirty classes: the theory of fewer directions beside simulation at two sizes.
figure, panels = pyplot.subplots(1, 3, figsize=(12.6, 4.0), layout="constrained")
for ax, loss in zip(panels, found.loss.values, strict=False):
    for k, color in zip((0, 15, 29), COLORS, strict=False):
        part = found.sel(loss=loss).isel({"class": k})
        ax.plot(found.training_time, part.thirty_theory, color=color, lw=1.2, label=f"theory, class {k}")
        for d, mark in zip(found.n_dims.values, "vo", strict=True):
            at = part.sel(n_dims=d)
            ax.errorbar(found.training_time, at.thirty_finite, at.thirty_stderr, fmt=mark, color=color, ms=3)
    ax.set_xscale("log")
    ax.set_xlabel(r"training time $\tau$")
    ax.set_ylabel(str(loss).replace("_", " "))
    ax.legend(frameon=False, fontsize=8, title="simulation at d = 60: v, 120: o", title_fontsize=8)
ax = panels[2]
for loss, color in zip(found.loss.values, COLORS, strict=False):
    gap = (found.thirty_finite - found.thirty_theory).sel(loss=loss)
    size, noise = (
        np.sqrt((x**2).mean(("class", "training_time"))) for x in (gap, found.thirty_stderr.sel(loss=loss))
    )
    ax.errorbar(found.n_dims, size, noise, fmt="o-", color=color, label=str(loss).replace("_", " "))
dims = found.n_dims.values
ax.plot(dims, float(size[0]) * dims[0] / dims, color="0.6", lw=0.9, ls="--", label="$1/d$")
ax.axhline(
    found.thirty_theory.attrs["accuracy"],
    color="0.4",
    lw=0.9,
    ls=":",
    label="accuracy that the theory states",
)
ax.set_xscale("log")
ax.set_yscale("log")
ax.set_xticks(dims, [str(d) for d in dims])
ax.set_xticks([], minor=True)
ax.set_xlabel("dimension $d$")
ax.set_ylabel("simulation - theory (rms)")
ax.legend(frameon=False, fontsize=8)
plots.save(figure, IMAGES / "cost-thirty.png")
