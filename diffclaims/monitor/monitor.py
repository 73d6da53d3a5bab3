"""Watch a training: what the user calls from a loop of his own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Annotated, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from diffclaims.denoisers.denoiser import Denoiser
from diffclaims.errors import InvalidInput
from diffclaims.monitor.about import Identity, beginning, describe
from diffclaims.monitor.ask import Asked, askable
from diffclaims.monitor.callbacks import Watch, hf_callback, lightning_callback
from diffclaims.monitor.data import MOST, Data
from diffclaims.monitor.guard import (
    alone,
    averaged,
    check_modules,
    device_of,
    evaluating,
    first_process,
    random_state_kept,
)
from diffclaims.monitor.halves import with_half
from diffclaims.monitor.moments import moments_of
from diffclaims.monitor.noise import levels
from diffclaims.monitor.pictures import Pictures
from diffclaims.monitor.record import Record
from diffclaims.monitor.samples import Pool, measure_samples
from diffclaims.monitor.schedule import Account, Schedule
from diffclaims.monitor.sinks import log_to
from diffclaims.monitor.store import Arrays, Measurement, MonitorRefused, Store
from diffclaims.monitor.trace import Trace
from diffclaims.monitor.uturns import Classifier, Turns, measure_uturns, uturn_levels
from diffclaims.monitor.window import Window
from diffclaims.problem.arguments import Seed, checked
from diffclaims.problem.names import Name
from diffclaims.problem.validate import Limit, at_least

Floats = NDArray[np.float64]

#: Other labels that held-out samples are told, to see what the right one is worth.
WRONG_LABELS = 2
_BUDGET = Limit(
    "lie above 0 and at most at 1", lambda v: 0 < v <= 1, "give a share of the time, for instance 0.05"
)
Budget = Annotated[float, _BUDGET]
Step = Annotated[
    int, Limit("be a whole number from 0 on", lambda v: v >= 0, "count the steps of the optimizer")
]
_UTURNS = Limit(
    "be True, False or a function of samples", lambda v: callable(v) or isinstance(v, bool), "give True"
)


class Monitor:
    """Measure a training while it runs, class by class.

    It keeps no model, writes each measurement in one step, and goes on with its folder after a process was killed.

    Parameters
    ----------
    folder : path
        Of this training alone.
    train, held_out : (x, y)
        Samples (n, ...) and their classes (n,), integers or strings, as arrays of NumPy or tensors, in the units that
        the denoiser is given; x alone for one class. Without held-out samples only copies are counted.
    budget : float
        Share of the time since the start that measuring may take; 1 for no limit. At least one measurement is made
        for each doubling of the time, so that the first are not lost: see `Account.lends`.
    most : int
        Samples of a class, of training ones and of held-out ones, that losses are measured on. The time that they
        take is in proportion; so is what can be told from chance.
    seed : int
        Of the choice of samples and of the noise.
    conditional : bool, optional
        Whether the network is told the class; found out by default.
    features : callable ``(samples (n, d)) -> (n, g)``, optional
        Where distances between samples are measured; the samples themselves by default.
    device : str or torch.device, optional
        Of the network; that of its parameters by default.
    half : path, optional
        Folder of another training on other samples, whose held-out samples are those of this one and the other way
        round: `status` then compares them.
    images : bool or sequence of int
        Keep, with every measurement of samples, small pictures of those that are nearest to a training sample beside
        it, four of each class: True where samples have the shape of an image, or that shape where they are flattened.
        The folder then holds training images.
    sink : object, optional
        Where each measurement is logged, by ``sink.log(dict, step)`` or as `log_to` has it.
    clock : callable
        Seconds that only grow.
    experiment, training_seed, class_weights : str, int, mapping or sequence, optional
        Which experiment the training belongs to, and which of its seeds it is, for ``pytest claims --subject
        runs:FOLDER``; as of `Identity`.
    uturns : bool or callable ``(samples (n, ...)) -> classes (n,)``
        Whether U-turns are measured where samples are, for what the claims say of speciation; the callable tells the
        class of an end, by default that of the nearest training sample.

    Raises
    ------
    InvalidInput
        For data that cannot be measured on.
    MonitorRefused
        For a folder of other data or settings.
    """

    @checked
    def __init__(
        self,
        folder: str | os.PathLike[str],
        train: Any,
        held_out: Any = None,
        budget: Budget = 0.05,
        *,
        most: Annotated[int, at_least(2)] = MOST,
        seed: Seed = 0,
        conditional: bool | None = None,
        features: Callable[[Floats], ArrayLike] | None = None,
        device: Any = None,
        half: str | os.PathLike[str] | None = None,
        images: bool | Sequence[int] = False,
        sink: Any = None,
        clock: Callable[[], float] = time.monotonic,
        experiment: str | None = None,
        training_seed: int | None = None,
        class_weights: Mapping[Name, float] | ArrayLike | None = None,
        uturns: Annotated[bool | Classifier, _UTURNS] = False,
    ) -> None:
        self.seed, self.conditional, self.device, self.half = seed, conditional, device_of(device), half
        self._features, self._clock = features, clock
        self._log = None if sink is None else log_to(sink)
        self.data = Data.of(train, held_out, seed, most)
        self._pictures = Pictures.of(images, tuple(self.data.train.x.shape[1:]))
        self._about = describe(self.data, seed, Identity(experiment, training_seed, class_weights))
        self._store = Store(folder)
        self._store.check(self._about)
        self._schedule = Schedule(Account(budget, clock))
        self._steps = self._store.steps()
        #: Measurements from this step on belong to a training that was left.
        self._from: int | None = None
        self._seen = -1
        self._pool: Pool | None = None
        self._trace: Trace | None = None
        self._uturns = uturns
        self._turns: Turns | None = None
        self._levels: Floats | None = None

    @property
    def record(self) -> Record:
        """What was measured."""
        return Record(self._store)

    @checked
    def due(self, step: Step) -> bool:
        """Whether to measure now.

        Parameters
        ----------
        step : int
            Of the optimizer, from 0 on; it must not fall while a process runs.

        Returns
        -------
        bool
            False on all but the first process of a distributed training.
        """
        if not first_process():
            return False
        self._see(step)
        return self._schedule.due(step)

    @checked
    def measure(
        self,
        step: Step,
        denoiser: Denoiser | Any,
        ema: Any = None,
        *,
        samples: bool | None = None,
        modules: Sequence[Any] = (),
    ) -> None:
        """Measure a denoiser, whether it is due or not.

        Random state, the mode of every module and the weights are left as they were, whatever happens. On all but the
        first process of a distributed training nothing is done, and nobody waits.

        Parameters
        ----------
        step : int
            Steps taken so far.
        denoiser : Denoiser
            From `diffclaims.denoisers`, with the weights that are trained.
        ema : Denoiser, module, state dict, or object with ``store``, ``copy_to`` and ``restore``, optional
            Averaged weights, which are measured beside them.
        samples : bool, optional
            Whether samples are generated; at every fourth measurement that can be paid for, by default.
        modules : sequence of torch.nn.Module
            To be put into eval mode as well, where they cannot be found behind the denoiser.

        Raises
        ------
        InvalidInput
            For a denoiser that does not fit the data, or whose answers are not finite; nothing is stored then.
        """
        if not first_process():
            return
        if not isinstance(denoiser, Denoiser):
            limit = "come from an adapter of diffclaims.denoisers"
            fix = "use denoisers.from_eps(model, alphas_cumprod) or that of your convention"
            raise InvalidInput.of("denoiser", type(denoiser).__name__, limit, fix)
        named = check_modules(modules)
        self._see(step)
        self._schedule.account.start()
        with ExitStack() as stack:
            stack.enter_context(random_state_kept())
            stack.enter_context(alone(denoiser))
            stack.enter_context(evaluating([denoiser, *([ema] if isinstance(ema, Denoiser) else [])], named))
            self._measure(step, denoiser, ema, samples, named)
            if self._log is not None:
                began = self._clock()
                self._log(self.record.scalars(), step)
                self._schedule.account.book(log=self._clock() - began)

    def status(self, weights: str | None = None) -> xr.Dataset:
        """Return the state of every class at the last measurement; as `Record.status`."""
        found = self.record.status(weights)
        return found if self.half is None else with_half(found, self.record, Record(self.half))

    def window(self, weights: str | None = None) -> Window:
        """Return the safe stopping window, or why there is none; as `Record.window`."""
        return self.record.window(weights)

    def uturns(self, weights: str | None = None) -> xr.Dataset:
        """Return where U-turns ended, by step, class and noise level; as `Record.uturns`."""
        return self.record.uturns(weights)

    def losses(self) -> xr.Dataset:
        """Return losses and gaps by step, weights, class and noise level; as `Record.losses`."""
        return self.record.losses()

    def as_lightning(self, denoiser: Any = None, ema: Any = None, *, stop: str | None = None) -> Any:
        """Return a callback for Lightning's trainer, of the package that is imported; parameters of `Watch`."""
        return lightning_callback(Watch(self, denoiser, ema, stop))

    def as_hf(self, denoiser: Any = None, ema: Any = None, *, stop: str | None = None) -> Any:
        """Return a callback for the trainer of transformers; parameters of `Watch`."""
        return hf_callback(Watch(self, denoiser, ema, stop))

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs, so that measurements and weights go on from the same step."""
        return {
            "training": self._about["fingerprint"],
            "step": self._seen,
            "schedule": self._schedule.state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint: what was measured after it is set aside at the next measurement.

        Raises
        ------
        MonitorRefused
            For the state of another training.
        """
        if state.get("training") != self._about["fingerprint"]:
            raise MonitorRefused(
                f"the state is that of another training ({state.get('training')!r} there, "
                f"{self._about['fingerprint']!r} now): load the checkpoint of this one"
            )
        self._go_on(int(state["step"]) + 1)

    def _see(self, step: int) -> None:
        step = int(step)  # a NumPy integer is none of JSON's
        if self._from is None:
            self._go_on(step)
        elif self._from > step:
            self._from = step
        self._seen = max(self._seen, step)

    def _go_on(self, step: int) -> None:
        """Take what was measured before a step as the past of this training."""
        self._from = step
        if not self._steps:
            return
        before = [s for s in self._steps if s < step]
        latest = max(
            (self._store.read(s).info["schedule"] for s in self._steps), key=lambda s: s["account"]["elapsed"]
        )
        past = (
            self._store.read(before[-1]).info["schedule"] if before else {"since_samples": 0, "left_out": []}
        )
        self._schedule.restore(before[-1] if before else -1, {**past, "account": latest["account"]})

    def _measure(
        self, step: int, denoiser: Denoiser, ema: Any, samples: bool | None, modules: list[Any]
    ) -> None:
        asked = Asked(denoiser, self.data, self.device, modules)
        asked.synchronize()
        began = self._clock()
        found = self._levels_for(asked)
        self._schedule.with_samples = samples is None
        with_samples = self._schedule.samples_due() if samples is None else samples
        if with_samples and self._pool is None:
            self._pool = Pool(self.data, self._features)
            if self._uturns is not False:
                classifier = self._uturns if callable(self._uturns) else None
                self._turns = Turns(self.data, classifier, self._features)
        setup = self._clock()
        arrays: Arrays = {}
        info: dict[str, Any] = {"weights": [], "samples": {}, "labels_matter": {}}
        costs = {"setup": setup - began, "losses": 0.0}
        for name, weights in (("raw", None), ("ema", ema)):
            if name == "ema" and ema is None:
                continue
            with ExitStack() as stack:
                if weights is not None:
                    other = stack.enter_context(averaged(denoiser, weights))
                    stack.enter_context(evaluating([other], []))
                    asked = Asked(other, self.data, self.device, modules)
                began = self._clock()
                labelled = self._labelled(asked, found)
                info["labels_matter"][name] = labelled and asked.labels_matter(float(found[len(found) // 2]))
                measured = asked.losses(found, self.seed, labelled=labelled)
                arrays |= {f"{name}_{key}": values for key, values in measured.items()}
                self._trace = self._trace or Trace(self.data)
                arrays[f"{name}_trace"] = self._trace.answers(asked, labelled=labelled)
                info["weights"].append(name)
                costs["losses"] += self._clock() - began
                if with_samples and self._pool is not None:
                    began = self._clock()
                    copies, made, of = measure_samples(asked, self._pool, found, self.seed, labelled=labelled)
                    if self._pictures is not None:
                        copies["near"], pairs = self._pictures.nearest(self._pool, made, of)
                        arrays |= {f"{name}_near_{key}": values for key, values in pairs.items()}
                    info["samples"][name] = copies
                    if info["labels_matter"][name]:
                        for i in range(1, min(WRONG_LABELS, len(self.data.classes) - 1) + 1):
                            wrong = asked.losses(found, self.seed, labelled=True, wrong=i)["held_out_log"]
                            arrays[f"{name}_wrong_{i}"] = wrong
                    if self._turns is not None:
                        info.setdefault("uturns", {})[name], ends = self._turned(asked, self._turns, found)
                        arrays[f"{name}_uturns"] = ends
                    costs["samples"] = costs.get("samples", 0.0) + self._clock() - began
        self._write(step, arrays, info, costs)

    def _turned(self, asked: Asked, turns: Turns, found: Floats) -> tuple[dict[str, Any], NDArray[np.int16]]:
        """Measure U-turns at the levels of this training, which a folder of before does not name yet."""
        about, lowest = self._store.about() or {}, float(found[0])
        if "uturn_levels" in about:
            turned = asked.denoiser.nearest(np.array(about["uturn_levels"]))
        else:
            turned = uturn_levels(moments_of(self.data)["centroid_distance"], lowest, asked.denoiser)
        info, ends = measure_uturns(asked, turns, turned, lowest, self.seed)
        return {**info, "levels": turned.tolist()}, ends

    def _labelled(self, asked: Asked, found: Floats) -> bool:
        return asked.takes_labels(float(found[-1])) if self.conditional is None else self.conditional

    def _levels_for(self, asked: Asked) -> Floats:
        """Noise levels of this training; the first denoiser that is measured says which it can be asked."""
        denoiser = asked.denoiser
        if self._levels is None:
            there = self._store.about()
            if there is None:
                self._levels = askable(denoiser, levels(self.data))
                self._begin(self._levels, asked)
            else:
                self._levels = np.array(there["levels"])
        if not np.allclose(denoiser.nearest(self._levels), self._levels, rtol=1e-6):
            shown = [round(float(s), 4) for s in denoiser.nearest(self._levels)]
            limit = f"include those of this training, {[round(float(s), 4) for s in self._levels]}"
            fix = "keep the schedule and scale of the adapter, or use another folder"
            raise InvalidInput.of("noise levels of the denoiser", shown, limit, fix)
        return self._levels

    def _begin(self, found: Floats, asked: Asked) -> None:
        notes, arrays = beginning(self.data, found, self.seed, self._about.get("class_weights"))
        turned = uturn_levels(arrays["centroid_distance"], float(found[0]), asked.denoiser)
        more = {"uturn_levels": turned.tolist(), "n_parameters": asked.n_parameters}
        self._store.begin({**self._about, **notes, **more}, arrays)

    def _write(self, step: int, arrays: Arrays, info: dict[str, Any], costs: dict[str, float]) -> None:
        if self._store.steps() != self._steps:
            raise MonitorRefused(
                f"{self._store.folder} was changed by another process at the same time: "
                "give each training a folder of its own"
            )
        assert self._from is not None
        self._store.set_aside([s for s in self._steps if s >= min(self._from, step)])
        self._schedule.measured(step, **costs)
        info |= {"seconds": costs, "schedule": self._schedule.state()}
        self._store.write(Measurement(step, arrays, info))
        self._steps = self._store.steps()
        self._from = step + 1
