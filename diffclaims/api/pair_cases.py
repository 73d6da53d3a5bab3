"""Which experiments of many classes are cases, so that no pair is picked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from diffclaims.api.case import Case
from diffclaims.problem.arguments import checked
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.names import word

#: So many pairs at the same weights are a design; fewer may each have been picked.
FEWEST_OF_DESIGN = 3


@checked
def select(experiments: Mapping[str, Experiment], **more: object) -> list[Case]:
    """Return the balanced experiments of many classes on real data, as cases in which all pairs count.

    Three classes or more that were trained together are one case. So are pairs of them that were trained two at a
    time, of one data set and size, if none is missing. A pair that stands alone among more classes is none: whoever
    chose it may have chosen the order.

    Parameters
    ----------
    experiments : mapping of str to Experiment
    **more
        Further arguments of `Case`.
    """
    cases = [
        Case(name=name, experiments={name: e}, **more)  # type: ignore[arg-type]
        for name, e in experiments.items()
        if e.mixture.n_classes > 2 and balanced(e)
    ]
    sets = _complete_sets(experiments)
    for number, members in enumerate(sets):
        n = len(_classes(members))
        name = f"all-pairs-of-{n}" + (f"-{number + 1}" if len(sets) > 1 else "")
        cases.append(Case(name=name, experiments=members, **more))  # type: ignore[arg-type]
    return cases


def by_weights(experiments: Mapping[str, Experiment]) -> dict[str, dict[str, Experiment]]:
    """Return experiments on two classes in groups that differ in the weights alone, by a name for each.

    One data set, classes, training size and number of parameters; the noise level may differ, for where it follows
    from the training samples it does by chance.
    """
    groups: dict[tuple[str, ...], dict[str, Experiment]] = {}
    for name, e in experiments.items():
        if e.mixture.n_classes == 2:
            base = f"{word('-'.join(e.classes))}-n{e.model.psi_n:g}"
            groups.setdefault((base, e.data, f"{e.model.psi_p:.9g}"), {})[name] = e
    out: dict[str, dict[str, Experiment]] = {}
    for (base, *_), members in groups.items():
        number = sum(other == base or other.startswith(f"{base}-of-") for other in out)
        out[f"{base}-of-{number + 1}" if number else base] = members
    return out


def lone(name: str, experiments: Mapping[str, Experiment]) -> bool:
    """Whether a pair is one of many that could have been listed: there are more classes, and not all their pairs."""
    return name not in pooled(experiments) and len(_classes(experiments)) > 2


def pooled(experiments: Mapping[str, Experiment]) -> set[str]:
    """Names of the pairs that are made to be judged together, with few seeds each.

    They are those of which none is missing, and those of a design: `FEWEST_OF_DESIGN` pairs or more, all at the same
    several weights, equal ones among them.
    """
    complete = {name for members in _complete_sets(experiments) for name in members}
    designs: dict[tuple[float, ...], list[dict[str, Experiment]]] = {}
    for group in by_weights(experiments).values():
        if len(group) > 1 and any(balanced(e) for e in group.values()):
            weights = sorted(round(float(w), 2) for e in group.values() for w in e.mixture.weights)
            designs.setdefault(tuple(weights), []).append(group)
    several = [groups for groups in designs.values() if len(groups) >= FEWEST_OF_DESIGN]
    return complete | {name for groups in several for group in groups for name in group}


def balanced(experiment: Experiment) -> bool:
    """Whether all classes have the same weight."""
    m = experiment.mixture
    return bool(np.abs(m.weights - 1 / m.n_classes).max() < 0.01)


def _classes(experiments: Mapping[str, Experiment]) -> set[str]:
    return {str(c) for e in experiments.values() for c in e.mixture.classes}


def _complete_sets(experiments: Mapping[str, Experiment]) -> list[dict[str, Experiment]]:
    """Pairs of one data set, model and size among which none of three classes or more is missing."""
    groups: dict[tuple[str, str], dict[str, Experiment]] = {}
    for name, e in experiments.items():
        if e.mixture.n_classes == 2 and balanced(e):
            groups.setdefault((e.data, repr(e.model)), {})[name] = e
    complete = []
    for members in groups.values():
        n = len(_classes(members))
        if (
            n > 2
            and len({frozenset(map(str, e.mixture.classes)) for e in members.values()}) == n * (n - 1) // 2
        ):
            complete.append(members)
    return complete
