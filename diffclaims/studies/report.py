"""The command ``diffclaims report``: one page of a monitored run, a claims run or an advice that was kept."""

from __future__ import annotations

import argparse
from pathlib import Path

from diffclaims.advice import page as advice
from diffclaims.errors import BaselineError, InvalidInput
from diffclaims.monitor import page as monitor
from diffclaims.monitor.record import Record
from diffclaims.monitor.store import ABOUT
from diffclaims.pages.render import check_target, write
from diffclaims.storage import netcdf as storage
from diffclaims.suite import page as claims


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diffclaims report``."""
    source = (
        "folder of a Monitor; NAME.json of pytest claims --claims-report NAME; "
        "or FILE.nc of diffclaims advise --out FILE.nc"
    )
    parser.add_argument("source", metavar="FOLDER_OR_FILE", help=source)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="the page")
    weights = "of a monitored run; averaged ones where they were measured, by default"
    parser.add_argument("--weights", choices=("raw", "ema"), default=None, help=weights)
    parser.add_argument(
        "--overwrite", action="store_true", help="let the page replace a file that diffclaims did not make"
    )


def run(args: argparse.Namespace) -> int:
    """Run ``diffclaims report``."""
    out, source = args.out.expanduser(), Path(args.source).expanduser()
    check_target(out, overwrite=args.overwrite)
    write(out, page_of(source, args.weights), overwrite=args.overwrite)
    print(f"written to {out}")
    return 0


def page_of(source: Path, weights: str | None = None) -> str:
    """Return the page of what is in a folder or file.

    Parameters
    ----------
    source : path
    weights : {"raw", "ema"}, optional
        Of a monitored run.

    Raises
    ------
    InvalidInput
        For a folder or file of another kind.
    BaselineError
        For a file that cannot be read.
    """
    kinds = "be the folder of a Monitor, a report of claims (NAME.json) or an advice (FILE.nc)"
    if source.is_dir():
        if not (source / ABOUT).is_file():
            raise InvalidInput.of("report", str(source), kinds, f"name the folder that holds {ABOUT}")
        return monitor.page(Record(source), weights)
    if weights is not None:
        raise InvalidInput.of("weights", weights, "be asked of the folder of a Monitor", "leave it out")
    if not source.exists():
        raise InvalidInput.of("report", str(source), "exist", "correct the path")
    if source.suffix not in (".json", ".nc"):
        given = f"this is a file {source.suffix}" if source.suffix else "this file has no such ending"
        fix = f"{given}; the page of a data set is made by diffclaims advise DATA --html FILE"
        raise InvalidInput.of("report", str(source), kinds, fix)
    if source.suffix == ".json":
        return claims.page(claims.read(source), source.name)
    found = storage.read_dataset(source)
    kind = str(found.attrs.get("schema", ""))
    if kind == "verdicts":
        raise BaselineError(
            f"{source} does not hold what the claims say: name {source.with_suffix('.json').name}"
        )
    if kind != "advice":
        raise InvalidInput.of(
            "report", f"{source}, of kind {kind!r}", kinds, "draw others by diffclaims plot"
        )
    return advice.page(found)
