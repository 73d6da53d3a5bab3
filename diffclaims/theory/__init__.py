"""The theory subject's solvers, in the limit of many dimensions."""

from diffclaims.theory.curves import bayes_loss, default_training_times, learning_curves
from diffclaims.theory.landscape import spinodal_times
from diffclaims.theory.speciation import speciation
from diffclaims.theory.spectrum import spectrum
from diffclaims.times.speciation import detailed_balance_violation, normalised_return, speciation_times

__all__ = [
    "bayes_loss",
    "default_training_times",
    "detailed_balance_violation",
    "learning_curves",
    "normalised_return",
    "speciation",
    "speciation_times",
    "spectrum",
    "spinodal_times",
]
