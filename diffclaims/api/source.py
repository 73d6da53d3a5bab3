"""A case as Python that can be pasted and run."""

from __future__ import annotations

import json
from typing import Any

from diffclaims.api.case import Case, Role
from diffclaims.problem.experiment import Experiment
from diffclaims.problem.mixture import GaussianMixture
from diffclaims.problem.model import RandomFeatures

IMPORTS = "from diffclaims import Case, Experiment, GaussianMixture, RandomFeatures"


def of_mixture(mixture: GaussianMixture) -> str:
    """Return the expression that makes a mixture, with every digit."""
    one = mixture.n_types == 1
    parts = [
        repr(mixture.weights.tolist()),
        repr((mixture.variances[:, 0] if one else mixture.variances).tolist()),
    ]
    if not one:
        parts.append(f"fractions={mixture.fractions.tolist()!r}")
    if mixture.centroid_gram.any():
        parts.append(f"centroid_gram={mixture.centroid_gram.tolist()!r}")
    if mixture.named:
        parts.append(f"classes={list(mixture.classes)!r}")
    return f"GaussianMixture({', '.join(parts)})"


def of_model(model: RandomFeatures) -> str:
    """Return the expression that makes a model; a callable activation appears by its name."""
    parts = [f"psi_p={model.psi_p!r}", f"psi_n={model.psi_n!r}", f"diffusion_time={model.diffusion_time!r}"]
    if not isinstance(model.activation, str):
        parts.append(f"activation={getattr(model.activation, '__qualname__', repr(model.activation))}")
    elif model.activation != "tanh":
        parts.append(f"activation={model.activation!r}")
    return f"RandomFeatures({', '.join(parts)})"


def of_experiment(experiment: Experiment, *, indent: str = "") -> str:
    """Return the expression that makes an experiment."""
    lines = [f"    mixture={of_mixture(experiment.mixture)},", f"    model={of_model(experiment.model)},"]
    if experiment.data != "gaussian":
        lines.append(f"    data={experiment.data!r},")
    return "\n".join(["Experiment(", *(indent + line for line in lines), f"{indent})"])


def of_case(case: Case) -> str:
    """Return the expression that makes a case; it evaluates with the names of `IMPORTS` (and `Role`)."""
    lines = ["Case(", f"    name={case.name!r},", "    experiments={"]
    for name, experiment in case.experiments.items():
        lines.append(f"        {name!r}: {of_experiment(experiment, indent=' ' * 8)},")
    lines.append("    },")
    if case.params:
        lines.append(f"    params={dict(case.params)!r},")
    if case.role is not Role.REGIME:
        lines.append(f"    role={str(case.role)!r},")
    return "\n".join([*lines, ")"])


def to_json(case: Case) -> str:
    """Return name, experiments and params of a case as JSON."""
    data: dict[str, Any] = {
        "name": case.name,
        "experiments": {k: json.loads(e.to_json()) for k, e in case.experiments.items()},
        "params": dict(case.params),
    }
    return json.dumps(data, sort_keys=False)


def from_json(text: str) -> Case:
    """Rebuild what `to_json` gave, a case in the regime."""
    data = json.loads(text)
    return Case(
        name=data["name"],
        experiments={k: Experiment.from_json(json.dumps(e)) for k, e in data["experiments"].items()},
        params=data["params"],
    )
