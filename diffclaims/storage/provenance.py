"""Where a result came from: versions, commit, time, seeds, device, experiment."""

from __future__ import annotations

import datetime
import functools
import json
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy

from diffclaims._version import __version__
from diffclaims.problem.arguments import checked
from diffclaims.problem.experiment import Experiment


@functools.cache
def _commit() -> tuple[str, int]:
    """Commit of the checkout that this package runs from, and whether it has changes.

    An installed copy outside a checkout of this project has none: ``("", 0)``.
    """
    package = Path(__file__).resolve().parents[1]

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(package), *words], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        # Only trust a checkout that tracks this very file: a virtual environment may lie inside
        # somebody else's repository.
        git("ls-files", "--error-unmatch", str(Path(__file__).resolve()))
        return git("rev-parse", "HEAD"), int(bool(git("status", "--porcelain")))
    except (OSError, subprocess.SubprocessError):
        return "", 0


@checked
def provenance(
    *,
    subject: str,
    experiment: Experiment | None = None,
    seeds: Sequence[int] = (),
    device: str = "cpu",
    dtype: str = "float64",
    **more: str | int | float,
) -> dict[str, str | int | float]:
    """Return the attributes that every stored result carries.

    Parameters
    ----------
    subject : str
        Name of what was measured.
    experiment : Experiment, optional
        Stored as JSON with its key.
    seeds : sequence of int
        Seeds of a stochastic subject; none for an exact one.
    device, dtype : str
        Where and in which precision it was computed.
    **more : str, int or float
        Further attributes; NetCDF keeps no other types.

    Returns
    -------
    dict
        Attributes for ``Dataset.attrs``, plain enough for NetCDF.
    """
    commit, dirty = _commit()
    attrs: dict[str, str | int | float] = {
        "subject": subject,
        "diffclaims_version": __version__,
        "numpy_version": np.__version__,
        "scipy_version": scipy.__version__,
        "python_version": platform.python_version(),
        "commit": commit,
        "dirty": dirty,
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seeds": json.dumps(list(seeds)),
        "device": device,
        "dtype": dtype,
    }
    if experiment is not None:
        attrs["experiment"] = experiment.to_json()
        attrs["experiment_key"] = experiment.key
    attrs.update(more)
    return attrs
