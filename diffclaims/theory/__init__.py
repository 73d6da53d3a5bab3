"""The theory subject's solvers, in the limit of many dimensions."""

from diffclaims.theory.curves import bayes_loss, default_training_times, learning_curves
from diffclaims.theory.spectrum import spectrum

__all__ = ["bayes_loss", "default_training_times", "learning_curves", "spectrum"]
