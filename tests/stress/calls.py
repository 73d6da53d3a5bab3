"""Public functions with arguments that they take, and values of every kind to put in their place."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import diffclaims
from diffclaims import finite, memorization, returns, schema, theory
from diffclaims.api import effects
from diffclaims.api.subject import Tags
from diffclaims.subjects.registry import subject_of
from diffclaims.times.speciation import speciation_times
from tests.stress.around import HERE, Call, around, call


def values() -> dict[str, Any]:
    """Values of every kind, by what they are."""
    return {
        "None": None,
        "True": True,
        "zero": 0,
        "one": 1,
        "minus one": -1,
        "seven": 7,
        "a half": 0.5,
        "minus a half": -0.5,
        "nan": float("nan"),
        "inf": float("inf"),
        "1e308": 1e308,
        "1e-320": 1e-320,
        "an integer beyond a double": 10**400,
        "complex": 1 + 1j,
        "empty text": "",
        "a word": "word",
        "bytes": b"bytes",
        "empty list": [],
        "list of one": [0.5],
        "ragged list": [[0.3, 0.7], [1.0]],
        "list of words": ["a", "b"],
        "list with None": [None, 1.0],
        "list of 1e308": [1e308, 1e308],
        "list of large integers": [10**400, 1],
        "tuple": (0.4, 0.6),
        "dict": {"a": 1},
        "set": {1, 2},
        "object": object(),
        "a type": int,
        "a function": lambda *_: None,
        "empty array": np.array([]),
        "array with nan": np.array([0.5, np.nan]),
        "array of text": np.array(["a", "b"]),
        "array of objects": np.array([object(), None], dtype=object),
        "array of three dimensions": np.ones((2, 2, 2)),
        "array of complex": np.array([0.4 + 1j, 0.6]),
        "masked array": np.ma.masked_array([0.4, 0.6], [False, True]),
        "numpy scalar": np.float32(0.5),
        "numpy date": np.datetime64("2020-01-01"),
        "date": datetime.date(2020, 1, 1),
        "pandas NA": pd.NA,
        "series with NA": pd.Series([1, None], dtype="Int64"),
        "dataset": xr.Dataset(),
        "data array": xr.DataArray([0.4, 0.6]),
        # Not in the folder of the checkout, for some functions write there.
        "path": Path(HERE.name) / "nowhere",
    }


def calls() -> list[Call]:
    """Public functions with small arguments that they take."""
    mixture = diffclaims.GaussianMixture([0.4, 0.6], [1.5, 0.5], centroid_gram=[[1.0, -1.0], [-1.0, 1.0]])
    alike = diffclaims.GaussianMixture([0.4, 0.6], [1.0, 1.0], centroid_gram=[[1.0, -1.0], [-1.0, 1.0]])
    model = diffclaims.RandomFeatures(psi_p=4.0, psi_n=2.0, diffusion_time=0.1)
    curves = theory.learning_curves(mixture, model, np.geomspace(0.1, 1e4, 21))
    seeded = finite.learning_curves((mixture, model), curves.training_time.values, n_dims=12, seeds=2)
    back = theory.speciation(mixture, [0.1, 1.0, 3.0], n_dims=50, n_samples=64)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    small = diffclaims.RandomFeatures(psi_p=2.0, psi_n=2.0, diffusion_time=0.1)
    experiment = diffclaims.Experiment(mixture=mixture, model=small)
    effect = {"name": "e", "value": 0.3, "threshold": 0.1, "stderr": 0.1, "n_seeds": 8, "samples": (0.1, 0.2)}
    found = effects.log_time(curves, "gen", 0.5, 0)
    bias = {8: (0.1, 0.01), 16: (0.05, 0.01), 32: (0.02, 0.01)}

    return [
        call(
            "GaussianMixture",
            diffclaims.GaussianMixture,
            weights=[0.4, 0.6],
            variances=[[1.5, 1.0], [0.5, 1.0]],
            fractions=[0.5, 0.5],
            centroid_gram=[[1.0, 0.0], [0.0, 1.0]],
            classes=["a", "b"],
        ),
        call(
            "GaussianMixture.from_samples",
            diffclaims.GaussianMixture.from_samples,
            x=x,
            labels=y,
            classes=[0, 1],
            n_types=2,
            weights=[0.5, 0.5],
        ),
        call("GaussianMixture.replace", mixture.replace, weights=[0.5, 0.5]),
        call(
            "RandomFeatures",
            diffclaims.RandomFeatures,
            psi_p=4.0,
            psi_n=2.0,
            diffusion_time=0.1,
            activation="tanh",
        ),
        call(
            "Experiment",
            diffclaims.Experiment,
            mixture=mixture,
            model=model,
            data="gaussian",
            classes=("a", "b"),
        ),
        call(
            "theory.learning_curves",
            theory.learning_curves,
            mixture=mixture,
            model=model,
            training_times=[0.1, 1.0],
            accuracy=1e-3,
            max_levels=5,
            throw=True,
            max_rank=3,
        ),
        call(
            "theory.default_training_times",
            theory.default_training_times,
            mixture=mixture,
            model=model,
            n_times=5,
        ),
        call("theory.bayes_loss", theory.bayes_loss, mixture=mixture, model=model),
        call(
            "theory.spectrum",
            theory.spectrum,
            mixture=mixture,
            model=model,
            eigenvalues=[0.1, 1.0],
            bulks=False,
            resolution=1,
            mass_accuracy=1e-2,
            throw=True,
        ),
        call(
            "theory.speciation",
            theory.speciation,
            mixture=mixture,
            diffusion_times=[0.1, 1.0],
            n_dims=50,
            n_samples=64,
            rng=0,
        ),
        call("speciation_times", speciation_times, dataset=back, threshold=0.75, of="return_probability"),
        call("theory.spinodal_times", theory.spinodal_times, mixture=alike, n_dims=50),
        call("normalised_return", returns.normalised_return, dataset=back, weights=[0.4, 0.6]),
        call(
            "detailed_balance_violation", returns.detailed_balance_violation, dataset=back, weights=[0.4, 0.6]
        ),
        call(
            "learning_times", diffclaims.learning_times, curves=curves, generalization=0.5, memorization=0.1
        ),
        call(
            "finite.learning_curves",
            finite.learning_curves,
            question=experiment,
            training_times=[0.1, 1.0],
            n_dims=12,
            seeds=2,
            n_noise=None,
            n_test=4,
            tolerance=1e-6,
            order=4,
            paired=False,
            control=False,
            x=None,
            labels=None,
            backend="numpy",
            device="cpu",
            block_bytes=1 << 20,
        ),
        call(
            "finite.speciation",
            finite.speciation,
            question=experiment,
            diffusion_times=[0.3, 1.0],
            n_dims=12,
            seeds=1,
            n_points=8,
            n_steps=4,
            end=0.01,
            training_time="best",
            score="exact",
            mirrored=False,
            sobol=False,
            backend="numpy",
            device="cpu",
        ),
        call(
            "finite.descend",
            finite.descend,
            question=experiment,
            n_steps=3,
            optimizer="gd",
            learning_rate=0.1,
            batch_size=4,
            betas=(0.9, 0.99),
            records=[1, 2],
            n_dims=12,
            seeds=1,
            n_test=4,
            x=None,
            labels=None,
            backend="numpy",
            device="cpu",
        ),
        call("finite.PlantedError", finite.PlantedError, kind="field", size=0.1),
        call("finite.bias_against", finite.bias_against, finite=seeded, theory=curves, variable="test_loss"),
        call("finite.fit_power", finite.fit_power, values=bias, exponent=1.0),
        call(
            "memorization.copies",
            memorization.copies,
            samples=x[:8],
            sample_labels=y[:8],
            train=x[8:24],
            train_labels=y[8:24],
            held_out=x[24:],
            held_out_labels=y[24:],
            features=None,
            seed=0,
        ),
        call(
            "memorization.membership",
            memorization.membership,
            train_loss=x[:16, 0],
            train_labels=y[:16],
            held_out_loss=x[16:, 0],
            held_out_labels=y[16:],
            seed=0,
        ),
        call("effects.log_time", effects.log_time, curves=curves, milestone="gen", level=0.5, which=0),
        call(
            "effects.effect",
            effects.effect,
            name="e",
            found=found,
            stochastic=False,
            threshold=0.0,
            detail="d",
        ),
        call(
            "effects.order_effects",
            effects.order_effects,
            curves=curves,
            first=0,
            later=1,
            milestones=("gen",),
            names=("a", "b"),
            which="all",
        ),
        call("Effect", diffclaims.Effect, **effect),
        call("Verdict", diffclaims.Verdict, effects=(diffclaims.Effect(**effect),), sizes=()),
        call(
            "Tags",
            Tags,
            exact=True,
            stochastic=False,
            measures={"spectrum"},
            max_classes=2,
            gaussian=True,
            needs=("torch",),
            slow=False,
            model="random-features",
        ),
        call(
            "Axis",
            diffclaims.Axis,
            name="psi_n",
            low=0.5,
            high=2.0,
            default=1.0,
            scale="log",
            about="samples",
        ),
        call(
            "Case",
            diffclaims.Case,
            name="c",
            experiments={"a": experiment},
            role="regime",
            expect=(),
            note="n",
            params={"a": 1.0},
            exact_only=False,
        ),
        call("schema.stamp", schema.stamp, dataset=curves, kind="curves", attrs={"a": 1}),
        call("schema.validate", schema.validate, dataset=curves, kind="curves", who="w"),
        call(
            "check_subject",
            diffclaims.check_subject,
            subject=subject_of("theory"),
            probe=experiment,
            repeat=False,
        ),
        call(
            "advise",
            diffclaims.advise,
            data=x,
            y=y,
            classes=[0, 1],
            weights=[0.5, 0.5],
            diffusion_time=0.05,
            parameters=20.0,
            stop=10.0,
            finite=False,
            shrinkage="oas",
            resamples=2,
            weights_search=False,
            root=None,
            seed=0,
        ),
        *around(),
    ]


def spoiled(call: Call) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each argument of a call with each value in its place: argument, kind of value, all arguments."""
    for argument in call.arguments:
        for kind, value in values().items():
            yield argument, kind, {**call.arguments, argument: value}
