"""Asking a subject one case at a time, the cheapest first, until one decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from diffclaims.api.case import Case, Role
from diffclaims.api.subject import Subject
from diffclaims.problem.experiment import Experiment


class CaseByCase:
    """A subject that is asked only for the experiments of one case.

    Claims record more of a subject that takes any mixture, for instance critical weights by root finding;
    a verdict does not need that.
    """

    def __init__(self, subject: Subject, case: Case) -> None:
        self.subject, self.case = subject, case
        self.name = subject.name
        self.tags = dataclasses.replace(subject.tags, gaussian=False)
        self.learning_curves = subject.learning_curves
        self.speciation = subject.speciation
        self.spectrum = subject.spectrum

    def experiments(self) -> Mapping[str, Experiment]:
        """Those of the case."""
        return self.case.experiments


def asked_case_by_case(subject: Subject, case: Case) -> Subject:
    """Return a subject that is asked only what a verdict on this case needs."""
    return CaseByCase(subject, case)


def cheapest_first(cases: Sequence[Case]) -> list[Case]:
    """Return cases in the order in which they are best asked until one decides."""
    return sorted(cases, key=_cost)


def _cost(case: Case) -> tuple[float, bool]:
    """Centroids make neurons differ, which is what takes time; of equal cases the regime comes first."""
    cost = sum(3.0 if e.mixture.centroid_gram.any() else 1.0 for e in case.experiments.values())
    return cost, case.role is not Role.REGIME
