"""The random-features model at finite size, with its true nonlinearity."""

from diffclaims.finite.bias import bias_against, fit_power
from diffclaims.finite.curves import learning_curves
from diffclaims.finite.descent import descend
from diffclaims.finite.planted import PlantedError, score_error
from diffclaims.finite.sampler import speciation

__all__ = [
    "PlantedError",
    "bias_against",
    "descend",
    "fit_power",
    "learning_curves",
    "score_error",
    "speciation",
]
