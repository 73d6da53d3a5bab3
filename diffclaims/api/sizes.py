"""How near effects are to the size that the theory gives them.

An order may hold with a tenth of its size. For subjects of the theory's own model each effect of a case is
therefore compared with the theory's recorded one. The tolerances are ours.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from diffclaims.api.outcome import Effect
from diffclaims.api.subject import Tags

#: Relative and absolute tolerance of an exact subject, beside what it states as its accuracy.
EXACT = (0.05, 0.005)
#: The same of finite size, where d = 128 moves ln tau by up to 0.027; and what one over the samples of the rarest
#: class adds: with 10 of them effects differ from the theory's by up to 0.35.
FINITE = (0.05, 0.03)
BY_SAMPLES = 4.0


def size_effects(
    effects: Sequence[Effect], known: Mapping[str, float], tags: Tags, fewest_samples: float = math.inf
) -> list[Effect]:
    """Return by how much each effect stays within the tolerance of its known size; below 0 it does not.

    Parameters
    ----------
    effects : sequence of Effect
        What was measured.
    known : mapping of str to float
        The theory's effects by name. Effects that it does not name are left out.
    tags : Tags
        Of the subject: an exact one must be nearer.
    fewest_samples : float
        Of the rarest class, for a subject of finite size.

    Returns
    -------
    list of Effect
        One for an exact effect; two where there are seeds, whose median must lie between two limits.
    """
    relative, absolute = EXACT if tags.exact else FINITE
    judged: list[Effect] = []
    for e in effects:
        if e.name not in known:
            continue
        size = known[e.name]
        if not math.isfinite(size) or not math.isfinite(e.value):
            # Never reached in theory is never reached here; a time that is reached is no answer to it.
            off = 0.0 if size == e.value else -math.inf
            if tags.exact:
                judged.append(Effect(name=f"size of {e.name}", value=off or absolute, detail=_detail(size)))
            continue
        tolerance = relative * abs(size) + absolute + (0.0 if tags.exact else BY_SAMPLES / fewest_samples)
        detail = f"{_detail(size)} within {tolerance:.2g}"
        if not e.samples:
            value = tolerance - abs(e.value - size)
            judged.append(
                Effect(
                    name=f"size of {e.name}",
                    value=value,
                    stderr=e.stderr,
                    accuracy=0.0 if e.stderr else min(e.accuracy, tolerance / 2),
                    n_seeds=e.n_seeds,
                    detail=detail,
                )
            )
            continue
        for side, name in ((1.0, "not below"), (-1.0, "not above")):
            values = [side * (x - size) + tolerance for x in e.samples]
            one = Effect.from_samples(f"size of {e.name}, {name}", values)
            judged.append(dataclasses.replace(one, detail=detail))
    return judged


def _detail(size: float) -> str:
    return f"the theory's is {size:+.3g}"
