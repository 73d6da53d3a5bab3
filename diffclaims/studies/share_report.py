"""What came out of the points of `diffclaims.studies.shares`: the share that holds, and the points that tell most."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from diffclaims.api import source as code
from diffclaims.api.case import Case
from diffclaims.api.claim import Claim
from diffclaims.api.outcome import Outcome
from diffclaims.studies.points import REGIONS, case_at
from diffclaims.studies.proportion import interval
from diffclaims.terminal import rendered, table


@dataclass(frozen=True, kw_only=True)
class Share:
    """What came out of the points of one claim in one region.

    Attributes
    ----------
    points, measured, held : int
        Points drawn; those that could be measured; those of them in which the claim holds.
    low, high : float
        Clopper-Pearson interval of the share that holds among those measured, of coverage 0.95 or more.
    """

    claim: str
    region: str
    points: int
    measured: int
    held: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Share that holds among those measured; NaN where none was."""
        return self.held / self.measured if self.measured else math.nan

    @property
    def text(self) -> str:
        """The share in percent with its interval, and of how many."""
        if not self.measured:
            return f"none of {self.points} measured"
        limits = f"[{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{100 * self.share:.0f} {limits} of {self.measured}"


def rows_of(dataset: xr.Dataset, claim: str, region: str) -> xr.Dataset:
    """Return the points of one claim in one region."""
    there = (dataset["claim"].values == claim) & (dataset["region"].values == region)
    return dataset.isel(point=np.flatnonzero(there))


def summary(dataset: xr.Dataset) -> list[Share]:
    """Return the shares of every claim inside and outside its regime."""
    found = []
    for claim in dict.fromkeys(map(str, dataset["claim"].values)):
        for region in REGIONS:
            verdicts = rows_of(dataset, claim, region)["verdict"].values
            measured = int((verdicts != str(Outcome.NOT_RUN)).sum())
            held = int((verdicts == str(Outcome.HOLDS)).sum())
            low, high = interval(held, measured) if measured else (0.0, 1.0)
            found.append(
                Share(
                    claim=claim,
                    region=region,
                    points=verdicts.size,
                    measured=measured,
                    held=held,
                    low=low,
                    high=high,
                )
            )
    return found


def extreme(dataset: xr.Dataset, claim: str, region: str) -> int | None:
    """Return the point of least margin inside, or of largest margin outside; nothing where none was measured."""
    rows = rows_of(dataset, claim, region)
    margin = rows["margin"].values
    if np.isnan(margin).all():
        return None
    at = np.nanargmin(margin) if region == "inside" else np.nanargmax(margin)
    return int(rows["point"].values[at])


def case_of(dataset: xr.Dataset, claim: Claim, point: int) -> Case:
    """Return the case at a recorded point."""
    assert claim.space is not None
    row = dataset["parameter"].sel(point=point)
    known = {str(a): float(v) for a, v in zip(row["axis"].values, row.values, strict=True) if v == v}
    return case_at(claim.space, {**{a.name: a.default for a in claim.space.axes}, **known})


def report(dataset: xr.Dataset, claims: list[Claim], *, width: int = 120) -> str:
    """Return the shares as a table, with the weakest points inside and the strongest outside."""
    heads = ("claim", "inside its regime", "weakest margin", "outside", "strongest margin")
    shown = table(*heads, title="points that hold, in % [95 % interval] of those measured")
    both = {(s.claim, s.region): s for s in summary(dataset)}
    lines = []
    for claim in claims:
        cells = [claim.id]
        for region in REGIONS:
            at = extreme(dataset, claim.id, region)
            margin = "-" if at is None else f"{float(dataset['margin'].sel(point=at)):+.3g}"
            cells += [both[claim.id, region].text, margin]
        shown.add_row(*cells)
        lines += _told(dataset, claim)
    return "\n".join([rendered(shown, width=max(60, width)), *lines])


def _told(dataset: xr.Dataset, claim: Claim) -> list[str]:
    """What was not measured, and every point inside that does not hold, as code."""
    lines = []
    for region in REGIONS:
        rows = rows_of(dataset, claim.id, region)
        unmeasured = rows["reason"].values[rows["verdict"].values == str(Outcome.NOT_RUN)]
        if unmeasured.size:
            lines.append(
                f"{claim.id}: {unmeasured.size} points {region} not measured, one for: {unmeasured[0]}"
            )
        if region == "inside":
            for row in rows["point"].values[~np.isin(rows["verdict"].values, ["holds", "not run"])]:
                one = rows.sel(point=row)
                lines.append(
                    f"{claim.id}: {one['verdict'].item()} inside its regime, margin {one['margin'].item():+.4g} "
                    f"({one['decided_by'].item()}), at\n{code.of_case(case_of(dataset, claim, int(row)))}"
                )
    return lines
