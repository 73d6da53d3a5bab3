"""The 8 x 8 handwritten digits that scikit-learn brings along: nothing to download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diffclaims.extras import need
from diffclaims.unet.data.data_set import DataSet, LabelledImages


def _read(folder: Path | None, download: bool) -> LabelledImages:
    """Every third image is a test image; 16 grey levels become bytes."""
    found = need("sklearn.datasets", "unet", "the data set digits").load_digits()
    images = np.rint(found.images * (255 / 16)).astype(np.uint8)
    labels = found.target.astype(np.uint8)
    test = np.arange(len(labels)) % 3 == 2
    return LabelledImages(images[~test], labels[~test], images[test], labels[test])


DATA = DataSet(
    name="digits",
    classes=tuple("0123456789"),
    side=8,
    read=_read,
    licence="BSD 3-Clause (scikit-learn); UCI optical recognition of handwritten digits, CC BY 4.0",
    origin="comes with scikit-learn",
    settings={"classes": ("8", "0"), "resolution": 8, "attention": (4,)},
)
