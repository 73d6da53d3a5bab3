"""Tables of power, and of how often a null is decided."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import xarray as xr

from diffclaims.api.claim import load_claims
from diffclaims.api.evidence import FEWEST_SEEDS
from diffclaims.studies.pools import split
from diffclaims.studies.power import COVERAGE, MOST_SEEDS, POWER, Judged
from diffclaims.terminal import rendered, table

#: Most decisions that are acceptable where nothing differs, as a share of the repetitions.
LIMIT = 0.01


def power_rows(found: Mapping[str, xr.Dataset]) -> Iterator[tuple[str, ...]]:
    """Claim, case, truth, power, power if normal, seeds needed, weakest effect, its scatter, pool, seconds."""
    for claim, record in found.items():
        for name, data in split(record).items():
            if data.attrs["role"] != "regime":
                continue
            judged = Judged(data)
            i = judged.weakest
            needed = judged.needed
            scatter = judged.scatter[i]
            yield (
                claim,
                name,
                str(judged.truth),
                str(judged.power()),
                str(judged.normal_power()),
                f"more than {MOST_SEEDS}" if needed is None else str(needed),
                f"{judged.medians[i]:+.3f}",
                "-" if math.isnan(scatter) else f"{scatter:.4f}",
                str(data.sizes["seed"]),
                f"{FEWEST_SEEDS * float(data['seconds']):.0f}",
            )


def null_rows(found: Mapping[str, xr.Dataset]) -> Iterator[tuple[str, ...]]:
    """Claim, case, false holds, false fails, pool."""
    nulls = {c.id: c.null.effects for c in load_claims() if c.null is not None}
    for claim, record in found.items():
        for name, data in split(record).items():
            if data.attrs["role"] != "null":
                continue
            judged, of = Judged(data), nulls.get(claim, "")
            rates = (str(judged.false(side, of)) for side in (1, -1))
            yield claim, name.removesuffix(" (null)"), *rates, str(data.sizes["seed"])


POWER_HEADS = (
    "claim",
    "case",
    "truth",
    f"power at {FEWEST_SEEDS} seeds, in %",
    "if normal",
    f"seeds for {100 * POWER:g} %",
    "weakest effect",
    "scatter of a seed",
    "pool",
    f"seconds of {FEWEST_SEEDS} seeds",
)
NULL_HEADS = ("claim", "null case", f"false holds at {FEWEST_SEEDS} seeds, in %", "false fails", "pool")


def render(found: Mapping[str, xr.Dataset], *, width: int = 120) -> str:
    """Return the tables of calibrations as text.

    Parameters
    ----------
    found : mapping of str to Dataset
        Kind "calibration", by claim.
    width : int
        In characters.
    """
    parts = []
    for title, heads, rows in (
        ("power: decided as the truth is, in the regime", POWER_HEADS, power_rows(found)),
        ("decided where the classes are alike", NULL_HEADS, null_rows(found)),
    ):
        shown = table(title=title)
        for head in heads:
            shown.add_column(head, overflow="fold", no_wrap=head == "claim")
        for row in rows:
            shown.add_row(*row)
        parts.append(shown)
    words = (
        f"in brackets: {100 * COVERAGE:g} % intervals, in %, from a pool in which each seed counts once "
        "(Clopper-Pearson for one seed, to the power of the seeds); if normal: if every effect scatters so; "
        "truth: the side of the pool's medians; weakest effect: that which lies least far from its threshold in "
        "units of its scatter; seconds: of one core"
    )
    return rendered(*parts, words, width=max(60, width))


def too_often(found: Mapping[str, xr.Dataset]) -> list[str]:
    """Return the claims whose null is surely decided in more than `LIMIT` of the cases."""
    nulls = {c.id: c.null.effects for c in load_claims() if c.null is not None}
    return [
        claim
        for claim, record in found.items()
        for data in split(record).values()
        if data.attrs["role"] == "null"
        and any(Judged(data).false(side, nulls.get(claim, "")).low > LIMIT for side in (1, -1))
    ]
