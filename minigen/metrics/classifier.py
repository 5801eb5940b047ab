"""The small fixed classifier whose features measure generated digits.

Its weights are shipped (float16, 0.2 MB), so that a Fréchet distance is the same figure on every
machine.  `python -m minigen.metrics.build` made them, from the embedded training images.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

import minigen
from minigen import nn
from minigen.nn import functional as F
from minigen.serialization import load_file

WEIGHTS = Path(__file__).parent / "files" / "digit_classifier.safetensors"
NAME = "minigen digit classifier, 64 features"  # in the file of weights
NETWORK = "digit classifier v1"  # beside every figure; other weights need another name


class DigitClassifier(nn.Module):
    """Two convolutions, 64 features, ten digits.  (N, 1, 28, 28) in [0, 1] -> (N, 10) logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.dense = nn.Linear(32 * 7 * 7, 64)
        self.head = nn.Linear(64, 10)

    def features(self, images: minigen.Tensor) -> minigen.Tensor:
        """(N, 1, 28, 28) -> (N, 64)"""
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)  # (N, 16, 14, 14)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (N, 32, 7, 7)
        return F.relu(self.dense(x.flatten(1)))

    def forward(self, images: minigen.Tensor) -> minigen.Tensor:
        return self.head(self.features(images))


@functools.cache
def digit_classifier() -> DigitClassifier:
    """The shipped classifier, in float32 and ready to evaluate; loaded once.

    Whoever asks first finds the default random stream as it was: initial weights are drawn from it,
    but here they are replaced at once.
    """
    tensors = load_file(WEIGHTS)
    state = minigen.default_generator.state
    model = DigitClassifier()
    minigen.default_generator.state = state
    model.load_state_dict({name: t.float() for name, t in tensors.items()})
    return model.eval().requires_grad_(False)


def _batches(images: Any, size: int = 500) -> Any:
    array = images.detach().numpy() if isinstance(images, minigen.Tensor) else np.asarray(images)
    if array.ndim == 0 or array.size % 784 or array[0].size != 784:
        raise ValueError(f"digits: needs images of 28 x 28, (n, 28, 28), got {array.shape}")
    if array.dtype == np.uint8:
        array = array.astype(np.float32) / 255
    if not np.isfinite(array).all():
        raise ValueError("digits: the images hold NaN or infinity")
    array = array.astype(np.float32).reshape(-1, 1, 28, 28)
    for start in range(0, len(array), size):
        yield minigen.from_numpy(array[start : start + size])


@minigen.no_grad()
def digit_features(images: Any) -> np.ndarray:
    """The features that `frechet_distance` compares: (n, 64) float32.

    images: tensor or array of n images of 28 x 28, float in [0, 1] or uint8, in any layout whose
    rows have 784 values.  Raises ValueError for other shapes and values that are not finite.
    """
    model = digit_classifier()
    return np.concatenate([model.features(batch).numpy() for batch in _batches(images)])


@minigen.no_grad()
def digit_probabilities(images: Any) -> np.ndarray:
    """The class probabilities that `inception_score` needs: (n, 10) float32; images as above."""
    model = digit_classifier()
    return np.concatenate([F.softmax(model(batch), dim=1).numpy() for batch in _batches(images)])
