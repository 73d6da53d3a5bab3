"""How many seeds and steps of each experiment fit into the time there is. A step and a seed less are both a loss;
what is kept longest is that each experiment has a few seeds, without which no difference can be judged.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diffclaims.unet.config import RunConfig
from diffclaims.unet.pilot.work import Work

#: Shares of the preset's steps that are tried, the largest first.
SHARES = (1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1)
#: Seeds of each experiment below which rather the steps are cut: a spread needs three.
LEAST_SEEDS = 3
#: Seeds of each experiment beyond which time is left unused.
MOST_SEEDS = 12


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What work costs on a machine, by one way of computing.

    Attributes
    ----------
    images_per_s : mapping
        Trained images/s of all models together, by the number of models at once; 1 among its keys.
    probe_evaluations_per_s, sample_evaluations_per_s : float
    prepare_s : float
        Of each class of each run.
    start_s : float
        Of each run.
    once_s : float
        Of the process.
    write_bytes_per_s : float
    """

    images_per_s: Mapping[int, float]
    probe_evaluations_per_s: float
    sample_evaluations_per_s: float
    prepare_s: float
    start_s: float
    once_s: float
    write_bytes_per_s: float

    def aside(self, work: Work) -> float:
        """Seconds of a run that are no training; all other runs wait meanwhile."""
        return (
            self.start_s
            + work.classes * self.prepare_s
            + work.probe_evaluations / self.probe_evaluations_per_s
            + work.sample_evaluations / self.sample_evaluations_per_s
            + work.result_bytes / self.write_bytes_per_s
        )

    def seconds(self, works: Iterable[Work], at_once: int) -> float:
        """Seconds of a campaign: at most `at_once` runs in turn, in this order."""
        todo = list(works)
        return (
            self.once_s
            + sum(map(self.aside, todo))
            + training_seconds([w.images for w in todo], at_once, self.images_per_s)
        )


def training_seconds(images: Sequence[int], at_once: int, rates: Mapping[int, float]) -> float:
    """Seconds to train on so many images in each run, at most `at_once` of them together, at equal shares."""
    known = sorted(rates)
    left, live, seconds = deque(images), list[float](), 0.0
    while left or live:
        while left and len(live) < at_once:
            live.append(float(left.popleft()))
        each = float(np.interp(len(live), known, [rates[n] for n in known])) / len(live)
        first = min(live)
        seconds += first / each
        live = [x - first for x in live if x > first]
    return seconds


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What fits: the configs of all runs, seed by seed; and whether that is the least that was wanted."""

    runs: list[RunConfig]
    seconds: float
    enough: bool

    def of(self, name: str) -> list[RunConfig]:
        """Runs of one experiment."""
        return [r for r in self.runs if r.name == name]


def _with_steps(run: RunConfig, share: float) -> RunConfig:
    steps = max(1, int(float(f"{run.optimizer.steps * share:.2g}")))
    return dataclasses.replace(run, optimizer=dataclasses.replace(run.optimizer, steps=steps))


def fit(wanted: Sequence[RunConfig], costs: Costs, *, at_once: int, seconds: float) -> Fit:
    """Choose seeds and steps.

    The largest share of steps at which each experiment has `LEAST_SEEDS` (or as many as are wanted, if fewer);
    then a seed more of each in turn, up to `MOST_SEEDS`, as long as they fit. If not even the smallest share
    leaves room for that, as much of it as fits, seed by seed.

    Parameters
    ----------
    wanted : sequence of RunConfig
        All runs of the preset.
    costs : Costs
    at_once : int
    seconds : float
    """
    first = {r.name: r for r in reversed(wanted)}
    names = list(dict.fromkeys(r.name for r in wanted))
    asked = {n: sum(r.name == n for r in wanted) for n in names}
    least = [(n, s) for s in range(LEAST_SEEDS) for n in names if s < asked[n]]
    more = [(n, s) for s in range(MOST_SEEDS) for n in names if (n, s) not in least]

    def build(chosen: Iterable[tuple[str, int]], share: float) -> tuple[list[RunConfig], float]:
        made = {n: _with_steps(first[n], share) for n in names}
        found = [dataclasses.replace(made[n], seed=s) for n, s in chosen]
        work = {n: Work.of(made[n]) for n in names}
        return found, costs.seconds([work[r.name] for r in found], at_once)

    share = next((x for x in SHARES if build(least, x)[1] <= seconds), None)
    chosen, queue = (list(least), more) if share is not None else ([], least)
    for one in queue:
        if build([*chosen, one], share or SHARES[-1])[1] > seconds:
            break
        chosen.append(one)
    found, takes = build(chosen, share or SHARES[-1])
    return Fit(runs=found, seconds=takes if found else 0.0, enough=share is not None)
