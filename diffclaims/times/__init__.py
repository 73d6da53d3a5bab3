"""When a class is learned, best, memorized, and when it speciates: read off curves."""

from diffclaims.times.learning import learning_times

__all__ = ["learning_times"]
