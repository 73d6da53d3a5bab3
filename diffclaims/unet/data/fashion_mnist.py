"""Fashion-MNIST from its four original files, and the training and held-out sets made of it."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.unet.classes import parse_class
from diffclaims.unet.config import DataConfig

Images = NDArray[np.float32]
Bytes = NDArray[np.uint8]

#: Environment variable that names the data folder where no option does.
DATA_VARIABLE = "DIFFCLAIMS_DATA"


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


class DataError(DiffclaimsError, OSError):
    """The data files are missing, truncated, or not the ones that are expected."""


@dataclass(frozen=True)
class FashionMNIST:
    """The data set as distributed: images (n, 28, 28) of bytes, labels (n,) in 0..9."""

    train_images: Bytes
    train_labels: Bytes
    test_images: Bytes
    test_labels: Bytes


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
    path = Path(root)
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
    packed, plain = folder / f"{name}.gz", folder / name
    if packed.exists():
        path, raw, want = packed, packed.read_bytes(), spec.packed
    elif plain.exists():
        path, raw, want = plain, plain.read_bytes(), spec.unpacked
    else:
        raise DataError(
            f"{packed} is missing: point --data-dir or {DATA_VARIABLE} to the folder that holds "
            "FashionMNIST/raw, or add --download"
        )
    got = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if got != want:
        raise DataError(
            f"{path} ({len(raw)} bytes) has MD5 {got}; it must be {want}: it is truncated or another file; "
            "delete it and fetch it again (--download)"
        )
    if path is packed:
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:  # pragma: no cover - the checksum was right
            raise DataError(f"{path} cannot be unpacked ({error}); delete it and fetch it again") from error
    header = np.frombuffer(raw, dtype=">i4", count=1 + len(spec.shape))
    if header.tolist() != [spec.magic, *spec.shape]:  # pragma: no cover - the checksum was right
        raise DataError(f"{path} has the header {header.tolist()}; it must be {[spec.magic, *spec.shape]}")
    return np.frombuffer(raw, dtype=np.uint8, offset=4 * header.size).reshape(spec.shape)


def load_fashion_mnist(
    data_dir: str | os.PathLike[str] | None = None, *, download: bool = False
) -> FashionMNIST:
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
        _download(Path(data_dir or os.environ[DATA_VARIABLE]))
        folder = data_folder(data_dir)
    return FashionMNIST(
        train_images=_read(folder, "train-images-idx3-ubyte"),
        train_labels=_read(folder, "train-labels-idx1-ubyte"),
        test_images=_read(folder, "t10k-images-idx3-ubyte"),
        test_labels=_read(folder, "t10k-labels-idx1-ubyte"),
    )


def pixels(images: Bytes, resolution: int) -> Images:
    """Return byte images (n, 28, 28) as floats (n, 1, R, R) in [-1, 1]; R = 14 takes 2 x 2 means."""
    x = images.astype(np.float32)
    if resolution == 14:
        x = x.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
    return np.ascontiguousarray(x[:, None] / np.float32(127.5) - np.float32(1))


@dataclass(frozen=True, eq=False)
class PreparedData:
    """Images of one run.

    Attributes
    ----------
    classes : tuple of str
    train : float32 array, shape (n, 1, R, R)
        Training images, class after class.
    labels : int64 array, shape (n,)
        Position of each training image's class in `classes`.
    held_out : float32 array, shape (K, m, 1, R, R)
        Images of the test file, none of them equal to a training image.
    population : tuple of float32 arrays, shape (n_k, 1, R, R)
        All images of each class in the training file: what reference denoisers are fitted to.
    contrast : tuple of float
        Factor by which each class was scaled about its mean; 1 without a control.
    """

    classes: tuple[str, ...]
    train: Images
    labels: NDArray[np.int64]
    held_out: Images
    population: tuple[Images, ...]
    contrast: tuple[float, ...]

    @property
    def resolution(self) -> int:
        """Side of the images."""
        return int(self.train.shape[-1])

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of training images of each class."""
        return tuple(int(c) for c in np.bincount(self.labels, minlength=len(self.classes)))

    def of_class(self, k: int) -> Images:
        """Training images of the class at position k."""
        return np.asarray(self.train[self.labels == k])


def _part(images: Bytes, labels: Bytes, name: str) -> Bytes:
    label, part, parts = parse_class(name)
    return np.asarray(images[labels == label][part::parts])


def contrasts(population: tuple[Images, ...], control: str) -> tuple[float, ...]:
    """Return the factor for each class that `control` asks for (see `DataConfig`)."""
    factors = [1.0] * len(population)
    if control != "none":
        total = [float(x.reshape(len(x), -1).var(axis=0, dtype=np.float64).sum()) for x in population]
        if control == "variance-swap":
            factors[0] = float(np.sqrt(total[1] / total[0]))
        else:
            factors[1] = float(np.sqrt(total[0] / total[1]))
    return tuple(factors)


def prepare(config: DataConfig, source: FashionMNIST, *, seed: int, n_held_out: int) -> PreparedData:
    """Draw the training and held-out sets of one run.

    Parameters
    ----------
    config : DataConfig
    source : FashionMNIST
    seed : int
        Of the subset; another seed gives other images.
    n_held_out : int
        Held-out images per class.

    Returns
    -------
    PreparedData

    Notes
    -----
    Training images come from the training file, held-out ones from the test file, and those equal to a
    training image byte for byte are skipped, so that the two are disjoint. The held-out images are the same
    for every seed up to that, which lets seeds be compared on the same images.

    Raises
    ------
    InvalidInput
        If a class has fewer images than asked for.
    """
    rng = np.random.default_rng(np.random.SeedSequence((seed, 1)))
    population: list[Images] = []
    train: list[Images] = []
    labels: list[NDArray[np.int64]] = []
    chosen: list[Bytes] = []
    for k, (name, count) in enumerate(zip(config.classes, config.counts(), strict=True)):
        pool = _part(source.train_images, source.train_labels, name)
        if count > len(pool):
            raise InvalidInput.of(
                "size", config.size, f"ask for at most the {len(pool)} images of {name}", "lower it"
            )
        chosen.append(pool[rng.permutation(len(pool))[:count]])
        population.append(pixels(pool, config.resolution))
        labels.append(np.full(count, k, dtype=np.int64))
    factors = contrasts(tuple(population), config.control)
    means = [p.mean(axis=0, dtype=np.float64).astype(np.float32) for p in population]

    def scaled(x: Images, k: int) -> Images:
        return x if factors[k] == 1.0 else means[k] + np.float32(factors[k]) * (x - means[k])

    taken = {image.tobytes() for images in chosen for image in images}
    held_out: list[Images] = []
    for k, name in enumerate(config.classes):
        pool = _part(source.test_images, source.test_labels, name)
        keep = np.array([image.tobytes() not in taken for image in pool])
        pool = pool[keep][:n_held_out]
        if len(pool) < n_held_out:
            raise InvalidInput.of(
                "n_held_out", n_held_out, f"be at most the {len(pool)} test images of {name}", "lower it"
            )
        held_out.append(scaled(pixels(pool, config.resolution), k))
        train.append(scaled(pixels(chosen[k], config.resolution), k))
    return PreparedData(
        classes=config.classes,
        train=np.concatenate(train),
        labels=np.concatenate(labels),
        held_out=np.stack(held_out),
        population=tuple(scaled(p, k) for k, p in enumerate(population)),
        contrast=factors,
    )
