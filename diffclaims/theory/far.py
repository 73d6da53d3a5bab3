"""Lattices in up to four directions, for centroids so far that sampled neuron types do not reach the accuracy.

The trapezoidal rule converges geometrically once its spacing is below the widths over which a neuron's moments vary,
where sampled types halve the error with each doubling. In four directions it needs many types before it does so.
"""

from __future__ import annotations

from diffclaims.theory.theta import Extent, ThetaRule

#: The coarsest, and the levels that are tried. In 34 mixtures each moved losses by a second to a 36th of what the one
#: before did, by an eighth in the median; types grow by 2.7 a level.
COARSEST = ThetaRule(spacing=(0.4, 0.5, 0.7, 1.2), radius=5.0, per_width=0.5, own_widths=True)
LEVELS = (0, 0.75, 1.5, 2.25)
#: What the next level could divide a change by, at best.
FASTEST = 30.0


def lattices(extent: Extent, accuracy: float) -> list[ThetaRule]:
    """Rules that grow finer, for such an accuracy; none where the third has too many points, as two would not do."""
    rules = [COARSEST.merging(accuracy).refined(level) for level in LEVELS]
    fit = [each for each in rules if not each.sampled(extent)]
    return fit if len(fit) > 2 else []
