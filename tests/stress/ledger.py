"""What was tried and what came of it, line by line, so that a trial that was made is not made again."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: What may come of a trial, and whether it is a fault.
GOOD, FAULTS = ("refused", "answered", "unharmed", "whole"), ("wrong green", "traceback", "lost", "crash")


@dataclass(frozen=True)
class Found:
    """What came of one trial.

    Attributes
    ----------
    outcome : str
        Out of `GOOD`: one clear error; an answer; nothing that matters was changed; all that was there before, or
        all of what was to come. Or of `FAULTS`: taken as if nothing were wrong; an error that is not ours; something
        missing; the process died.
    note : str
        What was done, and what was seen.
    """

    outcome: str
    note: str = ""

    def __post_init__(self) -> None:
        if self.outcome not in GOOD + FAULTS:
            raise ValueError(f"outcome is {self.outcome!r}; it must be one of {GOOD + FAULTS}")


class Ledger:
    """Outcomes by kind of trial, in a file that a killed run goes on with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[tuple[str, int], Found] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:  # the last line of a run that was killed
                    continue
                self.found[row["kind"], row["trial"]] = Found(row["outcome"], row["note"])

    def run(self, kind: str, trial: int, make: Callable[[], Found]) -> Found:
        """Make a trial, unless it was made."""
        if (kind, trial) not in self.found:
            found = make()
            row = {"kind": kind, "trial": trial, "outcome": found.outcome, "note": found.note}
            with open(self.path, "a") as file:
                file.write(json.dumps(row) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self.found[kind, trial] = found
        return self.found[kind, trial]

    def counts(self, kind: str) -> Counter[str]:
        """How often each outcome was found."""
        return Counter(found.outcome for (k, _), found in self.found.items() if k == kind)

    def faults(self) -> list[str]:
        """Every fault, with its note."""
        return [
            f"{k} {i}: {f.outcome}: {f.note}"
            for (k, i), f in sorted(self.found.items())
            if f.outcome in FAULTS
        ]
