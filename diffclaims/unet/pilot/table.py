"""What a pilot found, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_HEAD = ("candidate", "images/s", "ms/step", "spread", "TFLOP/s", "MiB", "W", "J/1000", "differs", "setup s")


def _number(value: float | None, pattern: str = ".3g") -> str:
    return "-" if value is None else f"{value:{pattern}}"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    rate, watts = row["images_per_s"], row["watts"]
    joules = None if watts is None or not rate else 1000 * watts / rate
    return (
        row["name"] + (" *" if row["reference"] else ""),
        _number(rate, ",.0f"),
        _number(row["step_ms"]),
        _number(row["spread"], ".1%"),
        _number(row["tflops"]),
        _number(row["peak_mib"], ",.0f"),
        _number(watts, ".0f"),
        _number(joules),
        _number(row["differs"], ".1e"),
        _number(row["setup_s"], ".1f"),
    )


def rates(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of what was measured, and below it what was not, with the reasons."""
    found = [_HEAD, *(_cells(r) for r in rows if r["images_per_s"] is not None)]
    widths = [max(len(line[i]) for line in found) for i in range(len(_HEAD))]
    lines = [
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in found
    ]
    lines.append("* for comparison only; differs: from float32, as a share of how far the weights moved")
    left = dict[tuple[str, str], list[str]]()
    for r in rows:
        if r["status"] != "measured":
            left.setdefault((r["status"], r["reason"]), []).append(r["name"])
    lines += [f"{status}: {', '.join(names)}: {reason}" for (status, reason), names in left.items()]
    return "\n".join(lines)


def evaluation(found: Mapping[str, Any]) -> str:
    """Return the rates of what is no training, as lines."""
    samples = ", ".join(f"{v:,.0f} images/s ({k})" for k, v in found["samples_per_s"].items())
    return (
        f"losses: {found['probe_evaluations_per_s']:,.0f} evaluations/s\n"
        f"samples: {samples}, {found['sample_evaluations_per_s']:,.0f} evaluations/s"
    )


def plan(found: Mapping[str, Any]) -> str:
    """Return a plan, as a table of its experiments and a summary."""
    lines = [f"plan: {found['candidate']} on {found['device']}, {found['why']}", ""]
    lines.append(f"{'experiment':20s} {'seeds':>5s} {'steps':>7s} {'minutes':>8s} {'MiB':>7s}")
    for name, e in found["experiments"].items():
        lines.append(f"{name:20s} {e['seeds']:5d} {e['steps']:7d} {e['minutes']:8.1f} {e['result_mib']:7.1f}")
    lines += [f"{name:20s} {0:5d}" for name in found["left_out"]]
    memory = "" if found["memory_mib"] is None else f", {found['memory_mib']:,.0f} MiB of GPU memory"
    energy = "" if found["energy_wh"] is None else f", {found['energy_wh']:.0f} Wh"
    lines += [
        "",
        f"predicted: {found['predicted_minutes']:.1f} of {found['budget_minutes']:g} minutes "
        f"({found['margin']:.0%} kept free), results up to {found['result_mib']:,.0f} MiB{memory}{energy}",
    ]
    if not found["enough"]:
        lines.append(
            "The budget does not hold the least that was wanted, a few seeds of each experiment: raise --budget, "
            "or choose with --only."
        )
    return "\n".join(lines)
