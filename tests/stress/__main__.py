"""Make the trials, or go on with them, and print what came of them.

``python -m tests.stress --out FOLDER [--only KIND ...] [--scale 0.1] [--seed 0]``, from the top of a checkout.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.stress import files, kills, places
from tests.stress.calls import calls, spoiled
from tests.stress.inputs import put
from tests.stress.ledger import FAULTS, Found, Ledger


def inputs(i: int, folder: Path, seed: int) -> Found:
    """Call one public function with one value of another kind."""
    table = _table()
    call, argument, kind, value = table[
        np.random.default_rng([seed, 0]).permutation(len(table))[i % len(table)]
    ]
    found = put(call, argument, value)
    outcome = {"refused": "refused", "accepted": "answered"}.get(found, "traceback")
    return Found(outcome, f"{call.name}, {argument} = {kind}: {found}")


@functools.cache
def _table() -> list[tuple]:
    return [
        (call, argument, kind, args[argument]) for call in calls() for argument, kind, args in spoiled(call)
    ]


Trial = Callable[[int, Path, int], Found]
#: Each kind of trial, what it is in words, and how many are made.
KINDS: dict[str, tuple[str, int, Trial]] = {
    "files": ("damaged baselines", 1000, files.trial),
    "inputs": ("arguments of another kind", 500, inputs),
    **{
        f"kill-{job}": (
            f"kill -9 in {'an' if job == 'update' else 'a'} {job}",
            50,
            functools.partial(kills.trial, job),
        )
        for job in kills.JOBS
    },
    "at-once": ("two updates at once", 20, places.at_once),
    "disk": ("disk full, disk read-only", 20, places.disk),
    "clock": ("a clock that jumps", 20, places.clock),
}


def table(ledger: Ledger) -> str:
    """Return the counts as a table in Markdown."""
    lines = [
        "| trial | made | refused by one error | answered | unharmed or whole | " + " | ".join(FAULTS) + " |",
        "|---|" + "---|" * 8,
    ]
    for kind, (words, _, _) in KINDS.items():
        n = ledger.counts(kind)
        good = f"{n['refused']} | {n['answered']} | {n['unharmed'] + n['whole']}"
        lines.append(
            f"| {words} | {sum(n.values())} | {good} | " + " | ".join(str(n[f]) for f in FAULTS) + " |"
        )
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; the status is 1 where there was a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the ledger and of what trials need"
    )
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the trials to make")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after so many; go on by the same command"
    )
    args = parser.parse_args(words)
    warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
    ledger, end = Ledger(args.out / "ledger.jsonl"), time.monotonic() + 60 * args.minutes
    files.results()  # before processes are made, so that none computes them anew
    for kind in args.only:
        if kind == "disk" and not places.may_mount(args.out):
            print("disk: left out, mounting a file system takes root on Linux")
            continue
        _, n, trial = KINDS[kind]
        for i in range(max(1, round(n * args.scale))):
            if time.monotonic() > end:
                break
            ledger.run(kind, i, functools.partial(trial, i, args.out / kind, args.seed))
    print(table(ledger))
    for line in ledger.faults():
        print(line)
    return 1 if ledger.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
