"""A small classifier of all ten classes: the class of a generated image, and features to compare sets in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from diffclaims.storage.files import write_atomic
from diffclaims.unet.data.choice import DataConfig
from diffclaims.unet.data.data_set import Images, LabelledImages, pixels
from diffclaims.unet.data.prepare import contrasts
from diffclaims.unet.data.registry import DEFAULT
from diffclaims.unet.model.randomness import CLASSIFIER, mix

#: An image whose most likely class has less than this probability has no class.
REJECT_BELOW = 0.5


class _Net(nn.Module):
    def __init__(self, resolution: int, channels: int = 1, n_classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * (resolution // 4) ** 2, 32),
            nn.ReLU(),
        )
        self.head = nn.Linear(32, n_classes)


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained classifier and its accuracy on the test file.

    `accuracy` counts the classes of the control as they are prepared there.
    """

    net: _Net
    accuracy: float

    @torch.no_grad()
    def __call__(self, images: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return class probabilities (n, K) and features (n, 32) of images (n, C, R, R)."""
        probabilities, features = [np.zeros((0, self.net.head.out_features))], [np.zeros((0, 32))]
        for start in range(0, len(images), 500):
            x = torch.from_numpy(np.asarray(images[start : start + 500], dtype=np.float32))
            f = self.net.body(x)
            features.append(f.double().numpy())
            probabilities.append(self.net.head(f).softmax(dim=1).double().numpy())
        return np.concatenate(probabilities), np.concatenate(features)

    def classes_of(self, images: NDArray[np.floating], labels: Sequence[int]) -> NDArray[np.int64]:
        """Return the position in `labels` of each image, or ``len(labels)`` for none of them.

        None: the most likely of all classes is not among them, or its probability is below
        `REJECT_BELOW`.
        """
        probabilities, _ = self(images)
        position = np.full(probabilities.shape[1], len(labels))
        position[list(labels)] = np.arange(len(labels))
        out = position[probabilities.argmax(axis=1)]
        out[probabilities.max(axis=1) < REJECT_BELOW] = len(labels)
        return np.asarray(out, dtype=np.int64)


def prepared_all(source: LabelledImages, data: DataConfig) -> tuple[Images, Images]:
    """Return all training and test images, the classes of a control scaled as in a run."""
    train, test = (pixels(x, data.resolution) for x in (source.train_images, source.test_images))
    if data.control != "none":
        labels = [data.source.label(c) for c in data.classes]
        population = tuple(train[source.train_labels == k] for k in labels)
        for k, x, factor in zip(labels, population, contrasts(population, data.control), strict=True):
            mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
            for images, which in ((train, source.train_labels), (test, source.test_labels)):
                images[which == k] = mean + np.float32(factor) * (images[which == k] - mean)
    return train, test


def train_classifier(
    source: LabelledImages,
    data: DataConfig,
    *,
    epochs: int = 3,
    cache: Path | None = None,
) -> Classifier:
    """Train (or read from `cache`) the classifier for the images of a run: its data set, resolution and control.

    With a control, its classes are shown with the contrast they have in the run; otherwise a scaled image
    would be an unknown object to it.
    """
    shape = (data.resolution, data.channels, len(data.source.classes))
    net = _Net(*shape)
    name = f"classifier-{data.resolution}"
    if data.dataset != DEFAULT:
        name += f"-{data.source.name}"
    if data.control != "none":
        name += f"-{data.control}-{'-'.join(c.replace('/', 'of').replace(':', '_') for c in data.classes)}"
    path = cache / f"{name}.pt" if cache else None
    if path and path.exists():
        saved = torch.load(path, weights_only=True)
        net.load_state_dict(saved["model"])
        return Classifier(net.eval(), saved["accuracy"])
    train, test = prepared_all(source, data)
    x, y = torch.from_numpy(train), torch.from_numpy(source.train_labels.astype(np.int64))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(0, CLASSIFIER))
        net = _Net(*shape)
        optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
        for _ in range(epochs):
            for batch in torch.split(torch.randperm(len(x)), 128):
                loss = functional.cross_entropy(net.head(net.body(x[batch])), y[batch])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    net.eval()
    accuracy = float((Classifier(net, 0.0)(test)[0].argmax(axis=1) == source.test_labels).mean())
    if path:
        content = {"model": net.state_dict(), "accuracy": accuracy}
        write_atomic(path, lambda p: torch.save(content, p))
    return Classifier(net, accuracy)
