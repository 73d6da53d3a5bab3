"""Which convention a network seems to be: the same network read in each, and which reads it best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from diffclaims.denoisers import formulas
from diffclaims.denoisers.adapters import flow_clock, quarter_log
from diffclaims.denoisers.denoiser import Denoiser
from diffclaims.denoisers.formulas import Formula
from diffclaims.denoisers.levels import Clock, Continuous, Floats, Steps
from diffclaims.denoisers.network import Network
from diffclaims.denoisers.options import Options
from diffclaims.denoisers.probe import Probe

#: Levels at which conventions are compared, in standard deviations of the data.
LEVELS = (0.15, 0.5, 1.5, 5.0)
#: A convention is another one when its error is lower by this factor, as a geometric mean over levels, and below that
#: of trivial answers.
FACTOR = 1.25
#: Readings whose errors are within this factor of the least are alike: the first, most common, is named.
ALIKE = 1.05
#: A reading whose error is above that of a trivial answer by this factor, at any level, is none.
LOST = 10.0
#: Scale and offset that turn data as users have them into what networks are trained on; first none at all.
SCALES = ((1.0, 0.0), (2.0, -1.0), (0.5, 0.5), (2 / 255, -1.0), (1 / 255, 0.0))


class Reading(NamedTuple):
    """A network read in one convention, how one writes it, and its error over that of trivial answers."""

    text: str
    denoiser: Denoiser
    error: float


def seems(denoiser: Denoiser, probe: Probe) -> Reading | None:
    """Return the reading of the same network that beats the present one, if any does.

    Parameters
    ----------
    denoiser : Denoiser
        As the user wrote it.
    probe : Probe
        Data, with noise.

    Returns
    -------
    Reading or None
        None where the present one is within `FACTOR` of the best.
    """
    present = _error(denoiser, probe)
    read = [Reading(text, one, _error(one, probe)) for text, one in _others(denoiser, probe.std)]
    best = _first_of_the_best([Reading("", denoiser, present), *read])
    read = [
        Reading(f"{text}{scaled}", one, _error(one, probe))
        for text, base in {"": denoiser, best.text: best.denoiser}.items()
        for scaled, one in _scaled(base)
    ]
    best = _first_of_the_best([best, *read])
    if best.denoiser is denoiser or not best.error * FACTOR < present or not best.error < 1:
        return None
    if best.text.startswith(", "):
        return best._replace(text=f"the same adapter with {best.text[2:]}")
    return best


def _first_of_the_best(readings: list[Reading]) -> Reading:
    least = min(r.error for r in readings)
    return next(r for r in readings if r.error <= ALIKE * least)


def _error(denoiser: Denoiser, probe: Probe) -> float:
    """Geometric mean over levels of the error over that of a trivial answer; infinite where it cannot be asked."""
    logs = []
    for sigma in denoiser.nearest(probe.std * np.array(LEVELS)):
        try:
            loss = probe.loss(denoiser, float(sigma), probe.labels)
        except Exception:  # a network may raise anything where it is asked in another convention than its own
            return float("inf")
        ratio = loss / probe.trivial(float(sigma))
        if ratio > LOST:
            return float("inf")
        logs.append(np.log(max(ratio, 1e-300)))
    return float(np.exp(np.mean(logs)))


def _read(denoiser: Denoiser, formula: Formula, clock: Clock, **changes: object) -> Denoiser:
    old = denoiser.network
    options: Options = replace(old.options, **changes)  # type: ignore[arg-type]
    learned = old.learned_variance or isinstance(clock, Steps)
    return Denoiser(Network(old.f, options, old.module, learned_variance=learned), formula, clock)


def _schedules(denoiser: Denoiser) -> dict[str, Floats]:
    """The schedule of a denoiser, or the two that are most common, by how one writes them."""
    if isinstance(denoiser.clock, Steps):
        return {"alphas_cumprod": 1 / (1 + denoiser.clock.levels**2)}
    t = np.arange(1001) / 1000
    cosine = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    betas = np.minimum(1 - cosine[1:] / cosine[:-1], 0.999)
    return {
        "the linear alphas_cumprod of DDPM": np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)),
        "the cosine alphas_cumprod": np.cumprod(1 - betas),
    }


def _others(denoiser: Denoiser, std: float) -> Iterator[tuple[str, Denoiser]]:
    """The same network in every convention, the most common first."""
    stepped = {"from_eps": formulas.EPS, "from_v": formulas.V, "from_sample": formulas.SAMPLE}
    schedules = _schedules(denoiser)
    for divisor, told in ((1, ""), (1000, ", time_scale=1/1000"), (999, ", time_scale=1/999")):
        for schedule, abar in schedules.items():
            for name, formula in stepped.items():
                clock = Steps(abar, 1 / divisor)
                yield f"{name}(f, {schedule}{told})", _read(denoiser, formula, clock, time_first=False)
    for first, said in ((False, ""), (True, ", time_first=True")):
        for scale, told in ((1.0, ""), (1000.0, ", time_scale=1000"), (999.0, ", time_scale=999")):
            for data_at in (1, 0):
                own = formulas.TO_DATA if data_at else formulas.TO_NOISE
                for formula in (formulas.TO_DATA, formulas.TO_NOISE):
                    sign = "" if formula is own else f", velocity={formula.name.removeprefix('flow, ')!r}"
                    text = f"from_flow(f, data_at={data_at}{sign}{told}{said})"
                    yield text, _read(denoiser, formula, flow_clock(data_at, scale), time_first=first)
    for name, formula in (("from_x0(f)", formulas.X0), ("from_score(f)", formulas.SCORE)):
        yield name, _read(denoiser, formula, Continuous(), time_first=False)
    noise = "from_score(lambda x, sigma, labels: -f(x, sigma, labels) / sigma), with sigma as a column"
    yield noise, _read(denoiser, formulas.EPS_VE, Continuous(), time_first=False)
    for sigma_data in (0.5, 1.0, float(f"{std:.3g}")):
        text = f"from_edm(f, raw=True, sigma_data={sigma_data:g})"
        yield text, _read(denoiser, formulas.edm(sigma_data), quarter_log(), time_first=False)
    yield "from_x0 of what is told ln(sigma)/4", _read(denoiser, formulas.X0, quarter_log(), time_first=False)


def _scaled(denoiser: Denoiser) -> Iterator[tuple[str, Denoiser]]:
    """The same convention for data of another range."""
    now = denoiser.options.scale, denoiser.options.offset
    for scale, offset in SCALES:
        if (scale, offset) == now:
            continue
        yield (
            f", scale={scale:.6g}, offset={offset:g}",
            _read(denoiser, denoiser.formula, denoiser.clock, scale=scale, offset=offset),
        )
