"""From effects to one verdict: the rule for several that must all hold.

A claim holds when all its effects hold. It fails when the mean evidence of its effects that they fail is decisive:
the mean is evidence of the same kind under any dependence (Vovk and Wang, arXiv:1912.06116), while one of many
effects would fail more often than each of them. The rule is ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from diffclaims.api.evidence import DECISIVE
from diffclaims.api.outcome import Effect, Outcome
from diffclaims.errors import InvalidInput
from diffclaims.problem.arguments import checked

_SEVERITY = {Outcome.FAILS: 0, Outcome.INCONCLUSIVE: 1, Outcome.HOLDS: 2, Outcome.NOT_RUN: 3}


def combine(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the outcome of a conjunction: fails if any fails, holds if all hold, else inconclusive.

    What was not run does not count; nothing left is not run.
    """
    counted = [o for o in outcomes if o is not Outcome.NOT_RUN]
    return min(counted, key=_SEVERITY.__getitem__, default=Outcome.NOT_RUN)


def _worst(effects: Sequence[Effect]) -> Effect:
    return min(effects, key=lambda e: (_SEVERITY[e.outcome], e.margin))


def _mean_evidence(effects: Sequence[Effect]) -> float:
    return sum(e.evidence_of_failure for e in effects) / len(effects)


def _conjunction(effects: Sequence[Effect]) -> Outcome:
    combined = combine(e.outcome for e in effects)
    if combined is Outcome.FAILS and _mean_evidence(effects) < DECISIVE:
        return Outcome.INCONCLUSIVE
    return combined


@dataclass(frozen=True)
class Verdict:
    """Several effects that must all hold.

    Parameters
    ----------
    effects : sequence of Effect
        At least one.
    sizes : sequence of Effect
        How near each effect is to the size that it must have, where that is known.
    """

    effects: tuple[Effect, ...]
    sizes: tuple[Effect, ...] = ()

    @checked
    def __init__(self, effects: Sequence[Effect], sizes: Sequence[Effect] = ()) -> None:
        if len(effects) == 0:
            raise InvalidInput.of("effects", effects, "be one or more Effect", "measure something first")
        object.__setattr__(self, "effects", tuple(effects))
        object.__setattr__(self, "sizes", tuple(sizes))

    @property
    def outcome(self) -> Outcome:
        """Holds if all effects hold, fails if their mean evidence of failure is decisive, else inconclusive.

        What holds with a size that is wrong fails.
        """
        own = _conjunction(self.effects)
        return Outcome.FAILS if own is Outcome.HOLDS and self.size is Outcome.FAILS else own

    @property
    def size(self) -> Outcome:
        """The same of the sizes; not run where none are known."""
        return _conjunction(self.sizes)

    @property
    def evidence_of_failure(self) -> float:
        """Mean evidence of the effects that they lie below their thresholds."""
        return _mean_evidence(self.effects)

    @property
    def worst(self) -> Effect:
        """The effect that decides: by outcome (fails, inconclusive, holds), then by least margin.

        The outcome comes first because effects may have different decision thresholds: a small margin that
        is known exactly is stronger than a larger one that is not resolved.
        """
        if _conjunction(self.effects) is Outcome.HOLDS and self.size is Outcome.FAILS:
            return _worst(self.sizes)
        return _worst(self.effects)

    def sentence(self) -> str:
        """The worst effect in one line, and how many others stand behind it."""
        n = len(self.effects)
        tail = f" [the weakest of {n} effects]" if n > 1 else ""
        if self.worst.outcome is not self.outcome and self.outcome is Outcome.INCONCLUSIVE:
            tail = (
                f" [one of {n} effects, of which chance alone would let one fail too often: inconclusive; "
                f"mean evidence {self.evidence_of_failure:.3g} of {DECISIVE:g}, a few more seeds would decide it]"
            )
        return self.worst.sentence() + tail
