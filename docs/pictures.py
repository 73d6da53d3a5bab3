"""Draw the pictures of README.md and docs anew: `python docs/pictures.py`, from a checkout with the extra `plot`."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot

from diffclaims import Experiment, GaussianMixture, theory
from diffclaims.api.claim import load_claims
from diffclaims.cli import main
from diffclaims.plots import command as plots
from diffclaims.plots.orders import draw_class_order, draw_orders
from diffclaims.storage import netcdf as storage
from diffclaims.studies.converge import CASES
from diffclaims.studies.predict import CENTROIDS, compare_many, predicted
from diffclaims.subjects.recorded import Recorded
from diffclaims.unet import results

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "img"

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
