"""What DATA may be, and one clear sentence for what it may not."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from diffclaims.advice import folder as folders
from diffclaims.advice.read import samples_of
from diffclaims.advice.samples import MOST_DIMS, of_arrays
from diffclaims.errors import DiffclaimsError, InvalidInput
from diffclaims.unet.data.data_set import DataError

X = np.arange(48.0).reshape(6, 2, 4)
Y = np.array(["a", "b", "a", "b", "c", "c"])


def image(path, shape=(4, 5), value=0):
    Image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (np.arange(np.prod(shape)) + value).astype(np.uint8).reshape(shape)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize(
    "names",
    [("x", "y"), ("images", "labels"), ("x_train", "y_train"), ("train_images", "train_labels")],
    ids="-".join,
)
def test_an_npz_under_each_pair_of_names(tmp_path, names):
    file = tmp_path / "d.npz"
    np.savez(file, **dict(zip(names, (X, Y[:, None]), strict=True)))
    found = samples_of(str(file))
    assert found.classes == ("a", "b", "c")
    assert found.counts.tolist() == [2, 2, 2]
    np.testing.assert_array_equal(found.rows(np.array([1])), X[1].reshape(1, -1))


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert samples_of("~/d.npz").n_dims == 8


def test_a_folder_of_images_by_class(tmp_path):
    for n in range(3):
        image(tmp_path / "cat" / f"{n}.png", value=n)
    image(tmp_path / "dog" / "0.PNG")
    (tmp_path / "owl").mkdir()
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    found = samples_of(tmp_path)
    assert found.classes == ("cat", "dog", "owl")
    assert found.counts.tolist() == [3, 1, 0]
    np.testing.assert_allclose(found.rows(np.array([2]))[0, :2], np.array([2, 3]) / 127.5 - 1)


def test_grey_beside_colour_is_read_in_colour(tmp_path):
    image(tmp_path / "a" / "0.png")
    image(tmp_path / "b" / "0.png", (4, 5, 3))
    assert samples_of(tmp_path).values.shape == (2, 4, 5, 3)


def test_large_images_are_made_smaller_by_means(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "most_dims", lambda n: 5)
    image(tmp_path / "a" / "0.png", (4, 4))
    found = samples_of(tmp_path)
    np.testing.assert_allclose(found.values[0], [[2.5, 4.5], [10.5, 12.5]], atol=0.51)
    assert "4 x 4 to 2 x 2" in found.source


def test_large_arrays_are_made_smaller_by_means():
    big = np.random.default_rng(0).normal(size=(3, 3, 50, 41))
    found = of_arrays(big, [0, 0, 1], "")
    rows = found.rows(np.array([1]))
    assert found.factor == 3
    assert rows.shape == (1, found.n_dims)
    assert found.n_dims == 3 * 16 * 13 <= MOST_DIMS
    np.testing.assert_allclose(rows[0, 0], big[1, 0, :3, :3].mean())
    last = of_arrays(np.moveaxis(big, 1, -1), [0, 0, 1], "").rows(np.array([1]))
    np.testing.assert_allclose(np.moveaxis(last.reshape(16, 13, 3), -1, 0).ravel(), rows[0])


def test_a_memory_map_stays_on_its_disk(tmp_path):
    np.save(tmp_path / "x.npy", X)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert isinstance(samples_of(x, Y).values, np.memmap)


def test_data_set_objects():
    torchvision = types.SimpleNamespace(data=X, targets=[0, 0, 1, 1, 3, 3], classes=["a", "b", "none", "d"])
    found = samples_of(torchvision)
    assert found.classes == ("a", "b", "none", "d")
    assert found.counts.tolist() == [2, 2, 0, 2]
    pairs = samples_of(Pairs())
    assert pairs.counts.tolist() == [2, 2, 2]
    assert samples_of("blobs").classes == ("wide", "narrow")


class Pairs:
    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i], str(Y[i])


def test_a_data_set_of_torchvision_by_name_and_root(tmp_path, monkeypatch):
    class Some:
        def __init__(self, root, train=True):
            if not (tmp_path / "there").exists():
                raise RuntimeError("Dataset not found.\nDownload it.")
            self.data, self.targets = X, [0, 0, 1, 1, 2, 2]

    monkeypatch.setitem(sys.modules, "torchvision.datasets", types.SimpleNamespace(Some=Some))
    with pytest.raises(InvalidInput, match=r"Dataset not found\.\); download it there"):
        samples_of("Some", root=str(tmp_path))
    with pytest.raises(InvalidInput, match=r"name of torchvision\.datasets"):
        samples_of("Other", root=str(tmp_path))
    monkeypatch.delenv("DIFFCLAIMS_DATA", raising=False)
    with pytest.raises(InvalidInput, match="name the folder of Some"):
        samples_of("Some")
    (tmp_path / "there").touch()
    assert samples_of("Some", root=str(tmp_path)).counts.tolist() == [2, 2, 2]
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(DiffclaimsError, match="torchvision, which may know it, does not import here"):
        samples_of("Some", root=str(tmp_path))


def test_fashion_mnist_is_read_without_torchvision(tmp_path):
    with pytest.raises(DataError, match="is missing"):
        samples_of("FashionMNIST", root=str(tmp_path))


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.ma.masked_less(X, 3), Y, "masked array with 3 masked entries"),
        (X, np.ma.masked_equal(np.arange(6), 2), "1 masked entries"),
        (X, [0, 1, "a", 0, 1, 1], "all integers or all strings"),
        (X, [0, 1, None, 0, 1, 1], "integers or strings"),
        (X, [0, 1, np.nan, 0, 1, 1], "name a class for each sample"),
        (X, [0, 1.5, 1, 0, 1, 1], "be integers or strings"),
        (X, None, "hold the class of each sample"),
        (X, Y[:5], r"have shape \(6,\)"),
        ([X[0], X[0, :1]], ["a", "b"], "hold samples of one size"),
        (X[:0], Y[:0], "at least one sample"),
        (np.array([["a"]]), ["a"], "be a real array"),
        (np.ones((2, 2000)), ["a", "b"], "have at most 1024 each"),
    ],
)
def test_bad_arrays_get_a_sentence(x, y, said):
    with pytest.raises(InvalidInput, match=said) as caught:
        samples_of(x, y)
    assert "\n" not in str(caught.value)


def test_nan_is_named_with_its_sample_and_class():
    x = X.copy()
    x[4, 0, 0] = np.nan
    with pytest.raises(InvalidInput, match="sample 4, of class c"):
        samples_of(x, Y).rows(np.arange(6))


def test_bad_files_and_folders_get_a_sentence(tmp_path):
    np.savez(tmp_path / "other.npz", a=X)
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object), y=["a"])
    (tmp_path / "empty").mkdir()
    image(tmp_path / "deep" / "train" / "cat" / "0.png")
    image(tmp_path / "flat" / "0.png")
    image(tmp_path / "sizes" / "a" / "0.png")
    image(tmp_path / "sizes" / "b" / "1.png", (5, 5))
    image(tmp_path / "broken" / "a" / "0.png")
    (tmp_path / "broken" / "a" / "1.png").write_bytes(b"no image")
    for name, said in {
        "other.npz": "other.npz with a.*hold samples and labels as x and y",
        "broken.npz": "be an npz file of plain arrays",
        "objects.npz": "be an npz file of plain arrays",
        "none.npz": "be a file",
        "none": "be an npz file, a folder of images by class",
        "empty": "name the folder whose subfolders are the classes",
        "deep": "the nearest image is .*0.png",
        "flat": "one subfolder for each class",
        "sizes": "have one size",
        "broken": "1.png.*be readable",
    }.items():
        with pytest.raises(InvalidInput, match=said) as caught:
            samples_of(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_an_object_whose_module_breaks_gets_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "breaks_on_import.py").write_text("raise ValueError('boom')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=r"importing it raised ValueError\('boom'\)"):
        samples_of("breaks_on_import:DATA")


def test_without_pillow_a_folder_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(b"")

    def missing(module):
        raise ModuleNotFoundError("No module named 'PIL'", name="PIL")

    monkeypatch.setattr("diffclaims.extras.importlib.import_module", missing)
    with pytest.raises(
        DiffclaimsError, match=r"needed for a folder of images; pip install 'diffclaims\[advise\]'"
    ):
        samples_of(str(tmp_path))
