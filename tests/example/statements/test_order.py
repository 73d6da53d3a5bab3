"""The faster class comes first."""

import numpy as np

from diffclaims import Axis, Case, Claim, Effect, Experiment, GaussianMixture, RandomFeatures, Role, Space

MODEL = RandomFeatures(psi_p=4.0, psi_n=2.0, diffusion_time=0.1)


def asks(*variances):
    return {"pair": Experiment(mixture=GaussianMixture([0.5, 0.5], variances), model=MODEL)}


def measure(subject, case):
    return {name: subject.learning_curves(e) for name, e in case.experiments.items()}


def judge(case, data):
    curves = data["pair"]
    log_time = np.log(curves["training_time"].values)
    fraction = (1 - curves["test_loss"]) / (1 - curves["bayes_loss"])
    fraction = fraction.transpose(..., "class", "training_time").values.reshape(-1, 2, log_time.size)
    tau = np.array([[np.interp(0.5, f, log_time) for f in seed] for seed in fraction])
    name = "ln tau(1)/tau(0)"
    if "seed" in curves.dims:
        return [Effect.from_samples(name, tau[:, 1] - tau[:, 0])]
    return [Effect(name=name, value=float(tau[0, 1] - tau[0, 0]), accuracy=1e-4)]


CLAIM = Claim(
    id="order",
    says="The class of higher variance is learned first.",
    source="an example",
    cases=(
        Case(name="ratio-2", experiments=asks(2.0, 1.0)),
        Case(name="ratio-4", experiments=asks(4.0, 1.0), note="far apart"),
        Case(
            name="equal",
            experiments=asks(1.0, 1.0),
            role=Role.CONTROL,
            expect="inconclusive",
            note="a tie",
        ),
        Case(
            name="swapped",
            experiments=asks(1.0, 2.0),
            role=Role.CONTROL,
            expect="fails",
        ),
        Case(name="beyond", experiments=asks(1.0, 1.5), role=Role.OUTSIDE),
    ),
    measures=frozenset({"learning_curves"}),
    measure=measure,
    judge=judge,
    space=Space(
        axes=(
            Axis(name="ratio", low=0.01, high=100.0, default=2.0, scale="log", about="variance ratio"),
            Axis(name="scale", low=0.0, high=10.0, default=1.0, about="how much of the ratio counts"),
            Axis(name="offset", low=-5.0, high=5.0, default=0.0, about="moves the tie"),
        ),
        # In the regime a case is a high and a low variance; `scale` and `offset` are for maps alone.
        regime=({"ratio": (1.5, 8.0)},),
        build=lambda v: Case(
            name="point", experiments=asks(float(np.exp(v["scale"] * np.log(v["ratio"]) + v["offset"])), 1.0)
        ),
        effect="ln tau(1)/tau(0)",
        options={"level": ("half", "third")},
    ),
)


def test_order(claim_case):
    claim_case.require()
