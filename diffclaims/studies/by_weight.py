"""How the order of two classes moves with the share of one of them, pair by pair, in recorded U-Nets.

A is the class of higher variance; ln(tau_A/tau_B) is above 0 where A is later. Two sentences are asked of each pair:
*the rarer, the later* (that falls as the weight of A grows), and *reversed* (at its least weight A is later). A
campaign supports a sentence when every pair agrees, contradicts it when every pair disagrees, and leaves it undecided
else. The rule is ours; it takes no account of classes that several pairs share.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich.table import Table

from diffclaims.api.pair_cases import balanced, by_weights
from diffclaims.api.pairs import Draws, Pairs
from diffclaims.errors import InvalidInput
from diffclaims.problem.experiment import Experiment
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.provenance import provenance
from diffclaims.storage.schema import stamp
from diffclaims.terminal import rendered, table
from diffclaims.times.definitions import STATED
from diffclaims.unet import results

Floats = NDArray[np.float64]

#: Draws of seeds and images behind the limits of one pair at one weight.
N_RESAMPLED = 1000
#: Of what is printed, in characters.
WIDTH = 110
MILESTONES: tuple[results.Milestone, ...] = ("gen", "mem")
#: What is asked of each pair, by its variable.
SENTENCES = {
    "rarer_later": "the rarer a class, the later",
    "reversed": "at its least weight the class of higher variance is later",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims by-weight``."""
    parser.add_argument(
        "campaign", help="a recorded campaign of U-Nets, as in baselines/unet/recorded/CAMPAIGN"
    )
    parser.add_argument("--folder", type=Path, default=None, help="folder of the recordings, if elsewhere")
    parser.add_argument("--out", type=Path, default=None, help="folder for what was found")


def compare(recorded: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Compare the order of each pair between weights.

    Parameters
    ----------
    recorded : mapping of str to Dataset
        Learning curves with seeds, kind "curves". Pairs that were measured at several weights, equal ones among
        them, count; all at the same weights and with the same seeds.

    Returns
    -------
    xarray.Dataset
        Kind "orders_by_weight". By ``milestone``, its main definition in ``definition(milestone)``:
        ``by_seed(milestone, pair, weight, seed)``, ``measured(milestone, pair, weight)``, the mean over seeds of
        ln(tau_A/tau_B), with ``_low`` and ``_high`` (95 %, from seeds and images); ``rarer_later`` and
        ``reversed(milestone, pair)``: 1 where the pair agrees, -1 where it does not, 0 where a time that is not
        reached leaves it open.

    Raises
    ------
    InvalidInput
        Where no pair was measured at several weights, or pairs differ in their weights.
    """
    experiments, groups = _groups(recorded)
    weights = {tuple(g) for g in groups}
    if len(weights) != 1:
        raise InvalidInput.of(
            "recordings",
            sorted(recorded),
            f"hold pairs at several weights, equal ones among them, the same for all (found {sorted(weights)})",
            "train a campaign such as the preset imbalance",
        )
    columns = [_column(groups, experiments, recorded, milestone) for milestone in MILESTONES]
    found = xr.concat(columns, dim="milestone").assign_coords(milestone=list(MILESTONES))
    first = experiments[next(iter(groups[0].values()))]
    made = provenance(
        subject="unet", seeds=found["seed"].values.tolist(), data=first.data, model=repr(first.model)
    )
    return stamp(found, "orders_by_weight", made)


def _groups(recorded: Mapping[str, xr.Dataset]) -> tuple[dict[str, Experiment], list[dict[float, str]]]:
    """Experiments by name, and of each pair their names by the weight of A."""
    experiments = {k: Experiment.from_json(d.attrs["experiment"]) for k, d in recorded.items()}
    several = [g for g in by_weights(experiments).values() if len(g) > 1 and _equal(g)]
    return experiments, [_by_rising_weight(g) for g in several]


def by_definition(recorded: Mapping[str, xr.Dataset]) -> list[str]:
    """Return, a line for each definition of a time, in how many pairs each sentence is so, and in how many not."""
    experiments, groups = _groups(recorded)
    lines = []
    for milestone in MILESTONES:
        for level in next(iter(recorded.values()))[STATED[milestone][1]].values.astype(str):
            rows = []
            for group in groups:
                a, _ = _classes(group, experiments)
                rows.append(
                    _means(_from(a, _pairs(group, experiments, recorded, milestone, str(level)), experiments))
                )
            falls = [_falls(row) for row in rows]
            turned = [int(np.sign(row[0])) for row in rows]
            lines.append(
                f"tau_{milestone} by {level}: rarer later {falls.count(1)}, not {falls.count(-1)}; "
                f"reversed {turned.count(1)}, not {turned.count(-1)}"
            )
    return lines


def _equal(group: Mapping[str, Experiment]) -> list[Experiment]:
    """The experiments of a group with equal weights."""
    return [e for e in group.values() if balanced(e)]


def _by_rising_weight(group: Mapping[str, Experiment]) -> dict[float, str]:
    """Names of a pair's experiments by the weight of A, in rising order."""
    one = _equal(group)[0]
    a = one.classes[int(np.argmax(one.mixture.class_variance))]
    found = {round(float(e.mixture.weights[e.classes.index(a)]), 2): name for name, e in group.items()}
    return dict(sorted(found.items()))


def _classes(group: Mapping[float, str], experiments: Mapping[str, Experiment]) -> list[str]:
    """A, the class of higher variance, and B."""
    one = experiments[group[0.5]]
    return [one.classes[k] for k in np.argsort(-one.mixture.class_variance)]


def _pairs(
    group: Mapping[float, str],
    experiments: Mapping[str, Experiment],
    recorded: Mapping[str, xr.Dataset],
    milestone: results.Milestone,
    level: str | None = None,
) -> Pairs:
    return Pairs.of({name: experiments[name] for name in group.values()}, recorded, milestone, level)


def _from(a: str, pairs: Pairs, experiments: Mapping[str, Experiment]) -> Floats:
    """ln(tau_A/tau_B) by weight and seed, whichever class comes first in an experiment."""
    first = np.array([experiments[name].classes[i] == a for name, i, _ in pairs.asked])
    return np.where(first[:, None], pairs.ratios, -pairs.ratios)


def _column(
    groups: list[dict[float, str]],
    experiments: Mapping[str, Experiment],
    recorded: Mapping[str, xr.Dataset],
    milestone: results.Milestone,
) -> xr.Dataset:
    """Everything about one milestone."""
    weights, names, limits = list(groups[0]), [], []
    leads: list[Floats] = []
    seeds: tuple[int, ...] = ()
    for group in groups:
        pairs = _pairs(group, experiments, recorded, milestone)
        if seeds and pairs.seeds != seeds:
            raise InvalidInput.of(
                "seeds", pairs.seeds, f"be the same for all pairs, {seeds}", "train those that are missing"
            )
        seeds = pairs.seeds
        a, b = _classes(group, experiments)
        names.append(f"{a}-{b}")
        leads.append(_from(a, pairs, experiments))
        limits += [
            results.joint_interval(recorded[name], a, b, milestone, n=N_RESAMPLED) for name, *_ in pairs.asked
        ]
    by_seed = np.array(leads)
    measured = np.array([_means(pair) for pair in by_seed])
    low, high = np.array(limits).reshape(*measured.shape, 2).transpose(2, 0, 1)
    definition = _main(recorded[next(iter(groups[0].values()))], milestone)
    return xr.Dataset(
        {
            "by_seed": (("pair", "weight", "seed"), by_seed),
            "measured": (("pair", "weight"), measured),
            "measured_low": (("pair", "weight"), low),
            "measured_high": (("pair", "weight"), high),
            "rarer_later": (("pair",), [_falls(row) for row in measured]),
            "reversed": (("pair",), [int(np.sign(row[0])) for row in measured]),
            "definition": ((), definition),
        },
        {"pair": names, "weight": weights, "seed": list(seeds)},
    )


def _means(ratios: Floats) -> Floats:
    """Mean over seeds of each row, as pairs have it: 0 where there is no order."""
    n = len(ratios)
    alone = Pairs(("A", "B"), np.zeros(n, np.intp), np.ones(n, np.intp), ratios, ())
    found: Floats = Draws.none(alone).values(alone)[0]
    return found


def _falls(row: Floats) -> int:
    """Whether values fall from each weight to the next: 1, -1, or 0 where one without order leaves it open."""
    with np.errstate(invalid="ignore"):
        steps = np.diff(np.where(row == 0, np.nan, row))
    if np.isnan(steps).any():
        return 0 if not (steps > 0).any() else -1
    return 1 if (steps < 0).all() else -1


def _main(curves: xr.Dataset, milestone: results.Milestone) -> str:
    return str(curves[STATED[milestone][1]].values[0])


def outcome(votes: Floats) -> str:
    """Return "supported", "contradicted" or "undecided" by the votes of all pairs."""
    if (votes == 1).all():
        return "supported"
    return "contradicted" if (votes == -1).all() else "undecided"


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims by-weight``."""
    folder = args.folder or locate.baselines_dir() / "unet" / "recorded" / args.campaign
    recorded = results.load(folder)
    found = compare(recorded)
    for milestone in MILESTONES:
        one = found.sel(milestone=milestone)
        print(rendered(_table(one, milestone), *_in_words(one), width=WIDTH, soft_wrap=True), end="")
    print(
        rendered("pairs, by each definition:", *by_definition(recorded), width=WIDTH, soft_wrap=True), end=""
    )
    if args.out is not None:
        found.attrs["command"] = f"diffclaims by-weight {args.campaign} --out {args.out}"
        storage.write(args.out / f"{args.campaign}-by-weight.nc", found)
    return 0


def _table(one: xr.Dataset, milestone: str) -> Table:
    weights = one["weight"].values
    title = f"ln(tau_A/tau_B), tau_{milestone} by {one['definition'].item()}, {one.sizes['seed']} seeds"
    rows = table("A-B", *(f"weight of A {w:g}" for w in weights), "rarer later", "reversed", title=title)
    word = {1: "yes", 0: "open", -1: "no"}
    for pair in one["pair"].values:
        p = one.sel(pair=pair)
        cells = [_shown(p.sel(weight=w)) for w in weights]
        rows.add_row(str(pair), *cells, *(word[int(p[name])] for name in SENTENCES))
    return rows  # type: ignore[no-any-return]


def _shown(one: xr.Dataset) -> str:
    value, low, high = (float(one[f"measured{end}"]) for end in ("", "_low", "_high"))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _in_words(one: xr.Dataset) -> list[str]:
    lines = []
    for name, sentence in SENTENCES.items():
        votes = one[name].values
        against = [str(p) for p, vote in zip(one["pair"].values, votes, strict=True) if vote != 1]
        named = f"; not in {', '.join(against)}" if 0 < len(against) < len(votes) else ""
        lines.append(f"{sentence}: {outcome(votes)}, {int((votes == 1).sum())} of {len(votes)} pairs{named}")
    return lines
