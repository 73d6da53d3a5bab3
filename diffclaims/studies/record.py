"""Measure a subject once, for every claim, and keep its answers where a later run plays them back.

A measurement that is already there is not made again, so that a recording that was interrupted is
continued by the same command. One that was made with other settings than the subject has now is not mixed with new
ones: its case is said and left out, or measured anew where the command is told to.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from rich.console import Console

from diffclaims.api.claim import chosen_claims
from diffclaims.api.subject import Subject
from diffclaims.errors import BaselineError, NotMeasured
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
    renew : bool
        Measure anew what was recorded with other settings.
    """

    def __init__(self, subject: Subject, folder: Path, *, command: str, renew: bool = False) -> None:
        super().__init__(subject)
        self.folder = folder
        self.command = command
        self.renew = renew
        self.measured = 0

    def answer(self, kind: Kind, experiment: Experiment, ask: Ask, times: ArrayLike = ()) -> xr.Dataset:
        """As the subject's; measured anew when the recorded diffusion times are others.

        Raises
        ------
        BaselineError
            For a recording of other settings, unless it is to be renewed.
        """
        path = path_of(self.folder, experiment, kind)
        if path.exists():
            found = complete(storage.read_dataset(path))
            changed = changed_settings(found, self.subject, kind, experiment)
            if changed and not self.renew:
                raise BaselineError(
                    f"{path} was recorded with {changed}; --renew measures it anew, "
                    "and its baselines are then to be updated"
                )
            same_times = kind != "speciation" or np.array_equal(
                found["diffusion_time"].values, np.asarray(times)
            )
            if same_times and not changed:
                return found
        self.measured += 1
        dataset = ask(experiment).assign_attrs(command=self.command)
        record(self.folder, experiment, dataset)
        return dataset


def changed_settings(recorded: xr.Dataset, subject: object, kind: Kind, experiment: Experiment) -> str:
    """What of a subject's settings is not as recorded, in words; empty where nothing is, or it states none.

    A subject may state ``settings(kind, experiment)``: the attributes, by name, that its answer will have. What a
    recording does not state is 0: it was made before there was a choice.
    """
    stated = getattr(subject, "settings", None)
    if stated is None:
        return ""
    pairs = {name: (recorded.attrs.get(name, 0), now) for name, now in stated(kind, experiment).items()}
    return ", ".join(f"{name} = {old} (now {now})" for name, (old, now) in pairs.items() if old != now)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims record``."""
    parser.add_argument("subject", help="a registered subject, or package.module:OBJECT")
    parser.add_argument("--claim", action="append", default=[], help="only this claim (repeatable)")
    parser.add_argument(
        "--claims",
        default="",
        metavar="FOLDER",
        help="folder of claims (default: the package's); their baselines lie beside it",
    )
    parser.add_argument(
        "--folder", type=Path, default=None, help="default: recorded/ beside the subject's baselines"
    )
    parser.add_argument(
        "--renew", action="store_true", help="measure anew what was recorded with other settings"
    )


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims record``; 1 where a recording is of other settings."""
    console = Console()
    baselines = locate.baselines_dir(Path(args.claims) if args.claims else None)
    claims = chosen_claims(args.claim, args.claims or None)
    subject = registry.subject_of(args.subject, baselines, live=True)
    folder = args.folder or baselines / subject.name / registry.RECORDED
    fix = "name your folder of claims by --claims, or a folder for the recordings by --folder"
    locate.check_own(folder, fix)
    words = f" --claims {shlex.quote(args.claims)}" if args.claims else ""
    words += "".join(f" --claim {c}" for c in args.claim)
    command = f"diffclaims record {args.subject}{words}{' --renew' * args.renew}"
    recorder = Recorder(subject, folder, command=command, renew=args.renew)
    stale = 0
    for claim in claims:
        for case in claim.cases_for(subject):
            before = recorder.measured
            try:
                result = claim.run(recorder, case)
            except NotMeasured as error:
                console.print(f"{claim.id} {case.name}: not run: {error}")
                continue
            except BaselineError as error:
                stale += 1
                console.print(f"{claim.id} {case.name}: {error}", soft_wrap=True)
                continue
            new = recorder.measured - before
            console.print(
                f"{claim.id} {case.name}: {new} measured, {result.seconds:.1f} s; {result.sentence()}"
            )
    console.print(f"{recorder.measured} measurements recorded in {folder}")
    return int(stale > 0)
