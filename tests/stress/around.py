"""Public functions around the core, with arguments that they take: denoisers, monitor, claims, subjects, storage."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import diffclaims
from diffclaims import denoisers, finite, pairs, subjects, theory
from diffclaims.provenance import provenance
from diffclaims.subjects.registry import subject_of
from diffclaims.subjects.runs import Runs

#: Where functions write that write, removed at the end of the process.
HERE = tempfile.TemporaryDirectory()


@dataclass(frozen=True)
class Call:
    """A function, and arguments that it takes."""

    name: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any]


def call(_name: str, _function: Callable[..., Any], **arguments: Any) -> Call:
    """Return a call, its arguments by name."""
    return Call(_name, _function, arguments)


def around() -> list[Call]:
    """Public functions that take no mixture of their own, with small arguments that they take."""
    return [*_claims(), *_subjects(), *_denoisers(), *_pictures(), *_monitor()]


def _claims() -> list[Call]:
    mixture = diffclaims.GaussianMixture([0.4, 0.6], [1.5, 0.5], classes=["a", "b"])
    model = diffclaims.RandomFeatures(psi_p=4.0, psi_n=2.0, diffusion_time=0.1)
    experiment = diffclaims.Experiment(mixture=mixture, model=model)
    case = diffclaims.Case(name="c", experiments={"a": experiment})
    axis = diffclaims.Axis(name="psi_n", low=0.5, high=2.0, default=1.0)
    asked = {"a": experiment}
    curves = finite.learning_curves((mixture, model), np.geomspace(0.1, 1e4, 21), n_dims=12, seeds=8)
    data = {"a": curves}
    some = pairs.Pairs.of(asked, data, "gen")
    drawn = np.linspace(0.1, 0.2, 11)
    return [
        call(
            "Claim",
            diffclaims.Claim,
            id="a-claim",
            says="One thing is more than another.",
            source="a paper",
            definitions="ours",
            regime="everywhere",
            cases=(case,),
            measures=frozenset({"learning_curves"}),
            measure=lambda subject, case: {},
            judge=lambda case, data: [],
            rejects=frozenset(),
            null=None,
            space=None,
            select=None,
            takes="",
        ),
        call("Null", diffclaims.Null, case="c", power="c", why="nothing differs", effects=""),
        call(
            "Space",
            diffclaims.Space,
            axes=(axis,),
            build=lambda values: case,
            effect="e",
            regime=({"psi_n": (0.6, 1.5)},),
            options={"activation": ("tanh", "erf")},
            measure=None,
            judge=None,
            explored=None,
        ),
        call("pairs.effect", pairs.effect, name="e", drawn=drawn, pairs=some, threshold=0.0, fewest=5),
        call("pairs.partial", pairs.partial, correlations=np.eye(3)),
        call(
            "pairs.order_effects",
            pairs.order_effects,
            experiments=asked,
            data=data,
            of_classes=lambda mixture: mixture.class_variance,
            milestones=("gen",),
        ),
        call("pairs.select", pairs.select, experiments=asked),
        call("load_claims", diffclaims.load_claims, folder=None),
        call(
            "check",
            diffclaims.check,
            subject="theory",
            claims=["spectrum"],
            expected_failures={},
            on_fail="warn",
            baselines="off",
        ),
        call(
            "provenance",
            provenance,
            subject="s",
            experiment=experiment,
            seeds=(0, 1),
            device="cpu",
            dtype="float64",
        ),
    ]


def _subjects() -> list[Call]:
    folder = Path(tempfile.mkdtemp(dir=HERE.name))
    mixture = diffclaims.GaussianMixture([0.4, 0.6], [1.5, 0.5])
    model = diffclaims.RandomFeatures(psi_p=4.0, psi_n=2.0, diffusion_time=0.1)
    experiment = diffclaims.Experiment(mixture=mixture, model=model)
    curves = theory.learning_curves(mixture, model, np.geomspace(0.1, 1e4, 21))
    return [
        call(
            "subjects.record",
            subjects.record,
            folder=folder,
            experiment=experiment,
            dataset=curves,
            name="theory",
        ),
        call("subjects.Recorded", subjects.Recorded, name="recorded", folder=folder, campaign=""),
        call("subjects.Memo", subjects.Memo, subject=subject_of("theory")),
        call("Runs", Runs, folder=folder),
    ]


def _denoisers() -> list[Call]:
    if not importlib.util.find_spec("torch"):
        return []
    import torch

    abar = np.linspace(0.999, 0.01, 20)
    denoiser = denoisers.from_x0(lambda x, *_: 0 * x)
    x = torch.as_tensor(np.random.default_rng(0).normal(size=(40, 1, 4, 4)))

    def network(x: Any, *_: Any) -> Any:
        return 0 * x

    def adapter(name: str, **arguments: Any) -> Call:
        return call(f"denoisers.{name}", getattr(denoisers, name), **arguments)

    options = {
        "num_classes": 2,
        "one_hot": False,
        "null": "absent",
        "time_first": False,
        "clip": 1.0,
        "channels_last": False,
        "scale": 1.0,
        "offset": 0.0,
    }
    return [
        adapter("from_x0", f=network, **options),
        adapter("from_score", f=network),
        adapter("from_edm", net=network, raw=False, sigma_data=0.5),
        *(
            adapter(name, f=network, alphas_cumprod=abar, time_scale=1.0)
            for name in ("from_eps", "from_v", "from_sample")
        ),
        adapter("from_flow", f=network, data_at=1, velocity=None, time_scale=1.0),
        call("denoisers.Options", denoisers.Options, **options, dtype=None),
        call("Denoiser.denoise", denoiser.denoise, x_noisy=x, sigma=0.5, labels=None),
        call("Denoiser.score", denoiser.score, x_noisy=x, sigma=0.5, labels=None),
        call("Denoiser.nearest", denoiser.nearest, sigma=[0.5]),
        call(
            "denoisers.check",
            denoisers.check,
            denoiser=denoiser,
            x=x,
            labels=np.arange(40) % 2,
            seed=0,
            guess=False,
        ),
    ]


def _pictures() -> list[Call]:
    if not importlib.util.find_spec("matplotlib"):
        return []
    from diffclaims import plots

    mixture = diffclaims.GaussianMixture([0.4, 0.6], [1.5, 0.5])
    model = diffclaims.RandomFeatures(psi_p=4.0, psi_n=2.0, diffusion_time=0.1)
    curves = theory.learning_curves(mixture, model, np.geomspace(0.1, 1e4, 21))
    back = theory.speciation(mixture, [0.1, 1.0, 3.0], n_dims=50, n_samples=64)

    def drawn(function: Callable[..., Any]) -> Callable[..., Any]:
        def close(**arguments: Any) -> None:
            from matplotlib import pyplot

            function(**arguments)
            pyplot.close("all")

        return close

    return [
        call("plots.learning_curves", drawn(plots.learning_curves), ds=curves, finite=None, ax=None),
        call("plots.draw_speciation", drawn(plots.draw_speciation), ds=back, ax=None),
    ]


def _monitor() -> list[Call]:
    if not importlib.util.find_spec("torch"):
        return []
    folders = Path(tempfile.mkdtemp(dir=HERE.name))
    rng = np.random.default_rng(0)
    train = (rng.normal(size=(20, 1, 4, 4)), np.arange(20) % 2)
    held_out = (rng.normal(size=(12, 1, 4, 4)), np.arange(12) % 2)

    def monitor(folder: Any = None, **arguments: Any) -> Any:
        # A folder of its own each time: that of another training is refused.
        here = tempfile.mkdtemp(dir=folders) if folder is None else folder
        return diffclaims.Monitor(here, **{"train": train, "held_out": held_out, **arguments})

    watched = monitor(budget=1.0)
    denoiser = denoisers.from_x0(lambda x, *_: 0 * x)
    return [
        call(
            "Monitor",
            monitor,
            train=train,
            held_out=held_out,
            budget=0.05,
            seed=0,
            conditional=None,
            features=None,
            device=None,
            half=None,
            images=False,
            sink=None,
            experiment="e",
            training_seed=0,
            class_weights=[0.5, 0.5],
            uturns=False,
        ),
        call("Monitor.due", watched.due, step=0),
        call(
            "Monitor.measure", watched.measure, step=0, denoiser=denoiser, ema=None, samples=None, modules=()
        ),
    ]
