"""Fashion-MNIST, from its four original files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffclaims.unet.data.data_set import DATA_VARIABLE, Bytes, DataError, DataSet, LabelledImages
from diffclaims.unet.data.files import content

CLASS_NAMES = (
    "T-shirt",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Boot",
)


@dataclass(frozen=True)
class _File:
    """One original file: MD5 as distributed, MD5 unpacked, IDX magic number and shape."""

    packed: str
    unpacked: str
    magic: int
    shape: tuple[int, ...]


_FILES = {
    "train-images-idx3-ubyte": _File(
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a", 2051, (60000, 28, 28)
    ),
    "train-labels-idx1-ubyte": _File(
        "25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9", 2049, (60000,)
    ),
    "t10k-images-idx3-ubyte": _File(
        "bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a", 2051, (10000, 28, 28)
    ),
    "t10k-labels-idx1-ubyte": _File(
        "bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965", 2049, (10000,)
    ),
}


def data_folder(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the four files: from the argument, else from the environment.

    Raises
    ------
    DataError
        If neither names a folder.
    """
    root = data_dir or os.environ.get(DATA_VARIABLE)
    if not root:
        raise DataError(
            f"no data folder: give --data-dir, or set {DATA_VARIABLE}, to the folder that holds "
            "FashionMNIST/raw (or to an empty one, with --download)"
        )
    path = Path(root).expanduser()
    if path.is_file():
        raise DataError(f"{path} is a file; --data-dir must be the folder that holds FashionMNIST/raw")
    # The four files may also lie directly in the folder that is named.
    if any((path / f"{name}{end}").exists() for name in _FILES for end in (".gz", "")):
        return path
    return path / "FashionMNIST" / "raw"


def _download(root: Path) -> None:
    try:
        from torchvision.datasets import FashionMNIST as Torchvision
    except Exception as error:  # a torch of another build makes torchvision raise RuntimeError on import
        raise DataError(
            "cannot download: torchvision does not import here "
            f"({type(error).__name__}: {str(error).splitlines()[0]}). "
            "Install a torchvision that matches torch, or copy the four Fashion-MNIST files "
            f"({', '.join(n + '.gz' for n in _FILES)}) to {root / 'FashionMNIST' / 'raw'} yourself; "
            "they are then read directly and torchvision is not needed"
        ) from error
    try:
        Torchvision(str(root), train=True, download=True)
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"the download into {root} failed ({error}); try again, or copy the files there"
        ) from error


def _read(folder: Path, name: str) -> Bytes:
    spec = _FILES[name]
    raw = content(folder, name, spec.unpacked)
    header = np.frombuffer(raw, dtype=">i4", count=1 + len(spec.shape))
    if header.tolist() != [spec.magic, *spec.shape]:  # pragma: no cover - the checksum was right
        raise DataError(
            f"{folder / name} has the header {header.tolist()}; it must be {[spec.magic, *spec.shape]}"
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=4 * header.size).reshape(spec.shape)


def load_fashion_mnist(
    data_dir: str | os.PathLike[str] | None = None, *, download: bool = False
) -> LabelledImages:
    """Read Fashion-MNIST, every file checked by its MD5.

    Parameters
    ----------
    data_dir : path, optional
        Folder that holds ``FashionMNIST/raw`` (torchvision's layout) or the four files themselves; from
        the environment variable ``DIFFCLAIMS_DATA`` by default.
    download : bool
        Fetch missing files first, by torchvision. The files are then read and checked here in any case.

    Raises
    ------
    DataError
        If a file is missing, truncated or another one, or if it cannot be downloaded.
    """
    folder = data_folder(data_dir)
    missing = [n for n in _FILES if not (folder / f"{n}.gz").exists() and not (folder / n).exists()]
    if missing and download:
        _download(Path(data_dir or os.environ[DATA_VARIABLE]).expanduser())
        folder = data_folder(data_dir)
    return LabelledImages(
        train_images=_read(folder, "train-images-idx3-ubyte"),
        train_labels=_read(folder, "train-labels-idx1-ubyte"),
        test_images=_read(folder, "t10k-images-idx3-ubyte"),
        test_labels=_read(folder, "t10k-labels-idx1-ubyte"),
    )


DATA = DataSet(
    name="fashion-mnist",
    classes=CLASS_NAMES,
    side=28,
    resolutions=(28, 14),
    read=lambda folder, download: load_fashion_mnist(folder, download=download),
    files={f"{name}.gz": file.packed for name, file in _FILES.items()},
    licence="MIT, Zalando SE",
    origin="torchvision's FashionMNIST, or --download; the four files go to FOLDER/FashionMNIST/raw",
    settings={"classes": ("Bag", "Trouser"), "resolution": 14},
)
