"""Measure a subject once, for every claim, and keep its answers where a later run plays them back.

A measurement that is already there is not made again, so that a recording that was interrupted is
continued by the same command.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from rich.console import Console

from diffclaims.api.claim import chosen_claims
from diffclaims.api.subject import Subject
from diffclaims.errors import NotMeasured
from diffclaims.problem.experiment import Experiment
from diffclaims.storage import netcdf as storage
from diffclaims.storage import paths as locate
from diffclaims.storage.recordings import complete, path_of, record
from diffclaims.subjects import registry
from diffclaims.subjects.wrapper import Ask, Kind, Wrapper


class Recorder(Wrapper):
    """Answer from a folder of recordings; measure and record what is not there yet.

    Parameters
    ----------
    subject : Subject
        A live one.
    folder : path
        Its folder of recordings.
    command : str
        Kept in each file: what makes it again.
    """

    def __init__(self, subject: Subject, folder: Path, *, command: str) -> None:
        super().__init__(subject)
        self.folder = folder
        self.command = command
        self.measured = 0

    def answer(self, kind: Kind, experiment: Experiment, ask: Ask, times: ArrayLike = ()) -> xr.Dataset:
        """As the subject's; measured anew when the recorded diffusion times are others."""
        path = path_of(self.folder, experiment, kind)
        if path.exists():
            found = complete(storage.read_dataset(path))
            if kind != "speciation" or np.array_equal(found["diffusion_time"].values, np.asarray(times)):
                return found
        self.measured += 1
        dataset = ask(experiment).assign_attrs(command=self.command)
        record(self.folder, experiment, dataset)
        return dataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims record``."""
    parser.add_argument("subject", help="a registered subject, or package.module:OBJECT")
    parser.add_argument("--claim", action="append", default=[], help="only this claim (repeatable)")
    parser.add_argument(
        "--folder", type=Path, default=None, help="default: recorded/ beside the subject's baselines"
    )


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims record``."""
    console = Console()
    baselines = locate.baselines_dir()
    subject = registry.subject_of(args.subject, baselines, live=True)
    claims = chosen_claims(args.claim)
    folder = args.folder or baselines / subject.name / registry.RECORDED
    words = "".join(f" --claim {c}" for c in args.claim)
    recorder = Recorder(subject, folder, command=f"diffclaims record {args.subject}{words}")
    for claim in claims:
        for case in claim.cases_for(subject):
            before = recorder.measured
            try:
                result = claim.run(recorder, case)
            except NotMeasured as error:
                console.print(f"{claim.id} {case.name}: not run: {error}")
                continue
            new = recorder.measured - before
            console.print(
                f"{claim.id} {case.name}: {new} measured, {result.seconds:.1f} s; {result.sentence()}"
            )
    console.print(f"{recorder.measured} measurements recorded in {folder}")
    return 0
