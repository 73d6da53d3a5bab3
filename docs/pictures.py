"""Draw the pictures of README.md and docs anew: `python docs/pictures.py`, from a checkout with the extra `plot`."""

from pathlib import Path

from diffclaims import plots, theory
from diffclaims.claim import load_claims
from diffclaims.cli import main
from diffclaims.subjects.recorded import Recorded

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
