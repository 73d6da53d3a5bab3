"""One number for every (seed, purpose, step), so that a resumed run draws what it would have drawn."""

from __future__ import annotations

import numpy as np

#: Purposes; the numbers are part of every result.
SUBSET, INITIAL, STEP, PROBE, SAMPLE, UTURN, CLASSIFIER = range(1, 8)


def mix(*words: int) -> int:
    """Return 63 well-mixed bits from non-negative integers."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))
