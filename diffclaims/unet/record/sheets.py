"""Sheets of generated images: a grid of samples, and the nearest training image beside those that come closest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from diffclaims.storage.files import write_atomic
from diffclaims.unet.data.prepare import PreparedData
from diffclaims.unet.measure.sampling import SAMPLERS
from diffclaims.unet.record.raw import RawRun

Images = NDArray[np.float32]

#: Images a row, rows of samples (or training times), and pairs of sample and training image below them.
COLUMNS, ROWS, PAIRS = 16, 3, 16
#: An image is drawn with at least this many pixels a side.
LEAST_SIDE = 42


def sample_sheet(path: Path, run: RawRun, data: PreparedData) -> None:
    """Write stochastic samples of a run as a small grey PNG.

    Above: samples as they came, a row each at the first, the middle and the last training time at which the run
    sampled; of a run that sampled less than three times, three rows of the last. Below, after a white line: those
    nearest to a training image in units of the distance to the second nearest, each over that training image.
    Nothing is written of a run without samples.

    Parameters
    ----------
    path : Path
        Of the PNG.
    run : RawRun
    data : PreparedData
        What it was trained on.
    """
    name = f"samples_{SAMPLERS[0]}"
    steps = sorted(s for s, found in run.samples.items() if name in found)
    if not steps:
        return
    samples = run.samples[steps[-1]][name].astype(np.float32).mean(axis=1)
    rows = [samples[: ROWS * COLUMNS]]
    if len(steps) >= ROWS:
        chosen = (steps[0], steps[len(steps) // 2], steps[-1])
        rows = [run.samples[s][name][:COLUMNS].astype(np.float32).mean(axis=1) for s in chosen]
    train = data.train.mean(axis=1)
    flat = [x.reshape(len(x), -1).astype(np.float64) for x in (samples, train)]
    distance = cdist(*flat)
    two = np.partition(distance, 1, axis=1)[:, :2]
    closest = np.argsort(two[:, 0] / two[:, 1])[:PAIRS]
    nearest = train[distance[closest].argmin(axis=1)]
    gap = np.ones((1, COLUMNS * samples.shape[-1]), dtype=np.float32)
    sheet = np.concatenate([*map(_tiled, rows), gap, _tiled(samples[closest]), _tiled(nearest)])
    scale = -(-LEAST_SIDE // samples.shape[-1])
    sheet = sheet.repeat(scale, axis=0).repeat(scale, axis=1)
    from matplotlib.image import imsave

    write_atomic(path, lambda p: imsave(p, sheet, cmap="gray", vmin=-1, vmax=1, format="png"))


def _tiled(images: Images) -> Images:
    side = images.shape[-1]
    rows = -(-len(images) // COLUMNS)
    full = np.full((rows * COLUMNS, side, side), -1, dtype=np.float32)
    full[: len(images)] = images
    tiled = full.reshape(rows, COLUMNS, side, side).swapaxes(1, 2)
    return tiled.reshape(rows * side, COLUMNS * side)
